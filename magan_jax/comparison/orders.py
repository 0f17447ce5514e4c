"""Whether one system has more of a metric than another, and how sure that is."""

import warnings
from typing import Literal, NamedTuple

import numpy as np
from scipy.stats import ttest_ind

from magan_jax.outcome import Verdict

Metric = Literal["frechet_distance", "precision", "recall"]


class Order(NamedTuple):
    """A claim that one system has more of a metric than another.

    Attributes:
        claim: in words.
        metric: of what.
        more: the system that has more of it.
        less: the one that has less.
    """

    claim: str
    metric: Metric
    more: str
    less: str


class Difference(NamedTuple):
    """What the seeds of two systems say.

    Attributes:
        mean: of the one minus the other, mean over seeds.
        low: end of the 95 % interval; NaN with fewer than two seeds of either, or without any
            deviation, of which equal numbers (recalls of 0, say) tell nothing.
        high: its other end.
        verdict: `holds` if the whole interval is above zero, `does not hold` if it is below,
            `open` otherwise.
    """

    mean: float
    low: float
    high: float
    verdict: Verdict


def difference(more: np.ndarray, less: np.ndarray) -> Difference:
    """Compare one number per seed of two systems, by Welch's interval.

    Seeds are independent and the systems' deviations may differ. A single seed says which is
    larger and nothing about how sure that is: its verdict is `open`.

    Args:
        more: `[S]`, of the system that is said to have more.
        less: `[T]`, of the other.

    Raises:
        ValueError: for empty arrays, or values that are not finite.
    """
    more, less = np.asarray(more, np.float64), np.asarray(less, np.float64)
    for name, values in (("more", more), ("less", less)):
        if values.ndim != 1 or not values.size or not np.isfinite(values).all():
            raise ValueError(f"{name} is {values}; at least one finite number, [S], is needed.")
    mean = float(more.mean() - less.mean())
    if min(len(more), len(less)) < 2 or not (np.ptp(more) or np.ptp(less)):
        return Difference(mean, float("nan"), float("nan"), "open")
    with warnings.catch_warnings():  # of one sample without deviation, which is allowed here
        warnings.simplefilter("ignore", RuntimeWarning)
        ends = ttest_ind(more, less, equal_var=False).confidence_interval(0.95)
    low, high = float(ends.low), float(ends.high)
    verdict: Verdict = "holds" if low > 0 else "does not hold" if high < 0 else "open"
    return Difference(mean, low, high, verdict)
