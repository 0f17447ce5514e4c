"""One number from each of several seeds: mean, deviation, and what they say of further ones."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.stats import t


def over_seeds(values: Sequence[float] | np.ndarray) -> dict[str, Any]:
    """One number per seed: `mean` and `std` (with n − 1) of the `n` that there are, and all.

    What a seed does not have is NaN in `values`, and `reason` says that some are missing.
    """
    array = np.asarray(values, np.float64)
    known = array[np.isfinite(array)]
    missing = None
    if len(known) < len(array):
        missing = f"{len(array) - len(known)} of {len(array)} seeds have no such number"
    elif len(known) < 2:
        missing = "one seed has no deviation" if len(known) else "there is no seed"
    return {
        "mean": float(known.mean()) if len(known) else None,
        "std": float(known.std(ddof=1)) if len(known) > 1 else None,
        "n": len(known),
        "values": array,
        "reason": missing,
    }


EQUAL = 1e-9
"""Numbers this close to one another are equal: those counted in images differ by far more."""


def mean_over_seeds(values: Sequence[float] | np.ndarray) -> tuple[float, float, float]:
    """Mean and Student's 95 % interval for it; NaN where there is none (`why_no_interval`)."""
    return _student(values, lambda s: 1 / s)


def another_training(values: Sequence[float] | np.ndarray) -> tuple[float, float, float]:
    """Mean, and the 95 % interval in which one more seed's number would lie, or NaN as there."""
    return _student(values, lambda s: 1 + 1 / s)


def why_no_interval(values: Sequence[float] | np.ndarray) -> str | None:
    """Why seeds have no interval; None where they have one.

    Equal numbers have none: their deviation is not 0, it has not been seen.
    """
    if len(values) < 2:
        return "one seed has no interval"
    if np.ptp(np.asarray(values, np.float64)) < EQUAL:
        return "all seeds have the same number, which says nothing of further ones"
    return None


def _student(
    values: Sequence[float] | np.ndarray, share: Callable[[int], float]
) -> tuple[float, float, float]:
    array = np.asarray(values, np.float64)
    mean, count = float(array.mean()), len(array)
    if why_no_interval(array) is not None:
        return mean, float("nan"), float("nan")
    reach = float(t.ppf(0.975, count - 1) * array.std(ddof=1) * np.sqrt(share(count)))
    return mean, mean - reach, mean + reach


def mean_of_known(values: np.ndarray) -> float:
    """Over the classes that have a number; NaN if none has."""
    known = np.asarray(values)[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
