"""Synthetic images and their labels, made from what few labels could tell (`Sources`)."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from magan_jax.augmentation.labelling import (
    neighbourhood_probabilities,
    opinion_pool,
    probabilities_in_nine_places,
    probabilities_of,
)
from magan_jax.augmentation.rows import SoftBatch
from magan_jax.augmentation.settings import SynthesisConfig
from magan_jax.augmentation.spreading import image_vectors, spread_labels
from magan_jax.augmentation.tuning import fine_tune
from magan_jax.images import quantise_images
from magan_jax.latent.analysis import Analysis
from magan_jax.latent.invariance import measure_invariance
from magan_jax.latent.labels import Labels, label_latents
from magan_jax.latent.regions import Regions, regions_around_anchors, regions_around_means
from magan_jax.latent.synthesis import Shape, synthesize
from magan_jax.networks import Classify, Generate
from magan_jax.prior import Prior
from magan_jax.sampling import images_in_blocks
from magan_jax.training.engine import Batch
from magan_jax.training.standardised import Features
from magan_jax.training.vae import TrainedVAE

# Streams of a pool's key. Arms of random latents share them: arms are compared in pairs.
_LATENTS, _EXITS, _ANCHORS, _SHIFTS, _NEIGHBOURS, _REAL, _TUNING = range(7)


class Sources(NamedTuple):
    """What an arm makes its images from.

    Attributes:
        generate: G, trained without labels.
        prior: its latents.
        classify: labels images as well as few labels allow (an upper bound: as all labels do).
        features: learned without labels: the discriminator's and, last, those that latent
            neighbours share; none, where no arm needs them.
        probes: of each of these a linear classifier that few labels have fitted.
        few: the few labelled images, of those that may be learned from (upper bounds: all).
        unlabelled: uint8 `[N, H, W, C]`, real images; none on which choices are made.
        analysis: Algorithm 1 of the paper with this labeller.
        num_classes: K.
        config: the settings.
        num_devices: see `magan_jax.parallel.on_devices`.
        autoencoder: trained without labels; None, where no arm needs it.
    """

    generate: Generate
    prior: Prior
    classify: Classify
    features: Sequence[Features]
    probes: Sequence[Classify]
    few: Batch
    unlabelled: np.ndarray
    analysis: Analysis
    num_classes: int
    config: SynthesisConfig
    num_devices: int | None = None
    autoencoder: TrainedVAE | None = None

    @property
    def informed(self) -> Classify:
        """Labels images by all features together; where there are none, as `classify` does."""
        return opinion_pool(self.probes) if self.probes else self.classify

    def latents(self, key: jax.Array, count: int) -> np.ndarray:
        """Of the prior, `[count, d]`."""
        return np.asarray(self.prior(key, count))

    def images(self, latents: np.ndarray) -> np.ndarray:
        """Of given latents, uint8."""
        return quantise_images(images_in_blocks(self.generate, latents), name="generated images")


Pool = Callable[[jax.Array, Sources], SoftBatch]
"""From a key and the sources to the synthetic images of an arm."""


class Derived(NamedTuple):
    """A pool made of what several need: whoever has made that for one need not again.

    Attributes:
        first: from a key and the sources to what is shared, another pool or regions.
        then: from a key, the sources and what `first` has made to the pool.
    """

    first: Callable[[jax.Array, Sources], Any]
    then: Callable[[jax.Array, Sources, Any], SoftBatch]


def pseudo_labelled(key: jax.Array, sources: Sources) -> SoftBatch:
    """Random latents, each with the label of its image."""
    z = sources.latents(jax.random.fold_in(key, _LATENTS), sources.config.num_images)
    label = label_latents(
        sources.generate, sources.classify, z, num_devices=sources.num_devices
    ).label
    return SoftBatch(sources.images(z), np.eye(sources.num_classes)[label])


def softly_labelled(key: jax.Array, sources: Sources) -> SoftBatch:
    """The same latents, each with the labeller's probabilities as a soft label."""
    return _softly_labelled(key, sources, sources.classify, scale=0)


def labelled_latents(key: jax.Array, sources: Sources) -> tuple[np.ndarray, Labels]:
    """Latents `[N, d]`, twice as many as images are wanted, and their labels."""
    z = sources.latents(jax.random.fold_in(key, _LATENTS), 2 * sources.config.num_images)
    found = label_latents(sources.generate, sources.classify, z, num_devices=sources.num_devices)
    return z, found


def sure(
    key: jax.Array, sources: Sources, labelled: tuple[np.ndarray, Labels], *, at_least: float
) -> SoftBatch:
    """Of labelled latents the first whose label has at least this probability.

    Where none has, the surest twentieth stand in.
    """
    z, found = labelled
    those = np.flatnonzero(found.confidence >= at_least)[: sources.config.num_images]
    if not len(those):
        those = np.argsort(-found.confidence)[: max(1, len(z) // 20)]
    return SoftBatch(sources.images(z[those]), np.eye(sources.num_classes)[found.label[those]])


def paper_shifts(key: jax.Array, sources: Sources, *, debiased: bool = False) -> SoftBatch:
    """μ ± pσ with p up to the paper's ε (MAGAN, Section 3), or to that without its bias."""
    analysis = sources.analysis
    epsilon = analysis.epsilon_debiased if debiased else analysis.epsilon
    return _from_regions(key, sources, regions_around_means(analysis, epsilon), shape="segment")


def around_means(key: jax.Array, sources: Sources) -> Regions:
    """The class means with their measured ε."""
    exits = measure_invariance(
        jax.random.fold_in(key, _EXITS),
        sources.generate,
        sources.classify,
        sources.analysis,
        num_directions=sources.config.num_directions,
        upper=sources.config.upper,
        tolerance=sources.config.tolerance,
        num_devices=sources.num_devices,
    )
    return regions_around_means(sources.analysis, exits.measured)


def around_anchors(key: jax.Array, sources: Sources) -> Regions:
    """Many latents of each class, each with its own exits."""
    config = sources.config
    return regions_around_anchors(
        jax.random.fold_in(key, _ANCHORS),
        sources.generate,
        sources.classify,
        sources.analysis,
        num_anchors=config.num_anchors,
        prior=sources.prior,
        num_directions=config.anchor_directions,
        upper=config.upper,
        tolerance=config.tolerance,
        max_draws=config.anchor_draws,
        num_devices=sources.num_devices,
    )


def shifts(key: jax.Array, sources: Sources, regions: Regions, *, reach: float = 1.0) -> SoftBatch:
    """Random signs of σ around centres, up to `reach` times their ε."""
    return _from_regions(key, sources, regions._replace(epsilon=reach * regions.epsilon))


def neighbourhoods(key: jax.Array, sources: Sources, *, scale: float) -> SoftBatch:
    """Random latents, each with the mean probabilities of its neighbourhood as a soft label."""
    return _softly_labelled(key, sources, sources.classify, scale)


def labelled_by_features(key: jax.Array, sources: Sources) -> SoftBatch:
    """Random latents, their images labelled by features that were learned without labels."""
    return _softly_labelled(key, sources, sources.informed, scale=0)


def spread_over_a_graph(key: jax.Array, sources: Sources) -> SoftBatch:
    """The same and as many real images, without their labels, in one graph; G's come first.

    Each image's label becomes in part that of its nearest neighbours (`spread_labels`), be they
    made or real.
    """
    config = sources.config
    made = labelled_by_features(key, sources)
    order = jax.random.permutation(jax.random.fold_in(key, _REAL), len(sources.unlabelled))
    real = np.asarray(sources.unlabelled)[np.asarray(order[: config.num_images])]
    images = np.concatenate([made.images, real])
    vectors, known = image_vectors(sources.features, images, np.asarray(sources.few.images))
    probabilities = spread_labels(
        vectors,
        np.concatenate([made.probabilities, probabilities_of(sources.informed, real)]),
        known,
        np.asarray(sources.few.labels),
        num_neighbours=config.graph_neighbours,
        weight=config.graph_weight,
    )
    # Halves of a pool are equal: where there are fewer real images, they are repeated in it.
    number = len(made.images)
    rows = np.concatenate([np.arange(number), number + np.resize(np.arange(len(real)), number)])
    return SoftBatch(images[rows], probabilities[rows])


def label_by_tuning(key: jax.Array, sources: Sources, pool: SoftBatch) -> SoftBatch:
    """Labels by the encoder of latent neighbours, once it is tuned to those of the pool.

    Of `spread_over_a_graph`: its classifier learns on from the graph's labels (`fine_tune`). An
    image's soft label is then the mean of what it says of the image and of its likes: of a made one
    those of its neighbours in latent space, of a real one itself a pixel aside.
    """
    config = sources.config
    tuned = fine_tune(
        jax.random.fold_in(key, _TUNING), config.tuning, sources.probes[-1], sources.few, pool
    )
    made = neighbourhood_probabilities(
        jax.random.fold_in(key, _NEIGHBOURS),
        sources.generate,
        tuned,
        sources.latents(jax.random.fold_in(key, _LATENTS), config.num_images),  # the graph's
        scale=config.neighbour_scale,
        num_neighbours=config.num_neighbours,
    )
    real = probabilities_in_nine_places(tuned, half_real(pool).images)
    return SoftBatch(pool.images, np.concatenate([made, real]))


labelled_by_tuning = Derived(spread_over_a_graph, label_by_tuning)


def hardened(pool: SoftBatch) -> SoftBatch:
    """The same images, each with its likeliest label alone."""
    likeliest = np.argmax(pool.probabilities, axis=1)
    return pool._replace(probabilities=np.eye(pool.probabilities.shape[1])[likeliest])


def half_made(pool: SoftBatch) -> SoftBatch:
    """Of G's and real images G's."""
    return SoftBatch(*(x[: len(x) // 2] for x in pool))


def half_real(pool: SoftBatch) -> SoftBatch:
    """Of G's and real images the real ones."""
    return SoftBatch(*(x[len(x) // 2 :] for x in pool))


def _softly_labelled(
    key: jax.Array, sources: Sources, classify: Classify, scale: float
) -> SoftBatch:
    z = sources.latents(jax.random.fold_in(key, _LATENTS), sources.config.num_images)
    probabilities = neighbourhood_probabilities(
        jax.random.fold_in(key, _NEIGHBOURS),
        sources.generate,
        classify,
        z,
        scale=scale,
        num_neighbours=sources.config.num_neighbours if scale else 0,
    )
    return SoftBatch(sources.images(z), probabilities)


def _from_regions(
    key: jax.Array, sources: Sources, regions: Regions, shape: Shape = "signs"
) -> SoftBatch:
    classes = tuple(map(int, np.unique(regions.label)))  # where labels are few, not all
    per_class = -(-sources.config.num_images // len(classes))
    made = synthesize(
        jax.random.fold_in(key, _SHIFTS),
        sources.generate,
        sources.classify,
        regions,
        num_per_class=per_class,
        classes=classes,
        shape=shape,
    )
    return SoftBatch(made.images, np.eye(sources.num_classes)[made.labels])
