"""One number from each of several seeds."""

import numpy as np
import pytest
from scipy.stats import t

from magan_jax.seeds import (
    another_training,
    mean_of_known,
    mean_over_seeds,
    over_seeds,
    why_no_interval,
)


def test_a_seed_without_a_number_does_not_cost_the_others_theirs():
    found = over_seeds([np.nan, 0.8, 0.7])
    assert (found["mean"], found["n"]) == (pytest.approx(0.75), 2)
    assert found["std"] == pytest.approx(np.std([0.8, 0.7], ddof=1))
    assert found["reason"] == "1 of 3 seeds have no such number"
    assert np.isnan(found["values"][0])
    nothing = over_seeds([np.nan, np.nan])
    assert (nothing["mean"], nothing["std"], nothing["n"]) == (None, None, 0)
    assert over_seeds([2.0])["reason"] == "one seed has no deviation"
    assert over_seeds([])["reason"] == "there is no seed"
    assert over_seeds([1.0, 2.0])["reason"] is None


def test_intervals_are_students():
    values = [1.0, 2.0, 4.0]
    half = t.ppf(0.975, 2) * np.std(values, ddof=1) / np.sqrt(3)
    assert mean_over_seeds(values) == pytest.approx((7 / 3, 7 / 3 - half, 7 / 3 + half))
    # For one more seed: wider by √(S + 1).
    wide = half * 2
    assert another_training(values) == pytest.approx((7 / 3, 7 / 3 - wide, 7 / 3 + wide))
    assert why_no_interval(values) is None


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([1.0], "one seed has no interval"),
        ([0.3 - 0.2, 0.4 - 0.3], "all seeds have the same number, which says nothing"),
    ],
)
def test_seeds_that_show_no_deviation_have_no_interval(values, why):
    for interval in (mean_over_seeds, another_training):
        mean, low, high = interval(values)
        assert mean == pytest.approx(np.mean(values))
        assert np.isnan([low, high]).all()
    assert why_no_interval(values).startswith(why)


def test_classes_without_a_number_are_left_out():
    assert mean_of_known(np.array([1.0, np.nan, 3.0, np.inf])) == 2.0
    assert np.isnan(mean_of_known(np.array([np.nan])))
