"""Distances between class means and the ε made from them, with and without sampling noise.

For classes i and j with n draws, mean μ and per-dimension standard deviation σ, s = ‖σ‖₂:

- d(i, j) = ‖μ_i − μ_j‖₂, the nearest class and d_min[i] = min over j ≠ i (the paper's Eq. 2,
  which forgets j ≠ i);
- ε_i = d_min[i] / s_i, the supremum of what Eq. 3 and Algorithm 1 (line 10) allow;
- the mean of n draws has noise of squared length s²/n in expectation, so d² is too large by
  s_i²/n_i + s_j²/n_j: D²(i, j) = d² − s_i²/n_i − s_j²/n_j is unbiased for its limit N → ∞.
  √max(D², 0) is the debiased distance, and the debiased d_min is that of the nearest class.
  The nearest of several classes about equally near is the one whose noise happened to be
  smallest, so d_min, its debiased value and both ε stay somewhat optimistic then. (The minimum
  of D² itself would be worse: it picks the class with the fewest draws, whose D² is noisiest.)
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import cdist
from scipy.stats import t as student_t

from magan_jax.latent.moments import Moments, merge_all, standard_deviation


class Geometry(NamedTuple):
    """Distances of K class means; NaN (and −1) where a class has fewer than two samples.

    Attributes:
        spread: `[K]`, s = ‖σ‖₂.
        distance: `[K, K]`, zero on the diagonal.
        squared_debiased: `[K, K]`, D², which may be negative; zero on the diagonal.
        nearest: `[K]`, index of the nearest other class by `distance`.
        nearest_distance: `[K]`, d_min.
        nearest_squared_debiased: `[K]`, D² to `nearest`.
    """

    spread: np.ndarray
    distance: np.ndarray
    squared_debiased: np.ndarray
    nearest: np.ndarray
    nearest_distance: np.ndarray
    nearest_squared_debiased: np.ndarray


class Interval(NamedTuple):
    """Ends of a 95 % confidence interval, arrays of one shape; NaN where there is none."""

    low: np.ndarray
    high: np.ndarray


def geometry(moments: Moments) -> Geometry:
    """Distances and nearest classes from class moments (`[K]`, `[K, d]`)."""
    valid = np.asarray(moments.count) >= 2
    std = standard_deviation(moments)
    spread = np.sqrt(np.sum(std**2, axis=-1))
    mean = np.where(valid[:, None], np.asarray(moments.mean, np.float64), np.nan)
    distance = cdist(mean, mean)
    squared = distance**2 - noise_of_distances(spread, moments.count) ** 2
    np.fill_diagonal(squared, np.where(valid, 0.0, np.nan))
    np.fill_diagonal(distance, np.where(valid, 0.0, np.nan))
    others = _without_self(distance)
    has_other = np.isfinite(others).any(axis=1)
    nearest = np.where(has_other, np.argmin(others, axis=1), -1)
    return Geometry(
        spread=spread,
        distance=distance,
        squared_debiased=squared,
        nearest=nearest,
        nearest_distance=np.where(has_other, others.min(axis=1), np.nan),
        nearest_squared_debiased=np.where(
            has_other, squared[np.arange(len(squared)), nearest], np.nan
        ),
    )


def _without_self(matrix: np.ndarray) -> np.ndarray:
    """A copy in which the diagonal and missing classes are infinitely far."""
    others = np.where(np.isnan(matrix), np.inf, matrix)
    np.fill_diagonal(others, np.inf)
    return others


def jackknife(
    statistic: Callable[[Moments], np.ndarray], replicates: Moments, *, confidence: float = 0.95
) -> Interval:
    """Delete-one-group jackknife interval of a statistic of the class moments.

    The stream was dealt into R disjoint parts; the statistic is recomputed with each part left
    out, se² = (R − 1)/R Σ_r (θ_(−r) − mean θ_(−r))² (Efron and Stein, 1981), and the interval is
    θ ± t_{R−1} se.

    Args:
        statistic: merged moments to an array of fixed shape.
        replicates: moments with a leading axis R.
        confidence: of the interval.

    Returns:
        The interval, NaN where the statistic is undefined without some part.
    """
    without = np.stack([statistic(moments) for moments in leave_one_out(replicates)])
    value = statistic(merge_all(replicates))
    return jackknife_interval(value, without, replicates, confidence=confidence)


def leave_one_out(replicates: Moments) -> list[Moments]:
    """The merged moments without each of the R parts in turn."""
    parts = len(replicates.count)
    return [merge_all(replicates, 1.0 - np.eye(parts)[r]) for r in range(parts)]


def jackknife_interval(
    value: np.ndarray, without: np.ndarray, replicates: Moments, *, confidence: float = 0.95
) -> Interval:
    """`jackknife` of a statistic known as a whole and, `[R, ...]`, without each part."""
    parts = len(without)
    variance = (parts - 1) / parts * np.sum((without - without.mean(0)) ** 2, axis=0)
    filled = int(np.sum(np.asarray(replicates.count).reshape(parts, -1).sum(1) > 0))
    reach = student_t.ppf((1 + confidence) / 2, max(1, filled - 1)) * np.sqrt(variance)
    return Interval(value - reach, value + reach)


def root(squared: np.ndarray) -> np.ndarray:
    """√max(x, 0), with NaN kept."""
    return np.sqrt(np.where(squared < 0, 0.0, squared))


def root_interval(squared: Interval, value: np.ndarray) -> Interval:
    """The interval of a distance from that of its square.

    The jackknife is run on the square, which is smooth where the distance, a root cut off at
    zero, is not. A negative estimate counts as zero before the reach is added: an interval
    [0, 0] would claim a certainty that there is not.

    Args:
        squared: the interval of the square.
        value: the estimate of the square.
    """
    return Interval(root(squared.low), root(np.maximum(value, 0) + squared.high - value))


def permutation_p_values(
    distance: np.ndarray,
    spread: np.ndarray,
    count: np.ndarray,
    permuted_mean: np.ndarray,
    permuted_spread: np.ndarray,
) -> np.ndarray:
    """p-value of each pair: how often means of permuted labels lie as far apart, or farther.

    p = (1 + #{d_perm ≥ d}) / (1 + B), each distance in units of its own sampling noise (of the
    same permutation). Without these units a small p can also mean that two classes with equal
    means differ in spread and size (Chung and Romano, 2013, on studentised permutation tests);
    with them it says that the means differ. Small N and large p means that two class means cannot
    be told apart.

    Args:
        distance: `[K, K]`.
        spread: `[K]`, s.
        count: `[K]`, n, which permutations do not change.
        permuted_mean: `[B, K, d]`, the class means under B permutations of the labels.
        permuted_spread: `[B, K]`, their s.

    Returns:
        `[K, K]`, NaN on the diagonal, for missing classes and for B = 0.
    """
    if not len(permuted_mean):
        return np.full(distance.shape, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        observed = distance / noise_of_distances(spread, count)
        exceeding = np.zeros(distance.shape)
        for mean, own_spread in zip(permuted_mean, permuted_spread, strict=True):
            permuted = cdist(mean, mean) / noise_of_distances(own_spread, count)
            # The identity is one of the permutations: rounding must not lose its tie.
            exceeding += permuted >= observed * (1 - 1e-4)
    p = (1 + exceeding) / (1 + len(permuted_mean))
    p[~np.isfinite(observed)] = np.nan
    np.fill_diagonal(p, np.nan)
    return p


def noise_of_distances(spread: np.ndarray, count: np.ndarray) -> np.ndarray:
    """√(s_i²/n_i + s_j²/n_j), how far apart two equal means lie by sampling alone: `[K, K]`.

    Args:
        spread: `[K]`.
        count: `[K]`.
    """
    share = np.asarray(spread) ** 2 / np.maximum(np.asarray(count, np.float64), 1)
    return np.sqrt(share[:, None] + share[None, :])
