"""Images of a wanted class from autoencoders that were never told of classes: the VAE report.

    python experiments/mnist_vae.py                             # quick on a CPU, else paper
    python experiments/mnist_vae.py --systems elbo_20 mmd_20 --num-seeds 3
    python experiments/mnist_vae.py --preset paper              # 50 epochs, three seeds

Numbers to expect: see mnist_vae.md beside this file.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from magan_jax import analyze, bisect_epsilon
from magan_jax.cli import one_sentence, parse
from magan_jax.conditional.kept import Found, kept_search
from magan_jax.conditional.outcome import JudgedVAE, VAEOutcome
from magan_jax.conditional.report import report_samplers
from magan_jax.conditional.samplers import choose_samplers, judge_samplers, score_images
from magan_jax.conditional.settings import (
    SamplingConfig,
    check_classes,
    check_sampling_config,
    search_description,
)
from magan_jax.conditional.systems import SYSTEMS, chosen_config
from magan_jax.data import DatasetName, load_dataset
from magan_jax.errors import check_names
from magan_jax.images import scale_images
from magan_jax.latent.analysis import Analysis
from magan_jax.latent.conditional import ConditionalScores, score_conditional
from magan_jax.latent.encodings import ClassLatents, class_latents
from magan_jax.latent.exits import Exits
from magan_jax.latent.settings import LatentSpaceConfig, check_latent_space_config
from magan_jax.metrics import Extractor, Reference, evaluate_against, evenly_spaced, reference_of
from magan_jax.metrics.settings import JudgingConfig, check_judging_config
from magan_jax.networks import Classify, Generate
from magan_jax.outcome import Outcome, judge_seeds
from magan_jax.parallel import check_num_devices
from magan_jax.prior import standard_normal
from magan_jax.run import Run, RunConfig, classifier_stage, decided_classifier, start_run
from magan_jax.sampling import sample_images
from magan_jax.training.classifier import (
    TrainedClassifier,
    accuracy_function,
    feature_function,
    train_classifier,
)
from magan_jax.training.classifier_config import ClassifierConfig, check_classifier_config
from magan_jax.training.engine import Batch
from magan_jax.training.vae import (
    TrainedVAE,
    VAEConfig,
    check_vae_config,
    reconstructed,
    reconstruction_loss,
    train_vaes,
)

_ANY = VAEConfig()
_METRICS = ("frechet_distance", "precision_recall", "density_coverage")


@dataclass(frozen=True)
class Config(RunConfig):
    """How well class statistics of an autoencoder's latents make images of a wanted class."""

    dataset: DatasetName = "mnist"
    """The data set, with its class names."""
    systems: tuple[str, ...] = tuple(SYSTEMS)
    """Autoencoders to train, by name."""
    vae: VAEConfig = field(default_factory=VAEConfig)
    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    judging: JudgingConfig = field(default_factory=JudgingConfig)
    analysis: LatentSpaceConfig = field(default_factory=LatentSpaceConfig)


PRESETS = {
    "paper": Config(num_seeds=3, classifier=ClassifierConfig(epochs=12)),
    "quick": Config(
        vae=VAEConfig(epochs=5),
        classifier=ClassifierConfig(epochs=4, width=16, learning_rate=3e-3),
        sampling=SamplingConfig(num_searched=200, num_judged=500, max_sweeps=2, num_rays=200),
        judging=JudgingConfig(num_images=5_000),
        analysis=LatentSpaceConfig(num_samples=20_000),
    ),
}


def main() -> None:
    """A classifier of real images, every autoencoder, its samplers, and the report's claims."""
    run = prepare()
    config, num_classes = run.config, len(run.dataset.class_names)
    # The report's classifiers see reconstructions, and samplers are chosen by them. This one sees
    # real images, and nothing is chosen by it.
    with run.timed("classifier of real images"):
        judge = train_classifier(
            run.keys(0)[0],
            config.classifier,
            run.train_set,
            run.test_set,
            num_classes=num_classes,
            stage=run.stage("classifier"),
            num_devices=config.num_devices,
        )
    with run.timed("real images"):
        reference = reference_of(
            Extractor(
                f"classifier of {run.dataset.name}",
                feature_function(config.classifier, num_classes, judge.progress.state),
                judge.test_accuracy,
            ),
            real=evenly_spaced(run.dataset.train_images, config.judging.num_images),
            held_out=evenly_spaced(run.dataset.test_images, config.judging.num_images),
            methods=_METRICS,
            k=config.judging.k,
        )
        test_set = run.test_set
        real = score_images(
            judge.classify,
            np.asarray(scale_images(test_set.images)),
            run.dataset.test_labels,
            num_classes,
        )
    outcomes = {name: study(run, name, reference, judge) for name in config.systems}
    report_samplers(run, outcomes, judge, real)


def study(
    run: Run[Config], name: str, reference: Reference, judge: TrainedClassifier
) -> VAEOutcome:
    """Train an autoencoder from every seed and judge its samplers; a failure is an outcome too.

    A training that diverges ends those beside it, for all run at once; what networks give
    afterwards is the failure of one seed.
    """
    config = run.config
    try:
        with run.timed(f"{name}: autoencoder"):
            vaes = train_vaes(
                run.keys(1),
                chosen_config(name, config.vae),
                run.dataset.train_images,
                stage=run.stage(name),
                num_devices=config.num_devices,
                title=SYSTEMS[name].title,
            )
    except FloatingPointError as error:
        return Outcome(SYSTEMS[name], [], str(error))
    return judge_seeds(
        SYSTEMS[name], run.seeds, lambda i: judged_vae(run, name, i, vaes[i], reference, judge)
    )


def judged_vae(
    run: Run[Config],
    name: str,
    index: int,
    vae: TrainedVAE,
    reference: Reference,
    judge: TrainedClassifier,
) -> JudgedVAE:
    """One autoencoder: its classifier, its classes' latents, its samplers, its latent space."""
    config, dataset = run.config, run.dataset
    num_classes = len(dataset.class_names)
    sharing: dict[str, Any] = {"num_devices": config.num_devices}
    classifier, train_accuracy, of_reconstructed = classifier_of(run, name, index, vae)
    networks = vae.generate, classifier.classify
    latents = class_latents(
        vae.encode,
        np.asarray(scale_images(dataset.train_images)),
        dataset.train_labels,
        num_classes,
    )

    # Section 3.5: samplers chosen on some draws, judged on others.
    for_search, for_scores, for_images, for_rays, for_analysis, for_prior = jax.random.split(
        run.keys(3)[index], 6
    )
    grid, chosen = chosen_by_search(run, name, index, for_search, networks, latents)
    with run.timed(f"{name}: judging"):
        num_images = config.judging.num_images
        samplers = judge_samplers(
            jnp.stack([for_scores, for_images]),
            *networks,
            judge.classify,
            latents,
            chosen,
            lambda images: evaluate_against(reference, images, methods=_METRICS),
            num_samples=config.sampling.num_judged,
            num_images=num_images,
            **sharing,
        )
        of_grid, of_grid_judged = (
            score_conditional(
                for_scores,
                vae.generate,
                classify,
                latents,
                grid.theta[:, None, None],
                num_draws=grid.num_draws,
                num_samples=config.sampling.num_judged,
                **sharing,
            )
            for classify in (classifier.classify, judge.classify)
        )
        prior = standard_normal(SYSTEMS[name].latent_dim)
        from_prior = sample_images(for_prior, vae.generate, prior, num_images)
    with run.timed(f"{name}: latent space"):
        exits, analysis = latent_space_of(run.config, for_rays, for_analysis, networks, latents)
    return JudgedVAE(
        run.seeds[index],
        vae,
        classifier,
        train_accuracy,
        reconstruction_loss(vae, scale_images(dataset.test_images)),
        latents,
        of_reconstructed,
        grid._replace(scores=of_grid),
        of_grid_judged,
        samplers,
        evaluate_against(reference, from_prior, methods=_METRICS),
        exits,
        analysis,
    )


def classifier_of(
    run: Run[Config], name: str, index: int, vae: TrainedVAE
) -> tuple[TrainedClassifier, float, ConditionalScores]:
    """The report's Section 3.2: encode, reconstruct, train a classifier of the reconstructions.

    Returns:
        It, its accuracy on what it has learned from, and what it sees in the test images'.
    """
    config, dataset = run.config, run.dataset
    num_classes = len(dataset.class_names)
    with run.timed(f"{name}: classifier"):
        train_set = Batch(reconstructed(vae, dataset.train_images), dataset.train_labels)
        test_set = Batch(reconstructed(vae, dataset.test_images), dataset.test_labels)
        classifier = train_classifier(
            run.keys(2)[index],
            config.classifier,
            train_set,
            test_set,
            num_classes=num_classes,
            stage=run.stage(classifier_stage(name, run.seeds[index]), given=vae.progress.state),
            num_devices=config.num_devices,
        )
        accuracy = accuracy_function(config.classifier, num_classes)
        scores = score_images(
            classifier.classify,
            np.asarray(scale_images(test_set.images)),
            dataset.test_labels,
            num_classes,
        )
        return classifier, float(accuracy(classifier.progress.state, train_set)), scores


def chosen_by_search(
    run: Run[Config],
    name: str,
    index: int,
    key: jax.Array,
    networks: tuple[Generate, Classify],
    latents: ClassLatents,
) -> Found:
    """Every point of Simple's grid, and the samplers chosen; those of an earlier call are kept."""
    config, seed = run.config, run.seeds[index]
    with run.timed(f"{name}: samplers"):
        return kept_search(
            run.workdir / "searches" / f"{name}-seed{seed}.npz",
            search_description(config.sampling, seed, networks, latents),
            lambda: choose_samplers(
                key,
                *networks,
                latents,
                config.sampling,
                title=SYSTEMS[name].title,
                num_devices=config.num_devices,
            ),
        )


def latent_space_of(
    config: Config,
    for_rays: jax.Array,
    for_analysis: jax.Array,
    networks: tuple[Generate, Classify],
    latents: ClassLatents,
) -> tuple[Exits, Analysis]:
    """What the MAGAN paper asks of any generator: how far a draw may go from a class mean, and the
    classes of the prior's latents."""
    num_classes, latent_dim = latents.mean.shape
    sharing: dict[str, Any] = {
        "num_devices": config.num_devices,
        "batch_size": config.analysis.batch_size,
    }
    noise = jax.random.normal(for_rays, (num_classes, config.sampling.num_rays, latent_dim))
    exits = bisect_epsilon(
        *networks,
        latents.mean,
        np.asarray(noise) * latents.std[:, None],
        upper=config.analysis.upper,
        tolerance=config.analysis.tolerance,
        **sharing,
    )
    analysis = analyze(
        for_analysis,
        *networks,
        latent_dim=latent_dim,
        num_classes=num_classes,
        num_samples=config.analysis.num_samples,
        num_permutations=0,
        quiet=True,
        **sharing,
    )
    return exits, analysis


def prepare() -> Run[Config]:
    """Command line, data and folder; what could be refused later is refused here."""
    preset, config = parse(PRESETS, __doc__.splitlines()[0])
    check_names("--systems", config.systems, SYSTEMS)
    if (config.vae.divergence, config.vae.latent_dim) != (_ANY.divergence, _ANY.latent_dim):
        raise ValueError(
            "--vae.divergence and --vae.latent-dim are what --systems chooses; leave them out and "
            f"choose among {', '.join(SYSTEMS)}."
        )
    dataset = load_dataset(config.dataset, config.data_dir, config.class_names)
    check_classes(dataset)
    config = replace(
        config,
        systems=tuple(dict.fromkeys(config.systems)),
        classifier=decided_classifier(config.classifier, config),
        vae=replace(config.vae, dtype=config.vae.dtype or config.dtype),
    )
    check_num_devices(config.num_devices)
    check_classifier_config(config.classifier, dataset.train_images.shape, config.num_devices)
    for name in config.systems:
        check_vae_config(
            chosen_config(name, config.vae), dataset.train_images.shape, config.num_devices
        )
    check_sampling_config(config.sampling)
    check_judging_config(config.judging)
    check_latent_space_config(config.analysis)
    classifier = {"classifier": config.classifier}
    trainings: dict[str, dict[str, Any]] = {"classifier": classifier}
    seeds = range(config.seed, config.seed + config.num_seeds)
    for name in config.systems:
        vae = {"vae": chosen_config(name, config.vae)}
        trainings[name] = vae
        trainings |= {classifier_stage(name, seed): vae | classifier for seed in seeds}
    return start_run("mnist_vae", preset, config, dataset, trainings)


if __name__ == "__main__":
    one_sentence(main)
