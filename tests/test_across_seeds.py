import json
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import TINY_FASHION, read_results, run_experiment, unexplained
from scipy.stats import t

from magan_jax.files import jsonable
from magan_jax.meta_analysis.across_seeds import (
    combine,
    compare_seeds,
    comparison_entry,
    paper_numbers,
)
from magan_jax.training.engine import Batch


def test_numbers_become_mean_and_deviation_and_names_their_counts():
    found = combine(
        [
            {"name": "Shirt", "epsilon": 0.1, "nearest": 6, "holds": True, "interval": [1, 2]},
            {"name": "Shirt", "epsilon": 0.3, "nearest": 6, "holds": False, "interval": [3, 2]},
            {"name": "Shirt", "epsilon": None, "nearest": 2, "holds": True, "interval": [5, 2]},
        ]
    )
    assert found["name"] == "Shirt"
    assert found["epsilon"] == {
        "mean": pytest.approx(0.2), "std": pytest.approx(np.std([0.1, 0.3], ddof=1)), "n": 2,
    }  # fmt: skip
    assert found["nearest"] == {"values": {"6": 2, "2": 1}}
    assert found["holds"] == {"values": {"True": 2, "False": 1}}
    assert found["interval"] == [{"mean": 3.0, "std": 2.0, "n": 3}, 2]


def test_a_single_number_has_no_deviation():
    reason = "one seed has no deviation"
    alone = {"mean": 1.0, "std": None, "n": 1, "reason": reason}
    assert combine([{"a": 1.0}, {"a": None}]) == {"a": alone}


def test_reasons_of_seeds_become_one_that_explains():
    few, all_lost = "two latents", "none at all"
    found = combine([{"a": None, "reason": why} for why in (few, all_lost, few)])
    assert found == {"a": None, "reason": f"2 of 3 seeds: {few}; 1 of 3 seeds: {all_lost}"}
    assert not unexplained(found)
    assert combine([{"reason": None}, {"reason": few}])["reason"] == f"1 of 2 seeds: {few}"
    assert combine([{"reason": few}] * 2)["reason"] == few


def test_null_beside_what_others_have_counts_as_absent():
    found = combine(
        [
            {"cophenetic": {"single": 0.8}, "ends": [1.0, 2.0]},
            {"cophenetic": None, "ends": None},
            {"cophenetic": {"single": 0.9}, "ends": [3.0, 2.0]},
        ]
    )
    single = {"mean": pytest.approx(0.85), "std": pytest.approx(0.1 / 2**0.5), "n": 2}
    assert found["cophenetic"] == {"single": single}
    first, second = found["ends"]
    assert first == {"mean": 2.0, "std": pytest.approx(2**0.5), "n": 2}
    assert second == {"mean": 2.0, "std": 0.0, "n": 2}  # of two, not of all
    of_one = combine([{"cophenetic": {"single": 0.8}, "ends": [1.0]}, dict.fromkeys(found)])
    alone = {"std": None, "n": 1, "reason": "one seed has no deviation"}
    assert of_one == {
        "cophenetic": {"single": {"mean": 0.8} | alone},
        "ends": [{"mean": 1.0} | alone],
    }
    assert combine([None, None]) is None


def with_distance(first, nearest):
    analysis = SimpleNamespace(
        distance=np.full((10, 10), first), nearest_distance=np.full(10, nearest),
        epsilon=np.full(10, nearest / 10), valid=np.ones(10, bool), counts=np.ones(10),
        num_samples=1000,
    )  # fmt: skip
    return SimpleNamespace(studies=[SimpleNamespace(analysis=analysis, clustering=None)])


def test_the_papers_number_is_held_against_a_further_seed():
    values = np.array([2.0, 2.1, 2.3, 2.2])
    found = paper_numbers([with_distance(v, 5.0 + v) for v in values])
    distance, nearest, _, cophenetic = found
    reach = t.ppf(0.975, 3) * values.std(ddof=1) * np.sqrt(1.25)
    assert (distance.low, distance.high) == pytest.approx((2.15 - reach, 2.15 + reach))
    assert distance.holds is True
    assert nearest.holds is False
    assert cophenetic.n == 0
    assert cophenetic.holds is None
    missing = "4 of 4 seeds have no such number; an interval needs three seeds"
    assert (distance.reason, cophenetic.reason) == (None, missing)
    two = paper_numbers([with_distance(v, 5.0 + v) for v in values[:2]])
    assert two[0].reason == "an interval needs three seeds"
    equal = paper_numbers([with_distance(2.26, 5.0 + v) for v in values])
    assert (equal[0].low, equal[0].high, equal[0].holds) == (None, None, None)
    assert equal[0].reason.startswith("all seeds have the same number")
    assert not unexplained(jsonable([one._asdict() for one in (*found, *two, *equal)]))


def test_prediction_interval_covers_a_further_value():
    random = np.random.default_rng(0)
    draws = random.normal(2.26, 0.3, (2000, 5))
    covered = [
        number.low <= further <= number.high
        for *seen, further in draws
        for number in paper_numbers([with_distance(v, 2.0) for v in seen])[:1]
    ]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.02)


def test_geometry_of_the_images_is_that_of_the_mean_images():
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (200, 4, 4, 1)).astype(np.uint8)
    labels = np.arange(200) % 10
    means = np.stack([images[labels == k].reshape(-1, 16).mean(0) for k in range(10)])
    exact = np.linalg.norm(means[:, None] - means[None], axis=-1)
    studies = [with_distance(1.0, 1.0), with_distance(1.0, 1.0)]
    studies[0].studies[0].analysis.distance = exact
    studies[1].studies[0].analysis.distance = exact.max() - exact
    (found,) = compare_seeds(studies, Batch(images, labels), 3)
    np.testing.assert_allclose(found.with_images, [1, -1])
    assert found.agreement.distance.mean == pytest.approx(-1, abs=0.2)
    assert comparison_entry(found)["between_seeds"].keys() >= {"distances, rank correlation"}


@pytest.fixture(scope="module")
def finished(tiny_folder, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run") / "seeds"
    few = ["fashion", *TINY_FASHION, f"--data-dir={tiny_folder}", "--seed=5"]
    with pytest.warns(UserWarning, match="not the published"):
        assert run_experiment(*few, f"--workdir={workdir}", "--num-seeds=3") is None
    return few, workdir


def test_a_run_of_several_seeds_leaves_each_and_what_they_say_together(finished):
    _, workdir = finished
    results = read_results(workdir)
    assert results["seeds"] == [{"seed": s, "folder": f"seed{s}"} for s in (5, 6, 7)]
    accuracies = []
    for entry in results["seeds"]:
        own = read_results(workdir / entry["folder"])
        assert own["seed"] == entry["seed"]
        accuracies.append(own["classifier"]["test_accuracy"])
        assert (workdir / entry["folder"] / "report.html").stat().st_size > 100_000
    found = results["across_seeds"]["classifier"]["test_accuracy"]
    assert found["mean"] == pytest.approx(np.mean(accuracies))
    assert found["std"] == pytest.approx(np.std(accuracies, ddof=1))
    assert len(results["agreement"]) == 2
    for part in ("agreement", "across_seeds", "paper_numbers"):
        assert not unexplained(results[part]), part
    assert {p.stem for p in (workdir / "figures").glob("*.png")} >= {"distances", "epsilon"}
    text = (workdir / "report.html").read_text()
    assert 'href="seed6/report.html"' in text
    assert "None" not in text


def test_a_seed_among_others_finds_what_it_finds_alone(finished, tmp_path):
    few, workdir = finished
    with pytest.warns(UserWarning, match="not the published"):
        assert run_experiment(*few, "--seed=6", f"--workdir={tmp_path / 'alone'}") is None
    alone, among = (
        np.load(folder / "analysis.npz") for folder in (tmp_path / "alone", workdir / "seed6")
    )
    np.testing.assert_allclose(alone["n2000_counts"], among["n2000_counts"], atol=20)
    np.testing.assert_allclose(alone["n2000_distance"], among["n2000_distance"], atol=0.3)


def test_other_seeds_in_a_workdir_are_refused(finished):
    few, workdir = finished
    with pytest.warns(UserWarning, match="not the published"):
        said = run_experiment(*few, f"--workdir={workdir}", "--num-seeds=2")
    assert "another seeds" in said
    json.loads((workdir / "results.json").read_text())
    assert "num_seeds is 0" in run_experiment(*few, f"--workdir={workdir}", "--num-seeds=0")
