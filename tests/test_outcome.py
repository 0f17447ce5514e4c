"""Systems trained from several seeds, some of which fail."""

import pytest

from magan_jax.data import Dataset
from magan_jax.errors import NetworkOutputError
from magan_jax.outcome import count_verdicts, judge_seeds

EMPTY = dict.fromkeys(("train_images", "train_labels", "test_images", "test_labels"))


def test_a_seed_that_cannot_be_judged_costs_no_other():
    def judge(index):
        if index == 1:
            raise NetworkOutputError("images are not finite.")
        if index == 2:
            raise FloatingPointError("loss is nan.")
        return f"judged {index}"

    found = judge_seeds("a system", [5, 6, 7, 8], judge)
    assert found.system == "a system"
    assert found.judged == ["judged 0", "judged 3"]
    assert found.failure == "seed 6: images are not finite. seed 7: loss is nan."


def test_an_error_of_ours_is_no_failure_of_a_system():
    def judge(index):
        raise KeyError(index)

    with pytest.raises(KeyError):
        judge_seeds("a system", [0], judge)
    assert judge_seeds("a system", [0], lambda i: i).failure is None


@pytest.mark.parametrize(
    ("name", "official", "start"),
    [
        ("mnist", True, ": 2 hold"),
        ("mnist", False, " (made of MNIST, looked at on mnist): 2 hold"),
        ("kmnist", True, " (made of MNIST, looked at on kmnist): 2 hold"),
    ],
)
def test_verdicts_are_counted_and_other_data_named(name, official, start):
    dataset = Dataset(name=name, class_names=(), official=official, source="", sha256="", **EMPTY)
    said = count_verdicts(["holds", "open", "holds", "does not hold"], dataset)
    assert said == f"{start}, 1 do not, 1 are open"
