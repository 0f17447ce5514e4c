import re

import numpy as np
import pytest
from prdc import compute_prdc
from test_neighbours import clusters

from magan_jax.metrics import density_coverage, expected_coverage, precision_recall
from magan_jax.metrics.neighbours import squared_neighbour_distances

RANDOM = np.random.default_rng(0)


def ours(real, fake, k, **options):
    return {
        **precision_recall(real=real, fake=fake, k=k, **options)._asdict(),
        **density_coverage(real=real, fake=fake, k=k, **options)._asdict(),
    }


def separate(n, width, apart, seed):
    """Clusters without copies: `prdc` has rounding errors where distances are 0."""
    random = np.random.default_rng(seed)
    centres = apart * np.random.default_rng(9).normal(size=(6, width))
    return centres[random.integers(0, 6, n)] + random.normal(size=(n, width))


PAIRS = {
    "normal": (RANDOM.normal(size=(1300, 64)), RANDOM.normal(size=(900, 64))),
    "float32": (
        RANDOM.normal(size=(1000, 128)).astype(np.float32),
        0.9 * RANDOM.normal(size=(1200, 128)).astype(np.float32),
    ),
    "shifted": (RANDOM.normal(size=(800, 3)), RANDOM.normal(size=(700, 3)) + 1),
    "clusters": (separate(1100, 16, 10, 1), separate(1000, 16, 10, 2)),
    "lost clusters": (separate(1100, 16, 10, 1), separate(100, 16, 10, 3)[:30]),
}


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("k", [1, 3, 5])
def test_agrees_with_prdc(name, k):
    real, fake = PAIRS[name]
    expected = compute_prdc(real.astype(np.float64), fake.astype(np.float64), k)
    found = ours(real, fake, k, inclusive=False)
    assert set(found) == set(expected)
    for number, value in found.items():
        assert value == pytest.approx(expected[number], abs=1e-6), number


def reference(real, fake, k, inclusive):
    """The definitions written out, float64, all pairs; the radius by sorting without oneself."""

    def distances(a, b):
        return ((a[:, None].astype(np.float64) - b[None].astype(np.float64)) ** 2).sum(-1)

    def radius(a):
        others = [np.delete(row, i) for i, row in enumerate(distances(a, a))]
        return np.sort(others, axis=1)[:, k - 1]

    compare = np.less_equal if inclusive else np.less
    between = distances(real, fake)
    in_real = compare(between, radius(real)[:, None])
    in_fake = compare(between, radius(fake)[None])
    return {
        "precision": in_real.any(0).mean(),
        "recall": in_fake.any(1).mean(),
        "density": in_real.sum() / (k * len(fake)),
        "coverage": in_real.any(1).mean(),
    }


@pytest.mark.parametrize("inclusive", [True, False])
@pytest.mark.parametrize("k", [1, 3])
def test_agrees_with_the_definitions_with_copies_everywhere(inclusive, k):
    real = clusters(400, 6, 5)
    fake = np.concatenate([clusters(150, 6, 5, 3), real[::4], real[:20] + 1e-9])
    found = ours(real, fake, k, inclusive=inclusive)
    expected = reference(real, fake, k, inclusive)
    for number, value in found.items():
        assert value == pytest.approx(expected[number], abs=1e-12), number
    other = reference(real, fake, k, not inclusive)
    assert any(abs(other[number] - expected[number]) > 1e-3 for number in expected)


def test_a_generator_that_makes_one_good_image_only():
    """Precision high, recall near 0: not the other way round."""
    real = RANDOM.normal(size=(500, 8))
    fake = np.repeat(real[7:8], 100, axis=0)
    assert precision_recall(real=real, fake=fake) == (1.0, 1 / 500)
    strict = precision_recall(real=real, fake=fake, inclusive=False)
    assert strict == (1.0, 0.0)  # its own balls have radius 0, and `<` leaves them empty
    found = density_coverage(real=real, fake=fake)
    squared = ((real - real[7]) ** 2).sum(1)
    balls = squared <= squared_neighbour_distances(real, 5)[:, 4]
    assert found.coverage == pytest.approx(balls.mean())
    assert found.density == pytest.approx(balls.sum() / 5)


def test_a_generator_that_makes_more_than_there_is():
    real = RANDOM.normal(size=(400, 4))
    fake = np.concatenate([RANDOM.normal(size=(400, 4)), RANDOM.normal(size=(400, 4)) + 50])
    found = precision_recall(real=real, fake=fake)
    assert found.precision < 0.52
    assert found.recall > 0.9


def test_identical_sets_are_perfect():
    real = clusters(300, 5, 10)
    assert precision_recall(real=real, fake=real) == (1.0, 1.0)
    found = density_coverage(real=real, fake=real)
    assert found.coverage == 1.0
    distinct = RANDOM.normal(size=(300, 5))  # each ball holds its centre and its k neighbours
    assert density_coverage(real=distinct, fake=distinct, k=4).density == pytest.approx(5 / 4)


def test_the_union_of_balls_counts_not_the_nearest_one():
    """A point in the wide ball of a far centre, outside the narrow ball of its nearest one."""
    real = np.array([[0.0], [0.1], [10.0], [4.0]])  # radii 0.1, 0.1, 6, 3.9
    fake = np.array([[0.5], [0.6], [0.7]])
    assert precision_recall(real=real, fake=fake, k=1).precision == 1.0
    found = density_coverage(real=real, fake=fake, k=1)
    assert found.density == 1.0
    assert found.coverage == 0.25


def test_equal_distributions_have_the_density_and_coverage_expected():
    """Over 20 pairs of sets; the bounds are four standard errors of their own scatter."""
    found = np.array(
        [density_coverage(real=a, fake=b) for a, b in RANDOM.normal(size=(20, 2, 300, 4))]
    )
    error = found.std(axis=0, ddof=1) / np.sqrt(20)
    assert error[1] < 0.01
    difference = found.mean(axis=0) - [1.0, expected_coverage(300, 300)]
    assert (np.abs(difference) < 4 * error).all()


@pytest.mark.parametrize("number", [-5, 100.5, np.nan, np.inf, "100"])
def test_a_number_of_images_that_cannot_be_is_refused(number):
    for name, numbers in (("num_fake", (10, number)), ("num_real", (number, 10))):
        sentence = re.escape(f"{name} is {number!r}; it must be a whole number, at least 1")
        with pytest.raises(ValueError, match=sentence):
            expected_coverage(*numbers, 1)


def test_known_neighbours_change_nothing():
    real, fake = PAIRS["shifted"]
    near = squared_neighbour_distances(real, 7)
    assert ours(real, fake, 3, real_neighbours=near) == ours(real, fake, 3)


@pytest.mark.parametrize("function", [precision_recall, density_coverage])
@pytest.mark.parametrize(
    ("real", "fake", "k", "message"),
    [
        (np.ones((5, 2)), np.ones((9, 2)), 5, r"k is 5, but real has 5 row\(s\)"),
        (np.ones((5, 2)), np.ones((9, 2)), 0, "k is 0; it must be a whole number"),
        (np.ones((5, 2)), np.ones((9, 2)), 1.5, "k is 1.5; it must be a whole number"),
        (np.ones((5, 2)), np.ones((9, 3)), 1, "real has 2 features per row and fake has 3"),
        (np.ones((0, 2)), np.ones((9, 2)), 1, r"real has the shape \(0, 2\)"),
        (np.ones((5, 2)), np.full((9, 2), np.inf), 1, "fake has 18 values that are not finite"),
    ],
)
def test_what_cannot_be_computed_is_refused(function, real, fake, k, message):
    with pytest.raises(ValueError, match=message):
        function(real=real, fake=fake, k=k)


def test_recall_needs_neighbours_among_the_fakes():
    with pytest.raises(ValueError, match="k is 3, but fake has 3"):
        precision_recall(real=np.ones((5, 2)), fake=np.ones((3, 2)))
    assert density_coverage(real=np.ones((9, 2)), fake=np.ones((3, 2))).coverage == 1.0


@pytest.mark.parametrize(
    ("num_real", "num_fake", "k", "expected"),
    # Of n + m equal points, a ball to the k-th of n − 1 neighbours is empty if the nearest k of
    # all n + m − 1 others are real.
    [(3, 2, 1, 1 - 2 / 4), (3, 2, 2, 1 - (2 / 4) * (1 / 3)), (6, 4, 2, 1 - (5 / 9) * (4 / 8))],
)
def test_expected_coverage_of_few_points_is_counted_by_hand(num_real, num_fake, k, expected):
    assert expected_coverage(num_real, num_fake, k) == pytest.approx(expected, rel=1e-12)
