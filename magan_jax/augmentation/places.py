"""Images a pixel aside."""

from collections.abc import Iterator

import numpy as np


def in_nine_places(images: np.ndarray) -> Iterator[np.ndarray]:
    """Nine times uint8 `[N, H, W, C]`: moved by -1, 0 and 1 pixels along both axes; black enters.

    The fifth are the images themselves.
    """
    height, width = images.shape[1:3]
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    for row in range(3):
        for column in range(3):
            yield padded[:, row : row + height, column : column + width]
