"""Paired differences against SciPy and published examples."""

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from magan_jax.augmentation.differences import holm, image_error, paired_differences

RANDOM = np.random.default_rng(0)


def test_interval_and_p_value_are_those_of_the_paired_t_test():
    base, other = RANDOM.normal(0.7, 0.02, (2, 6))
    found = paired_differences({"real": base, "other": other + 0.03}, "real")["other"]
    expected = ttest_1samp(other + 0.03 - base, 0)
    interval = expected.confidence_interval(0.95)
    assert found.mean == pytest.approx((other + 0.03 - base).mean())
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.p_value == found.adjusted == pytest.approx(expected.pvalue)


def test_holm_steps_down():
    # By hand: 0.01·4, max(0.04, 0.02·3), max(0.06, 0.03·2), max(0.06, 0.05).
    np.testing.assert_allclose(holm(np.array([0.03, 0.01, 0.05, 0.02])), [0.06, 0.04, 0.06, 0.06])
    np.testing.assert_allclose(holm(np.array([0.6, 0.7])), [1.0, 1.0])


def test_holm_counts_a_test_without_a_p_value():
    found = holm(np.array([0.03, np.nan, 0.01]))
    np.testing.assert_allclose(found, [0.06, np.nan, 0.03])  # by hand: 0.01·3, 0.03·2


def test_holm_errs_in_few_families():
    errors = 0
    for _ in range(400):
        values = {str(i): RANDOM.normal(size=8) for i in range(8)}
        found = paired_differences(values, "0")
        errors += any(one.adjusted < 0.05 for one in found.values())
    assert errors / 400 < 0.08  # 0.05 at most, ± 0.011


def test_one_seed_has_no_interval():
    found = paired_differences({"a": [0.5], "b": [0.6]}, "a")["b"]
    assert found.mean == pytest.approx(0.1)
    assert np.isnan([found.low, found.high, found.p_value, found.adjusted]).all()


def test_equal_values_do_not_differ():
    found = paired_differences({"a": [0.5, 0.6], "b": [0.5, 0.6]}, "a")["b"]
    assert (found.mean, found.low, found.high, found.p_value) == (0, 0, 0, 1)


def test_the_same_difference_in_all_seeds_is_no_certainty():
    """0.25 more in each of two seeds: the deviation over others is not 0, it is unknown."""
    values = {"a": [0.5, 0.6, 0.71], "b": [0.75, 0.85, 0.96], "c": [0.6, 0.65, 0.83]}
    found = paired_differences(values, "a")
    assert found["b"].mean == pytest.approx(0.25)
    assert np.isnan(found["b"][1:]).all()
    expected = ttest_1samp([0.1, 0.05, 0.12], 0).pvalue
    assert found["c"].p_value == pytest.approx(expected)
    assert found["c"].adjusted == pytest.approx(2 * expected)


def test_image_error_is_the_deviation_over_other_test_images():
    """Drawn again from many images, the mean difference varies as much as is said of one draw."""
    population = RANDOM.random((3, 200_000)) < np.array([[0.7], [0.72], [0.74]])
    better = population | (RANDOM.random(population.shape) < 0.1)
    draws = RANDOM.choice(population.shape[1], (200, 500))
    differences = [better[:, d].mean() - population[:, d].mean() for d in draws]
    said = [image_error(better[:, d], population[:, d]) for d in draws]
    assert np.mean(said) == pytest.approx(np.std(differences), rel=0.15)  # 3 deviations of 200
    assert image_error(better, better) == 0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"a": [1.0], "b": [1.0]}, "baseline is 'real'; choose among a, b"),
        ({"real": [1.0, 2.0], "b": [1.0]}, "values of b are"),
        ({"real": [1.0, 2.0], "b": [1.0, np.nan]}, "values of b are"),
    ],
)
def test_what_cannot_be_compared_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        paired_differences(values, "real")
