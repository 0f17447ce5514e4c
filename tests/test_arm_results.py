"""What results.json says of the goals, by differences that are given."""

from types import SimpleNamespace

import numpy as np
import pytest

from magan_jax.augmentation.differences import PairedDifference
from magan_jax.augmentation.results import (
    GOALS,
    _best,
    _classes_without_images,
    _goal,
    _validation,
    _without_images,
    augmentation_markdown,
)
from magan_jax.augmentation.trial import ArmTrial

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
    assert found == {"gain": 0.05, "reached": reached, "reason": None, "also": also}


def test_of_one_seed_a_goal_is_undecided():
    alone = {"one": PairedDifference(0.06, *[float("nan")] * 4)}
    found = _goal(10, alone, ["one"], "one")
    assert (found["reached"], found["reason"]) == (
        None,
        "one seed, or the same difference in all, has no interval",
    )


def test_an_arm_of_many_variants_is_not_best_by_its_luckiest():
    """Among three tries the greatest is greater than one try, though all are alike."""
    one, three = (ArmTrial(None, v, 0, None, (None,) * len(v)) for v in ((0.7,), (0.6, 0.9, 0.5)))
    assert _validation([one]) == pytest.approx(0.7)
    assert _validation([three]) == pytest.approx(2 / 3)
    assert _best({"three": [three], "one": [one]}) == "one"
    assert _best({"three": [three, one], "one": [one, three]}) == "three"  # of equals the first


def test_an_arm_is_not_best_by_classifiers_without_its_images():
    failed, half = (
        ArmTrial(None, v, 0, None, reasons)
        for v, reasons in (((0.9,), ("no region",)), ((0.6, 0.9), (None, "no region")))
    )
    assert _validation([half]) == pytest.approx(0.6)
    assert _validation([half, failed]) is None
    assert _best({"failed": [half, failed], "half": [half, half]}) == "half"
    assert _best({"failed": [failed]}) is None


def test_it_is_told_which_variant_has_no_images_how_often_and_why():
    found = [
        ArmTrial(None, (), 0, None, failures)
        for failures in ((None, "all left"), (None, "all left"), (None, "none came"), (None, None))
    ]
    assert _without_images(found, ["near", "anchors"]) == [
        {"variant": "anchors", "reason": "all left", "seeds": 2},
        {"variant": "anchors", "reason": "none came", "seeds": 1},
    ]


def test_it_is_told_which_classes_no_image_is_labelled_as():
    pools = [SimpleNamespace(of_class=np.array(each)) for each in ((3, 0, 2), (0, 0, 9), (1, 1, 0))]
    assert _classes_without_images(pools) == [
        {"class": 0, "seeds": 1},
        {"class": 1, "seeds": 2},
        {"class": 2, "seeds": 1},
    ]
    assert _classes_without_images(pools[:0]) == []


def told(mean, std=None, **against):
    return {
        "test_accuracy": {"mean": mean, "std": std},
        "against": {
            name: {"mean": gain, "low": low, "high": high}
            for name, (gain, low, high) in against.items()
        },
    }


def test_a_table_holds_each_arm_against_the_stronger_baseline_of_its_column():
    low, high = float("nan"), float("nan")
    first = {
        "real": told(0.6, 0.01, classical=(0.1, 0.05, 0.15)),
        "classical": told(0.5, 0.02, real=(-0.1, -0.15, -0.05)),
    }
    second = {"real": told(0.7, classical=(-0.1, low, high)), "classical": told(0.8)}
    bound = {"real_labels": told(0.9)}
    table = augmentation_markdown(
        [
            {"num_per_class": 5, "baseline": "real", "arms": first, "bounds": bound},
            {"num_per_class": 50, "baseline": "classical", "arms": second, "bounds": bound},
        ]
    )
    assert table.splitlines() == [
        "| arm | 5 labels per class | 50 labels per class |",
        "|---|---|---|",
        "| real only | 0.600 ± 0.010 (baseline) | 0.700, -10.0 |",
        "| real + classical | 0.500 ± 0.020, -10.0 [-15.0, -5.0] | 0.800 (baseline) |",
        "| *as many real labels, + classical* | 0.900 | 0.900 |",
    ]
