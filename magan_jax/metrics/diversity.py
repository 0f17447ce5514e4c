"""How much the samples of one set differ from each other, as cosines of their features.

Both numbers depend on the space of the features and on the set that they are compared with: put
those of real samples beside them, in the same number.
"""

from collections.abc import Iterator

import numpy as np
from jax.typing import ArrayLike
from scipy.special import entr

from magan_jax.metrics.checks import checked_features

_CHUNK = 4096  # rows converted to float64 at once


def mean_pairwise_cosine(features: ArrayLike) -> float:
    """The mean cosine over all pairs i < j of rows; 1 where all samples are alike.

    With u the rows at length 1 it is (‖Σu‖² − n)/(n(n − 1)), without a loop over pairs.

    Args:
        features: `[n, d]`, n ≥ 2, as they come (not centred).

    Raises:
        ValueError: for features that are not finite `[n, d]`, fewer than two rows, or a row of
            zeros, which has no direction.
    """
    array = _with_directions(features)
    count = len(array)
    if count < 2:
        raise ValueError("features has 1 row; a pair needs 2.")
    total = sum(part.sum(axis=0) for part in _unit_rows(array))
    return float((np.sum(np.square(total)) - count) / (count * (count - 1)))


def vendi_score(features: ArrayLike) -> float:
    """The Vendi score (Friedman and Dieng, 2023, Definition 3.1) of the cosine kernel.

    The exponential of the entropy of the eigenvalues of UUᵀ/n, U the rows at length 1: n for
    orthogonal samples, 1 where all are alike, at most min(n, d). UᵀU/n has the same eigenvalues
    but for zeros and is used where it is smaller.

    Args:
        features: `[n, d]`, as they come (not centred).

    Raises:
        ValueError: for features that are not finite `[n, d]`, or a row of zeros.
    """
    array = _with_directions(features)
    count, width = array.shape
    if count < width:
        units = np.concatenate(list(_unit_rows(array)))
        kernel = units @ units.T
    else:
        kernel = np.zeros((width, width))
        for units in _unit_rows(array):
            kernel += units.T @ units
    shares = np.maximum(np.linalg.eigvalsh(kernel / count), 0)
    return float(np.exp(np.sum(entr(shares))))


def _with_directions(features: ArrayLike) -> np.ndarray:
    array = checked_features("features", features)
    zero = np.flatnonzero(~array.any(axis=1))
    if zero.size:
        raise ValueError(
            f"features has {zero.size} row(s) of zeros, the first row {zero[0]}; a cosine needs "
            "rows that are not zero: leave these out or use another extractor."
        )
    return array


def _unit_rows(array: np.ndarray) -> Iterator[np.ndarray]:
    """The rows at length 1, in parts; divided by their maximum first, lest a square vanish."""
    for first in range(0, len(array), _CHUNK):
        part = array[first : first + _CHUNK].astype(np.float64)
        part /= np.abs(part).max(axis=1, keepdims=True)
        yield part / np.linalg.norm(part, axis=1, keepdims=True)
