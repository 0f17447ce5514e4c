import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magan_jax.metrics import neighbours
from magan_jax.metrics.neighbours import count_members, squared_neighbour_distances

RANDOM = np.random.default_rng(0)


def all_squared(a, b):
    """`[n, m]`, dimension after dimension in float64: equal points have the distance 0."""
    squared = np.zeros((len(a), len(b)))
    for x, y in zip(a.T.astype(np.float64), b.T.astype(np.float64), strict=True):
        squared += (x[:, None] - y) ** 2
    return squared


def expected_neighbours(features, k):
    squared = all_squared(features, features)
    np.fill_diagonal(squared, np.inf)
    return np.sort(squared, axis=1)[:, :k]


def clusters(n, width, apart, seed=0):
    """Clusters of standard normals, `apart` standard deviations from each other, with copies."""
    random = np.random.default_rng(seed)
    centres = apart * random.normal(size=(6, width))
    points = centres[random.integers(0, 6, n)] + random.normal(size=(n, width))
    points[: n // 10] = points[random.integers(0, n, n // 10)]
    points[n // 2 : n // 2 + 9] = points[n // 2]
    return points


SETS = {
    "normal": RANDOM.normal(size=(3000, 24)),
    "float32": RANDOM.normal(size=(1500, 70)).astype(np.float32),
    "one dimension": RANDOM.normal(size=(700, 1)),
    "clusters": clusters(1500, 16, 30),
    "far clusters": clusters(400, 8, 1e6),
    "far from the origin": RANDOM.normal(size=(600, 5)) + 1e6,
    "tiny": 1e-20 * RANDOM.normal(size=(600, 5)),
    "huge": 1e30 * RANDOM.normal(size=(600, 5)),
    "a grid of equal distances": np.stack(np.meshgrid(*[np.arange(5.0)] * 4), -1).reshape(-1, 4),
    "all equal": np.ones((50, 3)),
}


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("k", [1, 5, 40])
def test_neighbours_are_those_of_float64(name, k):
    features = SETS[name]
    found = squared_neighbour_distances(features, k)
    expected = expected_neighbours(features, k)
    # Two orders of a sum of d terms differ by d roundings at most.
    np.testing.assert_allclose(found, expected, rtol=features.shape[1] * 2.3e-16, atol=0)


def test_every_row_is_a_neighbour_where_k_is_the_largest():
    features = RANDOM.normal(size=(30, 4))
    np.testing.assert_allclose(
        squared_neighbour_distances(features, 29), expected_neighbours(features, 29), rtol=1e-14
    )


def test_more_neighbours_than_groups_of_columns():
    features = RANDOM.normal(size=(2500, 3))
    np.testing.assert_allclose(
        squared_neighbour_distances(features, 300), expected_neighbours(features, 300), rtol=1e-14
    )


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("inclusive", [True, False])
def test_members_are_those_of_float64_on_borders_too(name, inclusive):
    """Every third point is a copy, so that many lie exactly on a border."""
    centres = SETS[name]
    points = np.concatenate([centres[::3], clusters(300, centres.shape[1], 1, 5)])
    radii = squared_neighbour_distances(centres, 2)[:, 1]
    squared, within = all_squared(centres, points), expected_neighbours(centres, 2)[:, 1]
    inside = squared <= within[:, None] if inclusive else squared < within[:, None]
    found = count_members(centres=centres, squared_radii=radii, points=points, inclusive=inclusive)
    np.testing.assert_array_equal(found.of_balls, inside.sum(1))
    np.testing.assert_array_equal(found.of_points, inside.sum(0))


@pytest.mark.parametrize("width", [1, 2, 7, 8, 9, 127, 129, 300])
def test_a_copy_of_the_neighbour_is_on_the_border_at_every_width(width):
    """The distance to a copy equals the radius bit for bit, wherever the pair stands."""
    centres = RANDOM.normal(size=(200, width)).astype(np.float32)
    nearest = np.argmin(np.where(np.eye(200), np.inf, all_squared(centres, centres)), axis=1)
    radii = squared_neighbour_distances(centres, 1)[:, 0]
    points = centres[nearest]
    for inclusive in (True, False):
        found = count_members(
            centres=centres, squared_radii=radii, points=points, inclusive=inclusive
        )
        copies = [np.sum((points == points[i]).all(1)) for i in range(200)]
        own = [np.sum((points == centres[i]).all(1)) for i in range(200)]  # at distance 0
        expected = np.array(own) + (np.array(copies) if inclusive else 0)
        np.testing.assert_array_equal(found.of_balls, expected)


def test_the_device_decides_what_it_can_and_nothing_else():
    """The bound of the error: float32 decisions agree with float64, and few pairs are left."""
    features = RANDOM.normal(size=(1000, 128)).astype(np.float32)
    points = RANDOM.normal(size=(2000, 128)).astype(np.float32)
    radii = squared_neighbour_distances(features, 5)[:, 4] * 1.1
    frame = neighbours._frame(features, points)
    (balls,) = neighbours._tiles(features, frame, neighbours.TILE_ROWS, radii)
    (tile,) = neighbours._tiles(points, frame, neighbours.TILE_COLUMNS)
    found = neighbours._overlap(balls, tile)
    undecided = np.asarray(found.undecided)[:1000, :2000]
    inside = all_squared(features, points) <= radii[:, None]
    np.testing.assert_array_equal(
        np.asarray(found.of_balls)[:1000], (inside & ~undecided).sum(axis=1)
    )
    assert not np.asarray(found.undecided)[1000:].any()
    assert 0 < undecided.sum() < 1e-3 * undecided.size


def test_low_bounds_are_below_and_close():
    features = SETS["float32"]
    frame = neighbours._frame(features)
    rows = next(neighbours._tiles(features, frame, neighbours.TILE_ROWS))
    tile = next(neighbours._tiles(features, frame, neighbours.TILE_COLUMNS))
    nothing = (jnp.full((neighbours.TILE_ROWS, 20), jnp.inf), jnp.zeros((1024, 20), jnp.int32))
    bound, place = jax.device_get(neighbours._nearer(rows, tile, nothing))
    exact = np.take_along_axis(all_squared(features[:1024], features), place, 1)
    bound = bound.astype(np.float64) / frame.scale**2
    assert (bound <= exact).all()
    np.testing.assert_allclose(bound, exact, rtol=1e-3)
    assert (place != np.arange(1024)[:, None]).all()
