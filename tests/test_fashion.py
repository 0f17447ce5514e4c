"""The whole experiment on a tiny data set: what it leaves, and what it refuses."""

import html.parser
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from conftest import (
    EXPERIMENTS,
    TINY_FASHION,
    load_experiment,
    read_results,
    run_experiment,
    unexplained,
)

from magan_jax import load_dataset, load_run

ROOT = Path(__file__).parent.parent
SCRIPT = EXPERIMENTS / "fashion.py"


def run(folder, workdir, *arguments):
    given = [*TINY_FASHION, f"--data-dir={folder}", f"--workdir={workdir}", *arguments]
    return run_experiment("fashion", *given)


@pytest.fixture(scope="module")
def finished(tiny_folder, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run") / "here"
    with pytest.warns(UserWarning, match="not the published"):
        assert run(tiny_folder, workdir) is None
    return tiny_folder, workdir


def test_results_hold_what_the_readme_promises(finished):
    _, workdir = finished
    results = read_results(workdir)
    assert results["preset"] == "quick"
    assert results["metrics"]["precision"]["num_fake"] == 50
    assert results["metrics"]["recall"]["test_accuracy"] == results["classifier"]["test_accuracy"]
    assert results["metrics"]["frechet_distance"]["yardstick"] >= 0
    assert results["config"]["gan"]["epochs"] == 2
    assert results["config"]["gan"]["dtype"] == "float32"
    assert results["config"] == json.loads((workdir / "config.json").read_text())
    assert {"versions", "backend", "devices", "commit"} <= results["environment"].keys()
    assert results["dataset"]["counts"] == {"train": 320, "test": 64}
    assert len(results["dataset"]["sha256"]) == 64
    assert results["dataset"]["official"] is False
    assert 0 <= results["classifier"]["test_accuracy"] <= 1
    assert {"epochs", "steps", "seconds", "images_per_second"} <= results["gan"].keys()
    assert results["gan"]["steps"] == 2 * 320 // 16
    assert results["gan"]["trained_with"]["versions"]["jax"]
    assert [a["num_samples"] for a in results["analyses"]] == [300, 2000]
    wanted = {
        "label", "name", "count", "mean_label", "mean_confidence", "nearest", "nearest_distance",
        "nearest_distance_debiased", "spread", "epsilon", "epsilon_debiased", "epsilon_interval",
        "epsilon_debiased_interval", "p_value", "reason",
    }  # fmt: skip
    for analysis in results["analyses"]:
        assert sum(c["count"] for c in analysis["classes"]) == analysis["num_samples"]
        assert np.shape(analysis["distance"]) == np.shape(analysis["distance_debiased"]) == (10, 10)
        for k, entry in enumerate(analysis["classes"]):
            assert wanted <= entry.keys()
            assert entry["label"] == k
            if entry["epsilon"] is None or None in entry["epsilon_interval"]:
                assert entry["reason"]
            else:
                ratio = entry["nearest_distance"] / entry["spread"]
                assert entry["epsilon"] == pytest.approx(ratio)
    for entry in results["invariance"]["classes"]:
        assert {"plus", "minus", "random_quantiles", "random_censored", "purity"} <= entry.keys()
        assert len(entry["purity"]) == 6
        assert entry["plus"] is not None or entry["reason"]
    assert results["claims"] == []  # the data are not Fashion-MNIST, of which the paper speaks
    assert results["seconds"]["total"] > results["seconds"]["gan"] > 0


def test_what_has_no_value_is_null_with_a_reason(finished):
    results = read_results(finished[1])
    nulls = [p for p in unexplained(results) if not p.startswith(("/config", "/environment"))]
    assert [p for p in nulls if not p.endswith("trained_with/commit")] == []
    # What explains one does not explain another.
    assert unexplained({"a": [{"b": None}], "c_reason": "rare", "c": None}) == ["/a/0/b"]
    one = {"p_value_reason": "rare", "p_value": [[None]], "classes": [{"count": 3, "mean": None}]}
    assert unexplained({"analyses": [one]}) == ["/analyses/0/classes/0/mean"]


def test_arrays_agree_with_the_results(finished):
    _, workdir = finished
    results = read_results(workdir)
    with np.load(workdir / "analysis.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["num_samples"], [300, 2000])
        for analysis in results["analyses"]:
            prefix = f"n{analysis['num_samples']}_"
            counts = arrays[prefix + "counts"]
            np.testing.assert_array_equal(counts, [c["count"] for c in analysis["classes"]])
            assert arrays[prefix + "mean"].shape == arrays[prefix + "std"].shape == (10, 6)
            found = np.array(analysis["distance"], float)
            np.testing.assert_allclose(arrays[prefix + "distance"], found)


def test_metrics_have_a_row_per_tenth_of_an_epoch(finished):
    _, workdir = finished
    header, *rows = (workdir / "metrics.csv").read_text().splitlines()
    names = header.split(",")
    assert names[:3] == ["stage", "epoch", "step"]
    assert {"generator_loss", "discriminator_loss", "loss", "test_accuracy"} <= set(names)
    steps = [int(r.split(",")[2]) for r in rows]
    assert steps == [*range(2, 61, 2), *range(2, 41, 2)]  # 20 steps per epoch, tenths of them
    assert [r.split(",")[0] for r in rows] == ["classifier"] * 30 + ["gan"] * 20
    last = dict(zip(names, rows[29].split(","), strict=True))
    accuracy = read_results(workdir)["classifier"]["test_accuracy"]
    assert float(last["test_accuracy"]) == pytest.approx(accuracy)
    assert last["generator_loss"] == ""


class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.sources, self.rows = [], 0

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.rows += tag == "tr"
        self.sources += [attributes[a] for a in ("src", "href") if a in attributes]


def test_report_is_one_self_contained_page(finished):
    _, workdir = finished
    text = (workdir / "report.html").read_text()
    page = Page()
    page.feed(text)
    figures = sorted(p.name for p in (workdir / "figures").iterdir())
    assert len(figures) >= 11
    assert len(page.sources) == len(figures)
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    for number in ("07", "08", "09", "10", "11", "12", "13"):
        assert any(name.startswith(f"figure_{number}") for name in figures)
    assert "nan" not in text.lower().replace("fontanan", "").split("base64")[0]
    assert page.rows > 30


def snapshot(workdir):
    return {p: p.read_bytes() for p in workdir.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--gan.latent-dim=0"], "gan.latent_dim is 0"),
        (["--gan.batch-size=18"], "gan.batch_size is 18, which 4 devices cannot share"),
        (["--gan.batch-size=100000"], "gan.batch_size is 100000"),
        (["--classifier.batch-size=0"], "classifier.batch_size is 0"),
        (["--analysis.num-samples=1"], "analysis.num_samples is 1"),
        (["--analysis.large-num-samples=200"], "must be larger than analysis.num_samples"),
        (["--analysis.num-clusters=11"], "analysis.num_clusters is 11"),
        (["--gan.epochs=3"], "another gan.epochs; delete it to train this anew"),
        (["--gan.dtype=bfloat16"], "another gan.dtype"),
        (["--gan.objective=hinge"], "another gan.objective"),
        (["--gan.objective=perceptual"], "another classifier, gan.objective"),
        (["--gan.objective=cluster"], "gan.prior is 'normal', but gan.objective 'cluster'"),
        (["--gan.prior=mixture"], "latent_dim is 6 and num_clusters 10"),
        (["--gan.critic-steps=30"], "gan.critic_steps is 30"),
        (["--dtype=bfloat16"], "another classifier.dtype"),
        (["--seed=1"], "another seed"),
        (["--seed=-1"], "seed is -1"),
        (["--seed=4294967296"], "seed is 4294967296"),
        (["--data-dir=/nowhere"], "--data-dir is /nowhere, which is not there"),
        (["--preset=fast"], "--preset is 'fast'; choose one of auto, paper, quick"),
        (["--num-devices=7"], "num_devices is 7"),
    ],
)
@pytest.mark.filterwarnings("ignore:the files in")
def test_bad_input_costs_nothing(finished, changes, message):
    folder, workdir = finished
    before = snapshot(workdir)
    error = run_experiment(
        "fashion", *TINY_FASHION, f"--data-dir={folder}", f"--workdir={workdir}", *changes
    )
    assert error is not None
    assert message in error
    assert error.count("\n") == 0
    assert snapshot(workdir) == before


def test_what_is_left_open_is_decided_by_dtype_and_data_set():
    fashion = load_experiment("fashion")
    config = fashion.Config(
        dataset="mnist", dtype="bfloat16", gan=fashion.GANConfig(dtype="float32")
    )
    found = fashion.decided(config)
    assert (found.classifier.dtype, found.gan.dtype) == ("bfloat16", "float32")
    assert found.classifier.mirror is False
    assert fashion.decided(fashion.Config()).classifier.mirror is True
    assert fashion.decided(found) == found
    own = fashion.Config(class_names=("a", "b"))  # nobody knows of it, whatever it is called
    assert fashion.decided(own).classifier.mirror is False


@pytest.mark.filterwarnings("ignore:the files in")
def test_a_second_call_trains_nothing_and_gives_the_same_numbers(finished, capsys):
    folder, workdir = finished
    first = read_results(workdir)
    assert run(folder, workdir) is None
    second = read_results(workdir)
    assert capsys.readouterr().out.count("kept from") == 2
    for name in ("analyses", "invariance", "claims"):
        assert first[name] == second[name]
    assert first["classifier"]["test_accuracy"] == second["classifier"]["test_accuracy"]
    assert first["gan"]["steps"] == second["gan"]["steps"]


@pytest.mark.filterwarnings("ignore:the files in")
def test_unwritable_workdir_is_refused(finished, tmp_path):
    folder, _ = finished
    (tmp_path / "file").write_text("in the way")
    error = run_experiment(
        "fashion", *TINY_FASHION, f"--data-dir={folder}", f"--workdir={tmp_path / 'file'}"
    )
    assert "--workdir is" in error
    assert "cannot be written to" in error


def test_another_prng_is_refused_before_any_training(tiny_folder, tmp_path):
    with jax.default_prng_impl("rbg"), pytest.warns(UserWarning, match="not the published"):
        error = run(tiny_folder, tmp_path / "run")
    assert "JAX_DEFAULT_PRNG_IMPL is rbg, whose draws" in error
    assert not (tmp_path / "run").exists()


def environment(**changes):
    fixed = {"JAX_PLATFORMS": "cpu", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}  # as this process
    return os.environ | {"PYTHONPATH": str(ROOT)} | fixed | changes


def test_an_error_ends_the_command_with_one_sentence(tmp_path):
    found = subprocess.run(
        [sys.executable, SCRIPT, "--data-dir", tmp_path / "none"],
        capture_output=True, text=True, env=environment(), timeout=120,
    )  # fmt: skip
    assert found.returncode == 1
    assert found.stderr.strip().count("\n") == 0
    assert found.stderr.startswith("error: --data-dir is")


def on_two_hosts(folder, workdir):
    """What both printed: two processes of two devices each, joined over gloo."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    processes = [
        subprocess.Popen(
            [sys.executable, SCRIPT, *TINY_FASHION, f"--data-dir={folder}",
             f"--workdir={workdir}", "--distributed"],
            env=environment(
                JAX_COORDINATOR_ADDRESS=f"localhost:{port}", JAX_NUM_PROCESSES="2",
                JAX_PROCESS_ID=str(i), JAX_NUM_CPU_DEVICES="2",
                JAX_CPU_COLLECTIVES_IMPLEMENTATION="gloo",
            ),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for i in range(2)
    ]  # fmt: skip
    outputs = [process.communicate(timeout=400) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    return [output for output, _ in outputs]


def test_two_hosts_find_what_one_host_finds(finished, tmp_path):
    """Against four devices of one process; and again, with what is kept."""
    folder, workdir = finished
    outputs = on_two_hosts(folder, tmp_path / "two")
    # Gloo's ranks share the stream, and write into each other's lines.
    gloo = "[Gloo]", "peer ranks"
    lines = outputs[1].splitlines()
    said = [line for line in lines if line and not any(words in line for words in gloo)]
    assert said == []  # the first host speaks
    alone, together = read_results(workdir), read_results(tmp_path / "two")
    first, second = on_two_hosts(folder, tmp_path / "two")
    assert first.count("kept from") == 2
    assert "kept from" not in second
    assert read_results(tmp_path / "two")["analyses"] == together["analyses"]
    assert together["environment"]["hosts"] == 2
    assert together["classifier"]["test_accuracy"] == alone["classifier"]["test_accuracy"]
    for a, b in zip(alone["analyses"], together["analyses"], strict=True):
        counts = [[c["count"] for c in x["classes"]] for x in (a, b)]
        np.testing.assert_allclose(*counts, atol=2)
        distances = [np.array(x["distance"], float) for x in (a, b)]
        np.testing.assert_allclose(*distances, rtol=0.02)


@pytest.mark.filterwarnings("ignore:the files in", "ignore:Glyph")
def test_coloured_images_of_ones_own_go_the_whole_way(tiny_folder, tmp_path):
    grey = load_dataset("fashion_mnist", tiny_folder)
    colours = {
        f"{part}_images": np.concatenate([images, images // 2, 255 - images], axis=-1)
        for part, images in (("train", grey.train_images), ("test", grey.test_images))
    }
    labels = {"train_labels": grey.train_labels, "test_labels": grey.test_labels}
    np.savez(tmp_path / "three_colours.npz", **colours, **labels)
    names = ["b$_$c", "$5 to $10", "_hidden", "<b>", "a_b", "日本", "ö", "g", "h", "&amp;"]
    error = run(
        tmp_path / "three_colours.npz", tmp_path / "run", "--class-names", *names,
        "--classifier.epochs=1", "--gan.epochs=1",
    )  # fmt: skip
    assert error is None
    results = read_results(tmp_path / "run")
    assert results["dataset"]["name"] == "three_colours"
    assert results["dataset"]["image_shape"] == [8, 8, 3]
    assert results["dataset"]["class_names"] == names
    assert results["config"]["classifier"]["mirror"] is False
    page = (tmp_path / "run" / "report.html").read_text()
    assert "&lt;b&gt;" in page
    assert "&amp;amp;" in page
    for name in ("class_means", "label_along_ray", "figure_12_epsilon"):  # with all names
        assert (tmp_path / "run" / "figures" / f"{name}.png").is_file()
    found = load_run(tmp_path / "run")
    assert found.class_names == tuple(names)
    images = found.generate(found.prior(jax.random.key(0), 5))
    assert images.shape == (5, 8, 8, 3)
    assert found.classify(images).shape == (5, 10)
