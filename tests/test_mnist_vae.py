"""The study of autoencoders on a tiny data set: what it leaves, and what it refuses."""

import csv
import warnings

import numpy as np
import pytest
from conftest import read_results, run_experiment

from magan_jax.conditional import samplers
from magan_jax.conditional.settings import check_classes
from magan_jax.conditional.systems import SYSTEMS
from magan_jax.data import Dataset

pytestmark = pytest.mark.usefixtures("quick_compilation")

TINY = [
    "--preset=quick", "--vae.epochs=3", "--vae.layers", "16", "12", "--vae.batch-size=16",
    "--classifier.epochs=3", "--classifier.batch-size=16", "--classifier.width=4",
    "--judging.num-images=40", "--sampling.num-searched=10", "--sampling.num-judged=20",
    "--sampling.max-sweeps=1", "--sampling.num-rays=8", "--analysis.num-samples=300",
    "--analysis.large-num-samples=2000", "--analysis.tolerance=0.05",
]  # fmt: skip
NAMES = ["elbo_2", "mmd_2"]


def run(folder, workdir, *arguments):
    given = [*TINY, f"--data-dir={folder}", f"--workdir={workdir}", *arguments]
    with warnings.catch_warnings():  # of other files than the published ones, and few images
        warnings.simplefilter("ignore", UserWarning)
        return run_experiment("mnist_vae", *given)


@pytest.fixture(scope="module")
def finished(quick_compilation, tiny_folder, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run") / "here"
    assert run(tiny_folder, workdir, "--systems", *NAMES, "--num-seeds=2") is None
    return workdir


def test_results_hold_every_system_and_sampler(finished):
    results = read_results(finished)
    assert list(results["systems"]) == NAMES
    for entry in results["systems"].values():
        assert entry["failure"] is None
        kinds = [(s["kind"], s["accuracy_weight"]) for s in entry["samplers"]]
        assert kinds == [(k, w) for w in (1, 10) for k in ("simple", "medium1", "medium2")]
        for sampler in entry["samplers"]:
            cosine, accuracy = (sampler[x]["values"] for x in ("cosine", "accuracy"))
            weight = sampler["accuracy_weight"]
            expected = np.array(cosine) + weight * (1 - np.array(accuracy))
            np.testing.assert_allclose(sampler["objective"]["values"], expected, rtol=1e-5)
            scale = np.array(sampler["theta"]["values"]) / np.sqrt(sampler["num_draws"])
            np.testing.assert_allclose(sampler["scale"]["values"], scale)
            assert np.shape(sampler["of_classes"]["accuracy"]) == (2, 10)
            assert sampler["metrics"]["frechet_distance"]["mean"] > 0
        assert np.shape(entry["grid"]["cosine"]) == (2, 44)
        assert 0 <= entry["train_accuracy"]["mean"] <= 1
        assert entry["latent"]["num_samples"] == 2000
    # A search ends no worse than it began, on its own draws.
    simple, medium1, medium2 = results["systems"]["elbo_2"]["samplers"][:3]
    assert len(simple["num_draws"]) == 2
    for one, other in zip(
        medium2["searched_objective"]["values"],
        medium1["searched_objective"]["values"],
        strict=True,
    ):
        assert one <= other + 1e-6


def test_files_are_whole(finished):
    page = (finished / "report.html").read_text()
    for name in NAMES:
        assert SYSTEMS[name].title in page
    assert "Medium 2" in page
    figures = {path.stem for path in (finished / "figures").glob("*.png")}
    assert figures == {
        "figure_1_trade_off", "one_scale", "reconstructions", "samples_simple", "samples_medium1",
        "samples_medium2", "exits", "theta", "plane", "training",
    }  # fmt: skip
    table = (finished / "samplers.md").read_text().splitlines()
    assert len(table) == 2 + 6 * len(NAMES)
    assert len({line.count("|") for line in table}) == 1
    with np.load(finished / "samplers.npz", allow_pickle=False) as arrays:
        assert arrays["mmd_2_mean"].shape == (2, 10, 2)
        assert arrays["mmd_2_medium2_10_theta"].shape == (2, 10, 2)
        assert arrays["mmd_2_exits"].shape == (2, 10, 8)
    with (finished / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["stage"] for row in rows} == {"classifier"} | {
        f"{name}{part}-seed{s}" for name in NAMES for part in ("", "-classifier") for s in (0, 1)
    }


def test_a_second_call_trains_nothing_and_finds_the_same(finished, tiny_folder, capsys):
    before = read_results(finished)
    assert run(tiny_folder, finished, "--systems", *NAMES, "--num-seeds=2") is None
    assert capsys.readouterr().out.count("kept from") == 1 + 3 * len(NAMES)
    after = read_results(finished)
    for name, entry in before["systems"].items():
        assert after["systems"][name] | {"seconds": 0} == entry | {"seconds": 0}


def test_a_training_that_diverges_says_so(tiny_folder, tmp_path):
    workdir = tmp_path / "run"
    assert run(tiny_folder, workdir, "--systems", "elbo_2", "--vae.learning-rate=1e30") is None
    failure = read_results(workdir)["systems"]["elbo_2"]["failure"]
    assert "at step" in failure
    assert failure in (workdir / "report.html").read_text()
    assert failure in (workdir / "samplers.md").read_text()


def test_what_goes_wrong_after_a_training_ends_one_system_only(tiny_folder, tmp_path, monkeypatch):
    chosen = samplers.choose_samplers

    def choose(*arguments, **settings):
        if "ELBO" in settings["title"]:
            raise ValueError("generate gave 3 images that are dark")
        return chosen(*arguments, **settings)

    monkeypatch.setattr(samplers, "choose_samplers", choose)
    assert run(tiny_folder, tmp_path, "--systems", *NAMES) is None
    found = read_results(tmp_path)["systems"]
    assert found["elbo_2"]["failure"] == "generate gave 3 images that are dark"
    assert found["mmd_2"]["failure"] is None


def test_data_without_a_deviation_or_a_cosine_are_refused_before_training():
    images, labels = np.ones((8, 2, 2, 1), np.uint8), np.arange(8) % 4
    dataset = Dataset("made up", tuple("abcd"), images, labels, images, labels, "here", "", False)
    check_classes(dataset)
    with pytest.raises(ValueError, match="the class e has 0 training images"):
        check_classes(dataset._replace(class_names=tuple("abcde")))
    with pytest.raises(ValueError, match="the class d has 1 test images"):
        check_classes(dataset._replace(test_labels=np.array([0, 1, 2, 3, 0, 1, 2, 2])))
    black = images.copy()
    black[5] = 0
    check_classes(dataset._replace(train_images=black))
    with pytest.raises(ValueError, match="1 test image.* black everywhere, the first is number 5"):
        check_classes(dataset._replace(test_images=black))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--systems", "elbo_3"], "error: --systems names elbo_3; choose among elbo_2, elbo_10"),
        (["--sampling.num-searched=1"], "sampling.num_searched is 1; it must be at least 2"),
        (["--sampling.accuracy-weights", "0"], "sampling.accuracy_weights is (0.0,)"),
        (["--sampling.accuracy-weights", "1", "1"], "each is needed once"),
        (["--vae.batch-size=1"], "vae.batch_size is 1"),
        (["--vae.latent-dim=5"], "--vae.latent-dim are what --systems chooses"),
        (["--num-seeds=0"], "num_seeds is 0; it must be at least 1"),
    ],
)
def test_what_cannot_work_is_refused_before_training(tiny_folder, tmp_path, arguments, message):
    workdir = tmp_path / "run"
    assert message in run(tiny_folder, workdir, *arguments)
    assert not list(workdir.glob("checkpoints/*"))
