"""What can be computed of generated images: one table, an entry for each method.

A method is given features, and knows neither images nor networks. A new one is a function here and
a line of the table.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from magan_jax.metrics.cache import RealStatistics
from magan_jax.metrics.density_coverage import DensityCoverage, density_coverage
from magan_jax.metrics.diversity import mean_pairwise_cosine, vendi_score
from magan_jax.metrics.frechet import NUM_SIZES, frechet_distance, frechet_distance_infinity
from magan_jax.metrics.precision_recall import PrecisionRecall, precision_recall


class RealFeatures(NamedTuple):
    """The real images' features, as methods compare with them.

    Attributes:
        features: `[N, d]`.
        statistics: their moments and neighbours; None where no method asks for them.
        k: of each method with balls, the neighbour that they reach to.
    """

    features: np.ndarray
    statistics: RealStatistics | None
    k: dict[str, int]


class Number(NamedTuple):
    """A value of one set of features, and why it is none where it is NaN."""

    value: float
    standard_error: float | None = None
    reason: str | None = None


class Method(NamedTuple):
    """How a method computes its numbers, and what it needs.

    Attributes:
        names: of its numbers.
        compute: `(real, fake [M, d], key) -> numbers`, in the order of the names.
        compares: with the real features; else it speaks of one set alone.
        draws: and needs a key.
        rows_needed: of a yardstick, `(d, k) -> M`; k is the method's, 1 where it has no balls.
        k: of one with balls, the neighbour that they reach to unless another is asked for; None of
            one without.
    """

    names: tuple[str, ...]
    compute: Callable[[RealFeatures, np.ndarray, jax.Array | None], tuple[Number, ...]]
    compares: bool = True
    draws: bool = False
    rows_needed: Callable[[int, int], int] = lambda width, k: 1
    k: int | None = None


def _frechet(real: RealFeatures, fake: np.ndarray, key: jax.Array | None) -> tuple[Number, ...]:
    assert real.statistics is not None
    return (Number(frechet_distance(real=real.statistics.moments, fake=fake)),)


def _frechet_infinity(
    real: RealFeatures, fake: np.ndarray, key: jax.Array | None
) -> tuple[Number, ...]:
    """Too few rows cost FD∞, not the numbers beside it."""
    assert real.statistics is not None
    assert key is not None
    try:
        limit = frechet_distance_infinity(key, real=real.statistics.moments, fake=fake)
    except ValueError as error:
        return (Number(float("nan"), reason=str(error)),)
    return (Number(limit.value, standard_error=limit.standard_error),)


def _with_balls(
    name: str,
    function: Callable[..., tuple[float, ...]],
    names: tuple[str, ...],
    *,
    k: int,
    rows_needed: Callable[[int, int], int] = lambda width, k: 1,
) -> Method:
    """A pair of numbers by balls that reach from each point to its k-th neighbour."""

    def compute(real: RealFeatures, fake: np.ndarray, key: jax.Array | None) -> tuple[Number, ...]:
        assert real.statistics is not None
        near = real.statistics.squared_neighbours
        found = function(real=real.features, fake=fake, k=real.k[name], real_neighbours=near)
        return tuple(map(Number, found))

    return Method(names, compute, k=k, rows_needed=rows_needed)


def _of_one_set(name: str, function: Callable[[np.ndarray], float]) -> Method:
    """A number that features without direction (rows of zeros) do not have: it says so itself,
    since the other numbers are none the worse for them."""

    def compute(real: RealFeatures, fake: np.ndarray, key: jax.Array | None) -> tuple[Number, ...]:
        try:
            return (Number(function(fake)),)
        except ValueError as error:
            return (Number(float("nan"), reason=str(error)),)

    return Method((name,), compute, compares=False)


METHODS = {
    "frechet_distance": Method(("frechet_distance",), _frechet, rows_needed=lambda width, k: 2),
    "precision_recall": _with_balls(
        "precision_recall",
        precision_recall,
        PrecisionRecall._fields,
        k=3,
        rows_needed=lambda width, k: k + 1,
    ),
    "density_coverage": _with_balls(
        "density_coverage", density_coverage, DensityCoverage._fields, k=5
    ),
    "mean_pairwise_cosine": _of_one_set("mean_pairwise_cosine", mean_pairwise_cosine),
    "vendi_score": _of_one_set("vendi_score", vendi_score),
    "frechet_distance_infinity": Method(
        ("frechet_distance_infinity",),
        _frechet_infinity,
        draws=True,
        # Subsets of so many sizes, the smallest with more rows than features.
        rows_needed=lambda width, k: width + NUM_SIZES,
    ),
}
"""What `magan_jax.metrics.evaluate_images` can compute, by the names of the functions."""
