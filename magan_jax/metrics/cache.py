"""Statistics of a real set, computed once and kept by content.

Every generator is compared with the same real images; their moments and neighbours do not change.
A file is named after the digest of the features, so another data set, another extractor or a
classifier trained anew has another file, and nothing stale can be read.
"""

import contextlib
import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from magan_jax.files import DAMAGE, private_folder, write_arrays
from magan_jax.metrics.checks import check_k, checked_features
from magan_jax.metrics.frechet import FeatureStatistics, feature_statistics
from magan_jax.metrics.neighbours import squared_neighbour_distances

_VERSION = b"magan_jax real statistics 1"  # to be changed with what the arrays mean


class RealStatistics(NamedTuple):
    """What metrics need to know of the real features by themselves.

    Attributes:
        moments: for the Fréchet distance.
        squared_neighbours: `[n, k]`, see `squared_neighbour_distances`.
    """

    moments: FeatureStatistics
    squared_neighbours: np.ndarray


def statistics_folder(data_folder: str | Path | None = None) -> Path | None:
    """Where to keep statistics: in the data set's folder, or in the user's cache.

    Args:
        data_folder: that of the data set, where it has one.

    Returns:
        `magan_jax_statistics` in `data_folder` if that can be made private to this user (a system
        folder cannot), else the same in the user's cache folder; None where neither can be made.
    """
    for parent in (None if data_folder is None else Path(data_folder), private_folder()):
        if parent is not None and parent.is_dir():
            found = private_folder(parent / "magan_jax_statistics")
            if found is not None:
                return found
    return None


def real_statistics(
    real: np.ndarray, *, k: int = 5, folder: Path | str | None = None
) -> RealStatistics:
    """Moments and neighbours of the real features, read from `folder` if they are there.

    A file that is broken or does not fit is computed anew and replaced; one that cannot be written
    is not.

    Args:
        real: features `[n, d]`, n > k.
        k: neighbours of each point.
        folder: see `statistics_folder`; None reads and keeps nothing.

    Raises:
        ValueError: for features that are not finite `[n, d]`, or a k that is not 1 to n − 1.
    """
    real = checked_features("real", real)
    k = check_k("real", len(real), k)
    path = None if folder is None else Path(folder) / f"real-{_digest(real, k)}.npz"
    if path is not None:
        found = _read(path, real.shape, k)
        if found is not None:
            return found
    computed = RealStatistics(
        feature_statistics(real, name="real"), squared_neighbour_distances(real, k)
    )
    if path is not None:
        arrays = {
            "mean": computed.moments.mean,
            "covariance": computed.moments.covariance,
            "squared_neighbours": computed.squared_neighbours,
        }
        with contextlib.suppress(OSError):
            write_arrays(path, arrays)
    return computed


def _digest(features: np.ndarray, k: int) -> str:
    digest = hashlib.sha256(_VERSION)
    digest.update(f" {features.dtype.str} {features.shape} {k} ".encode())
    digest.update(np.ascontiguousarray(features).data)
    return digest.hexdigest()


def _read(path: Path, shape: tuple[int, ...], k: int) -> RealStatistics | None:
    count, width = shape
    expected = {"mean": (width,), "covariance": (width, width), "squared_neighbours": (count, k)}
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in expected}
    except DAMAGE:
        return None
    for name, array in arrays.items():
        if array.shape != expected[name] or array.dtype != np.float64:
            return None
        if not np.isfinite(array).all():
            return None
    moments = FeatureStatistics(arrays["mean"], arrays["covariance"], count)
    return RealStatistics(moments, arrays["squared_neighbours"])
