"""The MAGAN paper (ICPRAM 2023), Sections 3 and 4, on Fashion-MNIST.

    python experiments/fashion.py                      # quick on a CPU, paper on a GPU or TPU
    python experiments/fashion.py --preset paper       # 100 epochs, batch 128, N = 1000
    python experiments/fashion.py --gan.epochs 20 --workdir runs/twenty
    python experiments/fashion.py --num-seeds 8        # eight generators at once, compared

Numbers to expect, `quick`: classifier ≥ 0.89 on the test images, all ten class means labelled
with their own class at N = 100,000 or nearly so. `paper`: classifier 0.94.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import jax
import numpy as np

from magan_jax import analyze, cluster, labels_along_rays, load_dataset, measure_invariance
from magan_jax.cli import one_sentence, parse
from magan_jax.latent.invariance import ALONG_SIGMA_POINTS
from magan_jax.latent.purity import measure_purities
from magan_jax.latent.settings import AnalysisConfig, check_analysis_config
from magan_jax.meta_analysis.claims.check import check_claims, speaks_of
from magan_jax.meta_analysis.findings import Findings
from magan_jax.meta_analysis.report import report
from magan_jax.meta_analysis.study import Study
from magan_jax.metrics import METHODS, Extractor, Scores, evaluate_images, evenly_spaced
from magan_jax.parallel import check_num_devices
from magan_jax.run import GAN_STREAM, Run, RunConfig, Trainings, decided_classifier, start_run
from magan_jax.sampling import sample_images
from magan_jax.training.classifier import (
    TrainedClassifier,
    feature_function,
    layer_features,
    train_classifiers,
)
from magan_jax.training.classifier_config import ClassifierConfig, check_classifier_config
from magan_jax.training.gan import TrainedGAN, train_gans
from magan_jax.training.gan_config import GANConfig, check_gan_config, compares_features


@dataclass(frozen=True)
class Config(RunConfig):
    """Which class lives where in the latent space of a GAN, and how sure that is."""

    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)
    gan: GANConfig = field(default_factory=GANConfig)
    analysis: AnalysisConfig = field(default_factory=AnalysisConfig)


PRESETS = {
    "paper": Config(),
    "quick": Config(
        classifier=ClassifierConfig(
            epochs=6, width=16, dropout=0.4, max_shift=0, mirror=False, learning_rate=3e-3
        ),
        gan=GANConfig(epochs=7, generator_width=16, discriminator_width=16, learning_rate=2e-3),
        analysis=AnalysisConfig(
            large_num_samples=100_000, num_directions=256, num_shifts=400, num_images=5_000
        ),
    ),
}


def main() -> None:
    """The paper's steps, top to bottom."""
    run = prepare()
    config, num_classes = run.config, len(run.dataset.class_names)

    # Section 3: the classifier learns from labelled images, the GAN from the images alone (but for
    # an objective that compares features: it is given the classifier's).
    with run.timed("classifier"):
        classifiers = train_classifiers(
            run.keys(0),
            config.classifier,
            run.train_set,
            run.test_set,
            num_classes=num_classes,
            stage=run.stage("classifier"),
            num_devices=config.num_devices,
        )
    states = [one.progress.state for one in classifiers]
    with run.timed("gan"):
        gans = train_gans(
            run.keys(GAN_STREAM),
            config.gan,
            run.dataset.train_images,
            stage=run.stage("gan", given=states if compares_features(config.gan) else None),
            features=[layer_features(config.classifier, num_classes, state) for state in states],
            num_devices=config.num_devices,
        )

    # What each generator learned; then tables, figures, files.
    findings = [study(run, *one) for one in zip(run.seeds, classifiers, gans, strict=True)]
    report(run, findings, config.analysis)


def study(run: Run[Config], seed: int, classifier: TrainedClassifier, gan: TrainedGAN) -> Findings:
    """Algorithm 1 and Section 4 on one generator, and what the paper claims of it."""
    settings, names = run.config.analysis, run.dataset.class_names
    networks = gan.generate, classifier.classify
    for_latents, for_directions, for_shifts, for_images, for_subsets = (
        run.keys(stream)[seed - run.config.seed] for stream in (2, 3, 4, 5, 6)
    )
    sharing: dict[str, Any] = {
        "batch_size": settings.batch_size,
        "num_devices": run.config.num_devices,
    }

    # Algorithm 1: label latents with C(G(z)) and describe each class; the same at a large N.
    with run.timed("analysis"):
        analyses = [
            analyze(
                for_latents,
                *networks,
                latent_dim=run.config.gan.latent_dim,
                num_classes=len(names),
                num_samples=n,
                prior=gan.prior,
                num_permutations=settings.num_permutations,
                **sharing,
            )
            for n in (settings.num_samples, settings.large_num_samples)
        ]

    # Section 4: clusters of the class means (Figures 8, 10, 11).
    with run.timed("clustering"):
        clusterings = [
            cluster(a, num_clusters=min(settings.num_clusters, a.valid.sum()))
            if a.valid.sum() >= 3
            else None
            for a in analyses
        ]

    # Equation 4, asked of G and C themselves: where does a shift change the class?
    with run.timed("invariance"):
        exits = [
            measure_invariance(
                for_directions,
                *networks,
                analysis,
                num_directions=settings.num_directions,
                upper=settings.upper,
                tolerance=settings.tolerance,
                **sharing,
            )
            for analysis in analyses
        ]
        rays = labels_along_rays(
            *networks,
            analyses[-1],
            reach=settings.upper,
            num_points=2 * ALONG_SIGMA_POINTS + 1,
            **sharing,
        )
        shifts = {"num_shifts": settings.num_shifts} | sharing
        purities = [
            measure_purities(for_shifts, *networks, analysis, found, **shifts)
            for analysis, found in zip(analyses, exits, strict=True)
        ]

    # How good the images are, in the features of the classifier; the test images as a yardstick.
    with run.timed("metrics"):
        fake = sample_images(for_images, gan.generate, gan.prior, settings.num_images)
        scores = score_images(run, for_subsets, fake, classifier)

    # What the paper claims, held against both analyses.
    small, large = studies = [
        Study(*parts) for parts in zip(analyses, clusterings, exits, purities, strict=True)
    ]
    claims = check_claims(small, large, names) if speaks_of(run.dataset) else []
    return Findings(seed, classifier, gan, scores, studies, rays, claims)


def score_images(
    run: Run[Config], key: jax.Array, fake: np.ndarray, classifier: TrainedClassifier
) -> Scores:
    """All metrics of generated images `[N, H, W, C]` beside as many real ones."""
    dataset = run.dataset
    features = feature_function(
        run.config.classifier, len(dataset.class_names), classifier.progress.state
    )
    return evaluate_images(
        Extractor(f"classifier of {dataset.name}", features, classifier.test_accuracy),
        real=evenly_spaced(dataset.train_images, len(fake)),
        fake=fake,
        held_out=dataset.test_images,
        methods=METHODS,
        key=key,
    )


def prepare() -> Run[Config]:
    """Command line, data and folder; what could be refused later is refused here."""
    preset, config = parse(PRESETS, __doc__.splitlines()[0])
    dataset = load_dataset(config.dataset, config.data_dir, config.class_names)
    config = decided(config)
    check_num_devices(config.num_devices)
    check_classifier_config(config.classifier, dataset.train_images.shape, config.num_devices)
    check_gan_config(config.gan, dataset.train_images.shape, config.num_devices)
    check_analysis_config(config.analysis, len(dataset.class_names))
    trainings: Trainings = {
        "classifier": {"classifier": config.classifier},
        "gan": {"gan": config.gan}
        | ({"classifier": config.classifier} if compares_features(config.gan) else {}),
    }
    return start_run("fashion", preset, config, dataset, trainings)


def decided(config: Config) -> Config:
    """The settings with what was left to the data set and to `--dtype` filled in."""
    return replace(
        config,
        classifier=decided_classifier(config.classifier, config),
        gan=replace(config.gan, dtype=config.gan.dtype or config.dtype),
    )


if __name__ == "__main__":
    one_sentence(main)
