"""The comparison of arms on a tiny data set: what it leaves, refuses, and does not look at."""

import sys
import warnings
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from conftest import load_experiment, read_results, run_experiment, unexplained

from magan_jax.augmentation import kept, networks, report, trial
from magan_jax.augmentation.arms import ARMS, BASELINES, CONTRASTS
from magan_jax.augmentation.bounds import BOUNDS
from magan_jax.augmentation.trial import Trial
from magan_jax.training.gan import TrainedGAN
from magan_jax.training.standardised import standardised

TINY = [
    "--preset=quick", "--num-seeds=2", "--budgets", "3", "--fitting.steps=60",
    "--fitting.batch-size=16", "--fitting.width=4", "--judge-steps=200",
    "--synthesis.num-images=60", "--synthesis.num-members=2", "--synthesis.member-steps=80",
    "--synthesis.num-samples=400", "--synthesis.num-directions=8", "--synthesis.num-anchors=3",
    "--synthesis.anchor-directions=4",
    "--synthesis.anchor-draws=1000", "--gan.epochs=3", "--gan.batch-size=16",
    "--gan.latent-dim=6", "--gan.generator-width=2", "--gan.discriminator-width=2",
    "--contrast.epochs=1", "--contrast.batch-size=16", "--contrast.width=2",
    "--contrast.max-erased=3", "--synthesis.tuning.steps=20", "--synthesis.tuning.max-erased=3",
    "--vae.epochs=3", "--vae.layers", "16", "12", "--vae.batch-size=16", "--vae.latent-dim=3",
]  # fmt: skip


def arguments(folder, workdir, *more):
    return [*TINY, f"--data-dir={folder}", f"--workdir={workdir}", *more]


def run(folder, workdir, *more):
    with warnings.catch_warnings():  # of other files than the published ones
        warnings.simplefilter("ignore", UserWarning)
        return run_experiment("augmentation", *arguments(folder, workdir, *more))


@pytest.fixture(scope="module")
def finished(tiny_folder, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run") / "here"
    assert run(tiny_folder, workdir) is None
    return workdir


def test_results_hold_every_arm_of_every_budget(finished):
    results = read_results(finished)
    assert [entry["num_per_class"] for entry in results["budgets"]] == [3]
    for entry in results["budgets"]:
        assert entry["seeds"] == [0, 1]
        assert list(entry["arms"]) == list(ARMS)
        assert list(entry["bounds"]) == list(BOUNDS)
        means = {name: entry["arms"][name]["test_accuracy"]["mean"] for name in BASELINES}
        assert means[entry["baseline"]] == max(means.values())
        for name, arm in entry["arms"].items():
            values = np.array(arm["test_accuracy"]["values"])
            assert ((values * 64) % 1 == 0).all()  # of 64 test images
            titles = [variant.title for variant in ARMS[name].variants]
            assert np.shape(arm["validation_accuracy"]) == (2, len(titles))
            if not arm["without_images"]:
                for validation, chosen in zip(
                    arm["validation_accuracy"], arm["chosen_variant"], strict=True
                ):
                    assert titles[np.argmax(validation)] == chosen
            for other in set(BASELINES) - {name}:
                base = np.array(entry["arms"][other]["test_accuracy"]["values"])
                found = arm["against"][other]
                assert found["mean"] == pytest.approx((values - base).mean())
                assert 0 <= found["image_error"] <= 1 / 8  # of 64 images
                assert found["image_error"] <= entry["largest_image_error"] or (
                    other != entry["baseline"]
                )
                if found["reason"]:  # of two seeds, as many images more in both
                    assert np.ptp(values - base) == 0 != found["mean"]
                    continue
                assert found["low"] <= found["mean"] <= found["high"]
                assert found["p_value"] <= found["adjusted"] <= 1
            if any(variant.pool for variant in ARMS[name].variants):
                assert arm["seeds_with_images"] == 2, arm["without_images"]
                assert 0 <= arm["purity"]["mean"] <= 1
                assert arm["synthetic_images"]["mean"] <= 120
                assert np.sum(arm["of_class"]) == np.sum(arm["synthetic_images"]["values"])
        assert entry["bounds"]["real_labels"]["purity"]["mean"] == pytest.approx(
            results["judge"]["test_accuracy"], abs=0.25
        )
        tested = {name: arm["test_accuracy"]["values"] for name, arm in entry["arms"].items()}
        for one in entry["contrasts"]:
            difference = np.subtract(tested[one["arm"]], tested[one["minus"]])
            assert one["mean"] == pytest.approx(difference.mean())
        assert len(entry["contrasts"]) == len(CONTRASTS)
        assert ARMS[entry["best"]].from_latents
        assert np.sum(entry["neighbourhoods"]["counts"]) == 2 * 1000
        assert np.shape(entry["neighbourhoods"]["right"]) == (5, 7)
    assert [entry["fitted_per_class"] for entry in results["budgets"]] == [2]
    for entry in results["budgets"]:  # each by itself: what explains one does not the others
        parts = [*entry["arms"].values(), *entry["bounds"].values(), entry["neighbourhoods"]]
        assert not [missing for part in parts for missing in unexplained(part)]
        assert entry["goal_reason"] == "no goal was set for so many labels"
        assert entry["best_reason"] is None


def test_files_are_whole(finished):
    page = (finished / "report.html").read_text()
    for arm in ARMS.values():
        assert arm.title.replace("'", "&#39;") in page
    assert "None" not in page
    entry = read_results(finished)["budgets"][0]
    rows = [*entry["arms"].values(), *entry["bounds"].values()]
    assert page.count("No image of") == sum(bool(row["classes_without_images"]) for row in rows)
    table = (finished / "arms.md").read_text().splitlines()
    assert len(table) == 2 + len(ARMS) + len(BOUNDS)
    assert all(line.count("|") == 3 for line in table)
    assert {path.stem for path in (finished / "figures").glob("*.png")} == {
        "accuracy", "differences", "neighbourhoods", "pools", "purity",
    }  # fmt: skip


def test_trials_are_kept_by_what_was_trained_not_by_how_a_machine_rounds_its_statistics():
    state = {"generator": np.ones(3, np.float32)}
    gan = TrainedGAN(None, None, None, None, SimpleNamespace(state=state))

    def features(scale=1.0, shift=0.0):
        variables = {
            "params": {"w": np.full((4, 2), scale, np.float32)},
            "batch_stats": {"mean": np.full(2, shift, np.float32)},
        }
        real = np.random.default_rng(0).normal(shift, 1, (50, 4)).astype(np.float32)
        return [standardised(two_features, variables, real)]

    kept_by = networks.trained_digest(gan, features())
    assert networks.trained_digest(gan, features(shift=1e-6)) == kept_by
    assert networks.trained_digest(gan, features(scale=1 + 2**-23)) != kept_by
    assert networks.trained_digest(gan, []) != kept_by
    others = [SimpleNamespace(progress=SimpleNamespace(state=np.full(3, s))) for s in (1.0, 2.0)]
    digests = {networks.trained_digest(gan, features(), one) for one in (*others, None)}
    assert len(digests) == 3
    state["generator"][0] = 2
    assert networks.trained_digest(gan, features()) != kept_by


def two_features(variables, x):
    return x @ variables["params"]["w"] - variables["batch_stats"]["mean"]


def test_no_arm_sees_another_label_or_a_test_image(finished, tiny_folder, monkeypatch, tmp_path):
    """With every other label wrong, each arm's classifiers are the same to the bit."""
    module = load_experiment("augmentation")
    monkeypatch.setattr(sys, "argv", ["augmentation.py", *arguments(tiny_folder, finished)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        run = module.prepare()
    key = run.keys(10)[0]
    # Nor does anything read a test image: there are none.
    blind = run.dataset._replace(test_images=None, test_labels=None)
    run = module.replace(run, dataset=blind)

    def one_trial(run):
        gan = module.generator_of(run, run.config.gan, run.config.fashion_workdir)
        features = module.unlabelled_features(run, gan, run.config.gan, run.config.contrast)
        of_all = module.replace(run.config.fitting, steps=run.config.judge_steps)
        judge, other = (module.knows_all(run, of_all, stream) for stream in (11, 12))
        images = run.dataset.train_images
        sources = module.sources_of(run, key, gan, other.classify, run.train_set, images)
        vae = module.autoencoder_of(run, run.config.vae)
        begun = module.Begun(gan, features, vae, judge, module.Known(sources, run.train_set))
        (found,) = module.try_seeds(run, {0: key}, 3, begun, lambda: None)
        trained = gan.progress.state, [one.args for one in features], vae.progress.state
        return found, kept.digest_of(trained)

    right, networks = one_trial(run)
    budget = module.draw_budget(jax.random.fold_in(key, 0), run.train_set, 3, 10)
    # Wrong ones, and of other numbers: who knew how frequent the classes are would tell.
    wrong_by = np.random.default_rng(0).integers(1, 4, len(run.dataset.train_labels))
    labels = (run.dataset.train_labels + wrong_by) % 10
    labels[budget.rows] = budget.labels
    assert np.ptp(np.bincount(labels, minlength=10)) > 10
    monkeypatch.setattr(module, "draw_budget", lambda *_: budget)
    # In a folder of its own: GAN and features are trained anew, beside these labels.
    lying = module.replace(run, dataset=run.dataset._replace(train_labels=labels), workdir=tmp_path)
    wrong, others = one_trial(lying)
    assert others == networks  # GAN, features and autoencoder, trained anew
    for name in ARMS:
        pairs = zip(
            jax.tree.leaves(right.arms[name].classifier),
            jax.tree.leaves(wrong.arms[name].classifier),
            strict=True,
        )
        assert all(np.array_equal(a, b) for a, b in pairs), name
        if any(variant.pool for variant in ARMS[name].variants):
            assert right.arms[name].pool is not None
    # Nor are labels that were kept for choices learned from: where there is nothing to choose, all
    # is the same without them.
    real_fit_all = trial.fit_all
    monkeypatch.setattr(trial, "accuracy", lambda *_: 0.5)
    spoiled = budget._replace(
        labels=np.where(budget.held_out, (budget.labels + 1) % 10, budget.labels)
    )
    both = []
    for told in (budget, spoiled):
        monkeypatch.setattr(module, "draw_budget", lambda *_, told=told: told)
        fitted = []

        def fit_all(*given, fitted=fitted):
            for one in real_fit_all(*given):
                fitted.append(one)
                yield one

        monkeypatch.setattr(trial, "fit_all", fit_all)
        one_trial(run)
        both.append(fitted)
    assert len(both[0]) == sum(len(arm.variants) for arm in ARMS.values()) + 2 * len(BOUNDS)
    for one, other in zip(*both, strict=True):  # every variant's
        pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs)
    # Made and real images of one graph are parts of one pool.
    for name in ("graph", "tuned", "unlabelled", "mixture"):
        pool = right.arms[name].pool
        assert pool is not None
        assert pool.size == (120 if name == "mixture" else 60)
    # The bounds do see them: the comparison can tell.
    a, b = (t.bounds["real_labels"].classifier.args[0] for t in (right, wrong))
    assert not all(map(np.array_equal, jax.tree.leaves(a), jax.tree.leaves(b)))


def test_images_that_choose_among_variants_are_in_no_pool(finished, tiny_folder, monkeypatch):
    module = load_experiment("augmentation")
    monkeypatch.setattr(sys, "argv", ["augmentation.py", *arguments(tiny_folder, finished)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        run = module.prepare()
    seen = []

    class Enough(Exception):
        pass

    def draft_arms(key, arms, sources, few):
        seen.append(sources.unlabelled)

    def draft_bounds(key, known, few):
        seen.append(known.train_set)
        raise Enough

    monkeypatch.setattr(module, "draft_arms", draft_arms)
    monkeypatch.setattr(module, "draft_bounds", draft_bounds)
    key, gan = run.keys(10)[0], module.generator_of(run, run.config.gan, run.config.fashion_workdir)
    begun = module.Begun(gan, [], None, None, module.Known(None, run.train_set))
    with pytest.raises(Enough):
        module.try_seeds(run, {0: key}, 3, begun, lambda: None)
    budget = module.draw_budget(jax.random.fold_in(key, 0), run.train_set, 3, 10)
    images = run.dataset.train_images
    others = np.setdiff1d(np.arange(len(images)), budget.rows[budget.held_out])
    assert len(others) == len(images) - 10  # one in three of each class chooses
    for pool in (seen[0], seen[1].images):
        np.testing.assert_array_equal(pool, images[others])
    np.testing.assert_array_equal(seen[1].labels, run.dataset.train_labels[others])


def test_an_encoder_of_another_generator_of_the_same_settings_is_refused(
    finished, tiny_folder, monkeypatch
):
    module = load_experiment("augmentation")
    monkeypatch.setattr(sys, "argv", ["augmentation.py", *arguments(tiny_folder, finished)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        run = module.prepare()
    gan = module.generator_of(run, run.config.gan, run.config.fashion_workdir)
    settings = run.config.gan, run.config.contrast
    assert len(module.unlabelled_features(run, gan, *settings)) == 2  # its own is kept
    other = jax.tree.map(lambda leaf: leaf + np.ones((), leaf.dtype), gan.progress.state)
    another = gan._replace(progress=gan.progress._replace(state=other))
    with pytest.raises(ValueError, match="holds a training with another gan's parameters; delete"):
        module.unlabelled_features(run, another, *settings)


def test_a_second_call_fits_no_arm_and_finds_the_same(finished, tiny_folder, capsys):
    before = read_results(finished)
    assert run(tiny_folder, finished) is None
    said = capsys.readouterr().out
    assert "labels per class: " in said  # the last lines
    assert read_results(finished)["budgets"] == before["budgets"]
    assert not [name for name in read_results(finished)["seconds"] if "per class" in name]


def test_another_host_does_as_the_first_whose_disk_it_cannot_see(
    finished, tiny_folder, monkeypatch
):
    """Where the first has kept a trial, no other tries it: the others would wait for ever."""
    module = load_experiment("augmentation")
    monkeypatch.setattr(sys, "argv", ["augmentation.py", *arguments(tiny_folder, finished)])
    for each in (module, kept, report):
        monkeypatch.setattr(each, "is_first_host", lambda: False)
    asked, tried = [], []

    def first_host_says(answer):
        asked.append(answer)
        return len(asked) == 3  # no GAN of fashion.py, no first trial, but a second

    def try_seeds(run, keys, n, *_):
        tried.extend((seed, n) for seed in keys)
        return [Trial(seed, n, 10, np.zeros(30, bool), {}, {}) for seed in keys]

    for each in (module, networks):
        monkeypatch.setattr(each, "first_host_says", first_host_says)
    monkeypatch.setattr(module, "try_seeds", try_seeds)
    before = read_results(finished)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        module.main()
    assert (asked, tried) == ([False, False, False], [(0, 3)])
    assert read_results(finished) == before  # which the first host writes


def test_trials_of_other_settings_are_refused(finished, tiny_folder, capsys):
    said = run(tiny_folder, finished, "--fitting.learning-rate=0.01")
    assert "holds a trial of other settings; delete it" in said
    assert "GAN" not in capsys.readouterr().out  # before anything is trained


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--arms", "real", "classical", "gan"], "error: --arms is real classical gan; choose"),
        (["--arms", "real", "pseudo"], "keep real and classical, which the others"),
        (["--budgets", "1"], "budgets is 1; it must be"),
        (["--budgets", "40"], "budgets is 40, but class 0 has 32 training images"),
        (["--fitting.batch-size=8"], "fitting.batch_size is 8; it must be at least 10"),
        (["--synthesis.num-anchors=0"], "synthesis.num_anchors is 0"),
        (["--synthesis.graph-neighbours=60"], "graph_neighbours is 60; it must be less than"),
        (["--synthesis.graph-weight=1"], "synthesis.graph_weight is 1.0; it must lie in [0, 1)"),
        (["--synthesis.neighbour-scale=-1"], "synthesis.neighbour_scale is -1.0"),
        (["--synthesis.tuning.max-erased=8"], "synthesis.tuning.max_erased is 8"),
        (["--gan.objective=perceptual"], "the GAN must see no labels"),
        (["--contrast.scale=0"], "contrast.scale is 0.0; it must be positive"),
        (
            ["--gan.sampling-prior=mixture", "--gan.latent-dim=20"],
            "gan.sampling_prior is mixture; neighbourhoods are those of the normal prior: leave "
            "--gan.sampling-prior out",
        ),
        (["--judge-steps=0"], "judge_steps is 0"),
        (["--seeds-at-once=0"], "seeds_at_once is 0; it must be at least 1"),
    ],
)
def test_what_cannot_work_is_refused_before_training(tiny_folder, tmp_path, changes, message):
    workdir = tmp_path / "run"
    assert message in run(tiny_folder, workdir, *changes)
    assert not list(workdir.glob("checkpoints/*"))


def test_the_generator_is_that_of_the_paper_s_experiment():
    fashion, augmentation = (load_experiment(name) for name in ("fashion", "augmentation"))
    for preset in ("quick", "paper"):
        assert augmentation.PRESETS[preset].gan == fashion.PRESETS[preset].gan


def test_a_generator_that_is_not_there_is_refused(tiny_folder, tmp_path):
    said = run(tiny_folder, tmp_path / "run", f"--fashion-workdir={tmp_path}")
    assert "holds no finished GAN of these settings" in said


def test_the_generator_of_a_finished_run_is_used_and_seeds_together_are_each_as_alone(
    tiny_folder, finished, tmp_path, capsys
):
    few = ["--arms", "real", "classical", "--budgets", "5", "3", "--seeds-at-once=2"]
    workdir = tmp_path / "run"
    assert run(tiny_folder, workdir, *few, f"--fashion-workdir={finished}") is None
    assert f"kept from {finished}" in capsys.readouterr().out
    entries = read_results(workdir)["budgets"]
    assert [entry["num_per_class"] for entry in entries] == [3, 5]
    assert [entry["fitted_per_class"] for entry in entries] == [2, 4]
    assert all(list(entry["arms"]) == ["real", "classical"] for entry in entries)
    (before,) = read_results(finished)["budgets"]
    for name in ("real", "classical"):
        for what in ("test_accuracy", "validation_accuracy", "chosen_variant"):
            assert entries[0]["arms"][name][what] == before["arms"][name][what]
    table = (workdir / "arms.md").read_text().splitlines()
    assert len(table) == 2 + 2 + len(BOUNDS)
    assert all(line.count("|") == 4 for line in table)  # a name, and a column of each budget


def test_an_interrupted_restart_goes_on_and_costs_no_old_trial(
    tiny_folder, finished, tmp_path, monkeypatch
):
    workdir, tried = tmp_path / "run", []
    few = [
        "--arms", "real", "classical", f"--fashion-workdir={finished}", "--judge-steps=20",
        "--fitting.steps=10", "--synthesis.member-steps=10",
    ]  # fmt: skip
    assert run(tiny_folder, workdir, *few) is None
    before = {path: path.read_bytes() for path in (workdir / "trials").iterdir()}
    entries = read_results(workdir)["budgets"]
    try_drafts = trial.try_drafts

    def interrupted(drafts, *rest):
        tried.append(drafts[0].seed)
        if tried == [0, 1]:
            raise KeyboardInterrupt
        return try_drafts(drafts, *rest)

    monkeypatch.setattr(trial, "try_drafts", interrupted)
    assert "the same command goes on" in run(tiny_folder, workdir, *few, "--restart")
    assert {path: path.read_bytes() for path in (workdir / "trials").iterdir()} == before
    assert run(tiny_folder, workdir, *few, "--restart") is None
    assert tried == [0, 1, 1]
    assert not (workdir / "trials-restarted").exists()
    assert {path.name for path in (workdir / "trials").iterdir()} == {p.name for p in before}
    assert read_results(workdir)["budgets"] == entries
    # A restart that was left with other settings is no hindrance to a new one.
    (workdir / "trials-restarted").mkdir()
    for path, content in before.items():
        (workdir / "trials-restarted" / path.name).write_bytes(content)
    assert run(tiny_folder, workdir, *few, "--restart", "--fitting.steps=5") is None
    assert tried == [0, 1, 1, 0, 1]


@pytest.mark.parametrize(
    ("flags", "finished_ones", "expected"),
    [
        ([], ("own", "runs"), "own"),
        ([], ("runs",), "runs"),
        ([], (), "own"),
        (["--restart"], ("runs",), "own"),
        (["--fashion-workdir=there"], ("own", "there"), "there"),
    ],
)
def test_which_generator_is_used(
    tiny_folder, tmp_path, monkeypatch, flags, finished_ones, expected
):
    module = load_experiment("augmentation")
    argv = ["augmentation.py", *arguments(tiny_folder, tmp_path / "own", *flags)]
    monkeypatch.setattr(sys, "argv", argv)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        prepared = module.prepare()

    def place(stage):
        return next(part for part in ("own", "runs", "there") if part in stage.folder.parts)

    monkeypatch.setattr(networks, "is_finished", lambda stage, _: place(stage) in finished_ones)
    monkeypatch.setattr(networks, "train_gan", lambda *_, stage, **__: place(stage))
    assert (
        module.generator_of(prepared, prepared.config.gan, prepared.config.fashion_workdir)
        == expected
    )
