import warnings

import numpy as np
import pytest

from magan_jax.images import quantise_images
from magan_jax.metrics import features_of

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (23, 4, 4, 1)).astype(np.uint8)
SCALED = IMAGES.astype(np.float32) / 127.5 - 1


def flat(images):
    return np.asarray(images).reshape(len(images), -1)


@pytest.mark.parametrize("batch_size", [1, 5, 23, 100])
def test_no_image_is_dropped_and_all_batches_are_equal(batch_size):
    seen = []

    def function(images):
        seen.append(images.shape)
        assert images.dtype == np.float32
        return flat(images)

    found = features_of(function, IMAGES, batch_size=batch_size)
    np.testing.assert_allclose(found, flat(SCALED), atol=1e-7)
    assert set(seen) == {(batch_size, 4, 4, 1)}
    assert len(seen) == -(-23 // batch_size) + 1  # one more, of the first image alone


def test_generated_images_lose_what_real_ones_cannot_have():
    noisy = np.clip(SCALED + RANDOM.uniform(-0.49, 0.49, SCALED.shape) / 127.5, -1, 1)
    np.testing.assert_array_equal(quantise_images(noisy), IMAGES)
    np.testing.assert_array_equal(quantise_images(noisy.astype(np.float64)), IMAGES)
    np.testing.assert_array_equal(quantise_images(IMAGES), IMAGES)
    with pytest.warns(UserWarning, match="none clearly below 0"):  # but for a rounding
        quantise_images(np.array([-1e-6, 1.0]).reshape(1, 1, 2, 1))
    np.testing.assert_array_equal(features_of(flat, noisy), features_of(flat, IMAGES))


def test_the_range_of_a_batch_does_not_matter():
    dark = np.full((2, 2, 2, 1), -0.5)
    np.testing.assert_array_equal(quantise_images(dark), 64)
    ends = np.array([-1.0, 1.0]).reshape(1, 2, 1, 1)
    np.testing.assert_array_equal(quantise_images(ends).ravel(), [0, 255])


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES[..., 0], r"images has the shape \(23, 4, 4\); images \[N, H, W, C\]"),
        (IMAGES[:0], r"images has the shape \(0, 4, 4, 1\)"),
        (IMAGES.astype(np.int32), "images is of type int32"),
        (IMAGES.astype(np.float32), "images goes from 0.0 to 255.0 in rows 0 to 22"),
        (
            np.where(SCALED > 0.9, np.nan, SCALED),
            "13 of the images in rows 0 to 22 are not finite, the first is row 0",
        ),
    ],
)
def test_other_images_are_refused(images, message):
    with pytest.raises(ValueError, match=message):
        features_of(flat, images)


def test_images_that_look_like_those_from_0_to_1_are_warned_of():
    with pytest.warns(
        UserWarning, match="are floats from .* none clearly below 0; .* pass 2 x - 1"
    ):
        quantise_images((SCALED + 1) / 2)
    with warnings.catch_warnings(action="error"):
        quantise_images(SCALED)
        quantise_images(IMAGES)


def test_functions_that_give_no_features_are_refused():
    with pytest.raises(ValueError, match=r"gave the shape \(8, 4, 4, 1\) for 8 images of fake"):
        features_of(lambda images: images, IMAGES, batch_size=8, name="fake")
    with pytest.raises(ValueError, match=r"gave the shape \(1, 16\) for 8 images"):
        features_of(lambda images: flat(images)[:1], IMAGES, batch_size=8)
    with pytest.raises(ValueError, match="features of images has 23 values that are not finite"):
        features_of(lambda images: np.full((len(images), 1), np.nan), IMAGES, batch_size=8)
    with pytest.raises(ValueError, match="batch_size is 0"):
        features_of(flat, IMAGES, batch_size=0)
