import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magan_jax.training.discriminator import discriminator_features
from magan_jax.training.gan_config import GANConfig
from magan_jax.training.gan_step import init_gan

KEY = jax.random.key(0)
IMAGES = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 1)).astype(np.uint8)
SCALED = (IMAGES / 127.5 - 1).astype(np.float32)


def features_of(network, images=IMAGES):
    config = GANConfig(network=network, discriminator_width=4, discriminator_layers=(9, 5))
    state = init_gan(KEY, config, (8, 8, 1), ())
    return discriminator_features(config, images, state), state.discriminator["trunk"]


@pytest.mark.parametrize(("network", "size"), [("dcgan", 32), ("mlp", 5)])
def test_over_real_images_features_have_mean_zero_and_unit_spread(network, size):
    features, _ = features_of(network)
    found = np.asarray(features(SCALED), np.float64)
    chex.assert_shape(found, (60, size))
    alive = found.std(axis=0) > 0
    assert alive.mean() > 0.7
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(found.std(axis=0)[alive], 1, rtol=1e-5)


def test_an_image_has_its_features_whatever_stands_beside_it():
    features, _ = features_of("dcgan")
    together = features(SCALED)
    chex.assert_trees_all_close(features(SCALED[7:8])[0], together[7], atol=1e-5)
    dark = np.concatenate([SCALED[7:8], -np.ones((5, 8, 8, 1), np.float32)])
    chex.assert_trees_all_close(features(dark)[0], together[7], atol=1e-5)


def test_they_are_the_layers_of_the_discriminator():
    features, trunk = features_of("mlp")
    x = SCALED.reshape(60, -1).astype(np.float64)
    for i in range(2):
        layer = trunk[f"hidden_{i}"]
        x = x @ np.asarray(layer["kernel"], np.float64) + np.asarray(layer["bias"], np.float64)
        x = np.where(x > 0, x, 0.2 * x)
    np.testing.assert_allclose(features(SCALED), (x - x.mean(0)) / x.std(0), rtol=1e-3, atol=1e-4)


def test_a_constant_feature_is_zero():
    same = np.repeat(IMAGES[:1], 60, axis=0)
    features, _ = features_of("mlp", same)
    np.testing.assert_array_equal(features(SCALED[:1]), np.zeros((1, 5)))
    assert np.isfinite(np.asarray(features(SCALED))).all()


def test_the_reference_of_a_set_sorted_by_class_has_all_of_them():
    alike = np.repeat(IMAGES[:1], 2500, axis=0)
    features, _ = features_of("mlp", np.concatenate([alike, np.tile(IMAGES, (50, 1, 1, 1))]))
    found = np.asarray(features(SCALED))
    assert (found.std(axis=0) > 0.5).mean() > 0.5


def test_other_parameters_compile_nothing_new():
    (first, _), (second, _) = features_of("dcgan"), features_of("dcgan", IMAGES[:30])
    assert isinstance(first, jax.tree_util.Partial)
    assert jax.tree.structure(first) == jax.tree.structure(second)


def test_batch_norm_takes_the_statistics_of_the_reference_images():
    """Against the layers written out in float64; the reference are the images themselves."""
    features, trunk = features_of("dcgan")
    x = jax.lax.conv_general_dilated(
        jnp.asarray(SCALED), trunk["StridedConv_0"]["kernel"], (2, 2), "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )  # fmt: skip
    x = np.asarray(x, np.float64) + np.asarray(trunk["bias"], np.float64)
    x = jax.lax.conv_general_dilated(
        jnp.asarray(np.where(x > 0, x, 0.2 * x), jnp.float32), trunk["StridedConv_1"]["kernel"],
        (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )  # fmt: skip
    x = np.asarray(x, np.float64)
    x = (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-5)
    scale, bias = (np.asarray(trunk["BatchNorm_0"][k], np.float64) for k in ("scale", "bias"))
    x = x * scale + bias
    x = np.where(x > 0, x, 0.2 * x).reshape(60, -1)
    alive = x.std(axis=0) > 0
    expected = np.where(alive, (x - x.mean(0)) / np.where(alive, x.std(0), 1), 0)
    np.testing.assert_allclose(features(SCALED), expected, atol=2e-3)
