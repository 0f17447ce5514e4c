"""The GANs of two MNIST reports: thirteen ways of training one generator, judged and compared.

    python experiments/mnist_gans.py                            # quick on a CPU, else paper
    python experiments/mnist_gans.py --methods hinge san --num-seeds 3
    python experiments/mnist_gans.py --preset paper             # 100 or 150 epochs, three seeds

Numbers to expect: see mnist_gans.md beside this file.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from magan_jax import analyze, measure_invariance
from magan_jax.cli import one_sentence, parse
from magan_jax.comparison.exploration import check_exploration, explore
from magan_jax.comparison.outcome import GANOutcome, JudgedGAN
from magan_jax.comparison.report import report_systems
from magan_jax.comparison.systems import SYSTEMS, check_systems, chosen_config
from magan_jax.data import DatasetName, load_dataset
from magan_jax.errors import NetworkOutputError, check_names
from magan_jax.images import scale_images
from magan_jax.latent.partition import PartitionScores, partition_scores
from magan_jax.latent.settings import DirectionsConfig, check_latent_space_config
from magan_jax.metrics import (
    METHODS,
    Extractor,
    Reference,
    evaluate_against,
    evenly_spaced,
    reference_of,
)
from magan_jax.metrics.settings import JudgingConfig, check_judging_config
from magan_jax.outcome import Outcome, judge_seeds
from magan_jax.parallel import check_num_devices
from magan_jax.run import Run, RunConfig, decided_classifier, start_run
from magan_jax.sampling import sample_images
from magan_jax.training.classifier import (
    TrainedClassifier,
    feature_function,
    layer_features,
    train_classifiers,
)
from magan_jax.training.classifier_config import ClassifierConfig, check_classifier_config
from magan_jax.training.gan import TrainedGAN, generator_function, train_gans
from magan_jax.training.gan_config import GANConfig, check_gan_config
from magan_jax.training.gan_step import init_gan


@dataclass(frozen=True)
class Config(RunConfig):
    """Which way of training a GAN makes the better images, and what it does to the latent space."""

    dataset: DatasetName = "mnist"
    """The data set, with its class names."""
    methods: tuple[str, ...] = tuple(SYSTEMS)
    """Systems to train, by name."""
    epochs: int | None = None
    """Passes over the training images, of every system; None: as many as its report's."""
    num_starts: int = 200
    """Latents that climb towards each class."""
    num_points: int = 2_000
    """Points of each t-SNE."""
    judging: JudgingConfig = field(default_factory=JudgingConfig)
    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)
    gan: GANConfig = field(default_factory=lambda: GANConfig(network="mlp"))
    analysis: DirectionsConfig = field(default_factory=DirectionsConfig)


PRESETS = {
    "paper": Config(num_seeds=3),
    "quick": Config(
        epochs=3,
        num_points=1_000,
        num_starts=50,
        judging=JudgingConfig(num_images=5_000),
        classifier=ClassifierConfig(epochs=4, width=16, learning_rate=3e-3),
        gan=GANConfig(network="mlp"),
        analysis=DirectionsConfig(num_samples=20_000, num_directions=128),
    ),
}


def main() -> None:
    """Two classifiers, every system, and a look into their latent spaces."""
    run = prepare()
    config, num_classes = run.config, len(run.dataset.class_names)

    # One classifier judges; the other's features serve the perceptual loss. No GAN is judged by
    # what it was trained with.
    with run.timed("classifiers"):
        judge, guide = train_classifiers(
            jax.random.split(run.keys(0)[0]),
            config.classifier,
            run.train_set,
            run.test_set,
            num_classes=num_classes,
            stage=run.stage("classifier"),
            num_devices=config.num_devices,
        )
    extractor = Extractor(
        f"classifier of {run.dataset.name}",
        feature_function(config.classifier, num_classes, judge.progress.state),
        judge.test_accuracy,
    )
    with run.timed("real images"):
        reference = reference_of(
            extractor,
            real=evenly_spaced(run.dataset.train_images, config.judging.num_images),
            held_out=evenly_spaced(run.dataset.test_images, config.judging.num_images),
            k=config.judging.k,
        )

    # Every system from every seed: trained, its images judged, its latent space analysed.
    outcomes = {name: study(run, name, reference, judge, guide) for name in config.methods}

    # The clustering report's exploration: gradient ascent, t-SNE.
    image_shape: Any = run.dataset.train_images.shape[1:]
    untrained = generator_function(
        config.gan, image_shape, init_gan(run.keys(4)[0], config.gan, image_shape)
    )
    with run.timed("exploration"):
        exploration = explore(
            run.keys(3)[0],
            outcomes,
            untrained,
            judge.classify,
            extractor,
            num_classes,
            num_starts=config.num_starts,
            num_points=config.num_points,
            num_devices=config.num_devices,
        )
    report_systems(run, outcomes, exploration, extractor.name)


def study(
    run: Run[Config],
    name: str,
    reference: Reference,
    judge: TrainedClassifier,
    guide: TrainedClassifier,
) -> GANOutcome:
    """Train a system from every seed and judge what came of it; a failure is an outcome too.

    A training that diverges (its images too are measured after each epoch) ends those beside it,
    for all run at once; what a generator gives afterwards is the failure of one seed.
    """
    config, num_classes = run.config, len(run.dataset.class_names)
    gan_config = chosen_config(name, config.gan, config.epochs)
    # All systems start from the same keys: what they share, they share to the bit.
    keys, judging, for_curves = run.keys(1), run.keys(2), run.keys(5)

    curve_of = reference._replace(held_out=None)  # the yardstick does not change over epochs

    def metrics(index: int, generate: Any, prior: Any) -> dict[str, float]:
        images = sample_images(for_curves[index], generate, prior, config.judging.num_images)
        scores = evaluate_against(
            curve_of, images, methods=("frechet_distance", "precision_recall")
        )
        return {metric: score.value for metric, score in scores.items()}

    try:
        with run.timed(name):
            gans = train_gans(
                keys,
                gan_config,
                run.dataset.train_images,
                stage=run.stage(name, given=(judge.progress.state, guide.progress.state)),
                features=[layer_features(config.classifier, num_classes, guide.progress.state)]
                * len(keys),
                evaluate=metrics,
                num_devices=config.num_devices,
                title=SYSTEMS[name].title,
            )
    except (FloatingPointError, NetworkOutputError) as error:
        return Outcome(SYSTEMS[name], [], str(error))
    with run.timed("judging"):
        return judge_seeds(
            SYSTEMS[name],
            run.seeds,
            lambda i: judged_gan(run, i, judging[i], gans[i], reference, judge),
        )


def judged_gan(
    run: Run[Config],
    index: int,
    key: jax.Array,
    gan: TrainedGAN,
    reference: Reference,
    judge: TrainedClassifier,
) -> JudgedGAN:
    """The metrics of a generator's images, and Algorithm 1 of the MAGAN paper on its latents."""
    config, settings = run.config, run.config.analysis
    sharing: dict[str, Any] = {"batch_size": settings.batch_size, "num_devices": config.num_devices}
    networks = gan.generate, judge.classify
    for_analysis, for_exits, for_images, for_subsets = jax.random.split(key, 4)
    analysis = analyze(
        for_analysis,
        *networks,
        latent_dim=jax.eval_shape(lambda k: gan.prior(k, 1), key).shape[1],
        num_classes=len(run.dataset.class_names),
        num_samples=settings.num_samples,
        num_permutations=0,
        prior=gan.prior,
        quiet=True,
        **sharing,
    )
    exits = measure_invariance(
        for_exits,
        *networks,
        analysis,
        num_directions=settings.num_directions,
        upper=settings.upper,
        tolerance=settings.tolerance,
        **sharing,
    )
    images = sample_images(for_images, gan.generate, gan.prior, config.judging.num_images)
    return JudgedGAN(
        run.seeds[index],
        gan,
        evaluate_against(reference, images, methods=METHODS, key=for_subsets),
        analysis,
        exits,
        None if gan.encode is None else partition_of(gan.encode, run),
    )


def prepare() -> Run[Config]:
    """Command line, data and folder; what could be refused later is refused here."""
    preset, config = parse(PRESETS, __doc__.splitlines()[0])
    check_names("--methods", config.methods, SYSTEMS)
    check_systems(config.methods, config.gan, config.epochs, PRESETS[preset].gan)
    dataset = load_dataset(config.dataset, config.data_dir, config.class_names)
    config = replace(
        config,
        methods=tuple(dict.fromkeys(config.methods)),
        classifier=decided_classifier(config.classifier, config),
        gan=replace(config.gan, dtype=config.gan.dtype or config.dtype),
    )
    check_num_devices(config.num_devices)
    check_classifier_config(config.classifier, dataset.train_images.shape, config.num_devices)
    for name in config.methods:
        check_gan_config(
            chosen_config(name, config.gan, config.epochs),
            dataset.train_images.shape,
            config.num_devices,
        )
    check_latent_space_config(config.analysis)
    check_judging_config(config.judging)
    check_exploration(config.num_points, config.num_starts)
    # The curves over epochs are kept with a training, so how they are measured decides it too.
    judged = {"classifier": config.classifier, "judging": config.judging}
    trainings = {"classifier": {"classifier": config.classifier}} | {
        name: {"gan": chosen_config(name, config.gan, config.epochs)} | judged
        for name in config.methods
    }
    return start_run("mnist_gans", preset, config, dataset, trainings)


def partition_of(encode: Any, run: Run[Config]) -> PartitionScores:
    """How well the clusters that the encoder finds in the test images agree with the classes."""
    test_set = run.test_set
    _, logits = jax.lax.map(
        lambda image: jax.tree.map(lambda x: x[0], encode(scale_images(image)[None])),
        jnp.asarray(test_set.images),
        batch_size=500,
    )
    return partition_scores(np.asarray(jnp.argmax(logits, axis=-1)), np.asarray(test_set.labels))


if __name__ == "__main__":
    one_sentence(main)
