"""What results.json says of the goals, by differences that are given."""

import pytest

from magan_jax.augmentation.differences import PairedDifference
from magan_jax.augmentation.results import GOALS, _goal

GAINS = {
    "enough": PairedDifference(0.060, 0.010, 0.110, 0.03, 0.12),
    "certain": PairedDifference(0.055, 0.040, 0.070, 0.001, 0.004),
    "little": PairedDifference(0.040, 0.035, 0.045, 0.0001, 0.0005),
    "wide": PairedDifference(0.080, -0.01, 0.17, 0.06, 0.12),
}


@pytest.mark.parametrize(
    ("best", "reached", "also"),
    [
        ("enough", True, ["certain"]),  # named by validation images: its interval is enough
        ("certain", True, []),  # the other's is not, found among many
        ("little", False, ["certain"]),
        ("wide", False, ["certain"]),
    ],
)
def test_a_goal_is_reached_by_the_best_arm_or_by_others_for_certain(best, reached, also):
    assert GOALS[10] == 0.05
    found = _goal(10, GAINS, list(GAINS), best)
    assert found == {"gain": 0.05, "reached": reached, "also": also}
