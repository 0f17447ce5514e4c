"""The figures of a study, in reading order: the paper's from our numbers, and those it lacks."""

from collections.abc import Sequence

import jax
import numpy as np
from matplotlib.figure import Figure

from magan_jax import plots
from magan_jax.latent.analysis import Analysis
from magan_jax.latent.labels import Classify, Generate, label_latents
from magan_jax.meta_analysis.across_seeds import Comparison, likenesses
from magan_jax.meta_analysis.claims.clusters import PAPER_AVERAGE_COPHENETIC
from magan_jax.meta_analysis.findings import Findings
from magan_jax.meta_analysis.study import Study
from magan_jax.outputs import FigureEntry
from magan_jax.sampling import images_of


def findings_figures(
    findings: Findings, names: Sequence[str], *, batch_size: int | None, num_devices: int | None
) -> list[FigureEntry]:
    """The paper's figures from our numbers, and those it lacks, in reading order.

    Args:
        findings: of one trained generator.
        names: of the classes.
        batch_size, num_devices: for labelling the images shown.
    """
    invariance = findings.studies[-1].invariance
    analyses = [study.analysis for study in findings.studies]
    return [
        *_training_figures(findings, names),
        *_geometry_figures(findings.studies, names, about_paper=bool(findings.claims)),
        FigureEntry(
            "figure_12_epsilon",
            "Figure 12: the ε of each class from distances (the paper's, and "
            "debiased), and where G and C, asked directly, change the label.",
            plots.plot_epsilon(analyses, invariance, names),
        ),
        *_shift_figures(findings, names, batch_size, num_devices),
        FigureEntry(
            "label_along_ray",
            f"What the classifier sees along the ray μ + pσ of each class (N = "
            f"{analyses[-1].num_samples:,}), and where it first leaves the class.",
            plots.plot_rays(findings.rays, invariance, names, analyses[-1].num_samples),
        ),
    ]


def _training_figures(findings: Findings, names: Sequence[str]) -> list[FigureEntry]:
    """How the networks were trained, and what they draw."""
    gan, classifier = findings.gan, findings.classifier
    large = findings.studies[-1].analysis
    latents = gan.prior(jax.random.key(0), 100)
    return [
        FigureEntry(
            "training",
            "How the GAN and the classifier were trained.",
            plots.plot_training(
                gan.progress.history,
                classifier.progress.history,
                gan.progress.steps_per_epoch,
                classifier.progress.steps_per_epoch,
                gan.equilibrium,
            ),
        ),
        FigureEntry(
            "samples",
            "Images of 100 random latents, not selected.",
            plots.plot_samples(
                images_of(gan.generate, latents), "generated images of random latents"
            ),
        ),
        FigureEntry(
            "class_means",
            "The image of each class mean, with the label and confidence that the "
            "classifier gives it.",
            plots.plot_class_means(
                images_of(gan.generate, np.nan_to_num(large.mean)), large, names
            ),
        ),
    ]


def _geometry_figures(
    studies: Sequence[Study], names: Sequence[str], *, about_paper: bool
) -> list[FigureEntry]:
    """Figures 7 to 11: distances and clusters of the class means."""
    analyses = [study.analysis for study in studies]
    both = [(s.clustering, s.analysis) for s in studies if s.clustering is not None]
    entries = [
        FigureEntry(
            "figure_07_distances",
            "Figure 7: distances of the class means. At small N a good part of a "
            "distance is the sampling noise of the means.",
            plots.plot_distances(analyses, names),
        )
    ]
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
            "Figure 9: distance from each class mean to the nearest other, as the paper computes "
            "it and with the sampling noise taken out (lines: 95 % confidence intervals).",
            plots.plot_nearest(analyses, names),
        )
    )
    if not both:
        return entries
    found, of = zip(*both, strict=True)
    paper = PAPER_AVERAGE_COPHENETIC if about_paper else None
    return [
        *entries,
        FigureEntry(
            "figure_10_map",
            "Figure 10: the class means in the plane, distances kept as well as "
            "two dimensions can.",
            plots.plot_map(found, of, names),
        ),
        FigureEntry(
            "figure_11_cophenetic",
            "Figure 11: cophenetic coefficient of each linkage.",
            plots.plot_cophenetic(found, of, paper),
        ),
    ]


def _shift_figures(
    findings: Findings, names: Sequence[str], batch_size: int | None, num_devices: int | None
) -> list[FigureEntry]:
    """Figure 13, for the paper's ε and for the measured exits."""
    generate, classify = findings.gan.generate, findings.classifier.classify
    small, large = findings.studies[0].analysis, findings.studies[-1].analysis
    invariance = findings.studies[-1].invariance
    tried = (
        (
            "figure_13_shifts_paper",
            f"shifts by the paper's ε, N = {small.num_samples:,}",
            small,
            small.epsilon,
        ),
        (
            "figure_13_shifts_measured",
            f"shifts to just inside the smaller measured exit along ±σ, N = {large.num_samples:,}",
            large,
            np.fmin(invariance.plus, invariance.minus),
        ),
    )
    return [
        FigureEntry(
            name,
            f"Figure 13: images of the class means and of {title}.",
            _shifts(generate, classify, analysis, epsilon, names, title, batch_size, num_devices),
        )
        for name, title, analysis, epsilon in tried
    ]


def seeds_figures(
    findings: Sequence[Findings], compared: Sequence[Comparison], names: Sequence[str]
) -> list[FigureEntry]:
    """What is the same in several generators and what is not, in reading order."""
    large = [one.studies[-1].analysis for one in findings]
    exits = [one.studies[-1].invariance for one in findings]
    n = large[0].num_samples
    entries = []
    if compared[-1].agreement is not None:
        agreement = compared[-1].agreement
        kept = np.ix_(agreement.classes, agreement.classes)
        entries = [
            FigureEntry(
                "likeness",
                "How alike the latent geometries of two seeds are, in each respect; a geometry "
                "that the data dictate would lie at 1, one of the run alone at chance. The "
                "interval is that of the mean over all such trainings; p (classes renamed) speaks "
                "of these.",
                plots.plot_likenesses(likenesses(agreement), n),
            ),
            FigureEntry(
                "dendrograms",
                "Clusters of the distances averaged over seeds, and how many seeds have them.",
                plots.plot_dendrograms_of_seeds(
                    np.stack([a.distance[kept] for a in large]),
                    [names[k] for k in agreement.classes],
                    n,
                ),
            ),
        ]
    small = [one.studies[0].analysis for one in findings]
    series = {
        f"paper's ε, N = {small[0].num_samples:,}": np.stack([a.epsilon for a in small]),
        f"debiased ε, N = {n:,}": np.stack([a.epsilon_debiased for a in large]),
        f"measured: 5 % of random directions have left (at {exits[0].upper:g}: fewer)": np.stack(
            [e.measured for e in exits]
        ),
    }
    means = np.stack(
        [
            images_of(one.gan.generate, np.nan_to_num(one.studies[-1].analysis.mean))
            for one in findings
        ]
    )
    return [
        *entries,
        FigureEntry(
            "distances",
            "Distances of the class means: mean and standard deviation over seeds.",
            plots.plot_distances_of_seeds(np.stack([a.distance for a in large]), names, n),
        ),
        FigureEntry(
            "nearest",
            "How many seeds have which class nearest to which.",
            plots.plot_nearest_of_seeds(np.stack([a.nearest for a in large]), names, n),
        ),
        FigureEntry(
            "epsilon",
            "The ε of each class in every seed.",
            plots.plot_epsilon_of_seeds(series, names),
        ),
        FigureEntry(
            "class_means",
            f"The image of each class mean at N = {n:,}, a row for each seed.",
            plots.plot_class_means_of_seeds(
                means,
                np.stack([a.mean_label for a in large]),
                [one.seed for one in findings],
                names,
            ),
        ),
    ]


def _shifts(
    generate: Generate,
    classify: Classify,
    analysis: Analysis,
    epsilon: np.ndarray,
    names: Sequence[str],
    title: str,
    batch_size: int | None,
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
    images = images_of(generate, flat)
    return plots.plot_shifts(
        images.reshape(3, len(names), *images.shape[1:]),
        np.where(there, labels, -1),
        epsilon,
        names,
        title,
    )
