import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magan_jax import analyze, cluster, measure_purity
from magan_jax.claims import MAP_CLUSTERS, WARD_CLUSTERS, check_claims
from magan_jax.data import DATASETS

NAMES = DATASETS["fashion_mnist"].class_names
KEY = jax.random.key(0)


def identity(z):
    return z


def study(classify, latent_dim=12, num_samples=3000, scale=1.0, prior=None):
    analysis = analyze(
        KEY,
        identity,
        classify,
        latent_dim=latent_dim,
        num_classes=10,
        num_samples=num_samples,
        prior=prior,
    )
    purity = measure_purity(
        KEY, identity, classify, analysis, scale * analysis.epsilon, num_shifts=200
    )
    return analysis, cluster(analysis), purity


def claims_of(*found, dataset="fashion_mnist"):
    return {c.claim: c for c in check_claims(dataset, *found, NAMES)}


def largest(x):
    return x[:, :10]


def paper_clusters(x):
    """Classes around centres that group exactly as the paper's map does."""
    return -jnp.sum((x[:, None] - jnp.array(CENTRES)) ** 2, axis=-1)


CENTRES = np.zeros((10, 2), np.float32)
for number, members in enumerate(MAP_CLUSTERS):
    for rank, k in enumerate(members):
        angle = 2 * np.pi * (number + 0.06 * rank) / 3
        CENTRES[k] = 10 * np.cos(angle), 10 * np.sin(angle)


def around(key, n):
    which, noise = jax.random.split(key)
    centre = jnp.array(CENTRES)[jax.random.randint(which, (n,), 0, 10)]
    return centre + 0.02 * jax.random.normal(noise, (n, 2))


def test_true_claims_hold():
    found = claims_of(*study(largest, scale=0.01))
    assert found["each class mean generates an image of its own class"].holds is True
    assert found["each class mean generates an image of its own class"].ours == "10 of 10"
    invariance = found["every shift within ε·σ of the mean keeps the class"]
    assert invariance.holds is True
    assert invariance.high == 1.0
    assert invariance.low == pytest.approx(0.025 ** (1 / 200), rel=1e-6)  # 200 of 200


def test_false_claims_fail_with_their_reason():
    found = claims_of(*study(largest, scale=20.0))
    invariance = found["every shift within ε·σ of the mean keeps the class"]
    assert invariance.holds is False
    assert "kept less often" in invariance.reason
    distance = found["d(T-shirt/top, trousers) = 2.26"]
    assert distance.holds is bool(distance.low <= 2.26 <= distance.high)
    assert "from sampling noise alone" in distance.reason


def test_the_papers_own_clusters_are_recognised():
    analysis, clustering, purity = study(paper_clusters, latent_dim=2, prior=around)
    found = claims_of(analysis, clustering, purity)
    assert found["three clusters by the map (MDS)"].holds is True
    assert "index with the paper's clusters 1.00" in found["three clusters by the map (MDS)"].reason
    assert found["three clusters by Ward linkage"].holds is False


def test_clusters_are_partitions_of_the_ten_classes():
    for clusters in (WARD_CLUSTERS, MAP_CLUSTERS):
        assert sorted(k for members in clusters for k in members) == list(range(10))


def test_too_few_latents_leave_claims_open_or_failed_but_never_nan():
    analysis = analyze(KEY, identity, largest, latent_dim=12, num_classes=10, num_samples=4)
    purity = measure_purity(KEY, identity, largest, analysis, analysis.epsilon, num_shifts=5)
    found = claims_of(analysis, None, purity)
    assert found["d(T-shirt/top, trousers) = 2.26"].holds is None
    for claim in found.values():
        text = f"{claim.ours} {claim.reason}"
        assert "nan" not in text, claim
        assert claim.low is None or np.isfinite(claim.low)


def test_claims_are_about_fashion_mnist_only():
    assert check_claims("mnist", *study(largest), NAMES) == []
