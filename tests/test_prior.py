from typing import get_args

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magan_jax.prior import PRIORS, ClusterPrior, MixturePrior, PriorName, standard_normal

KEY = jax.random.key(0)
N = 20_000


def draw(prior):
    return np.asarray(prior(KEY, N), np.float64)


def test_the_names_of_a_configuration_are_those_of_the_table():
    assert get_args(PriorName) == tuple(PRIORS)


@pytest.mark.parametrize("name", PRIORS)
def test_priors_give_rows_of_the_dimension_and_are_found_again_by_caches(name):
    prior = PRIORS[name](12, 4)
    chex.assert_shape(prior(KEY, 5), (5, 12))
    assert prior(KEY, 5).dtype == jnp.float32
    again = PRIORS[name](12, 4)
    assert prior == again
    assert hash(prior) == hash(again)
    assert prior != PRIORS[name](13, 4)


def test_normal_is_the_standard_normal():
    chex.assert_trees_all_equal(PRIORS["normal"](6, 10)(KEY, 3), standard_normal(6)(KEY, 3))
    chex.assert_trees_all_equal(standard_normal(6)(KEY, 3), jax.random.normal(KEY, (3, 6)))


def test_cluster_is_small_noise_beside_one_hot_clusters():
    z = draw(PRIORS["cluster"](7, 4))
    noise, hot = z[:, :3], z[:, 3:]
    # Means and deviations of 20,000 draws: five standard errors.
    np.testing.assert_allclose(noise.mean(0), 0, atol=5 * 0.1 / np.sqrt(N))
    np.testing.assert_allclose(noise.std(0), 0.1, rtol=5 / np.sqrt(2 * N))
    np.testing.assert_array_equal(np.sort(hot, axis=1), [[0, 0, 0, 1]] * N)
    np.testing.assert_allclose(hot.mean(0), 0.25, atol=5 * np.sqrt(0.25 * 0.75 / N))
    # The cluster says nothing of the noise.
    for k in range(4):
        part = noise[hot[:, k] == 1]
        np.testing.assert_allclose(part.mean(0), 0, atol=5 * 0.1 / np.sqrt(len(part)))


def test_improved_recall_draws_the_hot_entry():
    trained, sampled = PRIORS["cluster"](7, 4), PRIORS["cluster_recall"](7, 4)
    z = draw(sampled)
    hot = z[:, 3:].sum(1)
    assert ((z[:, 3:] != 0).sum(1) == 1).all()
    assert hot.mean() == pytest.approx(1.1, abs=5 * 0.15 / np.sqrt(N))
    assert hot.std() == pytest.approx(0.15, rel=5 / np.sqrt(2 * N))
    # All else is as in training.
    np.testing.assert_array_equal(z[:, :3], draw(trained)[:, :3])
    np.testing.assert_array_equal(z[:, 3:] != 0, draw(trained)[:, 3:] != 0)


def test_mixture_is_noise_around_unit_vectors():
    prior = PRIORS["mixture"](6, 4)
    z = draw(prior)
    noise, cluster = (np.asarray(x) for x in prior.split(prior(KEY, N)))
    np.testing.assert_allclose(noise + np.eye(6)[cluster], z, atol=1e-6)
    np.testing.assert_allclose(np.bincount(cluster) / N, 0.25, atol=5 * np.sqrt(0.25 * 0.75 / N))
    np.testing.assert_allclose(noise.mean(0), 0, atol=5 * 0.1 / np.sqrt(N))
    np.testing.assert_allclose(noise.std(0), 0.1, rtol=5 / np.sqrt(2 * N))
    assert np.abs(noise).max() < 0.7  # no z was given to another component


def test_cluster_is_split_into_what_it_was_made_of():
    latents = np.array([[0.1, -0.2, 0, 1, 0], [0.3, 0.0, 1.3, 0, 0]], np.float32)
    prior = ClusterPrior(5, 3)
    continuous, cluster = prior.split(latents)
    np.testing.assert_array_equal(continuous, latents[:, :2])
    np.testing.assert_array_equal(cluster, [1, 0])
    assert prior.continuous_dim == 2
    assert MixturePrior(5, 3).continuous_dim == 5


@pytest.mark.parametrize(
    ("name", "latent_dim", "num_clusters"),
    [("cluster", 10, 10), ("cluster_recall", 3, 5), ("mixture", 9, 10), ("mixture", 3, 0)],
)
def test_too_few_dimensions_are_refused(name, latent_dim, num_clusters):
    with pytest.raises(ValueError, match=f"latent_dim is {latent_dim} and num_clusters"):
        PRIORS[name](latent_dim, num_clusters)


@pytest.mark.parametrize("name", ["cluster", "cluster_recall", "mixture"])
def test_a_latent_moves_to_another_cluster_with_all_else_it_has(name):
    prior = PRIORS[name](14, 5)
    latents = prior(KEY, 50)
    noise, cluster = prior.split(latents)
    there = prior.moved(latents, (cluster + 2) % 5)
    noise_there, found = prior.split(there)
    np.testing.assert_array_equal(found, (cluster + 2) % 5)
    np.testing.assert_allclose(noise_there, noise, atol=1e-6)
    if name != "mixture":  # one entry, of the value that it was drawn with
        np.testing.assert_array_equal(
            np.sort(there[:, 9:], axis=1), np.sort(latents[:, 9:], axis=1)
        )
    np.testing.assert_allclose(prior.moved(there, cluster), latents, atol=1e-6)
