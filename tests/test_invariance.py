import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import three_with_one_missing

from magan_jax import analyze, measure_invariance
from magan_jax.latent import invariance as module

KEY = jax.random.key(0)


def identity(z):
    return z


def test_exits_of_half_spaces(half_spaces):
    found = measure_invariance(
        KEY,
        identity,
        three_with_one_missing,
        half_spaces,
        num_directions=400,
        upper=2.0,
        tolerance=1e-4,
    )
    exact = half_spaces.mean[0, 0] / half_spaces.std[0, 0]
    assert found.plus_censored[0]
    np.testing.assert_allclose(found.minus[0], exact, atol=2e-4)
    # Only the sign of the first dimension matters: half of all random directions leave.
    leaving = ~found.random_censored[:2]
    assert abs(leaving.mean() - 0.5) < 0.1
    np.testing.assert_allclose(found.random[0][leaving[0]], exact, atol=2e-4)
    np.testing.assert_allclose(found.measured[0], exact, atol=2e-4)
    assert found.prototype_label.tolist() == [0, 1, -1]
    for array in (found.plus, found.minus, found.measured, found.measured_interval.low):
        assert np.isnan(array[2])
    assert np.isnan(found.random[2]).all()
    assert not found.random_censored[2].any()


def test_a_short_excursion_along_sigma_is_an_exit():
    def classify(x):
        """The second class is a thin slab near the mean of the first, and what lies far away."""
        away = ((x[:, 0] > 0.30) & (x[:, 0] < 0.33)) | (x[:, 0] > 2) | (x[:, 0] < -2.5)
        return jnp.stack([jnp.zeros(len(x)), jnp.where(away, 1.0, -1.0)], axis=-1)

    analysis = analyze(KEY, identity, classify, latent_dim=2, num_classes=2, num_samples=2000)
    at_zero = analysis._replace(mean=analysis.mean * 0, std=np.ones_like(analysis.std))
    found = measure_invariance(KEY, identity, classify, at_zero, num_directions=8, upper=3.0)
    np.testing.assert_allclose([found.plus[0], found.minus[0]], [0.30, 2.5], atol=1.1e-3)


@pytest.mark.parametrize("n", [100, 256, 4096])
def test_quantile_interval_covers_the_true_quantile(n):
    random = np.random.default_rng(0)
    values = np.sort(random.random((4000, n)), axis=1)
    low, rank, high = module._quantile_ranks(n, 0.05)
    bottom = values[:, low] if low is not None else 0.0
    covered = (bottom <= 0.05) & (values[:, high] >= 0.05)
    assert 0.94 <= covered.mean() <= 0.99
    assert abs(values[:, rank].mean() - 0.05) < 1 / n + 1e-3


def test_few_directions_have_open_intervals():
    assert module._quantile_ranks(5, 0.05) == (None, 0, 1)  # P(B ≤ 1) = 0.977
    assert module._quantile_ranks(1, 0.05) == (None, 0, None)


def test_a_missing_class_changes_nothing_for_the_others(half_spaces):
    def two(x):
        return three_with_one_missing(x)[:, :2]

    without = analyze(KEY, identity, two, latent_dim=4, num_classes=2, num_samples=4000)
    settings = {"num_directions": 20, "tolerance": 1e-3}
    found = measure_invariance(KEY, identity, three_with_one_missing, half_spaces, **settings)
    np.testing.assert_array_equal(
        found.random[:2], measure_invariance(KEY, identity, two, without, **settings).random
    )


def test_directions_must_be_some(half_spaces):
    with pytest.raises(ValueError, match="num_directions is 0"):
        measure_invariance(KEY, identity, identity, half_spaces, num_directions=0)
