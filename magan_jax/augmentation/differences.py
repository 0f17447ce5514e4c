"""Paired differences between arms, and how sure they are with many arms at once."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy.stats import t, ttest_rel

from magan_jax.seeds import EQUAL


class PairedDifference(NamedTuple):
    """One arm minus another, seed by seed.

    Attributes:
        mean: over seeds.
        low, high: 95 % interval (Student); NaN with one seed, or where all seeds differ by the
            same, which says nothing of how much others would; where none differs at all, 0.
        p_value: two-sided, of the paired t-test; NaN where the interval is, 1 where none differs.
        adjusted: the same after Holm's correction for all arms of the family.
    """

    mean: float
    low: float
    high: float
    p_value: float
    adjusted: float


def paired_differences(
    values: Mapping[str, np.ndarray], baseline: str
) -> dict[str, PairedDifference]:
    """Each arm against the baseline, all arms one family.

    Args:
        values: by arm, one number for each seed `[S]`, in the same order of seeds.
        baseline: name of the arm that is subtracted.

    Raises:
        ValueError: for an unknown baseline, different numbers of seeds, or values not finite.
    """
    if baseline not in values:
        raise ValueError(f"baseline is {baseline!r}; choose among {', '.join(values)}.")
    arrays = {name: np.asarray(v, np.float64) for name, v in values.items()}
    shape = arrays[baseline].shape
    for name, array in arrays.items():
        if (
            array.ndim != 1
            or array.shape != shape
            or not array.size
            or not np.isfinite(array).all()
        ):
            raise ValueError(
                f"values of {name} are {array}; one finite number for each of the {shape} seeds of "
                f"{baseline} is needed."
            )
    others = [name for name in arrays if name != baseline]
    p = np.array([_p_value(arrays[name], arrays[baseline]) for name in others])
    adjusted = holm(p)
    found = {}
    for name, p_value, corrected in zip(others, p, adjusted, strict=True):
        difference = arrays[name] - arrays[baseline]
        reach = float("nan")
        if not np.isnan(p_value):
            error = difference.std(ddof=1) / np.sqrt(len(difference))
            reach = float(t.ppf(0.975, len(difference) - 1) * error)
        mean = float(difference.mean())
        found[name] = PairedDifference(
            mean, mean - reach, mean + reach, float(p_value), float(corrected)
        )
    return found


def image_error(hits: np.ndarray, baseline: np.ndarray) -> float:
    """What the choice of test images adds to the uncertainty of a paired difference.

    Intervals over seeds hold for these test images. Had others been drawn, the same classifiers
    would differ by another mean; its standard error, by how the difference varies over images.

    Args:
        hits: bool `[S, N]`, by seed and image whether an arm's classifier is right.
        baseline: the same of what is subtracted.

    Returns:
        The standard error of the mean difference of accuracy over seeds, as a share: the standard
        deviation over images of each one's mean difference, by √N.
    """
    difference = np.mean(np.asarray(hits, np.float64) - np.asarray(baseline, np.float64), axis=0)
    return float(difference.std() / np.sqrt(len(difference)))


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's step-down correction of p-values `[m]` (1979): family-wise, any dependence.

    One that is NaN stays so, and counts as a test that found nothing.
    """
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p)  # NaN last
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def _p_value(first: np.ndarray, second: np.ndarray) -> float:
    difference = first - second
    if len(difference) < 2:
        return float("nan")
    if np.ptp(difference) < EQUAL:
        return 1.0 if abs(difference[0]) < EQUAL else float("nan")
    return float(ttest_rel(first, second).pvalue)
