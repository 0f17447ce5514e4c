"""Precision and recall of generated samples (Kynkäänniemi et al., 2019, Section 2).

Around every point of a set lies a ball that reaches to its k-th nearest neighbour in the same
set, the point itself left out by its index. Precision is the share of generated points inside the
union of the balls of the real ones, recall the share of real points inside the union of the balls
of the generated ones. A generator that makes one good image only has precision 1 and recall near
0. A point on the border counts as inside, as with the authors of the metric.
"""

from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike

from magan_jax.metrics.checks import check_k, check_same_width, checked_features
from magan_jax.metrics.neighbours import count_members, squared_neighbour_distances


class PrecisionRecall(NamedTuple):
    """Shares in [0, 1].

    Attributes:
        precision: generated points that look real.
        recall: real points that the generator might have made.
    """

    precision: float
    recall: float


def precision_recall(
    *,
    real: ArrayLike,
    fake: ArrayLike,
    k: int = 3,
    inclusive: bool = True,
    real_neighbours: np.ndarray | None = None,
) -> PrecisionRecall:
    """Precision and recall of features, by tiles (see `magan_jax.metrics.neighbours`).

    Args:
        real: features `[n, d]`.
        fake: features `[m, d]`.
        k: the neighbour that a ball reaches to; the authors' default is 3.
        inclusive: whether a point on the border is inside (`<=`, as in the authors' code) or not
            (`<`, as in the package `prdc`). It matters where points coincide.
        real_neighbours: `squared_neighbour_distances(real, k)` (or of a larger k), where known.

    Raises:
        ValueError: for features that are not finite `[n, d]`, of different width, or a k that is
            not 1 to min(n, m) − 1.
    """
    real, fake = checked_features("real", real), checked_features("fake", fake)
    check_same_width(real.shape[1], fake.shape[1])
    k = check_k("real", len(real), k)
    k = check_k("fake", len(fake), k)
    near = squared_neighbour_distances(real, k) if real_neighbours is None else real_neighbours
    fake_near = squared_neighbour_distances(fake, k)
    in_real = count_members(
        centres=real, squared_radii=near[:, k - 1], points=fake, inclusive=inclusive
    )
    in_fake = count_members(
        centres=fake, squared_radii=fake_near[:, k - 1], points=real, inclusive=inclusive
    )
    return PrecisionRecall(
        precision=float(np.mean(in_real.of_points > 0)),
        recall=float(np.mean(in_fake.of_points > 0)),
    )
