"""How many random shifts inside an ε keep their class, where that is known in closed form."""

import jax
import numpy as np
import pytest
from conftest import three_with_one_missing
from scipy.stats import binomtest

from magan_jax import measure_invariance, measure_purity
from magan_jax.latent.purity import clopper_pearson, measure_purities

KEY = jax.random.key(0)


def identity(z):
    return z


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
    low, high = clopper_pearson(np.array([kept]), 40)
    wanted = binomtest(kept, 40).proportion_ci(0.95, method="exact")
    np.testing.assert_allclose([low[0], high[0]], [wanted.low, wanted.high], rtol=1e-9)


def test_purities_are_those_inside_each_epsilon(half_spaces):
    exact = half_spaces.mean[0, 0] / half_spaces.std[0, 0]
    networks = identity, three_with_one_missing
    exits = measure_invariance(KEY, *networks, half_spaces, num_directions=200, tolerance=1e-4)
    given = half_spaces._replace(
        epsilon=np.array([2, 2, np.nan]) * exact, epsilon_debiased=np.array([4, 4, np.nan]) * exact
    )
    found = measure_purities(KEY, *networks, given, exits, num_shifts=4000)
    # Half of all shifts go towards the border; of these, p is beyond it in 1/2, 3/4, none.
    for purity, expected in zip(found, (0.75, 0.625, 1.0), strict=True):
        assert abs(purity.fraction[0] - expected) < 4 * 0.5 / np.sqrt(4000), expected


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda a: measure_purity(KEY, identity, identity, a, np.ones(2)), "epsilon is"),
        (lambda a: measure_purity(KEY, identity, identity, a, -np.ones(3)), "epsilon is"),
        (
            lambda a: measure_purity(KEY, identity, identity, a, np.ones(3), num_shifts=0),
            "num_shifts",
        ),
        (
            lambda a: measure_purity(KEY, identity, lambda x: x[:, :2], a, np.ones(3)),
            "classify gives logits for 2 classes, but the analysis is of 3; take the classifier",
        ),
    ],
)
def test_bad_input_gets_one_sentence(half_spaces, call, message):
    with pytest.raises(ValueError, match=message):
        call(half_spaces)
