"""Images a pixel aside, against SciPy's shifts."""

import numpy as np
from scipy.ndimage import shift

from magan_jax.augmentation.places import in_nine_places

IMAGES = np.random.default_rng(0).integers(0, 256, (11, 4, 5, 2)).astype(np.uint8)


def test_every_image_stands_in_nine_places():
    expected = [
        [shift(image, (y, x, 0), order=0, cval=0) for image in IMAGES]
        for y in (1, 0, -1)
        for x in (1, 0, -1)
    ]
    np.testing.assert_array_equal(list(in_nine_places(IMAGES)), expected)
