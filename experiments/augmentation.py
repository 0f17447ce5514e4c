"""Do labelled images from a GAN help a classifier that has few labels?

    python experiments/augmentation.py                        # quick on a CPU, else paper
    python experiments/augmentation.py --budgets 10 --arms real classical neighbourhoods
    python experiments/augmentation.py --preset paper         # six budgets, five seeds

The GAN is that of `python experiments/fashion.py`, where its run is there. Numbers to expect: see
augmentation.md beside this file.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from tqdm import tqdm

from magan_jax import analyze
from magan_jax.augmentation.arms import ARMS, SHARES, any_needs, check_arms
from magan_jax.augmentation.bounds import BOUNDS, Known, draft_bounds
from magan_jax.augmentation.budget import Budget, check_budgets, draw_budget
from magan_jax.augmentation.drafts import Draft, draft_arms
from magan_jax.augmentation.fitting import FittingConfig, check_fitting_config
from magan_jax.augmentation.judging import Judge
from magan_jax.augmentation.kept import TrialsFolder, keep_trial, kept_trials, put_in_place
from magan_jax.augmentation.labelling import fit_ensembles
from magan_jax.augmentation.neighbourhoods import study_neighbourhoods
from magan_jax.augmentation.networks import (
    GAN_DIGEST,
    autoencoder_of,
    autoencoder_stage,
    check_unlabelled_normal,
    contrast_stage,
    generator_of,
    knows_all,
    trained_digest,
    unlabelled_features,
)
from magan_jax.augmentation.pools import Sources
from magan_jax.augmentation.probe import fit_probe
from magan_jax.augmentation.report import report_augmentation
from magan_jax.augmentation.settings import SynthesisConfig, check_synthesis_config
from magan_jax.augmentation.trial import Trial, try_drafts
from magan_jax.augmentation.tuning import TuningConfig
from magan_jax.cli import one_sentence, parse
from magan_jax.data import load_dataset
from magan_jax.networks import Classify
from magan_jax.parallel import check_num_devices
from magan_jax.run import Run, RunConfig, start_run
from magan_jax.runtime import first_host_says, is_first_host
from magan_jax.training.contrast import ContrastConfig, check_contrast_config
from magan_jax.training.engine import Batch
from magan_jax.training.gan import TrainedGAN
from magan_jax.training.gan_config import GANConfig, check_gan_config
from magan_jax.training.stage import check_stage
from magan_jax.training.standardised import Features
from magan_jax.training.vae import TrainedVAE, VAEConfig, check_vae_config


@dataclass(frozen=True)
class Config(RunConfig):
    """Whether labelled synthetic images help where labels are few."""

    num_seeds: int = 1
    """Draw labels and train classifiers from so many seeds: seed, seed + 1, …; the GAN is one."""
    budgets: tuple[int, ...] = (5, 10, 20, 50, 100, 500)
    """Labels of each class."""
    arms: tuple[str, ...] = tuple(ARMS)
    """Arms to compare, by name."""
    seeds_at_once: int | None = None
    """Seeds whose classifiers are fitted in the same compiled calls; default all on an accelerator,
    one on a CPU, where more are no faster and an interruption costs more."""
    judge_steps: int = 5_000
    """Steps of each of two classifiers that have all labels: one judges what labels are right and
    decides nothing, the other labels images for upper bounds."""
    fashion_workdir: Path | None = None
    """A run of fashion.py whose GAN is used; default its folder for this preset and seed."""
    fitting: FittingConfig = field(default_factory=FittingConfig)
    synthesis: SynthesisConfig = field(default_factory=SynthesisConfig)
    gan: GANConfig = field(default_factory=GANConfig)
    contrast: ContrastConfig = field(default_factory=ContrastConfig)
    vae: VAEConfig = field(default_factory=VAEConfig)


PRESETS = {
    "paper": Config(num_seeds=5),
    "quick": Config(
        num_seeds=3,
        budgets=(10, 50),
        judge_steps=1_500,
        fitting=FittingConfig(steps=400),
        synthesis=SynthesisConfig(
            num_images=4_000, num_members=5, member_steps=250, num_samples=10_000,
            num_directions=64, num_anchors=40, anchor_directions=8, anchor_draws=4_000,
            tuning=TuningConfig(steps=400),
        ),
        gan=GANConfig(epochs=7, generator_width=16, discriminator_width=16, learning_rate=2e-3),
        contrast=ContrastConfig(epochs=3),
        vae=VAEConfig(epochs=5),
    ),
}  # fmt: skip


def main() -> None:
    """A generator without labels, few labels, every arm; the test images last of all."""
    run = prepare()
    config = run.config
    with run.timed("gan"):
        gan = generator_of(run, config.gan, config.fashion_workdir)
    features: list[Features] = []
    if any_needs(config.arms, "features"):
        with run.timed("features"):
            features = unlabelled_features(run, gan, config.gan, config.contrast)
    autoencoder = None
    if any_needs(config.arms, "autoencoder"):
        with run.timed("autoencoder"):
            autoencoder = autoencoder_of(run, config.vae)

    # All labels, for what is marked as such: the judge of purity, and who labels for the bounds.
    with run.timed("all labels"):
        of_all = replace(config.fitting, steps=config.judge_steps)
        judge, omniscient = (knows_all(run, of_all, stream) for stream in (11, 12))
        images = run.dataset.train_images
        sources = sources_of(run, run.keys(13)[0], gan, omniscient.classify, run.train_set, images)
        begun = Begun(gan, features, autoencoder, judge, Known(sources, run.train_set))

    trials = all_trials(run, begun)

    # The test images are read here, once.
    report_augmentation(run, trials, judge, run.test_set)


class Begun(NamedTuple):
    """What all trials share.

    Attributes:
        gan: trained without labels.
        features: learned without labels; none, where no arm needs them.
        autoencoder: trained without labels; None, where no arm needs it.
        judge: has seen all labels, and decides nothing.
        known: what upper bounds are given.
    """

    gan: TrainedGAN
    features: Sequence[Features]
    autoencoder: TrainedVAE | None
    judge: Judge
    known: Known


def all_trials(run: Run[Config], begun: Begun) -> list[Trial]:
    """Every budget of every seed, by number of labels; those of earlier calls are kept."""
    config = run.config
    networks = trained_digest(begun.gan, begun.features, begun.autoencoder)
    folder = trials_of(run)
    trials = kept_trials(folder, config.budgets, run.seeds, networks)
    keys = dict(zip(run.seeds, run.keys(10), strict=True))
    missing = {
        n: [seed for seed in run.seeds if not first_host_says((n, seed) in trials)]
        for n in config.budgets
    }
    alone = jax.default_backend() == "cpu"
    together = config.seeds_at_once or (1 if alone else config.num_seeds)
    fits = sum(len(ARMS[name].variants) for name in config.arms) + len(BOUNDS) * len(SHARES)
    total = fits * sum(map(len, missing.values()))
    with tqdm(total=total, desc="classifiers", unit="fit", disable=None) as bar:
        for n, seeds in missing.items():
            for first in range(0, len(seeds), together):
                own = {seed: keys[seed] for seed in seeds[first : first + together]}
                with run.timed(f"{n} labels per class"):
                    found = try_seeds(run, own, n, begun, bar.update)
                for trial in found:
                    keep_trial(folder, trial, networks)
                    trials[n, trial.seed] = trial
    if config.restart and is_first_host():
        put_in_place(folder, trials.values(), run.workdir / "trials")
    return [trials[place] for place in sorted(trials)]


# Streams of a seed's key.
_BUDGET, _LABELLER, _ANALYSIS, _ARMS, _BOUNDS, _NEIGHBOURS = range(6)


def try_seeds(
    run: Run[Config],
    keys: Mapping[int, jax.Array],
    n: int,
    begun: Begun,
    on_progress: Callable[[], Any],
) -> list[Trial]:
    """A budget of n labels per class for each seed: who labels the latents, then all arms."""
    config, num_classes = run.config, len(run.dataset.class_names)
    # The labels of its budget are all that an arm, and its labeller, ever see. A budget of fewer
    # labels is a part of it, so its key does not depend on n.
    budgets = [
        draw_budget(jax.random.fold_in(key, _BUDGET), run.train_set, n, num_classes)
        for key in keys.values()
    ]
    labellers = fit_ensembles(
        [jax.random.fold_in(jax.random.fold_in(key, _LABELLER), n) for key in keys.values()],
        replace(config.fitting, steps=config.synthesis.member_steps),
        [budget.fitting for budget in budgets],
        num_classes,
        config.synthesis.num_members,
    )
    drafts = [
        draft_of(run, key, seed, n, budget, labeller, begun)
        for (seed, key), budget, labeller in zip(keys.items(), budgets, labellers, strict=True)
    ]
    return try_drafts(drafts, config.fitting, begun.judge, on_progress)


def draft_of(
    run: Run[Config],
    key: jax.Array,
    seed: int,
    n: int,
    budget: Budget,
    labeller: Classify,
    begun: Begun,
) -> Draft:
    """What every arm and every bound will learn from."""

    def own(stream: int) -> jax.Array:
        return jax.random.fold_in(jax.random.fold_in(key, stream), n)

    config, few = run.config, budget.fitting
    # The features know no label: these images' classes are all that their classifiers are told.
    # Images that choose among variants are not in the pools, though GAN and features, which know
    # no label, have seen them with all others.
    held_out = budget.rows[budget.held_out]
    others, labels = (np.delete(np.asarray(x), held_out, axis=0) for x in run.train_set)
    sources = sources_of(
        run,
        own(_ANALYSIS),
        begun.gan,
        labeller,
        few,
        others,
        features=begun.features,
        autoencoder=begun.autoencoder,
    )
    arms = draft_arms(own(_ARMS), {name: ARMS[name] for name in config.arms}, sources, few)

    # More than a budget's labels: upper bounds.
    known = begun.known._replace(train_set=Batch(others, labels))
    bounds = draft_bounds(own(_BOUNDS), known, few)
    studied = None
    if any_needs(config.arms, "neighbourhoods"):
        studied = study_neighbourhoods(own(_NEIGHBOURS), sources, begun.judge)
    return Draft(seed, n, sources.num_classes, budget, arms, bounds, studied)


def sources_of(
    run: Run[Config],
    key: jax.Array,
    gan: TrainedGAN,
    classify: Classify,
    few: Batch,
    unlabelled: np.ndarray,
    *,
    features: Sequence[Features] = (),
    autoencoder: TrainedVAE | None = None,
) -> Sources:
    """A generator, who labels its images, and Algorithm 1 of the paper with both."""
    config, num_classes = run.config, len(run.dataset.class_names)
    probes = [fit_probe(one, few, num_classes) for one in features]
    analysis = analyze(
        key,
        gan.generate,
        classify,
        latent_dim=config.gan.latent_dim,
        num_classes=num_classes,
        num_samples=config.synthesis.num_samples,
        num_permutations=0,
        prior=gan.prior,
        num_devices=config.num_devices,
        quiet=True,
    )
    return Sources(
        gan.generate,
        gan.prior,
        classify,
        features,
        probes,
        few,
        unlabelled,
        analysis,
        num_classes,
        config.synthesis,
        config.num_devices,
        autoencoder,
    )


def trials_of(run: Run[Config]) -> TrialsFolder:
    """Where finished trials lie, and all that decides them; with `--restart`, beside the old ones
    until all are done."""
    config = run.config
    settings = {
        "format": 11,
        "gan_seed": config.seed,
        "data": run.data_description,
        "judge_steps": config.judge_steps,
        "arms": config.arms,
        "fitting": asdict(config.fitting),
        "synthesis": asdict(config.synthesis),
        "gan": asdict(config.gan),
        "contrast": asdict(config.contrast) if any_needs(config.arms, "features") else None,
    }
    if any_needs(config.arms, "autoencoder"):
        settings["vae"] = asdict(config.vae)
    folder = run.workdir / ("trials-restarted" if config.restart else "trials")
    return TrialsFolder(folder, settings, config.fitting.width, others_replaced=config.restart)


def prepare() -> Run[Config]:
    """Command line, data and folder; what could be refused later is refused here."""
    preset, config = parse(PRESETS, __doc__.splitlines()[0])
    check_arms(config.arms)
    dataset = load_dataset(config.dataset, config.data_dir, config.class_names)
    config = replace(
        config,
        arms=tuple(dict.fromkeys(config.arms)),
        budgets=tuple(sorted(set(config.budgets))),
        gan=replace(config.gan, dtype=config.gan.dtype or config.dtype),
        vae=replace(config.vae, dtype=config.vae.dtype or config.dtype),
    )
    check_num_devices(config.num_devices)
    check_budgets(config.budgets, dataset.train_labels, len(dataset.class_names))
    check_fitting_config(config.fitting, dataset.train_images.shape)
    check_synthesis_config(config.synthesis, len(dataset.class_names), dataset.train_images.shape)
    check_gan_config(config.gan, dataset.train_images.shape, config.num_devices)
    check_unlabelled_normal(config.gan)
    if any_needs(config.arms, "features"):
        check_contrast_config(config.contrast, dataset.train_images.shape, config.num_devices)
    if any_needs(config.arms, "autoencoder"):
        check_vae_config(config.vae, dataset.train_images.shape, config.num_devices)
    if config.seeds_at_once is not None and config.seeds_at_once < 1:
        raise ValueError(f"seeds_at_once is {config.seeds_at_once}; it must be at least 1.")
    if config.judge_steps < 1:
        raise ValueError(f"judge_steps is {config.judge_steps}; it must be at least 1.")
    run = start_run("augmentation", preset, config, dataset, trainings={})
    if any_needs(config.arms, "features"):
        check_stage(contrast_stage(run, config.gan, config.contrast), unknown=(GAN_DIGEST,))
    if any_needs(config.arms, "autoencoder"):
        check_stage(autoencoder_stage(run, config.vae))
    # Those of other settings are refused before anything is trained.
    kept_trials(trials_of(run), config.budgets, run.seeds)
    return run


if __name__ == "__main__":
    one_sentence(main)
