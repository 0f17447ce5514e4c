import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magan_jax.models import Classifier, Discriminator, Generator
from magan_jax.models.classifier import _drop

KEY = jax.random.key(0)


def init(network, *inputs, **settings):
    return jax.jit(lambda key, *x: network.init(key, *x, **settings))(KEY, *inputs)


def apply(network, variables, *inputs, **settings):
    return jax.jit(lambda v, *x: network.apply(v, *x, **settings))(variables, *inputs)


def test_generator_in_use_treats_each_latent_alone():
    generator = Generator(3, (8, 12, 2))
    z = jax.random.normal(KEY, (5, 6))
    variables = init(generator, z, training=False)
    images = apply(generator, variables, z, training=False)
    chex.assert_shape(images, (5, 8, 12, 2))
    assert float(jnp.abs(images).max()) < 1
    alone = apply(generator, variables, z[2:3], training=False)
    chex.assert_trees_all_close(images[2:3], alone, atol=1e-6)


def test_generator_in_training_normalises_by_the_batch():
    generator = Generator(3, (8, 8, 1))
    z = 5 + 3 * jax.random.normal(KEY, (64, 6))
    variables = init(generator, z, training=False)
    _, seen = apply(
        generator,
        variables,
        z,
        training=True,
        mutable=["batch_stats", "intermediates"],
        capture_intermediates=True,
    )
    first = np.asarray(seen["intermediates"]["BatchNorm_0"]["__call__"][0])
    np.testing.assert_allclose(first.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(first.var((0, 1, 2)), 1, atol=1e-2)
    assert not np.allclose(
        seen["batch_stats"]["BatchNorm_0"]["mean"], variables["batch_stats"]["BatchNorm_0"]["mean"]
    )


@pytest.mark.parametrize("parts", [2, 4])
def test_statistics_over_parts_equal_those_of_the_whole(parts):
    """The same body under vmap(axis_name=...): BatchNorm sees the whole batch."""
    images = jax.random.normal(KEY, (8, 8, 8, 1))
    alone = Discriminator(3)
    variables = init(alone, images)
    whole, _ = apply(alone, {"params": variables["params"]}, images, mutable=["batch_stats"])

    def part(x):
        shared = Discriminator(3, axis_name="parts")
        return shared.apply({"params": variables["params"]}, x, mutable=["batch_stats"])[0]

    split = jax.vmap(part, axis_name="parts")(images.reshape(parts, -1, 8, 8, 1))
    chex.assert_trees_all_close(split.reshape(-1), whole, rtol=1e-4, atol=1e-5)


def test_classifier_gives_logits_and_drops_out_only_with_keys():
    classifier = Classifier(7, width=2, dropout=0.5)
    images = jax.random.normal(KEY, (4, 8, 8, 1))
    variables = init(classifier, images)
    used = apply(classifier, variables, images)
    chex.assert_shape(used, (4, 7))
    chex.assert_trees_all_close(used, apply(classifier, variables, images))
    keys = jax.random.split(KEY, 4)
    trained = apply(classifier, variables, images, keys)
    assert not np.allclose(used, trained)
    part = apply(classifier, variables, images[1:3], keys[1:3])  # another device's share
    chex.assert_trees_all_close(part, trained[1:3], atol=1e-5)


def test_dropout_keeps_the_mean_and_drops_the_rate():
    x = jnp.ones((200, 300))
    dropped = _drop(jax.random.split(KEY, 200), 0, 0.25, x)
    assert float(jnp.mean(dropped == 0)) == pytest.approx(0.25, abs=0.01)
    np.testing.assert_allclose(np.unique(dropped), [0, 4 / 3], rtol=1e-6)
    other = _drop(jax.random.split(KEY, 200), 1, 0.25, x)
    assert float(jnp.mean((dropped == 0) == (other == 0))) < 0.7  # layers draw apart
