"""Number formats in training: what a step computes in bfloat16, and what it does not."""

import re
from functools import cache

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magan_jax.comparison.systems import chosen_config
from magan_jax.latent.encodings import _of_block
from magan_jax.networks import as_pytree
from magan_jax.parallel import DEVICES
from magan_jax.prior import standard_normal
from magan_jax.sampling import _block, _given
from magan_jax.training.classifier import accuracy_function, classifier_function
from magan_jax.training.classifier_config import ClassifierConfig
from magan_jax.training.classifier_step import classifier_step, init_classifier
from magan_jax.training.engine import Batch, chunk_function
from magan_jax.training.gan import encoder_function, generator_function
from magan_jax.training.gan_config import GANConfig
from magan_jax.training.gan_step import gan_step, init_gan
from magan_jax.training.vae import VAEConfig, init_vae, vae_functions

pytestmark = pytest.mark.optimized

SHAPE = (8, 8, 1)
KEY = jax.random.key(0)
DATA = Batch(np.zeros((16, *SHAPE), np.uint8), np.zeros(16, np.int32))


def gan(dtype):
    config = GANConfig(
        latent_dim=5, batch_size=8, generator_width=2, discriminator_width=2, dtype=dtype
    )
    return gan_step(config, SHAPE), init_gan(KEY, config, SHAPE)


def classifier(dtype):
    config = ClassifierConfig(batch_size=8, width=2, max_shift=1, mirror=True, dtype=dtype)
    return classifier_step(config, 3, 4), init_classifier(KEY, config, SHAPE, 3, 4)


@cache
def lowered(training, dtype):
    """Two steps on one device."""
    step, state = training(dtype)
    mapped = jax.shard_map(
        chunk_function(step, 16, 8, 2),
        mesh=jax.make_mesh((1,), (DEVICES,), devices=jax.devices()[:1]),
        in_specs=jax.P(),
        out_specs=jax.P(),
        check_vma=False,
    )
    return jax.jit(mapped).lower(state, DATA, KEY, jnp.uint32(0))


def operands(text, operation):
    """The number formats of the operands of each such operation in a lowered program."""
    types = re.findall(rf"stablehlo\.{operation}\b.*? : \((.*?)\) ->", text)
    return [re.findall(r"x?(\w+)>", re.sub(r"\d+x", "", each)) for each in types]


@pytest.mark.parametrize("training", [gan, classifier])
def test_float32_is_the_program_without_a_dtype(training):
    text = lowered(training, "float32").as_text()
    assert text == lowered(training, None).as_text()
    assert "bf16" not in text


@pytest.mark.parametrize("training", [gan, classifier])
def test_bfloat16_multiplies_and_float32_sums(training):
    text = lowered(training, "bfloat16").as_text()
    # A mean over channels is a product with a column on a CPU, and a sum all the same.
    mean = r"stablehlo\.dot_general\b[^\n]* : \(tensor<\d+x\d+xf32>, tensor<\d+x1xf32>\) ->[^\n]*"
    assert bool(re.findall(mean, text)) == (training is classifier)
    text = re.sub(mean, "", text)
    products = operands(text, "dot_general")
    assert len(products) == text.count("stablehlo.dot_general") > 10
    assert {kind for pair in products for kind in pair} == {"bf16"}
    sums = operands(text, "reduce")
    assert ["f32", "f32"] in sums
    assert not [kinds for kinds in sums if "bf16" in kinds]


@pytest.mark.parametrize("training", [gan, classifier])
def test_state_and_losses_of_bfloat16_training_are_those_of_float32(training):
    found, exact = lowered(training, "bfloat16").out_info, lowered(training, None).out_info
    chex.assert_trees_all_equal_shapes_and_dtypes(found, exact)
    assert {x.dtype.name for x in jax.tree.leaves(found)} == {"float32", "int32"}  # steps are int
    chex.assert_trees_all_equal(training("bfloat16")[1], training(None)[1])


def test_trained_functions_are_float32_whatever_the_training_was():
    g = GANConfig(latent_dim=5, generator_width=2, discriminator_width=2, dtype="bfloat16")
    c = ClassifierConfig(width=2, dtype="bfloat16")
    c_state = init_classifier(KEY, c, SHAPE, 3, 4)
    generate = generator_function(g, SHAPE, init_gan(KEY, g, SHAPE))
    classify = classifier_function(c, 3, c_state)
    for text in (
        jax.jit(lambda z: classify(generate(z))).lower(jnp.zeros((4, 5))).as_text(),
        accuracy_function(c, 3).lower(c_state, DATA).as_text(),
    ):
        assert in_full_float32(text)
        assert "bf16" not in text


def in_full_float32(text):
    """Whether no product of a lowered program may be made of TF32 or bfloat16."""
    products = [line for line in text.splitlines() if "stablehlo.dot_general" in line]
    return bool(products) and all("HIGHEST, HIGHEST" in line for line in products)


def test_images_are_made_as_precisely_as_the_labels_that_they_have():
    weights = jnp.ones((5, 8))

    def generate(z):
        return z @ weights

    assert not in_full_float32(jax.jit(generate).lower(jnp.zeros((4, 5))).as_text())
    function, prior = as_pytree(generate), standard_normal(5)
    assert in_full_float32(_given.lower(function, jnp.zeros((4, 5))).as_text())
    assert in_full_float32(_block.lower(function, prior, KEY).as_text())
    of_encoder = _of_block.lower(as_pytree(lambda x: (x @ weights.T, x)), jnp.zeros((4, 8)))
    assert in_full_float32(of_encoder.as_text())


@pytest.mark.parametrize("part", range(3))
def test_autoencoders_are_used_in_full_float32(part):
    config = VAEConfig(layers=(4,), latent_dim=2, dtype="bfloat16")
    function = vae_functions(config, SHAPE, init_vae(KEY, config, SHAPE))[part]
    given = jnp.zeros((3, *SHAPE)) if part == 0 else jnp.zeros((3, 2))
    text = jax.jit(function).lower(given).as_text()
    assert in_full_float32(text)
    assert "bf16" not in text


def test_encoders_of_a_gan_are_used_in_full_float32():
    config = chosen_config("cluster_20", GANConfig(network="mlp"), None)
    encode = encoder_function(config, SHAPE, init_gan(KEY, config, SHAPE))
    assert in_full_float32(jax.jit(encode).lower(jnp.zeros((3, *SHAPE))).as_text())
