"""Fréchet distance between two sets of features (Heusel et al., 2017, Section 4, "FID").

With means μ and covariances Σ (divided by N − 1, as in the authors' code),

    FD = |μ₁ − μ₂|² + tr Σ₁ + tr Σ₂ − 2 tr (Σ₁ Σ₂)^½,

the squared Wasserstein-2 distance between the normal distributions with these moments. All of it
is float64 on the host: the trace of the root is a small difference of large numbers. tr (Σ₁Σ₂)^½
is computed as the sum of the singular values of Σ₁^½ Σ₂^½, the roots by `eigh`: the product Σ₁Σ₂
is not symmetric, `scipy.linalg.sqrtm` is wrong for singular matrices in several releases, and the
eigenvalues of Σ₁^½ Σ₂ Σ₁^½ would have to be rooted once more, which turns rounding errors of
10⁻¹⁶ into 10⁻⁸ for each direction without variance.

FD is biased upwards for finite N, the more the fewer samples there are: compare numbers at the
same N only, or use `frechet_distance_infinity`.
"""

from collections.abc import Iterator
from functools import reduce
from typing import NamedTuple

import jax
import numpy as np
from jax.typing import ArrayLike
from scipy.stats import linregress

from magan_jax.errors import check_key, is_whole, warn
from magan_jax.metrics.checks import check_same_width, checked_features

_CHUNK = 4096  # rows converted to float64 at once


class FeatureStatistics(NamedTuple):
    """Mean and covariance of a set of features, float64 on the host.

    Attributes:
        mean: `[d]`.
        covariance: `[d, d]`, divided by `num_samples − 1`.
        num_samples: N.
    """

    mean: np.ndarray
    covariance: np.ndarray
    num_samples: int


class FrechetInfinity(NamedTuple):
    """The Fréchet distance extrapolated to infinitely many generated samples.

    Attributes:
        value: intercept of the line through the distances against 1/N. It may be a little below
            zero for a generator as good as the data.
        standard_error: of the intercept, from the scatter about the line. The subsets share
            samples, so it is rather too small; another set of generated images tells more.
        sizes: `[S]`, numbers of generated samples.
        distances: `[S]`, the Fréchet distance at each size.
    """

    value: float
    standard_error: float
    sizes: np.ndarray
    distances: np.ndarray


def feature_statistics(features: ArrayLike, *, name: str = "features") -> FeatureStatistics:
    """Mean and covariance of features `[n, d]`, in two passes of float64.

    Args:
        features: `[n, d]`, n ≥ 2.
        name: what to call them in a message.

    Raises:
        ValueError: for features that are not finite `[n, d]`, or a single row.
    """
    array = checked_features(name, features)
    if len(array) < 2:
        raise ValueError(f"{name} has 1 row; a covariance needs at least 2.")
    mean = reduce(np.add, (part.sum(axis=0) for part in _parts(array))) / len(array)
    centred = (part - mean for part in _parts(array))
    scatter = reduce(np.add, (part.T @ part for part in centred))
    return FeatureStatistics(mean, scatter / (len(array) - 1), len(array))


def frechet_distance(
    *, real: ArrayLike | FeatureStatistics, fake: ArrayLike | FeatureStatistics
) -> float:
    """The Fréchet distance of two sets of features.

    Args:
        real: features `[n, d]` or their `feature_statistics`.
        fake: features `[m, d]` or their `feature_statistics`.

    Returns:
        The distance, at least 0 (rounding below it is cut off).

    Raises:
        ValueError: for features that are not finite `[n, d]` with n ≥ 2, or of different width.

    Warns:
        UserWarning: for no more rows than features: the covariance is then singular.
    """
    first, second = _statistics("real", real), _statistics("fake", fake)
    check_same_width(len(first.mean), len(second.mean))
    _warn_of_few_rows("real", first)
    _warn_of_few_rows("fake", second)
    return _distance(first, second)


def _warn_of_few_rows(name: str, statistics: FeatureStatistics) -> None:
    if statistics.num_samples <= len(statistics.mean):
        warn(
            f"{name} has {statistics.num_samples} rows for {len(statistics.mean)} features, so "
            "its covariance is singular and the Fréchet distance much too large; use many more "
            "rows than features."
        )


NUM_SIZES = 15
"""Subsets behind FD∞."""


def frechet_distance_infinity(
    key: jax.Array,
    *,
    real: ArrayLike | FeatureStatistics,
    fake: ArrayLike,
    num_sizes: int = NUM_SIZES,
    smallest: int | None = None,
) -> FrechetInfinity:
    """FD∞: the distance without its bias in the number of generated samples.

    The bias is a/N to first order, so a line is fitted to the distances of random subsets of
    `fake` against 1/N, and its intercept taken (Chong and Forsyth, 2020, Section 4; they draw
    Sobol points, we take subsets of what there is). The bias in the number of real samples stays:
    it is the same for every generator compared with this real set.

    Args:
        key: for the subsets; subset i is drawn from `fold_in(key, i)`, without replacement.
        real: features `[n, d]` or their `feature_statistics`.
        fake: features `[m, d]`.
        num_sizes: subsets, of equally spaced sizes, the last of all m.
        smallest: size of the first, more than d; default m/10, but more than d.

    Raises:
        ValueError: for features that `frechet_distance` refuses, or sizes that do not fit.

    Warns:
        UserWarning: for no more real rows than features, as `frechet_distance` does.
    """
    reference = _statistics("real", real)
    features = checked_features("fake", fake)
    count, width = features.shape
    check_same_width(len(reference.mean), width)
    check_key(key)
    if not is_whole(num_sizes, 3):
        raise ValueError(
            f"num_sizes is {num_sizes}; a line and its error need a whole number, at least 3."
        )
    _warn_of_few_rows("real", reference)
    num_sizes, most = int(num_sizes), count - int(num_sizes) + 1
    first = max(count // 10, width + 1) if smallest is None else smallest
    if width >= most:
        raise ValueError(
            f"fake has {count} rows of {width} features; {num_sizes} different sizes, each above "
            f"the number of features, need {width + num_sizes} rows: pass more, or fewer sizes."
        )
    if not is_whole(first, width + 1) or first > most:
        raise ValueError(
            f"smallest is {first}, but fake has {count} rows of {width} features; {num_sizes} "
            f"different sizes need a whole number, {width + 1} to {most}."
        )
    sizes = np.linspace(first, count, num_sizes).astype(int)
    distances = np.array(
        [
            _distance(reference, feature_statistics(features[_subset(key, i, count, size)]))
            for i, size in enumerate(sizes)
        ]
    )
    line = linregress(1 / sizes, distances)
    return FrechetInfinity(float(line.intercept), float(line.intercept_stderr), sizes, distances)


def _statistics(name: str, given: ArrayLike | FeatureStatistics) -> FeatureStatistics:
    if isinstance(given, FeatureStatistics):
        return given
    return feature_statistics(given, name=name)


def _distance(first: FeatureStatistics, second: FeatureStatistics) -> float:
    shift = first.mean - second.mean
    product = _root(first.covariance) @ _root(second.covariance)
    trace_of_root = np.linalg.svd(product, compute_uv=False).sum()
    traces = np.trace(first.covariance) + np.trace(second.covariance)
    return float(max(shift @ shift + traces - 2 * trace_of_root, 0.0))


def _root(covariance: np.ndarray) -> np.ndarray:
    """The symmetric root of a covariance; eigenvalues that are rounding errors count as 0."""
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    noise = len(values) * np.finfo(np.float64).eps * max(values[-1], 0.0)
    return (vectors * np.sqrt(np.where(values > noise, values, 0.0))) @ vectors.T


def _subset(key: jax.Array, number: int, count: int, size: int) -> np.ndarray:
    """Rows of a random subset, in ascending order."""
    drawn = np.asarray(jax.random.permutation(jax.random.fold_in(key, number), count))
    return np.sort(drawn[:size])  # on the host: there each size would be a program of its own


def _parts(array: np.ndarray) -> Iterator[np.ndarray]:
    for first in range(0, len(array), _CHUNK):
        yield array[first : first + _CHUNK].astype(np.float64)
