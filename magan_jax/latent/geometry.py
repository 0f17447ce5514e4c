"""Distances between class means and the ε made from them, with and without sampling noise.

For classes i and j with n draws, mean μ and per-dimension standard deviation σ, s = ‖σ‖₂:

- d(i, j) = ‖μ_i − μ_j‖₂, the nearest class and d_min[i] = min over j ≠ i (the paper's Eq. 2,
  which forgets j ≠ i);
- ε_i = d_min[i] / s_i, the supremum of what Eq. 3 and Algorithm 1 (line 10) allow;
- the mean of n draws has noise of squared length s²/n in expectation, so d² is too large by
  s_i²/n_i + s_j²/n_j: D²(i, j) = d² − s_i²/n_i − s_j²/n_j is unbiased for its limit N → ∞.
  √max(D², 0) is the debiased distance. Its minimum over j is still optimistic where several
  classes are about equally near (the smallest of noisy numbers), and so is its ε.
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
        nearest_squared_debiased: `[K]`, min over j ≠ i of D².
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
    noise = spread**2 / np.maximum(np.asarray(moments.count, np.float64), 1)
    squared = distance**2 - noise[:, None] - noise[None, :]
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
        nearest_squared_debiased=np.where(has_other, _without_self(squared).min(axis=1), np.nan),
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
    parts = len(replicates.count)
    left_out = np.stack(
        [statistic(merge_all(replicates, 1.0 - np.eye(parts)[r])) for r in range(parts)]
    )
    variance = (parts - 1) / parts * np.sum((left_out - left_out.mean(0)) ** 2, axis=0)
    reach = student_t.ppf((1 + confidence) / 2, parts - 1) * np.sqrt(variance)
    value = statistic(merge_all(replicates))
    return Interval(value - reach, value + reach)


def root(squared: np.ndarray) -> np.ndarray:
    """√max(x, 0), with NaN kept."""
    return np.sqrt(np.where(squared < 0, 0.0, squared))


def root_interval(squared: Interval) -> Interval:
    """The interval of a distance from that of its square: the jackknife is run on the square,

    which is smooth where the distance, a root cut off at zero, is not."""
    return Interval(root(squared.low), root(squared.high))


def permutation_p_values(distance: np.ndarray, permuted_means: np.ndarray) -> np.ndarray:
    """p-value of each pair: how often means of shuffled labels lie at least as far apart.

    p = (1 + #{d_perm ≥ d}) / (1 + B). Under the null that labels say nothing about latents, all
    classes are random subsets of one sample. Small N and large p means that two class means
    cannot be told apart.

    Args:
        distance: `[K, K]`.
        permuted_means: `[B, K, d]`, the class means under B permutations of the labels.

    Returns:
        `[K, K]`, NaN on the diagonal, for missing classes and for B = 0.
    """
    exceeding = np.zeros(distance.shape)
    for mean in np.asarray(permuted_means, np.float64):
        exceeding += cdist(mean, mean) >= distance
    p = (1 + exceeding) / (1 + len(permuted_means))
    p[np.isnan(distance)] = np.nan
    np.fill_diagonal(p, np.nan)
    return p if len(permuted_means) else np.full(distance.shape, np.nan)
