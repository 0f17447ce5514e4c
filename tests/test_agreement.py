import jax
import numpy as np
import pytest
from scipy.cluster.hierarchy import cophenet, fcluster, linkage
from scipy.spatial.distance import pdist, squareform
from scipy.stats import spearmanr
from sklearn.metrics import adjusted_rand_score

from magan_jax import analyze
from magan_jax.latent.agreement import compare_geometries, correlate_with
from magan_jax.latent.clustering import LINKAGES


def geometries(noise, count=5, classes=10, dimensions=20):
    random = np.random.default_rng(1)
    centre = random.normal(size=(classes, dimensions))
    return [
        squareform(pdist(centre + noise * random.normal(size=centre.shape))) for _ in range(count)
    ]


@pytest.fixture(scope="module")
def alike():
    return geometries(noise=0.5)


def test_every_pair_equals_scipy_and_scikit_learn(alike):
    found = compare_geometries(alike, num_clusters=4, num_permutations=0)
    upper = np.triu_indices(10, 1)
    for i, a in enumerate(alike):
        for j, b in enumerate(alike):
            assert found.distance.pairs[i, j] == pytest.approx(spearmanr(a[upper], b[upper])[0])
            nearest = [np.argmin(x + 99 * np.eye(10), axis=1) for x in (a, b)]
            assert found.nearest.pairs[i, j] == pytest.approx(np.mean(nearest[0] == nearest[1]))
            for method in LINKAGES:
                trees = [linkage(squareform(x), method) for x in (a, b)]
                heights = [cophenet(tree) for tree in trees]
                flats = [fcluster(tree, 4, "maxclust") for tree in trees]
                assert found.cophenetic[method].pairs[i, j] == pytest.approx(spearmanr(*heights)[0])
                assert found.clusters[method].pairs[i, j] == pytest.approx(
                    adjusted_rand_score(*flats)
                )


def test_mean_is_that_of_different_generators_with_an_interval_over_them(alike):
    found = compare_geometries(alike, num_permutations=0).distance
    different = found.pairs[np.triu_indices(5, 1)]
    assert found.mean == pytest.approx(different.mean())
    without = [
        np.delete(np.delete(found.pairs, i, 0), i, 1)[np.triu_indices(4, 1)].mean()
        for i in range(5)
    ]
    variance = 0.8 * np.sum((without - np.mean(without)) ** 2) + different.var(ddof=1) / 10
    reach = 2.7764451 * np.sqrt(variance)  # Student's t, 4 degrees of freedom
    assert found.mean - found.low == pytest.approx(reach)
    assert found.high == pytest.approx(min(1, found.mean + reach))
    assert np.isnan(compare_geometries(alike[:2], num_permutations=0).distance.low)


def test_pairs_that_are_all_equally_alike_show_no_interval():
    """Three times the same geometry: alike, but how much the next would differ is not seen."""
    same = compare_geometries(geometries(noise=0.0, count=3), num_permutations=0)
    for likeness in (same.distance, same.nearest, *same.clusters.values()):
        assert likeness.mean == pytest.approx(1)
        assert np.isnan([likeness.low, likeness.high]).all()


def test_two_groups_of_equal_size_do_not_look_certain():
    """Each generator left out leaves the same mean: a jackknife alone would see no error."""
    random = np.random.default_rng(0)
    a, b = (squareform(pdist(random.normal(size=(8, 5)))) for _ in range(2))
    found = compare_geometries([a, a, b, b], num_permutations=0).distance
    assert found.low < found.mean - 0.2


def test_shared_geometry_is_seen_and_chance_is_not():
    shared = compare_geometries(geometries(0.5), num_permutations=199)
    for likeness in (shared.distance, shared.nearest, shared.cophenetic["average"]):
        assert likeness.p_value == pytest.approx(1 / 200)
        assert likeness.mean > likeness.chance + 0.2
    assert shared.nearest.chance == pytest.approx(1 / 9, abs=0.02)
    assert abs(shared.distance.chance) < 0.02


def test_p_values_are_uniform_where_nothing_is_shared():
    random = np.random.default_rng(0)
    p_values = []
    for trial in range(200):
        unrelated = [squareform(pdist(random.normal(size=(8, 5)))) for _ in range(3)]
        found = compare_geometries(unrelated, num_permutations=39, seed=trial)
        p_values.append((found.distance.p_value, found.clusters["ward"].p_value))
    rejected = np.mean(np.array(p_values) <= 0.1, axis=0)
    assert (rejected < 0.17).all()  # 0.1 expected; 0.17 is 3.3 standard deviations of 200 trials
    assert rejected[0] > 0.04


def test_a_renamed_copy_is_not_taken_for_agreement(alike):
    order = np.roll(np.arange(10), 3)
    found = compare_geometries([alike[0], alike[0][order][:, order]], num_permutations=99)
    assert found.distance.mean < 0.5
    assert found.distance.pairs[0, 1] == found.distance.pairs[1, 0]
    same = compare_geometries([alike[0], alike[0]], num_permutations=99)
    assert same.distance.mean == pytest.approx(1)
    assert same.clusters["single"].mean == pytest.approx(1)


def test_classes_without_statistics_anywhere_are_left_out(alike):
    broken = alike[1].copy()
    broken[3] = broken[:, 3] = np.nan
    found = compare_geometries([alike[0], broken, alike[2]], num_permutations=0)
    assert list(found.classes) == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    kept = np.ix_(found.classes, found.classes)
    again = compare_geometries([alike[i][kept] for i in range(3)], num_permutations=0)
    np.testing.assert_allclose(found.distance.pairs, again.distance.pairs)


def test_analyses_may_stand_for_their_distances():
    templates = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    analyses = [
        analyze(
            jax.random.key(s), lambda z: z, lambda x: x @ templates.T,
            latent_dim=6, num_classes=4, num_samples=500, num_permutations=0,
        )
        for s in (0, 1)
    ]  # fmt: skip
    found = compare_geometries(analyses, num_permutations=9)
    expected = compare_geometries([one.distance for one in analyses], num_permutations=9)
    np.testing.assert_array_equal(found.distance.pairs, expected.distance.pairs)


HOLED = np.ones((4, 4))
HOLED[0, 1] = HOLED[1, 0] = np.nan


@pytest.mark.parametrize(
    ("distances", "sentence"),
    [
        ([np.zeros((4, 4))], "two or more matrices"),
        ([np.zeros((4, 4)), np.zeros((5, 5))], "of one size"),
        ([np.full((4, 4), np.nan), np.zeros((4, 4))], "needs at least 3"),
        ([np.zeros(4), np.zeros(4)], "two or more matrices"),
        ([np.zeros((4, 3)), np.zeros((4, 3))], "two or more matrices"),
        ([HOLED, np.ones((4, 4))], "2 distances of classes that have others are not finite"),
        ([np.ones((4, 4)), np.arange(16.0).reshape(4, 4)], "distances are not symmetric"),
        ([np.ones((4, 4)), -np.ones((4, 4))], "distances go down to -1; none can be below 0"),
    ],
)
def test_what_cannot_be_compared_is_refused(distances, sentence):
    with pytest.raises(ValueError, match=sentence):
        compare_geometries(distances)


def test_correlation_with_another_geometry_is_spearmans(alike):
    upper = np.triu_indices(10, 1)
    found = correlate_with(alike, alike[4])
    for value, matrix in zip(found, alike, strict=True):
        assert value == pytest.approx(spearmanr(matrix[upper], alike[4][upper])[0])
    assert np.isnan(correlate_with([np.full((4, 4), np.nan)], np.zeros((4, 4))))[0]


@pytest.mark.parametrize("settings", [{"num_clusters": 0}, {"num_permutations": 2.5}, {"seed": -1}])
def test_numbers_that_cannot_be_are_refused(settings):
    with pytest.raises(ValueError, match=f"{next(iter(settings))} is .*; it must be a whole num"):
        compare_geometries([np.ones((4, 4))] * 2, **settings)
