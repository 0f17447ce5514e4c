"""Density and coverage of generated samples (Naeem et al., 2020, Section 3).

The balls are those of the real points, reaching to the k-th nearest other real point. Density is
the mean number of balls around a generated point, divided by k: unlike precision it cannot be
raised much by the large ball of one outlier, and its expectation is 1 where both distributions
are equal. Coverage is the share of balls with a generated point inside. A point on the border
counts as inside; the authors' package leaves it out (`inclusive=False`).
"""

from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike

from magan_jax.errors import check_positive
from magan_jax.metrics.checks import check_k, check_same_width, checked_features
from magan_jax.metrics.neighbours import count_members, squared_neighbour_distances


class DensityCoverage(NamedTuple):
    """Both are about those of real samples where the generator is right.

    Attributes:
        density: 1 in expectation for equal distributions; it may exceed 1.
        coverage: in [0, 1]; `expected_coverage` for equal distributions.
    """

    density: float
    coverage: float


def density_coverage(
    *,
    real: ArrayLike,
    fake: ArrayLike,
    k: int = 5,
    inclusive: bool = True,
    real_neighbours: np.ndarray | None = None,
) -> DensityCoverage:
    """Density and coverage of features, by tiles (see `magan_jax.metrics.neighbours`).

    Args:
        real: features `[n, d]`.
        fake: features `[m, d]`.
        k: the neighbour that a ball reaches to; the authors' default is 5.
        inclusive: whether a point on the border is inside (`<=`) or not (`<`, as in `prdc`).
        real_neighbours: `squared_neighbour_distances(real, k)` (or of a larger k), where known.

    Raises:
        ValueError: for features that are not finite `[n, d]`, of different width, or a k that is
            not 1 to n − 1.
    """
    real, fake = checked_features("real", real), checked_features("fake", fake)
    check_same_width(real.shape[1], fake.shape[1])
    k = check_k("real", len(real), k)
    near = squared_neighbour_distances(real, k) if real_neighbours is None else real_neighbours
    members = count_members(
        centres=real, squared_radii=near[:, k - 1], points=fake, inclusive=inclusive
    )
    return DensityCoverage(
        density=float(members.of_points.sum() / (k * len(fake))),
        coverage=float(np.mean(members.of_balls > 0)),
    )


def expected_coverage(num_real: int, num_fake: int, k: int = 5) -> float:
    """Coverage to expect of equal continuous distributions: 1 − Π_{i=1..k} (n − i)/(m + n − i).

    Lemma 2 of Naeem et al. (2020), with n = `num_real` and m = `num_fake`.

    Raises:
        ValueError: for numbers of images below one, or a k that is not 1 to n − 1.
    """
    num_real = check_positive("num_real", num_real)
    num_fake = check_positive("num_fake", num_fake)
    k = check_k("real", num_real, k)
    i = np.arange(1, k + 1)
    return float(1 - np.prod((num_real - i) / (num_fake + num_real - i)))
