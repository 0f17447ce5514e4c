"""How far a shift may go before it changes the class: measured, not derived from distances.

Shifts are v = u ∘ σ_k, with u = +1, −1 (the paper's μ ± εσ) or random signs in each dimension.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from scipy.stats import beta, binom

from magan_jax.errors import check_key, check_positive
from magan_jax.latent.analysis import Analysis
from magan_jax.latent.exits import bisect_epsilon
from magan_jax.latent.geometry import Interval
from magan_jax.latent.labels import label_latents
from magan_jax.networks import Classify, Generate

MEASURED_QUANTILE = 0.05
"""The measured ε of a class is this quantile of its exits over random directions: 95 % of the
directions keep the label at least up to there."""


ALONG_SIGMA_POINTS = 512
"""Points of the scan along ±σ. There the paper claims something of single rays, and one may leave
its class for a moment only: from a mean near a border, for example. Over random directions such
excursions hardly move a quantile, and `bisect_epsilon`'s own scan will do."""


class Purity(NamedTuple):
    """How many random shifts inside an ε kept their class.

    Attributes:
        epsilon: `[K]`, the ε tried; NaN for a class without one.
        kept: int `[K]`, shifts that kept the label.
        total: shifts tried for each class.
        fraction: `[K]`, kept / total; NaN for a class without an ε.
        interval: Clopper–Pearson 95 % interval of `fraction`.
    """

    epsilon: np.ndarray
    kept: np.ndarray
    total: int
    fraction: np.ndarray
    interval: Interval


class Purities(NamedTuple):
    """How many random shifts keep the class, inside each ε.

    Attributes:
        paper: inside the paper's ε, of which a claim speaks.
        debiased: inside the debiased one.
        measured: inside the measured one.
    """

    paper: Purity
    debiased: Purity
    measured: Purity


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


class RayLabels(NamedTuple):
    """Labels along μ_k + p σ_k.

    Attributes:
        position: `[P]`, p.
        label: int `[K, P]`; −1 for a class without statistics.
        confidence: `[K, P]`.
    """

    position: np.ndarray
    label: np.ndarray
    confidence: np.ndarray


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
    valid = _valid(analysis)
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
    epsilon = _scatter(along_sigma.epsilon, valid, num_classes, np.nan)
    censored = _scatter(along_sigma.censored, valid, num_classes, False)
    random = _scatter(at_random.epsilon, valid, num_classes, np.nan)
    random_censored = _scatter(at_random.censored, valid, num_classes, False)
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
        prototype_label=_scatter(at_random.prototype_label, valid, num_classes, -1),
        tolerance=tolerance,
    )


def measure_purity(
    key: jax.Array,
    generate: Generate,
    classify: Classify,
    analysis: Analysis,
    epsilon: np.ndarray,
    *,
    num_shifts: int = 1000,
    batch_size: int | None = None,
    num_devices: int | None = None,
) -> Purity:
    """The share of random shifts p · u ∘ σ, p ~ U[0, ε_k], u random signs, that keep class k.

    Args:
        key: of p and u.
        generate, classify: see `analyze`.
        analysis: class means and standard deviations.
        epsilon: `[K]`; NaN leaves a class out, and so does 0: no shift is no trial.
        num_shifts: shifts for each class.
        batch_size, num_devices: see `label_latents`.

    Raises:
        ValueError: for ε of another shape or below 0, and what `label_latents` refuses.
    """
    check_key(key)
    num_shifts = check_positive("num_shifts", num_shifts)
    epsilon = checked_epsilon(epsilon, len(analysis.counts))
    valid = np.flatnonzero(analysis.valid & (epsilon > 0) & np.isfinite(epsilon))
    kept = np.zeros(len(epsilon), np.int64)
    if len(valid):
        latents = np.concatenate(
            [
                shift_inside(
                    jax.random.fold_in(key, int(k)),
                    analysis.mean[k],
                    analysis.std[k],
                    epsilon[k],
                    num_shifts,
                )
                for k in valid
            ]
        )
        labels = label_latents(
            generate, classify, latents, batch_size=batch_size, num_devices=num_devices
        ).label.reshape(len(valid), num_shifts)
        kept[valid] = np.sum(labels == valid[:, None], axis=1)
    tried = np.isin(np.arange(len(epsilon)), valid)
    return Purity(
        epsilon=epsilon,
        kept=kept,
        total=num_shifts,
        fraction=np.where(tried, kept / num_shifts, np.nan),
        interval=Interval(
            *(np.where(tried, end, np.nan) for end in clopper_pearson(kept, num_shifts))
        ),
    )


def measure_purities(
    key: jax.Array,
    generate: Generate,
    classify: Classify,
    analysis: Analysis,
    invariance: Invariance,
    *,
    num_shifts: int = 1000,
    batch_size: int | None = None,
    num_devices: int | None = None,
) -> Purities:
    """`measure_purity` inside each ε that is known: the paper's, the debiased, the measured.

    Args:
        key: of the shifts, the same for all three.
        generate, classify, analysis: see `measure_purity`.
        invariance: of the same class means.
        num_shifts, batch_size, num_devices: see `measure_purity`.
    """
    return Purities(
        *(
            measure_purity(
                key,
                generate,
                classify,
                analysis,
                epsilon,
                num_shifts=num_shifts,
                batch_size=batch_size,
                num_devices=num_devices,
            )
            for epsilon in (analysis.epsilon, analysis.epsilon_debiased, invariance.measured)
        )
    )


def labels_along_rays(
    generate: Generate,
    classify: Classify,
    analysis: Analysis,
    *,
    reach: float = 3.0,
    num_points: int = 121,
    batch_size: int | None = None,
    num_devices: int | None = None,
) -> RayLabels:
    """Labels at μ_k + p σ_k for p from −reach to reach, for every class (Equation 4's shifts).

    Args:
        generate, classify: see `analyze`.
        analysis: class means and standard deviations.
        reach: in standard deviations, to either side.
        num_points: P, evenly spaced, both ends among them.
        batch_size, num_devices: see `label_latents`.

    Raises:
        ValueError: for a reach or a number of points that is not positive, if no class has
            statistics, and for what `label_latents` refuses.
    """
    if not (reach > 0 and np.isfinite(reach)):
        raise ValueError(f"reach is {reach}; it must be positive and finite.")
    num_points = check_positive("num_points", num_points)
    valid = _valid(analysis)
    position = np.linspace(-reach, reach, num_points)
    num_classes, latent_dim = analysis.mean.shape
    rays = analysis.mean[valid, None] + position[:, None] * analysis.std[valid, None]
    found = label_latents(
        generate,
        classify,
        rays.reshape(-1, latent_dim),
        batch_size=batch_size,
        num_devices=num_devices,
    )
    shape = (len(valid), num_points)
    return RayLabels(
        position,
        _scatter(found.label.reshape(shape), valid, num_classes, -1),
        _scatter(found.confidence.reshape(shape), valid, num_classes, np.nan),
    )


def checked_epsilon(epsilon: Any, num_classes: int) -> np.ndarray:
    """ε of each class in float64 `[K]`; refuses what is none."""
    if hasattr(epsilon, "_fields"):
        raise ValueError(
            f"epsilon is {type(epsilon).__name__}; pass its numbers [K], such as `measured` of "
            "what measure_invariance found."
        )
    array = np.asarray(epsilon, np.float64)
    if array.shape != (num_classes,) or (array < 0).any():
        raise ValueError(
            f"epsilon is {array}; one non-negative number for each of {num_classes} classes is "
            "needed (NaN leaves a class out)."
        )
    return array


def random_signs(key: jax.Array, n: int, latent_dim: int) -> np.ndarray:
    """`[n, d]` of independent, fair ±1."""
    return np.asarray(jax.random.rademacher(key, (n, latent_dim), dtype=np.float32))


def shift_inside(
    key: jax.Array, mean: np.ndarray, std: np.ndarray, epsilon: float, n: int
) -> np.ndarray:
    """n latents `mean + p · u ∘ std` with p ~ U[0, ε] and u random signs: `[n, d]`."""
    position_key, sign_key = jax.random.split(key)
    p = epsilon * np.asarray(jax.random.uniform(position_key, (n, 1)))
    return mean + p * random_signs(sign_key, n, len(mean)) * std


def clopper_pearson(
    successes: np.ndarray, total: int, confidence: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Exact binomial interval from the beta distribution (Clopper and Pearson, 1934)."""
    k, tail = np.asarray(successes), (1 - confidence) / 2
    low = np.where(k > 0, beta.ppf(tail, np.maximum(k, 1), total - k + 1), 0.0)
    high = np.where(k < total, beta.ppf(1 - tail, k + 1, np.maximum(total - k, 1)), 1.0)
    return low, high


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


def _valid(analysis: Analysis) -> np.ndarray:
    """The classes that have statistics, of which there must be some."""
    valid = np.flatnonzero(analysis.valid)
    if not len(valid):
        raise ValueError("no class has two latents; draw more of them (num_samples).")
    return valid


def _scatter(
    rows: np.ndarray, valid: np.ndarray, num_classes: int, fill: float | bool
) -> np.ndarray:
    """`rows` of the valid classes among all classes, `fill` elsewhere."""
    out = np.full(
        (num_classes, *rows.shape[1:]),
        fill,
        dtype=np.asarray(rows).dtype if not isinstance(fill, float) else np.float64,
    )
    out[valid] = rows
    return out
