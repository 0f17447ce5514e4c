"""Paired differences against SciPy and published examples."""

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from magan_jax.augmentation.differences import holm, paired_differences

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
