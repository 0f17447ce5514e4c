"""Where an encoder puts the images of each class."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from magan_jax.blocks import in_blocks, warn_of_neighbours
from magan_jax.errors import NetworkOutputError, check_positive
from magan_jax.networks import as_pytree, traced_shape

Encode = Callable[[jax.Array], tuple[jax.Array, jax.Array]]
"""`images [n, H, W, C] -> mean [n, d], logarithm of the variance [n, d]` of q(z|x)."""

_BLOCK = 1000

_LARGEST = 80.0
"""Logarithm of the largest variance that is taken: beyond e⁸⁸ there is none in float32."""


class ClassLatents(NamedTuple):
    """Where an encoder puts the images of K classes.

    Attributes:
        num_images: int `[K]`.
        mean: `[K, d]`, of the latents drawn from q(z|x), x of the class.
        std: `[K, d]`, their standard deviation by dimension.
    """

    num_images: np.ndarray
    mean: np.ndarray
    std: np.ndarray


def class_latents(
    encode: Encode, images: np.ndarray, labels: np.ndarray, num_classes: int
) -> ClassLatents:
    """Mean and standard deviation of each class's encoded images, without drawing any latent.

    Of a mixture of normal distributions q(z|x) the mean is that of their means, and the variance
    the variance of their means plus the mean of their variances. (The report does not say whether
    it takes means or draws; its "distribution of the encoded sample" is the latter.)

    Args:
        encode: `images [n, H, W, C] -> mean [n, d], logarithm of the variance [n, d]`.
        images: float `[N, H, W, C]` in [-1, 1].
        labels: int `[N]`.
        num_classes: K.

    Raises:
        ValueError: for labels or images that do not fit, a class with fewer than two images, and
            an encoder that cannot be traced or does not give two arrays, a row for each image.
        NetworkOutputError: for encodings that are not finite, or variances that are not.

    Warns:
        UserWarning: for an encoder to which the rest of a batch matters.
    """
    labels, images = np.asarray(labels), np.asarray(images)
    num_classes = check_positive("num_classes", num_classes)
    count = _checked_counts(images, labels, num_classes)
    mean, log_variance = _encoded(encode, images)
    mean, variance = mean.astype(np.float64), np.exp(log_variance.astype(np.float64))
    of_class = [labels == k for k in range(num_classes)]
    return ClassLatents(
        count,
        np.stack([mean[mine].mean(axis=0) for mine in of_class]),
        np.sqrt(
            np.stack(
                [mean[mine].var(axis=0, ddof=1) + variance[mine].mean(axis=0) for mine in of_class]
            )
        ),
    )


def _checked_counts(images: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Images of each class `[K]`; what cannot be is refused in a sentence."""
    if labels.shape != images.shape[:1] or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"labels are {labels.dtype} of the shape {labels.shape}; whole numbers "
            f"{images.shape[:1]}, one for each image, are needed."
        )
    beyond = labels[(labels < 0) | (labels >= num_classes)]
    if len(beyond):
        raise ValueError(
            f"a label is {beyond[0]}, but num_classes is {num_classes}; labels must be 0 to "
            f"{num_classes - 1}."
        )
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(
            f"images are of type {images.dtype}; encode takes floats in [-1, 1]: pass "
            "images / 127.5 - 1."
        )
    if images.size and not np.abs(images).max() <= 1 + 1e-5:  # NaN too
        raise ValueError(
            f"images go from {np.min(images):.3g} to {np.max(images):.3g}; finite floats in "
            "[-1, 1] are needed: pass images / 127.5 - 1, where they are 0 to 255."
        )
    count = np.bincount(labels, minlength=num_classes)
    if (count < 2).any():
        few = int(np.argmin(count))
        raise ValueError(
            f"class {few} has {count[few]} images; a standard deviation needs at least 2."
        )
    return count


def _encoded(encode: Encode, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and logarithm of the variance of all images, `[N, d]` each."""
    function, size = as_pytree(encode, "encode"), min(_BLOCK, len(images))
    block = jax.ShapeDtypeStruct((size, *images.shape[1:]), jnp.float32)
    traced = traced_shape("encode", _of_block, function, block)
    found = traced if isinstance(traced, tuple | list) else [traced]
    shapes = [tuple(getattr(x, "shape", ())) for x in found]
    if len(shapes) != 2 or len(shapes[0]) != 2 or shapes[0] != shapes[1]:
        gave = " and ".join(map(str, shapes))
        raise ValueError(
            f"encode gave {gave} for {size} images; it must give a mean and the logarithm of a "
            "variance, both [n, d]."
        )
    if shapes[0][0] != size:
        raise ValueError(
            f"encode gave {shapes[0][0]} rows for {size} images; it must give one for each."
        )
    images = images.astype(np.float32, copy=False)
    mean, log_variance = in_blocks(lambda x: _of_block(function, x), images, size)
    finite = np.isfinite(mean).all(-1) & np.isfinite(log_variance).all(-1)
    if not finite.all():
        raise NetworkOutputError(
            f"encode gave values that are not finite for {np.sum(~finite)} of {len(images)} "
            "images; look at the encoder's parameters."
        )
    if log_variance.max() > _LARGEST:
        raise NetworkOutputError(
            f"encode gave {log_variance.max():.3g} for the logarithm of a variance, which float32 "
            "does not hold; look at the encoder's parameters, and that it gives the logarithm."
        )
    by_itself = _of_block(function, np.repeat(images[:1], size, axis=0))
    warn_of_neighbours("encode", mean, np.asarray(by_itself[0]))
    return mean, log_variance


@jax.jit
def _of_block(encode: Encode, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    with jax.default_matmul_precision("highest"):  # as labels are (see `magan_jax.latent.labels`)
        return encode(images)
