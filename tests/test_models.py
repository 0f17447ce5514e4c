import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magan_jax.models import Classifier, Discriminator, Generator

KEY = jax.random.key(0)


def test_generator_in_use_treats_each_latent_alone():
    generator = Generator(3, (8, 12, 2))
    z = jax.random.normal(KEY, (5, 6))
    variables = generator.init(KEY, z, training=False)
    images = generator.apply(variables, z, training=False)
    chex.assert_shape(images, (5, 8, 12, 2))
    assert float(jnp.abs(images).max()) < 1
    alone = generator.apply(variables, z[2:3], training=False)
    chex.assert_trees_all_close(images[2:3], alone, atol=1e-6)


def test_generator_in_training_normalises_by_the_batch():
    generator = Generator(3, (8, 8, 1))
    z = 5 + 3 * jax.random.normal(KEY, (64, 6))
    variables = generator.init(KEY, z, training=False)
    _, seen = generator.apply(
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
    variables = alone.init(KEY, images)
    whole, _ = alone.apply({"params": variables["params"]}, images, mutable=["batch_stats"])

    def part(x):
        shared = Discriminator(3, axis_name="parts")
        return shared.apply({"params": variables["params"]}, x, mutable=["batch_stats"])[0]

    split = jax.vmap(part, axis_name="parts")(images.reshape(parts, -1, 8, 8, 1))
    chex.assert_trees_all_close(split.reshape(-1), whole, rtol=1e-4, atol=1e-5)


def test_classifier_gives_logits_and_drops_out_only_in_training():
    classifier = Classifier(7, width=2, dropout=0.5)
    images = jax.random.normal(KEY, (4, 8, 8, 1))
    variables = classifier.init(KEY, images, training=False)
    used = classifier.apply(variables, images, training=False)
    chex.assert_shape(used, (4, 7))
    chex.assert_trees_all_close(used, classifier.apply(variables, images, training=False))
    trained = classifier.apply(variables, images, training=True, rngs={"dropout": KEY})
    assert not np.allclose(used, trained)
