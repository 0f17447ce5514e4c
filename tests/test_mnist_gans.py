"""The comparison of GANs on a tiny data set: what it leaves, and what it refuses."""

import csv
import shutil
import warnings
from dataclasses import replace

import numpy as np
import pytest
from conftest import read_results, run_experiment

from magan_jax import sampling
from magan_jax.comparison.systems import ORDERS, SYSTEMS, check_systems, chosen_config
from magan_jax.errors import NetworkOutputError
from magan_jax.latent import partition
from magan_jax.outputs import write_page
from magan_jax.training.gan_config import GANConfig, check_gan_config

METHODS = ["vanilla", "cluster_20"]
TINY = [
    "--preset=quick", "--epochs=2", "--classifier.epochs=3", "--classifier.batch-size=16",
    "--classifier.width=4", "--gan.batch-size=16", "--gan.generator-layers", "8", "16",
    "--gan.discriminator-layers", "16", "8", "--judging.num-images=50", "--num-points=40",
    "--num-starts=8", "--analysis.num-samples=2000",
    "--analysis.num-directions=8", "--analysis.tolerance=0.05",
]  # fmt: skip


def run(folder, workdir, *arguments):
    given = [*TINY, f"--data-dir={folder}", f"--workdir={workdir}", *arguments]
    with warnings.catch_warnings():  # of other files than the published ones
        warnings.simplefilter("ignore", UserWarning)
        return run_experiment("mnist_gans", *given)


@pytest.fixture(scope="module")
def finished(tiny_folder, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run") / "here"
    assert run(tiny_folder, workdir, "--methods", *METHODS, "--num-seeds=2") is None
    return workdir


def test_results_hold_every_method_with_its_report(finished):
    results = read_results(finished)
    assert list(results["methods"]) == METHODS
    for name, entry in results["methods"].items():
        assert entry["failure"] is None
        reported = SYSTEMS[name].reported
        assert entry["reported"]["frechet_distance"] == reported.frechet_distance
        for metric in ("frechet_distance", "precision", "recall", "density", "coverage"):
            values = entry["ours"][metric]["values"]
            assert len(values) == 2
            assert entry["ours"][metric]["mean"] == pytest.approx(np.mean(values))
            assert entry["ours"][metric]["std"] == pytest.approx(np.std(values, ddof=1))
        assert np.shape(entry["curves"]["recall"]) == (2, 2)
        assert entry["measured_with"]["precision"]["k"] == 3
        assert entry["measured_with"]["precision"]["num_fake"] == 50
        assert entry["measured_with"]["precision"]["test_accuracy"] > 0
        assert 0 <= entry["latent"]["means_with_own_label"]["mean"] <= 1
        assert (entry["encoder"] is not None) == (name == "cluster_20")


def test_the_page_says_whose_classes_are_missing_and_which_way_a_difference_points(
    finished, tmp_path
):
    results = read_results(finished)
    names = results["dataset"]["class_names"]
    results["methods"]["vanilla"]["missing_classes"] = [[], [1, 2]]
    assert results["methods"]["vanilla"]["seeds"] == [0, 1]
    results["methods"]["cluster_20"]["missing_classes"] = [[], []]
    order = results["orders"][0] | {"verdict": "open"}
    results["orders"] = [order | {"difference": d} for d in (0.5, 0.0, -0.5)]
    write_page(tmp_path, "report_systems.html", results, [])
    page = (tmp_path / "report.html").read_text()
    assert page.count("seed 1: no ") == 1
    assert f"seed 1: no {names[1]}, {names[2]}<" in page
    assert "seed 0: no" not in page
    ways = [way for way in ("this way round", "equal", "the other way round") if way in page]
    assert len(ways) == 3
    assert "from 2 seeds," in page


def test_orders_are_decided_where_both_were_trained(finished):
    orders = read_results(finished)["orders"]
    by_claim = {order["claim"]: order for order in orders}
    compared = by_claim["ClusterGAN has the smaller Fréchet distance"]
    more, less = (entry["values"] for entry in compared["ours"])
    assert compared["difference"] == pytest.approx(np.mean(more) - np.mean(less))
    assert compared["interval"][0] < compared["difference"] < compared["interval"][1]
    assert set(by_claim) == {o.claim for o in ORDERS if {o.more, o.less} <= set(METHODS)}


def test_files_are_whole(finished):
    page = (finished / "report.html").read_text()
    for name in METHODS:
        assert SYSTEMS[name].title in page
    assert "real test images" in page
    table = (finished / "systems.md").read_text().splitlines()
    assert len(table) == 2 + len(METHODS) + 1
    assert table[2].startswith("| vanilla | 15.13 | 0.62 | 0.47 | ")
    assert all(line.count("|") == 8 for line in table)
    orders = (finished / "orders.md").read_text().splitlines()
    assert len(orders) == 2 + sum({o.more, o.less} <= set(METHODS) for o in ORDERS)
    figures = {path.stem for path in (finished / "figures").glob("*.png")}
    assert figures == {
        "samples", "metric_curves", "precision_recall", "losses", "clusters_cluster_20",
        "interpolation", "ascent", "embeddings",
    }  # fmt: skip
    with np.load(finished / "latents.npz", allow_pickle=False) as arrays:
        assert arrays["cluster_20_mean"].shape == (2, 10, 20)
        assert arrays["vanilla_counts"].sum(axis=1).tolist() == [2000, 2000]
    with (finished / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["stage"] for row in rows} == {f"{n}-seed{s}" for n in METHODS for s in (0, 1)}


def test_a_second_call_trains_nothing_and_finds_the_same(finished, tiny_folder, capsys):
    before = read_results(finished)
    assert run(tiny_folder, finished, "--methods", *METHODS, "--num-seeds=2") is None
    assert capsys.readouterr().out.count("kept from") == 1 + len(METHODS)
    after = read_results(finished)
    for name, entry in before["methods"].items():  # a checkpoint's clock stops before it is written
        assert after["methods"][name] | {"seconds": 0} == entry | {"seconds": 0}


def diverge_in_an_epoch(monkeypatch):
    wild = SYSTEMS["vanilla"]._replace(settings={"learning_rate": 1e30})
    monkeypatch.setitem(SYSTEMS, "vanilla", wild)


def give_bad_images_after_an_epoch(monkeypatch):
    sample_images, calls = sampling.sample_images, []

    def sample(*arguments):
        calls.append(arguments)
        images = sample_images(*arguments)
        return images * np.nan if len(calls) == 1 else images

    monkeypatch.setattr(sampling, "sample_images", sample)


@pytest.mark.parametrize(
    ("diverge", "said"),
    [(diverge_in_an_epoch, "at step"), (give_bad_images_after_an_epoch, "not finite")],
)
def test_a_training_that_diverges_says_so_and_the_others_go_on(
    tiny_folder, tmp_path, monkeypatch, diverge, said
):
    workdir = tmp_path / "run"
    diverge(monkeypatch)
    assert run(tiny_folder, workdir, "--methods", *METHODS) is None
    results = read_results(workdir)
    methods = results["methods"]
    for order in results["orders"]:
        assert (order["verdict"], order["difference"]) == ("open", None)
        assert order["reason"] == "no seed of both could be judged"
    assert len(results["orders"]) == 3
    assert said in methods["vanilla"]["failure"]
    assert methods["vanilla"]["ours"] == {}
    assert methods["cluster_20"]["failure"] is None
    assert methods["vanilla"]["failure"] in (workdir / "report.html").read_text()


@pytest.mark.parametrize("bad", [(0,), (0, 1)])
def test_images_that_cannot_be_judged_cost_their_seed_only(
    finished, tiny_folder, tmp_path, monkeypatch, bad
):
    shutil.copytree(finished / "checkpoints", tmp_path / "run" / "checkpoints")
    of_partition, calls = partition.partition_scores, []

    def scores(*arguments):
        calls.append(arguments)
        if len(calls) - 1 in bad:
            raise NetworkOutputError("2 images are not finite")
        return of_partition(*arguments)

    monkeypatch.setattr(partition, "partition_scores", scores)  # asked of cluster_20 alone
    assert run(tiny_folder, tmp_path / "run", "--methods", *METHODS, "--num-seeds=2") is None
    methods, before = (read_results(of)["methods"] for of in (tmp_path / "run", finished))
    clustered = methods["cluster_20"]
    why = " ".join(f"seed {seed}: 2 images are not finite" for seed in bad)
    good = [seed for seed in (0, 1) if seed not in bad]
    assert (clustered["failure"], clustered["seeds"], len(calls)) == (why, good, 2)
    if good:
        kept = [before["cluster_20"]["ours"]["recall"]["values"][seed] for seed in good]
        assert clustered["ours"]["recall"]["values"] == kept
        assert np.shape(clustered["curves"]["recall"]) == (len(good), 2)
    assert methods["vanilla"] | {"seconds": 0} == before["vanilla"] | {"seconds": 0}
    assert why in (tmp_path / "run" / "report.html").read_text()
    row = (tmp_path / "run" / "systems.md").read_text().splitlines()[3]
    assert row.startswith("| ClusterGAN, d = 20 (seeds 1) |" if good else "| ClusterGAN, d = 20 |")
    assert row.endswith(" failed | failed | failed |") != bool(good)
    with (tmp_path / "run" / "metrics.csv").open() as file:
        stages = {line["stage"] for line in csv.DictReader(file)}
    assert stages == {"vanilla-seed0", "vanilla-seed1"} | {f"cluster_20-seed{s}" for s in good}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--methods", "vanilla", "gan"], "error: --methods names gan; choose among vanilla, van"),
        (
            ["--methods", "vanilla", "--judging.num-images=3"],
            "judging.k_precision is 3; it must be 1 to 2",
        ),
        (["--gan.prior=cluster"], "--gan.prior is cluster, which is what a system's name stands"),
        (["--methods", "vanilla", "--gan.objective=hinge"], "leave it out and choose by --methods"),
        (["--gan.latent-dim=7"], "--gan.latent-dim is 7, but cluster_20, cluster_100, cluster_200"),
        (["--methods", "vanilla", "san", "--gan.beta1=0.1"], "but san would not heed it"),
        (["--methods", "vanilla", "--gan.latent-dim=0"], "latent_dim is 0"),
        (["--gan.epochs=1"], "--gan.epochs is 1; give --epochs, which is for every system"),
        (
            ["--methods", "vanilla", "--gan.network=dcgan"],
            "--gan.network is dcgan, which is what a system's name",
        ),
        (["--methods", "vanilla", "--gan.generator-width=16"], "but vanilla would not heed it"),
        (
            ["--methods", "wasserstein_gp", "--gan.beta1=0.9"],
            "but wasserstein_gp would not heed it",
        ),
        (["--methods", "vanilla", "--num-points=30"], "num_points is 30; t-SNE needs at least 31"),
        (
            ["--methods", "vanilla", "--judging.num-images=0"],
            "judging.num_images is 0; it must be a whole number, at least 1",
        ),
        (["--methods", "vanilla", "--num-starts=0"], "num_starts is 0; it must be at least 1"),
        (["--methods", "vanilla", "--gan.num-clusters=7"], "but vanilla would not heed it"),
        (
            ["--methods", "vanilla", "--gan.constants.clip=0.1"],
            "--gan.constants.clip is 0.1, but the objective of none of vanilla has it",
        ),
        (["--epochs=0"], "epochs is 0; it must be at least 1"),
    ],
)
def test_what_cannot_work_is_refused_before_training(tiny_folder, tmp_path, arguments, message):
    workdir = tmp_path / "run"
    with warnings.catch_warnings():  # of other files than the published ones
        warnings.simplefilter("ignore", UserWarning)
        failure = run_experiment(
            "mnist_gans", *TINY, f"--data-dir={tiny_folder}", f"--workdir={workdir}", *arguments
        )
    assert message in failure
    assert not list(workdir.glob("checkpoints/*"))


def test_a_flag_that_a_system_heeds_is_not_refused():
    default = GANConfig(network="mlp")
    base = replace(default, optimizer="rmsprop", beta2=0.95)  # its decay
    check_systems(["vanilla"], base, 1, default)
    with pytest.raises(ValueError, match="--gan.beta1 is 0.1, but vanilla would not heed it"):
        check_systems(["vanilla"], replace(base, beta1=0.1), 1, default)


def test_every_system_is_a_configuration_that_works():
    for name, system in SYSTEMS.items():
        for epochs in (None, 3):
            config = chosen_config(name, GANConfig(network="mlp"), epochs)
            check_gan_config(config, (60_000, 28, 28, 1))
            assert config.epochs == (epochs or system.epochs)
            assert config.network == "mlp"
