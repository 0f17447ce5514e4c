"""What every metric refuses before it computes anything, in one sentence each."""

import numpy as np
from jax.typing import ArrayLike

from magan_jax.errors import check_positive

_LARGEST = 1e150  # beyond it a square is no longer a float64


def checked_features(name: str, features: ArrayLike) -> np.ndarray:
    """Features `[n, d]` on the host, float32 or float64, finite.

    float64 stays float64; shorter floats and integers of up to 16 bits become float32, which
    holds them exactly.

    Args:
        name: of the argument, for the message.
        features: `[n, d]`, n, d ≥ 1.

    Raises:
        ValueError: for another shape or type, an empty array, values that are not finite or too
            large to be squared.
    """
    array = np.asarray(features)
    if array.ndim != 2 or not array.size:
        raise ValueError(
            f"{name} has the shape {array.shape}; features [n, d] with n, d ≥ 1 are needed."
        )
    if array.dtype.kind not in "fiub" and array.dtype.name != "bfloat16":
        raise ValueError(f"{name} is of type {array.dtype}; features must be real numbers.")
    if array.dtype not in (np.float32, np.float64):
        exact = np.can_cast(array.dtype, np.float32) or array.dtype.name == "bfloat16"
        array = array.astype(np.float32 if exact else np.float64)
    largest = min(_LARGEST, float(np.finfo(array.dtype).max))
    good = np.abs(array) <= largest  # False for NaN too
    if not good.all():
        raise ValueError(
            f"{name} has {np.sum(~good)} values that are not finite (or beyond {_LARGEST:.0e}), "
            f"the first in row {np.flatnonzero(~good.all(axis=1))[0]}; look at the images of "
            "these rows and at the extractor."
        )
    return array


def check_same_width(real_width: int, width: int, name: str = "fake") -> None:
    """Refuse features of two different extractors."""
    if real_width != width:
        raise ValueError(
            f"real has {real_width} features per row and {name} has {width}; both must come "
            "from the same extractor."
        )


def check_k(name: str, num_rows: int, k: int) -> int:
    """k as an int; refuses a k-th neighbour that does not exist: a point is not its own."""
    k = check_positive("k", k)
    if k >= num_rows:
        raise ValueError(
            f"k is {k}, but {name} has {num_rows} row(s), so a point has only {num_rows - 1} "
            "neighbour(s); pass a smaller k or more rows."
        )
    return k
