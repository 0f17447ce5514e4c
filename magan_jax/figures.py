"""The figures of a study, in reading order: the paper's from our numbers, and those it lacks."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from magan_jax import plots
from magan_jax.claims import PAPER_AVERAGE_COPHENETIC, Study
from magan_jax.latent.analysis import Analysis
from magan_jax.latent.invariance import RayLabels
from magan_jax.latent.labels import Classify, Generate, label_latents
from magan_jax.training.classifier import TrainedClassifier
from magan_jax.training.gan import TrainedGAN


class FigureEntry(NamedTuple):
    """A figure on its way into the report.

    Attributes:
        name: of its file, without `.png`.
        caption: what to see in it, one or two sentences.
        figure: the figure; it is closed when written.
    """

    name: str
    caption: str
    figure: Figure


def study_figures(
    gan: TrainedGAN,
    classifier: TrainedClassifier,
    studies: Sequence[Study],
    rays: RayLabels,
    names: Sequence[str],
    *,
    about_paper: bool,
    batch_size: int,
    num_devices: int | None,
) -> list[FigureEntry]:
    """The paper's figures from our numbers, and those it lacks, in reading order."""
    generate, classify = gan.generate, classifier.classify
    analyses = [study.analysis for study in studies]
    large, invariance = studies[-1].analysis, studies[-1].invariance
    entries = [
        FigureEntry(
            "training",
            "How the GAN and the classifier were trained.",
            plots.plot_training(
                gan.progress.history,
                classifier.progress.history,
                gan.progress.steps_per_epoch,
                classifier.progress.steps_per_epoch,
            ),
        ),
        FigureEntry(
            "samples",
            "Images of 100 random latents, not selected.",
            plots.plot_samples(
                _images(generate, jax.random.normal(jax.random.key(0), (100, large.mean.shape[1]))),
                "generated images of random latents",
            ),
        ),
        FigureEntry(
            "class_means",
            "The image of each class mean, with the label and confidence that the "
            "classifier gives it.",
            plots.plot_class_means(_images(generate, np.nan_to_num(large.mean)), large, names),
        ),
        FigureEntry(
            "figure_07_distances",
            "Figure 7: distances of the class means. At small N a good part of a "
            "distance is the sampling noise of the means.",
            plots.plot_distances(analyses, names),
        ),
    ]
    both = [(s.clustering, s.analysis) for s in studies if s.clustering is not None]
    for clustering, analysis in both:
        entries.append(
            FigureEntry(
                f"figure_08_dendrograms_n{analysis.num_samples}",
                f"Figure 8: clusters of the class means at N = {analysis.num_samples:,}, by four "
                "linkages; a merge that few bootstrap trees share is not to be relied on.",
                plots.plot_dendrograms(clustering, analysis, names),
            )
        )
    entries.append(
        FigureEntry(
            "figure_09_nearest",
            "Figure 9: distance from each class mean to the nearest other, as "
            "the paper computes it and with the sampling noise taken out.",
            plots.plot_nearest(analyses, names),
        )
    )
    if both:
        found, of = zip(*both, strict=True)
        entries.append(
            FigureEntry(
                "figure_10_map",
                "Figure 10: the class means in the plane, distances kept as well as "
                "two dimensions can.",
                plots.plot_map(found, of, names),
            )
        )
        entries.append(
            FigureEntry(
                "figure_11_cophenetic",
                "Figure 11: cophenetic coefficient of each linkage.",
                plots.plot_cophenetic(found, of, PAPER_AVERAGE_COPHENETIC if about_paper else None),
            )
        )
    entries.append(
        FigureEntry(
            "figure_12_epsilon",
            "Figure 12: the ε of each class from distances (the paper's, and "
            "debiased), and where G and C, asked directly, change the label.",
            plots.plot_epsilon(analyses, invariance, names),
        )
    )
    for name, title, analysis, epsilon in (
        (
            "figure_13_shifts_paper",
            f"shifts by the paper's ε, N = {analyses[0].num_samples:,}",
            analyses[0],
            analyses[0].epsilon,
        ),
        (
            "figure_13_shifts_measured",
            f"shifts by the smaller measured exit along ±σ, N = {large.num_samples:,}",
            large,
            np.fmin(invariance.plus, invariance.minus),
        ),
    ):
        entries.append(
            FigureEntry(
                name,
                f"Figure 13: images of the class means and of {title}.",
                _shifts(
                    generate, classify, analysis, epsilon, names, title, batch_size, num_devices
                ),
            )
        )
    entries.append(
        FigureEntry(
            "label_along_ray",
            "What the classifier sees along the ray μ + pσ of each class, and "
            "where it first leaves the class.",
            plots.plot_rays(rays, invariance, names),
        )
    )
    return entries


def _shifts(
    generate: Generate,
    classify: Classify,
    analysis: Analysis,
    epsilon: np.ndarray,
    names: Sequence[str],
    title: str,
    batch_size: int,
    num_devices: int | None,
) -> Figure:
    """Figure 13 for one choice of ε."""
    there = analysis.valid & np.isfinite(epsilon)
    shift = np.nan_to_num(epsilon)[:, None] * np.nan_to_num(analysis.std)
    latents = np.nan_to_num(analysis.mean) + np.array([-1.0, 0.0, 1.0])[:, None, None] * shift
    flat = latents.reshape(-1, latents.shape[-1])
    labels = label_latents(
        generate, classify, flat, batch_size=batch_size, num_devices=num_devices
    ).label.reshape(3, -1)
    images = _images(generate, flat)
    return plots.plot_shifts(
        images.reshape(3, len(names), *images.shape[1:]),
        np.where(there, labels, -1),
        epsilon,
        names,
        title,
    )


def _images(generate: Generate, latents: Any) -> np.ndarray:
    return np.asarray(jax.jit(generate)(jnp.asarray(latents, jnp.float32)))
