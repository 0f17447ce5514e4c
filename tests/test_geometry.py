import itertools

import numpy as np
import pytest
from scipy.spatial.distance import cdist, pdist, squareform
from scipy.stats import permutation_test
from scipy.stats import t as student_t

from magan_jax.latent.geometry import (
    Interval,
    geometry,
    jackknife,
    permutation_p_values,
    root,
    root_interval,
    squared_distances,
)
from magan_jax.latent.moments import Moments, merge_all

MEANS = np.array([[0.0, 0, 0, 0], [3, 0, 0, 0], [3, 1, 0, 0], [0, 0, 0.5, 0]])
SIGMA = np.array([1.0, 2.0, 0.5, 1.5])


def draw(random, sizes, parts=20):
    """Moments `[parts, K]` of Gaussian classes with the means and scales above."""
    count = np.zeros((parts, 4))
    mean, scatter = np.zeros((parts, 4, 4)), np.zeros((parts, 4, 4))
    for k, n in enumerate(sizes):
        z = MEANS[k] + SIGMA[k] * random.normal(size=(n, 4))
        for r in range(parts):
            rows = z[r::parts]
            count[r, k] = len(rows)
            if len(rows):
                mean[r, k], scatter[r, k] = rows.mean(0), ((rows - rows.mean(0)) ** 2).sum(0)
    return Moments(count, mean, scatter)


def test_distances_nearest_and_epsilon_by_hand():
    moments = Moments(np.full(4, 11.0), MEANS, np.ones((4, 4)) * 10 * SIGMA[:, None] ** 2)
    found = geometry(moments)
    np.testing.assert_allclose(found.distance, squareform(pdist(MEANS)))
    np.testing.assert_allclose(found.spread, 2 * SIGMA)
    np.testing.assert_array_equal(found.nearest, [3, 2, 1, 0])
    np.testing.assert_allclose(found.nearest_distance, [0.5, 1, 1, 0.5])
    wanted = 9 - (2 * 1.0) ** 2 / 11 - (2 * 2.0) ** 2 / 11
    np.testing.assert_allclose(found.squared_debiased[0, 1], wanted)
    assert found.squared_debiased[0, 3] < 0
    assert root(found.squared_debiased)[0, 3] == 0


def test_debiased_square_has_the_expectation_of_infinite_samples():
    random = np.random.default_rng(0)
    sizes = (12, 40, 7, 25)
    squares = np.array(
        [geometry(merge_all(draw(random, sizes, parts=1))).squared_debiased for _ in range(4000)]
    )
    truth = squareform(pdist(MEANS)) ** 2
    error = squares.mean(0) - truth
    standard_error = squares.std(0) / np.sqrt(len(squares))
    off = ~np.eye(4, dtype=bool)
    assert (np.abs(error[off]) < 4 * standard_error[off]).all()
    plain = np.array(
        [geometry(merge_all(draw(random, sizes, parts=1))).distance ** 2 for _ in range(300)]
    )
    assert ((plain.mean(0) - truth)[off] > 0.3).all()  # what is taken out is not small


def means_of(kind, random):
    """400 means in 30 dimensions: some much nearer to each other than to their centre."""
    means = random.normal(size=(400, 30))
    if kind == "far from zero":
        return means * 1e-3 + 1e4
    if kind == "pairs":
        means[1::2] = means[::2] + 10.0 ** -np.arange(2, 12).repeat(20)[:, None]
    if kind == "two heaps":
        means = 1e-6 * means + np.arange(400)[:, None] % 2
    if kind == "equal":
        means[100:] = means[0]
    return means


@pytest.mark.parametrize("kind", ["spread", "far from zero", "pairs", "two heaps", "equal"])
def test_distances_from_products_equal_those_from_differences(kind):
    means = means_of(kind, np.random.default_rng(5))
    found = squared_distances(means)
    np.testing.assert_allclose(found, cdist(means, means, "sqeuclidean"), rtol=1e-10)
    np.testing.assert_array_equal(found, found.T)
    np.testing.assert_array_equal(np.diag(found), 0)


def test_many_classes_with_missing_ones():
    means = means_of("spread", np.random.default_rng(6))
    count = np.full(400, 9.0)
    count[[3, 70, 399]] = 1, 0, 0
    found = geometry(Moments(count, means, np.ones((400, 30))))
    there = count >= 2
    distance = cdist(means[there], means[there])
    np.testing.assert_allclose(found.distance[np.ix_(there, there)], distance)
    np.testing.assert_array_equal(np.isnan(found.distance), ~np.outer(there, there))
    np.fill_diagonal(distance, np.inf)
    np.testing.assert_array_equal(found.nearest[there], np.flatnonzero(there)[distance.argmin(1)])
    np.testing.assert_allclose(found.nearest_distance[there], distance.min(1))
    np.testing.assert_array_equal(found.nearest[~there], -1)


def test_missing_classes_take_part_in_nothing():
    moments = Moments(np.array([5.0, 1, 5, 0]), MEANS, np.ones((4, 4)))
    found = geometry(moments)
    np.testing.assert_array_equal(found.nearest, [2, -1, 0, -1])
    assert np.isnan(found.distance[1]).all()
    assert np.isnan(found.distance[:, 3]).all()
    assert np.isfinite(found.distance[0, 2])
    alone = geometry(moments._replace(count=np.array([5.0, 1, 1, 0])))
    np.testing.assert_array_equal(alone.nearest, -1)
    assert np.isnan(alone.nearest_distance).all()


def test_jackknife_of_a_mean_is_the_t_interval():
    from scipy.stats import t

    random = np.random.default_rng(1)
    values = random.normal(size=20)
    parts = Moments(np.ones((20, 1)), values.reshape(20, 1, 1), np.zeros((20, 1, 1)))
    found = jackknife(lambda m: m.mean[0], parts)
    reach = t.ppf(0.975, 19) * values.std(ddof=1) / np.sqrt(20)
    np.testing.assert_allclose(
        [found.low[0], found.high[0]], [values.mean() - reach, values.mean() + reach]
    )


def test_jackknife_of_several_statistics_at_once():
    parts = draw(np.random.default_rng(7), (100, 200, 80, 1))  # the last class is too small
    found = jackknife(lambda m: geometry(m)._asdict(), parts)
    for name in ("distance", "squared_debiased", "nearest_distance"):
        without = np.array(
            [getattr(geometry(merge_all(parts, 1.0 - np.eye(20)[r])), name) for r in range(20)]
        )
        reach = student_t.ppf(0.975, 19) * np.sqrt(19 / 20 * 20 * without.var(0))
        value = getattr(geometry(merge_all(parts)), name)
        np.testing.assert_allclose(found[name].low, value - reach, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(found[name].high, value + reach, rtol=1e-9, atol=1e-9)


def test_jackknife_intervals_of_debiased_squares_cover_the_truth():
    random = np.random.default_rng(2)
    truth = squareform(pdist(MEANS)) ** 2
    covered = []
    for _ in range(300):
        found = jackknife(lambda m: geometry(m).squared_debiased, draw(random, (100, 200, 80, 120)))
        covered.append((found.low <= truth) & (truth <= found.high))
    rate = np.mean(covered, axis=0)[~np.eye(4, dtype=bool)]
    assert (rate > 0.88).all(), rate
    assert rate.mean() < 0.99  # not merely wide


def test_jackknife_intervals_of_a_smallest_distance_are_not_too_narrow():
    """For a second analysis, √2 times as wide, as the claims use them: 95 % or more."""
    random = np.random.default_rng(3)
    weights = random.normal(size=(6, 30)) / 3

    def of_classes():
        z = random.normal(size=(600, 30))
        label = np.argmax(z @ weights.T + random.normal(size=(600, 6)), axis=1)
        chosen = np.eye(6)[label].reshape(20, 30, 6)  # parts, rows, classes
        z = z.reshape(20, 30, 30)
        count = chosen.sum(1)
        mean = np.einsum("rnk,rnd->rkd", chosen, z) / np.maximum(count, 1)[..., None]
        scatter = np.einsum("rnk,rnd->rkd", chosen, z**2) - count[..., None] * mean**2
        return Moments(count, mean, scatter)

    def nearest(moments):
        return geometry(moments).nearest_distance

    covered = []
    for _ in range(150):
        first, second = of_classes(), of_classes()
        found, value = jackknife(nearest, first), nearest(merge_all(first))
        reach = np.sqrt(2) * (found.high - value)
        covered.append(np.abs(nearest(merge_all(second)) - value) <= reach)
    assert 0.95 < np.mean(covered) < 1, np.mean(covered)


def p_value_of(distance, means, count=(3, 3), spread=(1, 1), permuted_spread=None):
    matrix = np.array([[0, distance], [distance, 0]])
    means = np.asarray(means, np.float64)
    own = np.ones(means.shape[:2]) if permuted_spread is None else np.asarray(permuted_spread)
    return permutation_p_values(matrix, np.array(spread), np.array(count), means, own)


def test_p_values_count_exceedances_in_units_of_noise():
    permuted = [[[0.0], [d]] for d in (1, 2, 3)]
    found = p_value_of(2.0, permuted)
    assert found[0, 1] == found[1, 0] == (1 + 2) / (1 + 3)
    assert np.isnan(np.diag(found)).all()
    assert p_value_of(2.0, permuted, spread=(2, 2))[0, 1] == 1.0
    wide = np.array([[4.0, 4.0]] * 3)
    assert p_value_of(2.0, permuted, permuted_spread=wide)[0, 1] == 1 / 4
    assert np.isnan(p_value_of(2.0, np.zeros((0, 2, 1)))).all()


def test_a_tie_with_the_identity_survives_rounding():
    assert p_value_of(1 / 3, np.float32([[[0.0], [1 / 3]]]))[0, 1] == 1.0


def test_p_values_agree_with_scipys_permutation_test():
    random = np.random.default_rng(3)
    z, labels = random.normal(size=7), np.array([0, 0, 0, 1, 1, 1, 1])
    z[labels == 1] = 2 * z[labels == 1] + 1.5

    def welch(a, b):
        return abs(a.mean() - b.mean()) / np.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))

    exact = permutation_test(
        (z[labels == 0], z[labels == 1]), welch, vectorized=False, alternative="greater"
    ).pvalue
    groups = [
        (z[list(chosen)], z[[i for i in range(7) if i not in chosen]])
        for chosen in itertools.combinations(range(7), 3)
    ]
    means = np.array([[[a.mean()], [b.mean()]] for a, b in groups])
    spreads = np.array([[a.std(ddof=1), b.std(ddof=1)] for a, b in groups])
    drawn = random.integers(0, len(groups), 20_000)
    found = p_value_of(
        abs(z[labels == 0].mean() - z[labels == 1].mean()), means[drawn], count=(3, 4),
        spread=(z[labels == 0].std(ddof=1), z[labels == 1].std(ddof=1)),
        permuted_spread=spreads[drawn],
    )  # fmt: skip
    assert found[0, 1] == pytest.approx(exact, abs=0.015)


def test_interval_of_a_distance_is_never_a_certain_zero():
    found = root_interval(Interval(np.array([-3.0]), np.array([-1.0])), np.array([-2.0]))
    np.testing.assert_allclose([found.low[0], found.high[0]], [0, 1])
    found = root_interval(Interval(np.array([3.0]), np.array([5.0])), np.array([4.0]))
    np.testing.assert_allclose([found.low[0], found.high[0]], [np.sqrt(3), np.sqrt(5)])


def test_a_rare_class_does_not_spoil_the_debiased_distance_of_others():
    """The minimum of D² would pick the class with three draws, whose D² is mostly noise."""
    random = np.random.default_rng(4)
    count = np.array([300.0, 300, 300, 3])
    centres = 1.2 * np.eye(100)[:4] / np.sqrt(2)  # all pairs 1.2 apart
    debiased, minimum = [], []
    for _ in range(200):
        mean = centres + random.normal(size=(4, 100)) / np.sqrt(count)[:, None]
        found = geometry(Moments(count, mean, np.ones((4, 100)) * (count - 1)[:, None]))
        debiased.append(found.nearest_squared_debiased[0])
        minimum.append(np.delete(found.squared_debiased[0], 0).min())
    assert abs(np.mean(debiased) - 1.2**2) < 0.25
    assert np.mean(minimum) < 0.5
