import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import binomtest

from magan_jax import analyze, label_latents, labels_along_rays, measure_invariance, measure_purity
from magan_jax.latent import invariance as module

KEY = jax.random.key(0)


def identity(z):
    return z


def three_with_one_missing(x):
    return jnp.stack([x[:, 0], -x[:, 0], jnp.full(len(x), -100.0)], axis=-1)


@pytest.fixture(scope="module")
def half_spaces():
    return analyze(
        KEY, identity, three_with_one_missing, latent_dim=4, num_classes=3, num_samples=4000
    )


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


def test_purity_is_one_inside_and_known_outside(half_spaces):
    exact = half_spaces.mean[0, 0] / half_spaces.std[0, 0]
    inside = measure_purity(
        KEY,
        identity,
        three_with_one_missing,
        half_spaces,
        np.array([0.99, 0.99, np.nan]) * exact,
        num_shifts=500,
    )
    np.testing.assert_array_equal(inside.kept, [500, 500, 0])
    assert np.isnan(inside.fraction[2])
    assert np.isnan(inside.interval.low[2])
    # p ~ U[0, 2·exit]: half of the shifts against the class, and half of those too far.
    outside = measure_purity(
        KEY, identity, three_with_one_missing, half_spaces, np.full(3, 2.0) * exact, num_shifts=4000
    )
    np.testing.assert_allclose(outside.fraction[:2], 0.75, atol=0.03)
    assert (outside.interval.low[:2] < 0.75).all()
    assert (outside.interval.high[:2] > 0.75).all()


@pytest.mark.parametrize("kept", [0, 1, 17, 39, 40])
def test_clopper_pearson_equals_scipys_exact_interval(kept):
    low, high = module.clopper_pearson(np.array([kept]), 40)
    wanted = binomtest(kept, 40).proportion_ci(0.95, method="exact")
    np.testing.assert_allclose([low[0], high[0]], [wanted.low, wanted.high], rtol=1e-9)


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


def test_rays_show_the_label_on_both_sides(half_spaces):
    found = labels_along_rays(
        identity, three_with_one_missing, half_spaces, reach=2.0, num_points=9
    )
    exact = half_spaces.mean[:2, 0] / half_spaces.std[:2, 0]
    for k in range(2):
        wanted = np.where(half_spaces.mean[k, 0] + found.position * half_spaces.std[k, 0] > 0, 0, 1)
        np.testing.assert_array_equal(found.label[k], wanted)
    assert (found.label[2] == -1).all()
    assert np.isnan(found.confidence[2]).all()
    assert exact[0] > 0 > exact[1]


def test_labels_do_not_depend_on_batches_or_devices():
    z = np.random.default_rng(0).normal(size=(37, 4))
    wanted = np.where(z[:, 0] > 0, 0, 1)
    for changes in ({}, {"batch_size": 5}, {"num_devices": 1, "batch_size": 100}):
        found = label_latents(identity, three_with_one_missing, z, **changes)
        np.testing.assert_array_equal(found.label, wanted)
        np.testing.assert_allclose(
            found.confidence, 1 / (1 + np.exp(-2 * np.abs(z[:, 0]))), rtol=1e-5
        )


def test_a_missing_class_changes_nothing_for_the_others(half_spaces):
    def two(x):
        return three_with_one_missing(x)[:, :2]

    without = analyze(KEY, identity, two, latent_dim=4, num_classes=2, num_samples=4000)
    settings = {"num_directions": 20, "tolerance": 1e-3}
    found = measure_invariance(KEY, identity, three_with_one_missing, half_spaces, **settings)
    np.testing.assert_array_equal(
        found.random[:2], measure_invariance(KEY, identity, two, without, **settings).random
    )


def test_purities_are_those_inside_each_epsilon(half_spaces):
    exact = half_spaces.mean[0, 0] / half_spaces.std[0, 0]
    networks = identity, three_with_one_missing
    exits = measure_invariance(KEY, *networks, half_spaces, num_directions=200, tolerance=1e-4)
    given = half_spaces._replace(
        epsilon=np.array([2, 2, np.nan]) * exact, epsilon_debiased=np.array([4, 4, np.nan]) * exact
    )
    found = module.measure_purities(KEY, *networks, given, exits, num_shifts=4000)
    # Half of all shifts go towards the border; of these, p is beyond it in 1/2, 3/4, none.
    for purity, expected in zip(found, (0.75, 0.625, 1.0), strict=True):
        assert abs(purity.fraction[0] - expected) < 4 * 0.5 / np.sqrt(4000), expected


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda a: measure_invariance(KEY, identity, identity, a, num_directions=0),
            "num_directions",
        ),
        (lambda a: measure_purity(KEY, identity, identity, a, np.ones(2)), "epsilon is"),
        (lambda a: measure_purity(KEY, identity, identity, a, -np.ones(3)), "epsilon is"),
        (
            lambda a: measure_purity(KEY, identity, identity, a, np.ones(3), num_shifts=0),
            "num_shifts",
        ),
        (lambda a: labels_along_rays(identity, identity, a, reach=np.nan), "reach is nan"),
        (lambda a: labels_along_rays(identity, identity, a, num_points=0), "num_points is 0"),
        (
            lambda a: labels_along_rays(identity, identity, a._replace(counts=a.counts * 0)),
            "no class has two latents",
        ),
        (lambda a: label_latents(identity, identity, a.mean), "not finite"),
        (lambda a: label_latents(identity, identity, a.mean[0]), r"\[n, d\]"),
    ],
)
def test_bad_input_gets_one_sentence(half_spaces, call, message):
    with pytest.raises(ValueError, match=message):
        call(half_spaces)
