"""Whether one system has more of a metric than another, and how sure that is."""

from typing import Literal, NamedTuple

import numpy as np

from magan_jax.outcome import Verdict
from magan_jax.seeds import mean_over_seeds

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
        low: end of the 95 % interval; NaN with fewer than two seeds, or where all differ alike:
            equal numbers (recalls of 0, say) tell nothing of further ones.
        high: its other end.
        verdict: `holds` if the whole interval is above zero, `does not hold` if it is below,
            `open` otherwise.
    """

    mean: float
    low: float
    high: float
    verdict: Verdict


def difference(more: np.ndarray, less: np.ndarray) -> Difference:
    """Compare two systems seed by seed: Student's interval of the differences.

    A seed's systems start from the same keys and are judged with the same draws, so that they are
    pairs: what comes of the seed alone falls out of their difference (an interval for independent
    samples was 48 times as wide for two systems that share their training). A single seed says
    which is larger and nothing about how sure that is: its verdict is `open`.

    Args:
        more: `[S]`, of the system that is said to have more.
        less: `[S]`, of the other, from the same seeds.

    Raises:
        ValueError: for arrays that are empty or of two lengths, or values that are not finite.
    """
    more, less = np.asarray(more, np.float64), np.asarray(less, np.float64)
    for name, values in (("more", more), ("less", less)):
        if values.ndim != 1 or not values.size or not np.isfinite(values).all():
            raise ValueError(f"{name} is {values}; at least one finite number, [S], is needed.")
    if len(more) != len(less):
        raise ValueError(f"more has {len(more)} seeds, less {len(less)}; they must be the same.")
    mean, low, high = mean_over_seeds(more - less)
    verdict: Verdict = "holds" if low > 0 else "does not hold" if high < 0 else "open"
    return Difference(mean, low, high, verdict)
