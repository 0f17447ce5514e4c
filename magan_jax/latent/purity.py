"""How many random shifts inside an ε keep their class."""

from typing import NamedTuple

import jax
import numpy as np
from scipy.stats import beta

from magan_jax.errors import check_key, check_positive
from magan_jax.latent.analysis import Analysis, check_same_classes
from magan_jax.latent.geometry import Interval
from magan_jax.latent.invariance import Invariance
from magan_jax.latent.labels import label_latents
from magan_jax.latent.shifts import checked_epsilon, shift_inside
from magan_jax.networks import Classify, Generate


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
        epsilon: `[K]`; NaN and infinity (of a σ of 0) leave a class out, and so does 0: no shift is
            no trial.
        num_shifts: shifts for each class.
        batch_size, num_devices: see `label_latents`.

    Raises:
        ValueError: for ε of another shape or below 0, a classifier of other classes, and what
            `label_latents` refuses.

    Warns:
        UserWarning: as `label_latents` does.
    """
    check_key(key)
    num_shifts = check_positive("num_shifts", num_shifts)
    epsilon = checked_epsilon(epsilon, len(analysis.counts))
    check_same_classes(generate, classify, analysis)
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


def clopper_pearson(
    successes: np.ndarray, total: int, confidence: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Exact binomial interval from the beta distribution (Clopper and Pearson, 1934)."""
    k, tail = np.asarray(successes), (1 - confidence) / 2
    low = np.where(k > 0, beta.ppf(tail, np.maximum(k, 1), total - k + 1), 0.0)
    high = np.where(k < total, beta.ppf(1 - tail, k + 1, np.maximum(total - k, 1)), 1.0)
    return low, high
