"""From images to the features that metrics compare.

What an extractor sees decides what a metric can see, so a number is named after its extractor.
The experiments take the project's own classifier, trained on the same data: networks trained on
photographs see little in images such as MNIST's.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from magan_jax.blocks import in_blocks, warn_of_neighbours
from magan_jax.errors import check_positive
from magan_jax.images import quantise_images
from magan_jax.metrics.checks import checked_features


class Extractor(NamedTuple):
    """A function from images to features, and what to call it.

    Attributes:
        name: stands beside every number, "classifier of fashion_mnist" for example.
        function: `images [n, H, W, C] -> [n, d]`; the images are float32 in [-1, 1], on the grid
            of 256 values. Any library's arrays will do; it is called with equal batches.
        test_accuracy: as a classifier of the data's test images; None where it is none.
    """

    name: str
    function: Callable[[Any], Any]
    test_accuracy: float | None = None


def features_of(
    function: Callable[[Any], Any],
    images: np.ndarray,
    *,
    batch_size: int = 500,
    name: str = "images",
) -> np.ndarray:
    """The features `[N, d]` of all images, the last partial batch included.

    The last batch is filled up with copies of the last image, so that `function` sees one shape
    only and is compiled once. Real and generated images go the same way: see `quantise_images`.

    Args:
        function: see `Extractor`; compile it yourself (`jax.jit`) if that helps.
        images: `[N, H, W, C]`, uint8 or float in [-1, 1].
        batch_size: images in each call.
        name: what to call the images in a message.

    Returns:
        Features on the host, float32 or float64.

    Raises:
        ValueError: for images of another shape, type or range, or features that are not finite
            `[n, d]`.

    Warns:
        UserWarning: for images that seem to lie in [0, 1], and for an extractor to which the
            rest of a batch matters.
    """
    batch_size = check_positive("batch_size", batch_size)
    quantised = quantise_images(images, name=name)

    def of_batch(batch: np.ndarray) -> np.ndarray:
        # In NumPy, whose quotient is the nearest float32: compiled, it may be one beside it.
        features = np.asarray(function(batch.astype(np.float32) / 127.5 - 1))
        if features.ndim != 2 or len(features) != batch_size:
            raise ValueError(
                f"the extractor gave the shape {features.shape} for {batch_size} images of "
                f"{name}; it must give features [n, d], one row for each image."
            )
        return features

    found = checked_features(f"features of {name}", in_blocks(of_batch, quantised, batch_size))
    by_itself = of_batch(np.repeat(quantised[:1], batch_size, axis=0))
    warn_of_neighbours("the extractor", found, by_itself)
    return found
