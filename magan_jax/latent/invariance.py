"""How far a shift may go before it changes the class: measured, not derived from distances."""

from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from scipy.stats import binom

from magan_jax.errors import check_key, check_positive
from magan_jax.latent.analysis import Analysis, among_all_classes, classes_with_statistics
from magan_jax.latent.exits import bisect_epsilon
from magan_jax.latent.geometry import Interval
from magan_jax.latent.shifts import random_signs
from magan_jax.networks import Classify, Generate

MEASURED_QUANTILE = 0.05
"""The measured ε of a class is this quantile of its exits over random directions: 95 % of the
directions keep the label at least up to there."""

ALONG_SIGMA_POINTS = 512
"""Points of the scan along ±σ. There the paper claims something of single rays, and one may leave
its class for a moment only: from a mean near a border, for example. Over random directions such
excursions hardly move a quantile, and `bisect_epsilon`'s own scan will do."""


class Invariance(NamedTuple):
    """Measured exits of K classes; NaN for a class without statistics.

    Attributes:
        plus: `[K]`, exit along +σ.
        minus: `[K]`, exit along −σ.
        random: `[K, M]`, exits along random signs.
        plus_censored, minus_censored: bool `[K]`, the label held up to `upper`.
        random_censored: bool `[K, M]`, likewise.
        upper: where the search ended.
        measured: `[K]`, the `MEASURED_QUANTILE` of `random`; `upper` where that is censored.
        measured_censored: bool `[K]`, so many directions were censored that `measured` is only a
            lower bound.
        measured_interval: its distribution-free 95 % interval from order statistics; an end that
            is censored or lies beyond the sample is NaN (high) or 0 (low).
        prototype_label: int `[K]`, C(G(μ_k)); −1 for a class without statistics.
        tolerance: an exit is the last shift seen to keep the label, less than this before the true
            one.
    """

    plus: np.ndarray
    minus: np.ndarray
    random: np.ndarray
    plus_censored: np.ndarray
    minus_censored: np.ndarray
    random_censored: np.ndarray
    upper: float
    measured: np.ndarray
    measured_censored: np.ndarray
    measured_interval: Interval
    prototype_label: np.ndarray
    tolerance: float


def measure_invariance(
    key: jax.Array,
    generate: Generate,
    classify: Classify,
    analysis: Analysis,
    *,
    num_directions: int = 1024,
    upper: float = 3.0,
    tolerance: float = 1e-3,
    batch_size: int | None = None,
    num_devices: int | None = None,
) -> Invariance:
    """Bisect the exits along +σ, −σ and random signs of σ from every class mean.

    Along ±σ every excursion from the class is found that is longer than upper / 512, along random
    signs every one longer than upper / 32 (see `bisect_epsilon`).

    Args:
        key: of the random signs.
        generate, classify: see `analyze`.
        analysis: class means and standard deviations.
        num_directions: M, random directions for each class.
        upper, tolerance, batch_size, num_devices: see `bisect_epsilon`.

    Raises:
        ValueError: for what `bisect_epsilon` refuses, and if no class has statistics.
    """
    check_key(key)
    num_directions = check_positive("num_directions", num_directions)
    valid = classes_with_statistics(analysis)
    mean, std = analysis.mean[valid], analysis.std[valid]
    num_classes, latent_dim = analysis.mean.shape
    # Signs of class k come from fold_in(key, k): a missing class changes nothing for the others.
    signs = np.stack(
        [random_signs(jax.random.fold_in(key, int(k)), num_directions, latent_dim) for k in valid]
    )
    search = partial(
        bisect_epsilon,
        generate,
        classify,
        mean,
        upper=upper,
        tolerance=tolerance,
        labels=valid,
        batch_size=batch_size,
        num_devices=num_devices,
    )
    along_sigma = search(np.stack([std, -std], axis=1), scan_points=ALONG_SIGMA_POINTS)
    at_random = search(signs * std[:, None, :])
    epsilon = among_all_classes(along_sigma.epsilon, valid, num_classes, np.nan)
    censored = among_all_classes(along_sigma.censored, valid, num_classes, False)
    random = among_all_classes(at_random.epsilon, valid, num_classes, np.nan)
    random_censored = among_all_classes(at_random.censored, valid, num_classes, False)
    measured, measured_censored, interval = _quantile_of_exits(random, random_censored)
    return Invariance(
        plus=epsilon[:, 0],
        minus=epsilon[:, 1],
        random=random,
        plus_censored=censored[:, 0],
        minus_censored=censored[:, 1],
        random_censored=random_censored,
        upper=upper,
        measured=measured,
        measured_censored=measured_censored,
        measured_interval=interval,
        prototype_label=among_all_classes(at_random.prototype_label, valid, num_classes, -1),
        tolerance=tolerance,
    )


def _quantile_of_exits(
    exits: np.ndarray, censored: np.ndarray
) -> tuple[np.ndarray, np.ndarray, Interval]:
    """`measured`, `measured_censored` and `measured_interval` of exits `[K, M]`."""
    low, rank, high = _quantile_ranks(exits.shape[1], MEASURED_QUANTILE)
    order = np.argsort(exits, axis=1)  # censored rays end at `upper`, so they come last
    ordered = np.take_along_axis(exits, order, axis=1)
    ordered_censored = np.take_along_axis(censored, order, axis=1)
    missing = np.isnan(ordered[:, 0])
    low_end = np.where(missing, np.nan, 0.0) if low is None else ordered[:, low]
    high_end = np.full(len(exits), np.nan)
    if high is not None:
        high_end = np.where(ordered_censored[:, high], np.nan, ordered[:, high])
    return ordered[:, rank], ordered_censored[:, rank], Interval(low_end, high_end)


def _quantile_ranks(
    n: int, quantile: float, confidence: float = 0.95
) -> tuple[int | None, int, int | None]:
    """Ranks (from 0) of a sample quantile and of the ends of its interval among n sorted values.

    The number of values below the true quantile is binomial(n, quantile): the interval between
    the order statistics at that distribution's tails covers it with at least `confidence`. None
    where n is too small for such an order statistic.
    """
    tail = (1 - confidence) / 2
    low = int(binom.ppf(tail, n, quantile)) - 1
    high = int(binom.ppf(1 - tail, n, quantile))
    rank = max(int(np.ceil(quantile * n)) - 1, 0)
    return (low if low >= 0 else None), rank, (high if high < n else None)
