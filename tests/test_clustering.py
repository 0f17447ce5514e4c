import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import pdist, squareform
from sklearn.manifold import ClassicalMDS
from sklearn.metrics import adjusted_rand_score

from magan_jax import analyze, cluster
from magan_jax.latent import clustering
from magan_jax.latent.clustering import LINKAGES, _bootstrap_means, members_of_merges, merge_support
from magan_jax.latent.geometry import Interval
from magan_jax.latent.moments import Moments

CENTRES = np.array([[9.0, 0], [9.6, 0], [-9, 0], [-9.7, 0], [0, 9], [0, 9.8]])
GROUPS = [0, 0, 1, 1, 2, 2]


def nearest_centre(x):
    return -jnp.sum((x[:, None] - jnp.array(CENTRES)) ** 2, axis=-1)


def around_centres(key, n):
    which, noise = jax.random.split(key)
    centre = jax.random.randint(which, (n,), 0, 6)
    return jnp.array(CENTRES)[centre] + 0.05 * jax.random.normal(noise, (n, 2))


@pytest.fixture(scope="module")
def separated():
    return analyze(
        jax.random.key(0),
        lambda z: z,
        nearest_centre,
        latent_dim=2,
        num_classes=6,
        num_samples=1200,
        prior=around_centres,
    )


def test_three_clusters_by_every_linkage(separated):
    found = cluster(separated)
    assert set(found.dendrograms) == set(LINKAGES)
    for dendrogram in found.dendrograms.values():
        assert adjusted_rand_score(GROUPS, dendrogram.flat) == 1
        np.testing.assert_array_equal(dendrogram.support[:3], 1)  # the three pairs
        assert dendrogram.cophenetic > 0.9
        low, high = dendrogram.cophenetic_interval
        assert low <= dendrogram.cophenetic <= high < low + 0.05
    assert adjusted_rand_score(GROUPS, found.map_flat) == 1


def test_map_keeps_distances_that_fit_the_plane(separated):
    found = cluster(separated)
    between = np.linalg.norm(found.map[:, None] - found.map[None], axis=-1)
    np.testing.assert_allclose(between, separated.distance, atol=0.05)
    assert found.map_stress < 1e-3
    np.testing.assert_array_equal(found.map, cluster(separated).map)


def test_support_counts_dendrograms_with_the_same_set():
    line = np.array([[0.0], [1], [10], [12]])
    other = np.array([[0.0], [10], [1], [12]])
    merges = linkage(line, "average")
    assert members_of_merges(merges) == [{0, 1}, {2, 3}, {0, 1, 2, 3}]
    found = merge_support(merges, [merges, linkage(other, "average"), merges])
    np.testing.assert_allclose(found, [2 / 3, 2 / 3, 1])


def test_noise_has_little_support():
    def by_hash(x):
        return jnp.sin(
            1000 * x @ jnp.array(np.random.default_rng(0).normal(size=(8, 6)), jnp.float32)
        )

    noise = analyze(
        jax.random.key(1), lambda z: z, by_hash, latent_dim=8, num_classes=6, num_samples=2000
    )
    support = cluster(noise).dendrograms["average"].support
    assert support[:-1].max() < 0.9
    assert support[-1] == 1  # all classes together, always


def test_too_few_classes_are_refused(separated):
    few = separated._replace(counts=np.array([5, 5, 0, 0, 1, 0]))
    with pytest.raises(ValueError, match=r"2 class\(es\) have two or more latents"):
        cluster(few)
    three = cluster(separated._replace(counts=np.array([5, 5, 0, 0, 2, 0])), num_bootstrap=0)
    np.testing.assert_array_equal(three.classes, [0, 1, 4])
    with pytest.raises(ValueError, match="num_clusters is 7"):
        cluster(separated, num_clusters=7)


@pytest.mark.parametrize(
    "settings", [{"num_clusters": 2.5}, {"num_clusters": True}, {"num_bootstrap": -5}, {"seed": -1}]
)
def test_what_is_no_whole_number_is_refused(separated, settings):
    ((name, value),) = settings.items()
    with pytest.raises(ValueError, match=f"{name} is {value}; it must be a whole number, at"):
        cluster(separated, **settings)


def test_no_bootstrap_is_no_support(separated):
    found = cluster(separated, num_bootstrap=0)
    assert all(np.isnan(d.support).all() for d in found.dendrograms.values())


def test_no_coefficient_s_interval_goes_beyond_one(separated, monkeypatch):
    beyond = Interval(np.array(-1.7), np.array(1.37))
    monkeypatch.setattr(clustering, "jackknife", lambda *_: beyond)
    for dendrogram in cluster(separated, num_bootstrap=2).dendrograms.values():
        assert [float(end) for end in dendrogram.cophenetic_interval] == [-1.0, 1.0]


@pytest.mark.parametrize("seed", range(40))
def test_means_on_a_line_have_a_map(seed):
    """Rounding leaves their second principal axis with a length below nought, half of the time."""
    means = np.random.default_rng(seed).normal(size=(3, 1))
    position, stress = clustering.scale_to_plane(squareform(pdist(means)))
    assert np.isfinite(position).all()
    np.testing.assert_allclose(pdist(position), pdist(means), atol=1e-6)
    assert stress < 1e-6


def test_the_map_starts_from_the_classical_one():
    """Beside scikit-learn's, but for the direction of each axis."""
    distance = squareform(pdist(np.random.default_rng(1).normal(size=(7, 4))))
    expected = ClassicalMDS(n_components=2, metric="precomputed").fit_transform(distance)
    found = clustering._classical_places(distance)
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-9)


def test_a_bootstrap_draws_every_part_alike_with_replacement():
    """Part p has its mean at 1 in dimension p: in a sample's mean is how often p was drawn, of P.

    Drawn P times with probability 1/P each, that share has mean 1/P and variance (P − 1)/P³.
    """
    parts, samples = 6, 3000
    replicates = Moments(
        np.full((parts, 1), 5), np.eye(parts)[:, None], np.zeros((parts, 1, parts))
    )
    found = _bootstrap_means(replicates, np.array([0]), samples, 0)[:, 0]
    variance = (parts - 1) / parts**3
    np.testing.assert_allclose(found.mean(0), 1 / parts, atol=4 * np.sqrt(variance / samples))
    np.testing.assert_allclose(found.var(0), variance, rtol=0.15)
