"""The study of autoencoders on a tiny data set: what it leaves, and what it refuses."""

import csv
import shutil
import warnings

import jax
import numpy as np
import pytest
from conftest import read_results, run_experiment

import magan_jax
from magan_jax import sampling
from magan_jax.conditional import samplers
from magan_jax.conditional.settings import check_classes
from magan_jax.conditional.systems import SYSTEMS
from magan_jax.data import Dataset, load_dataset
from magan_jax.errors import NetworkOutputError
from magan_jax.latent import conditional, encodings
from magan_jax.training import classifier
from magan_jax.training import vae as vae_module

TINY = [
    "--preset=quick", "--vae.epochs=3", "--vae.layers", "16", "12", "--vae.batch-size=16",
    "--classifier.epochs=3", "--classifier.batch-size=16", "--classifier.width=4",
    "--judging.num-images=40", "--sampling.num-searched=10", "--sampling.num-judged=20",
    "--sampling.max-sweeps=1", "--sampling.num-rays=8", "--analysis.num-samples=2000",
    "--analysis.tolerance=0.05",
]  # fmt: skip
NAMES = ["elbo_2", "mmd_2"]


def run(folder, workdir, *arguments):
    given = [*TINY, f"--data-dir={folder}", f"--workdir={workdir}", *arguments]
    with warnings.catch_warnings():  # of other files than the published ones, and few images
        warnings.simplefilter("ignore", UserWarning)
        return run_experiment("mnist_vae", *given)


@pytest.fixture(scope="module")
def finished(tiny_folder, tmp_path_factory):
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
    assert len(table) == 2 + (6 + 2) * len(NAMES) + 1
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


@pytest.fixture
def trained(finished, tmp_path):
    """The trainings of `finished` without its searches: nothing is trained, all is chosen anew."""
    shutil.copytree(finished / "checkpoints", tmp_path / "run" / "checkpoints")
    return tmp_path / "run"


def test_what_networks_give_ends_one_seed_only(trained, tiny_folder, monkeypatch):
    chosen, calls = samplers.choose_samplers, []

    def choose(*arguments, **settings):
        calls.append(settings["title"])
        if calls in (["ELBO, d = 2"], ["ELBO, d = 2", "ELBO, d = 2", "MMD, d = 2"]):
            raise NetworkOutputError("3 images | are\ndark")
        if calls == ["ELBO, d = 2"] * 2 + ["MMD, d = 2"] * 2:
            raise FloatingPointError("became nan")
        return chosen(*arguments, **settings)

    monkeypatch.setattr(samplers, "choose_samplers", choose)
    assert run(tiny_folder, trained, "--systems", *NAMES, "--num-seeds=2") is None
    found = read_results(trained)["systems"]
    assert found["elbo_2"]["failure"] == "seed 0: 3 images | are\ndark"
    assert found["elbo_2"]["seeds"] == [1]
    assert len(found["elbo_2"]["samplers"][0]["cosine"]["values"]) == 1
    assert found["mmd_2"]["failure"] == "seed 0: 3 images | are\ndark seed 1: became nan"
    assert found["mmd_2"]["seeds"] == []
    table = (trained / "samplers.md").read_text().splitlines()
    assert len(table) == 2 + (1 + 6 + 2) + 1 + 1
    assert len((trained / "latents.md").read_text().splitlines()) == 2 + 1
    assert len({line.count("|") - line.count("\\|") for line in table}) == 1
    page = (trained / "report.html").read_text()
    assert "seed 0: 3 images | are" in page
    assert "seed 1: became nan" in page
    with (trained / "metrics.csv").open() as file:
        stages = {row["stage"] for row in csv.DictReader(file)}
    assert stages == {"classifier", "elbo_2-seed1", "elbo_2-classifier-seed1"}


def test_a_fault_of_the_program_is_not_called_a_failure(trained, tiny_folder, monkeypatch):
    def choose(*arguments, **settings):
        raise ValueError("operands could not be broadcast")

    monkeypatch.setattr(samplers, "choose_samplers", choose)
    given = ["--systems", *NAMES, "--num-seeds=2"]
    assert "operands could not be broadcast" in run(tiny_folder, trained, *given)
    assert not (trained / "results.json").exists()


def test_each_thing_goes_where_it_belongs(trained, tiny_folder, monkeypatch):
    """Which images, keys and networks the steps of the experiment are given."""
    calls = {}

    def recorded(module, name):
        function = getattr(module, name)

        def call(*arguments, **settings):
            found = function(*arguments, **settings)
            calls.setdefault(name, []).append((arguments, settings, found))
            return found

        monkeypatch.setattr(module, name, call)

    for module, name in [
        (classifier, "train_classifier"), (vae_module, "train_vaes"),
        (encodings, "class_latents"), (conditional, "score_conditional"),
        (samplers, "choose_samplers"), (samplers, "judge_samplers"), (samplers, "score_images"),
        (magan_jax, "bisect_epsilon"), (magan_jax, "analyze"), (sampling, "sample_images"),
    ]:  # fmt: skip
        recorded(module, name)
    given = ["--systems", "elbo_2", "--num-seeds=2", "--sampling.num-rays=500"]
    assert run(tiny_folder, trained, *given) is None
    with warnings.catch_warnings(action="ignore"):  # not the published files
        dataset = load_dataset("mnist", tiny_folder)
    images = [dataset.train_images, dataset.test_images]
    labels = [dataset.train_labels, dataset.test_labels]
    ((_, _, vaes),) = calls["train_vaes"]
    (of_real, *of_systems) = calls["train_classifier"]
    judge = of_real[2]
    np.testing.assert_array_equal(of_real[0][2].images, images[0])
    keys = [call[0][0] for call in calls["train_classifier"]]
    (first, *of_seeds), tables = calls["score_images"], calls["score_conditional"]
    np.testing.assert_allclose(first[0][1], images[1] / np.float32(127.5) - 1, atol=1e-6)
    assert first[0][0] is judge.classify
    for i, vae in enumerate(vaes):
        own = of_systems[i][2]
        for place in (0, 1):  # a classifier sees reconstructions, with the labels of the images
            seen = of_systems[i][0][2 + place]
            np.testing.assert_array_equal(seen.images, vae_module.reconstructed(vae, images[place]))
            np.testing.assert_array_equal(seen.labels, labels[place])
        encode, shown, told, num_classes = calls["class_latents"][i][0]
        assert encode is vae.encode
        np.testing.assert_allclose(shown, images[0] / np.float32(127.5) - 1, atol=1e-6)
        np.testing.assert_array_equal(told, labels[0])
        assert num_classes == 10
        latents = calls["class_latents"][i][2]

        for_search, *networks = calls["choose_samplers"][i][0][:3]
        assert networks == [vae.generate, own.classify]
        assert calls["choose_samplers"][i][0][3] is latents
        (for_judging, *judging), settings, _ = calls["judge_samplers"][i]
        assert judging[:3] == [vae.generate, own.classify, judge.classify]
        assert judging[3] is latents
        assert judging[4] is calls["choose_samplers"][i][2][1]
        assert (settings["num_samples"], settings["num_images"]) == (20, 40)
        for call, by in zip(tables[2 * i : 2 * i + 2], (own, judge), strict=True):
            assert (call[0][0] == for_judging[0]).all()
            assert call[0][1] is vae.generate
            assert call[0][2] is by.classify
        assert of_seeds[i][0][0] is own.classify

        (*networks, mean, shifts), _, _ = calls["bisect_epsilon"][i]
        assert networks == [vae.generate, own.classify]
        np.testing.assert_array_equal(mean, latents.mean)
        scaled = np.std(shifts / latents.std[:, None], axis=1)
        np.testing.assert_allclose(scaled, 1, atol=0.2)
        assert calls["analyze"][i][0][1:] == (vae.generate, own.classify)
        assert calls["sample_images"][i][0][1] is vae.generate
        keys += [
            for_search,
            *for_judging,
            calls["analyze"][i][0][0],
            calls["sample_images"][i][0][0],
        ]
    assert len({tuple(np.ravel(jax.random.key_data(key))) for key in keys}) == 3 + 2 * 5


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
        (["--num-seeds=0"], "num_seeds is 0; it must be 1 to 10,000"),
    ],
)
def test_what_cannot_work_is_refused_before_training(tiny_folder, tmp_path, arguments, message):
    workdir = tmp_path / "run"
    assert message in run(tiny_folder, workdir, *arguments)
    assert not list(workdir.glob("checkpoints/*"))
