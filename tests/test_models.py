from functools import partial
from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from magan_jax.models import Classifier
from magan_jax.models.dcgan import Generator, Trunk
from magan_jax.models.dense import dense

pytestmark = pytest.mark.optimized

KEY = jax.random.key(0)
ROUNDING = 2.0**-8  # at most, of a number's size: bfloat16 has 8 significant bits


class Discriminator(nn.Module):
    """A trunk and a last layer."""

    width: int
    axis_name: str | None = None
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images):
        features = Trunk(self.width, self.axis_name, self.dtype)(images)
        return dense(1, self.dtype, kernel_init=nn.initializers.normal(0.02))(features)[:, 0]


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


def test_batches_in_one_pass_are_what_they_are_one_by_one():
    trunk, images = Trunk(3), jax.random.normal(KEY, (12, 8, 8, 1)) ** 3
    parameters = {"params": init(trunk, images)["params"]}
    both, _ = apply(trunk, parameters, images, batches=2, mutable=["batch_stats"])
    for part, found in zip(jnp.split(images, 2), jnp.split(both, 2), strict=True):
        alone, _ = apply(trunk, parameters, part, mutable=["batch_stats"])
        chex.assert_trees_all_close(found, alone, atol=1e-5)
    together, _ = apply(trunk, parameters, images, mutable=["batch_stats"])
    assert not np.allclose(together, both, atol=1e-2)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_one_feature_is_the_product_in_the_form_of_accelerators_too(monkeypatch, dtype):
    x = jax.random.normal(KEY, (6, 500)).astype(dtype)
    layer = dense(1, dtype, kernel_init=nn.initializers.normal(0.02))
    variables = layer.init(KEY, x)
    kernel = np.asarray(variables["params"]["kernel"].astype(dtype), np.float64)
    expected = np.asarray(x, np.float64) @ kernel

    def loss(variables):
        found = layer.apply(variables, x)
        return jnp.sum(found**2), found

    as_on_cpu = jax.grad(loss, has_aux=True)(variables)
    monkeypatch.setattr(
        jax.lax, "platform_dependent", lambda *arrays, default, **_: default(*arrays)
    )
    summed = jax.grad(loss, has_aux=True)(variables)
    chex.assert_trees_all_close(summed, as_on_cpu, rtol=ROUNDING, atol=1e-3)
    chex.assert_trees_all_close(summed[1], np.float32(expected), rtol=ROUNDING, atol=1e-5)


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


def classifier_loss(dtype, parameters, _, images, latents):
    logits = Classifier(10, 16, dtype=dtype).apply({"params": parameters}, images)
    return jnp.mean(
        optax.softmax_cross_entropy_with_integer_labels(logits, jnp.arange(len(logits)) % 10)
    )


def discriminator_loss(dtype, parameters, others, images, latents):
    def f(x):
        network = Discriminator(16, dtype=dtype)
        return network.apply({"params": parameters}, x, mutable=["batch_stats"])[0]

    fake = images_of(dtype, others["generator"], latents)
    return jnp.mean(jax.nn.softplus(-f(images))) + jnp.mean(jax.nn.softplus(f(fake)))


def generator_loss(dtype, parameters, others, images, latents):
    fake = images_of(dtype, {**others["generator"], "params": parameters}, latents)
    network = Discriminator(16, dtype=dtype)
    logits = network.apply(others["discriminator"], fake, mutable=["batch_stats"])[0]
    return jnp.mean(jax.nn.softplus(-logits))


def images_of(dtype, variables, latents):
    generator = Generator(16, (16, 16, 1), dtype=dtype)
    return generator.apply(variables, latents, training=True, mutable=["batch_stats"])[0]


@pytest.fixture(scope="module")
def networks():
    """Variables of all three, images, latents."""
    images = jax.random.uniform(KEY, (64, 16, 16, 1), minval=-1)
    latents = jax.random.normal(KEY, (64, 20))
    variables = {
        "classifier": init(Classifier(10, 16), images),
        "discriminator": {"params": init(Discriminator(16), images)["params"]},
        "generator": init(Generator(16, (16, 16, 1)), latents, training=False),
    }
    return variables, images, latents


@pytest.mark.parametrize(
    ("name", "loss", "rectified"),
    [
        ("classifier", classifier_loss, 3),
        ("discriminator", discriminator_loss, 2),
        ("generator", generator_loss, 4),  # two layers of its own, two of D
    ],
)
def test_gradient_in_bfloat16_is_that_of_float32_but_for_rounding(name, loss, rectified, networks):
    """A rounding turns a rectifier over where its argument is small enough.

    Of normal arguments a share of 0.8 · 2⁻⁸ is less than 2⁻⁸ of their deviation. Each turned over
    gains or loses its term of the gradient, so that a rectified layer adds at most about 2⁻⁸ to
    the squared relative error. Roundings of the products themselves add their own squares, which
    are 2⁻⁸ times that.
    """
    variables, images, latents = networks
    exact, rounded = (
        jax.jit(jax.value_and_grad(partial(loss, dtype)))(
            variables[name]["params"], variables, images, latents
        )
        for dtype in (jnp.float32, jnp.bfloat16)
    )
    chex.assert_trees_all_equal_shapes_and_dtypes(exact, rounded)
    assert rounded[0].dtype == jnp.float32
    a, b = (np.concatenate([np.ravel(x) for x in jax.tree.leaves(g)]) for _, g in (exact, rounded))
    error = np.linalg.norm(a - b) / np.linalg.norm(a)
    assert 0 < error < np.sqrt(rectified * ROUNDING)
    assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > 0.99


def test_what_bfloat16_networks_keep_and_return_is_float32():
    images, latents = jnp.zeros((4, 8, 8, 1)), jnp.zeros((4, 6))
    classifier = Classifier(7, 2, dtype=jnp.bfloat16)
    generator = Generator(2, (8, 8, 1), dtype=jnp.bfloat16)
    discriminator = Discriminator(2, dtype=jnp.bfloat16)

    def all_of_them():
        c = classifier.init(KEY, images)
        g = generator.init(KEY, latents, training=False)
        d = discriminator.init(KEY, images)
        return (
            (c, classifier.apply(c, images, jax.random.split(KEY, 4))),
            (g, generator.apply(g, latents, training=True, mutable=["batch_stats"])),
            (d, discriminator.apply(d, images, mutable=["batch_stats"])),
        )

    found = jax.tree.leaves(jax.eval_shape(all_of_them))
    assert {x.dtype.name for x in found} == {"float32"}


def test_what_lies_between_the_layers_is_bfloat16():
    network, images = Classifier(7, 2, dtype=jnp.bfloat16), jnp.zeros((4, 8, 8, 1))

    def between():
        variables = network.init(KEY, images)
        return network.apply(variables, images, capture_intermediates=True)[1]["intermediates"]

    seen = jax.eval_shape(between)
    for layer in ("StridedConv_0", "StridedConv_1", "LayerNorm_0", "LayerNorm_1"):
        assert seen[layer]["__call__"][0].dtype == jnp.bfloat16


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_a_dense_gradient_sums_a_large_batch_in_float32(dtype):
    """In bfloat16, 256 + 1 is 256."""
    layer, x = dense(2, dtype), jnp.ones((4096, 3))
    gradient = jax.jit(jax.grad(lambda v: jnp.sum(layer.apply(v, x))))(init(layer, x))
    chex.assert_trees_all_equal(gradient, jax.tree.map(lambda g: jnp.full_like(g, 4096), gradient))
