"""Images around encodings of few labelled images, by an autoencoder in closed form."""

from types import SimpleNamespace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magan_jax.augmentation.encoded import encoded_classes, encoded_images, encoded_means
from magan_jax.augmentation.pools import Sources
from magan_jax.augmentation.settings import SynthesisConfig
from magan_jax.latent.regions import NoRegionError
from magan_jax.training.engine import Batch

KEY = jax.random.key(0)
LIGHT = np.array([[60, 200], [80, 180], [100, 160], [220, 40], [240, 20]])
FEW = Batch(
    np.repeat(LIGHT, 2, axis=1).reshape(5, 2, 2, 1).astype(np.uint8), np.array([0, 0, 0, 1, 1])
)
CODES = LIGHT / 127.5 - 1
SPREAD = 0.05


def encode(images):
    """The light of the upper and the lower row, and how unsure that is."""
    codes = images[:, :, 0, 0]
    return codes, jnp.full(codes.shape, 2 * np.log(SPREAD))


def generate(z):
    """A decoder that stays inside the range of images."""
    return jnp.broadcast_to(z[:, :, None, None] / 2, (len(z), 2, 2, 1))


def sources(few=FEW, num_images=4000, autoencoder=True):
    vae = SimpleNamespace(
        encode=jax.tree_util.Partial(encode), generate=jax.tree_util.Partial(generate)
    )
    nothing = None
    config = SynthesisConfig(num_images=num_images, graph_neighbours=4)
    others = [nothing] * 3 + [few, FEW.images, nothing, 2, config, None]
    return Sources(nothing, nothing, *others, autoencoder=vae if autoencoder else nothing)


def pool_of(draw, key, given, theta):
    return draw(key, given, encoded_classes(key, given), theta=theta)


def codes_of(pool, k):
    images = pool.images[np.argmax(pool.probabilities, axis=1) == k]
    return 2 * (np.float64(images[:, :, 0, 0]) / 127.5 - 1)


def deviation(k):
    own = CODES[FEW.labels == k]
    return np.sqrt(own.var(axis=0, ddof=1) + SPREAD**2)


@pytest.mark.parametrize("make", [encoded_means, encoded_images])
def test_a_pool_has_as_many_images_of_each_class(make):
    pool = pool_of(make, KEY, sources(num_images=9), 0.5)
    chex.assert_shape(pool.images, (10, 2, 2, 1))
    assert pool.images.dtype == np.uint8
    np.testing.assert_array_equal(pool.probabilities, np.repeat(np.eye(2), 5, axis=0))


@pytest.mark.parametrize("theta", [0.3, 0.6])
def test_around_means(theta):
    pool = pool_of(encoded_means, KEY, sources(), theta)
    for k in range(2):
        codes = codes_of(pool, k)
        np.testing.assert_allclose(
            codes.mean(axis=0), CODES[FEW.labels == k].mean(axis=0), atol=0.03
        )
        np.testing.assert_allclose(codes.std(axis=0), theta * deviation(k), rtol=0.06)


def test_around_single_images_each_by_lot():
    pool = pool_of(encoded_images, KEY, sources(), 0.02)
    for k in range(2):
        centres = CODES[FEW.labels == k]
        away = np.linalg.norm(codes_of(pool, k)[:, None] - centres, axis=-1)
        assert away.min(axis=1).max() < 0.05
        share = np.bincount(away.argmin(axis=1)) / 2000
        np.testing.assert_allclose(share, 1 / len(centres), atol=0.05)


def test_around_single_images_the_deviations_are_the_class_s():
    pool = pool_of(encoded_images, KEY, sources(), 0.5)
    for k in range(2):
        own = CODES[FEW.labels == k]
        expected = np.sqrt(own.var(axis=0) + (0.5 * deviation(k)) ** 2)
        np.testing.assert_allclose(codes_of(pool, k).std(axis=0), expected, rtol=0.06)


def test_another_key_draws_others():
    for make in (encoded_means, encoded_images):
        pools = [pool_of(make, jax.random.key(s), sources(), 0.5).images for s in (0, 0, 1)]
        np.testing.assert_array_equal(pools[0], pools[1])
        assert (pools[0] != pools[2]).any()


def test_one_image_of_a_class_is_a_reason_not_a_fault():
    few = Batch(FEW.images[:4], FEW.labels[:4])
    with pytest.raises(NoRegionError, match="class 1 has 1 images to learn from; deviations"):
        encoded_classes(KEY, sources(few))
    with pytest.raises(ValueError, match="sources.autoencoder is None"):
        encoded_classes(KEY, sources(autoencoder=False))
