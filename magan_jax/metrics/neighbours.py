"""Nearest neighbours and membership in balls, tile by tile, decided as exact arithmetic would.

No matrix of all distances exists: a device sees one tile of them at a time, in float32, as
|a|² + |b|² − 2⟨a, b⟩ of features that are centred (distances do not change, cancellation shrinks)
and scaled by a power of two (nothing is rounded). That expansion is fast and imprecise: the
distance of two duplicates comes out as some 10⁻⁷ |a|² in place of 0, and whether a point *on* the
border of a ball counts would depend on the order of a sum. So the device only sorts out what is
certain:

- The expansion differs from the true squared distance by at most e(a) + e(b),
  e(x) = 2⁻²³ (d + 16) |x|². That is twice the worst case of IEEE float32 for any order of the sum
  of d products, rounding of the features included; the factor 2 is for products that a TPU puts
  together from bfloat16 ones.
- A pair further from the border than that is decided by the device. Every other pair is decided
  on the host, from the differences of the given features in float64.
- Neighbours are the candidates with the smallest lower bounds, with their distances computed anew
  in float64. If the k-th of them is not below the lower bounds of all points that are no
  candidates, the row is computed in full in float64.

All float64 distances come from one function, whose value for a pair does not depend on where the
pair stands or which point comes first: a distance equal to a radius is seen as equal. Duplicates
have the distance 0, and a ball of radius 0 holds them.

The price is small where the sets are, as features are, not much wider than their balls: a few
pairs in a million are computed twice. It is high in two cases, right but slow: clusters further
apart than some hundred radii (r² below the error of the expansion) leave all pairs within a
cluster to the host, and many points at exactly equal distances leave it whole rows.
"""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

TILE_ROWS = 1024
TILE_COLUMNS = 2048
_GROUP = 16  # columns of which one minimum is taken first; must divide TILE_COLUMNS
_SPARE = 3  # candidates beyond k: enough that hardly a row has to be computed in full
_CHUNK = 2**21  # float64 values that the host gathers at once
_SMALLEST = 1e-150  # coordinates below it have no squares in float64
_TINY = 1e-30  # above what underflow of a float32 product can lose; the largest coordinate is 1


class Members(NamedTuple):
    """How many points lie in how many balls.

    Attributes:
        of_balls: int64 `[n]`, points in each ball.
        of_points: int64 `[m]`, balls around each point.
    """

    of_balls: np.ndarray
    of_points: np.ndarray


class _Frame(NamedTuple):
    """Where the device's coordinates are: `(x − centre) · scale`, the largest about 1."""

    centre: np.ndarray
    scale: float


class _Tile(NamedTuple):
    """Some points on the device; padded with points infinitely far from everything.

    Attributes:
        points: `[T, d]`, float32.
        low, high: `[T]`, |x|² (for balls |x|² − r²) minus and plus its share of the error.
        place: int32 `[T]`, index in the set.
    """

    points: jax.Array
    low: jax.Array
    high: jax.Array
    place: jax.Array


class _Overlap(NamedTuple):
    """A tile of balls against a tile of points.

    Attributes:
        of_balls: int32 `[R]`, points surely inside.
        of_points: int32 `[C]`, balls surely around.
        undecided_balls: bool `[R]`, balls with undecided points.
        undecided: bool `[R, C]`.
    """

    of_balls: jax.Array
    of_points: jax.Array
    undecided_balls: jax.Array
    undecided: jax.Array


def squared_neighbour_distances(features: np.ndarray, k: int) -> np.ndarray:
    """Squared distances `[n, k]` of each point to its k nearest others, ascending, in float64.

    A point is left out of its own neighbours by its index: a duplicate is a neighbour at
    distance 0.

    Args:
        features: `[n, d]`, finite float32 or float64, as `checked_features` gives them.
        k: 1 to n − 1.
    """
    count = len(features)
    wanted = k + _SPARE
    frame = _frame(features)
    columns = list(_tiles(features, frame, TILE_COLUMNS))
    squared = np.empty((count, k))
    for first, rows in zip(
        range(0, count, TILE_ROWS), _tiles(features, frame, TILE_ROWS), strict=True
    ):
        found = (jnp.full((TILE_ROWS, wanted), jnp.inf), jnp.zeros((TILE_ROWS, wanted), jnp.int32))
        for tile in columns:
            found = _nearer(rows, tile, found)
        size = min(TILE_ROWS, count - first)
        bound, candidate = (np.asarray(x)[:size] for x in found)
        squared[first : first + size] = _verified(
            features, first, bound.astype(np.float64) / frame.scale**2, candidate, k
        )
    return squared


def count_members(
    *, centres: np.ndarray, squared_radii: np.ndarray, points: np.ndarray, inclusive: bool = True
) -> Members:
    """Count, over all pairs, the points that lie in balls.

    Args:
        centres: `[n, d]`, of the balls; float32 or float64, as `checked_features` gives them.
        squared_radii: `[n]`, float64, as `squared_neighbour_distances` gives them.
        points: `[m, d]`.
        inclusive: whether a point on the border is inside.
    """
    frame = _frame(centres, points)
    members = Members(np.zeros(len(centres), np.int64), np.zeros(len(points), np.int64))
    columns = list(_tiles(points, frame, TILE_COLUMNS))

    def absorb(first_ball: int, first_point: int, found: _Overlap) -> None:
        of_balls, of_points, undecided_balls = map(np.asarray, found[:3])
        _add(members.of_balls, first_ball, of_balls)
        _add(members.of_points, first_point, of_points)
        some = np.flatnonzero(undecided_balls)
        if not some.size:
            return
        row, column = np.nonzero(np.asarray(found.undecided)[some])
        ball, point = first_ball + some[row], first_point + column
        squared = _squared_distances(centres, ball, points, point)
        radius = squared_radii[ball]
        inside = squared <= radius if inclusive else squared < radius
        np.add.at(members.of_balls, ball[inside], 1)
        np.add.at(members.of_points, point[inside], 1)

    waiting: tuple[int, int, _Overlap] | None = None
    for first_ball, balls in zip(
        range(0, len(centres), TILE_ROWS),
        _tiles(centres, frame, TILE_ROWS, squared_radii),
        strict=True,
    ):
        for number, tile in enumerate(columns):
            started = (first_ball, number * TILE_COLUMNS, _overlap(balls, tile))
            if waiting is not None:  # the host decides while the device goes on
                absorb(*waiting)
            waiting = started
    assert waiting is not None
    absorb(*waiting)
    return members


@jax.jit
def _overlap(balls: _Tile, points: _Tile) -> _Overlap:
    product = 2 * _inner(balls.points, points.points)
    surely = balls.high[:, None] + points.high[None] < product
    possibly = balls.low[:, None] + points.low[None] <= product
    undecided = possibly & ~surely
    return _Overlap(
        jnp.sum(surely, 1, jnp.int32),
        jnp.sum(surely, 0, jnp.int32),
        jnp.any(undecided, 1),
        undecided,
    )


@partial(jax.jit, donate_argnums=2)
def _nearer(
    rows: _Tile, columns: _Tile, so_far: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    """The smallest lower bounds and their places, `[R, wanted]`, with one tile more seen."""
    wanted = so_far[0].shape[1]
    bound = rows.low[:, None] + columns.low[None] - 2 * _inner(rows.points, columns.points)
    itself = rows.place[:, None] == columns.place[None]
    bound = jnp.where(itself, jnp.inf, jnp.maximum(bound, 0))
    value, column = _smallest(bound, min(wanted, TILE_COLUMNS))
    value = jnp.concatenate([so_far[0], value], 1)
    place = jnp.concatenate([so_far[1], columns.place[column]], 1)
    negative, kept = jax.lax.top_k(-value, wanted)
    return -negative, jnp.take_along_axis(place, kept, 1)


def _smallest(values: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    """The `count` smallest of each row `[R, C]`, and their columns.

    They lie in the `count` groups of columns with the smallest minima, and looking for groups is
    cheaper than looking for columns.
    """
    num_groups = values.shape[1] // _GROUP
    if count > num_groups // 4:
        negative, column = jax.lax.top_k(-values, count)
        return -negative, column
    grouped = values.reshape(-1, _GROUP, num_groups)  # group g: columns g, g + num_groups, …
    _, group = jax.lax.top_k(-jnp.min(grouped, 1), count)
    inside = jnp.take_along_axis(grouped, group[:, None, :], 2).reshape(len(values), -1)
    negative, place = jax.lax.top_k(-inside, count)
    column = jnp.take_along_axis(group, place % count, 1) + place // count * num_groups
    return -negative, column


def _inner(a: jax.Array, b: jax.Array) -> jax.Array:
    """`[R, d], [C, d] -> [R, C]` in full float32, which the bound of the error supposes."""
    return jnp.einsum("rd,cd->rc", a, b, precision=jax.lax.Precision.HIGHEST)


def _verified(
    features: np.ndarray, first: int, bound: np.ndarray, candidate: np.ndarray, k: int
) -> np.ndarray:
    """Exact squared distances `[size, k]` of rows first, first + 1, … from candidates `[size, c]`.

    `bound`: lower bounds of the candidates, ascending; points that are none have no smaller one.
    """
    size, width = bound.shape
    row = first + np.repeat(np.arange(size), width)
    exact = _squared_distances(features, row, features, candidate.ravel()).reshape(size, width)
    exact = np.sort(np.where(np.isinf(bound), np.inf, exact), axis=1)[:, :k]
    for i in np.flatnonzero(exact[:, -1] > bound[:, -1]):
        exact[i] = _exact_row(features, first + int(i), k)
    return exact


def _exact_row(features: np.ndarray, row: int, k: int) -> np.ndarray:
    others = np.delete(np.arange(len(features)), row)
    squared = _squared_distances(features, np.full(len(others), row), features, others)
    return np.sort(np.partition(squared, k - 1)[:k])


def _squared_distances(a: np.ndarray, i: np.ndarray, b: np.ndarray, j: np.ndarray) -> np.ndarray:
    """|a[i] − b[j]|² `[P]` of pairs, from differences in float64.

    Each row is summed by itself in an order that depends on d alone.
    """
    squared = np.empty(len(i))
    step = max(1, _CHUNK // a.shape[1])
    for first in range(0, len(i), step):
        part = slice(first, first + step)
        difference = a[i[part]].astype(np.float64) - b[j[part]]
        squared[part] = np.sum(np.square(difference), axis=1)
    return squared


def _frame(*sets: np.ndarray) -> _Frame:
    """Centre of the first set; a power of two that brings the largest coordinate of all to 1."""
    centre = np.asarray(np.mean(sets[0], axis=0, dtype=np.float64))
    largest = max(
        float(np.abs(part - centre).max())
        for features in sets
        for part in np.array_split(features, -(-len(features) // TILE_COLUMNS))
    )
    return _Frame(centre, float(2.0 ** -np.ceil(np.log2(max(largest, _SMALLEST)))))


def _tiles(
    features: np.ndarray, frame: _Frame, size: int, squared_radii: np.ndarray | None = None
) -> Iterator[_Tile]:
    """The set in tiles of one size; with radii, as balls."""
    width = features.shape[1]
    for first in range(0, len(features), size):
        part = (features[first : first + size] - frame.centre) * frame.scale
        count = len(part)
        square = np.sum(np.square(part), axis=1)
        error = 2.0**-23 * (width + 16) * square + _TINY
        if squared_radii is not None:
            radius = squared_radii[first : first + size] * frame.scale**2
            square = square - radius
            error = error + 2.0**-21 * radius  # the device adds the radius in float32
        points = np.zeros((size, width), np.float32)
        points[:count] = part
        low, high = np.full((2, size), np.inf, np.float32)
        low[:count], high[:count] = square - error, square + error
        index = np.arange(first, first + size, dtype=np.int32)
        yield _Tile(*map(jnp.asarray, (points, low, high, index)))


def _add(total: np.ndarray, first: int, part: np.ndarray) -> None:
    rest = total[first : first + len(part)]
    rest += part[: len(rest)]
