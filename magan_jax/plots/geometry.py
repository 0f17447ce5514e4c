"""Distances and clusters of the class means (MAGAN, Figures 7 to 11)."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from scipy.cluster.hierarchy import dendrogram

from magan_jax.latent.analysis import Analysis
from magan_jax.latent.clustering import LINKAGES, Clustering
from magan_jax.latent.geometry import Interval
from magan_jax.plots.style import (
    COLOURS,
    GREY,
    class_colours,
    house_style,
    span,
    subplots,
    whiskers,
)


@house_style
def plot_distances(analyses: Sequence[Analysis], class_names: Sequence[str]) -> Figure:
    """Figure 7: distances of the class means, for each N."""
    side = span(len(class_names), 0.2, 6.4)
    size = (side + 0.8) * len(analyses), side
    figure, axes = subplots(1, len(analyses), figsize=size, squeeze=False, layout="constrained")
    # One scale of colours: the same colour is the same distance at every N.
    largest = max(
        float(np.max(x.distance, where=np.isfinite(x.distance), initial=0)) for x in analyses
    )
    for axis, analysis in zip(axes[0], analyses, strict=True):
        draw_distances(axis, analysis.distance, class_names, largest or None)
        axis.set_title(f"distance of class means, N = {analysis.num_samples:,}")
    return figure


def draw_distances(
    axis: Axes,
    matrix: np.ndarray,
    class_names: Sequence[str],
    largest: float | None = None,
    label: str = "‖μᵢ − μⱼ‖ in latent space",
) -> None:
    """A matrix `[K, K]` of latent distances with its numbers and its colour bar, and its label.

    The colours end at `largest`; None: at the matrix's own largest.
    """
    shown = axis.imshow(matrix, cmap="viridis", vmin=0, vmax=largest)
    ticks = range(len(class_names))
    axis.set_xticks(ticks, class_names, rotation=45, ha="right", rotation_mode="anchor")
    axis.set_yticks(ticks, class_names)
    if len(class_names) <= 20:
        middle = 0.6 * (largest or np.max(matrix, where=np.isfinite(matrix), initial=0))
        for i in ticks:
            for j in ticks:
                axis.text(
                    j,
                    i,
                    "–" if np.isnan(matrix[i, j]) else f"{matrix[i, j]:.2f}",
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="white" if matrix[i, j] <= middle else "black",  # NaN lies on white
                )
    axis.figure.colorbar(shown, ax=axis, label=label, shrink=0.85)


@house_style
def plot_dendrograms(clustering: Clustering, analysis: Analysis, names: Sequence[str]) -> Figure:
    """Figure 8: four dendrograms; at each merge the share of bootstrap trees that have it."""
    size = span(len(names), 0.44, 12), 9
    figure, axes = subplots(2, 2, figsize=size, layout="constrained")
    for axis, method in zip(axes.flat, LINKAGES, strict=True):
        found = clustering.dendrograms[method]
        draw_dendrogram(axis, found.merges, [names[k] for k in clustering.classes], found.support)
        axis.set_title(f"{method} linkage, cophenetic coefficient {found.cophenetic:.2f}")
    figure.suptitle(
        f"clusters of the class means, N = {analysis.num_samples:,} "
        "(grey: share of bootstrap dendrograms with the same cluster)"
    )
    return figure


def draw_dendrogram(
    axis: Axes, merges: np.ndarray, names: Sequence[str], support: np.ndarray
) -> None:
    """A dendrogram of V leaves; at each merge but the last its `support [V − 1]`."""
    drawn = dendrogram(
        merges,
        labels=list(names),
        ax=axis,
        leaf_rotation=45,
        color_threshold=0,
        above_threshold_color=COLOURS[0],
    )
    for merge, x, height in zip(_as_drawn(merges), drawn["icoord"], drawn["dcoord"], strict=True):
        if len(merges) <= 20 and merge < len(merges) - 1 and np.isfinite(support[merge]):
            axis.annotate(
                f"{support[merge]:.0%}",
                (np.mean(x[1:3]), height[1]),
                textcoords="offset points",
                xytext=(0, 0),
                ha="center",
                va="center",
                fontsize=7.5,
                color=GREY,
                bbox={"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none"},
            )
    for label in axis.get_xticklabels():
        label.set(ha="right", rotation_mode="anchor")
    axis.set_ylabel("distance")
    axis.margins(y=0.08)


def _as_drawn(merges: np.ndarray) -> list[int]:
    """Merges in the order in which scipy draws them: below each first its left, then its right."""
    leaves = len(merges) + 1
    order, waiting = [], [2 * leaves - 2]
    while waiting:
        node = waiting.pop()
        if node >= leaves:
            order.append(node - leaves)
            waiting += merges[node - leaves, :2].astype(int).tolist()
    return order[::-1]


@house_style
def plot_nearest(analyses: Sequence[Analysis], class_names: Sequence[str]) -> Figure:
    """Figure 9: distance to the nearest other class, as it is and debiased."""
    size = span(len(class_names), 0.45, 7.5) * len(analyses), 4.6
    figure, axes = subplots(1, len(analyses), figsize=size, squeeze=False, layout="constrained")
    x = np.arange(len(class_names))
    for axis, analysis in zip(axes[0], analyses, strict=True):
        for offset, value, interval, label, colour in (
            (
                -0.2,
                analysis.nearest_distance,
                analysis.nearest_distance_interval,
                "d_min, sampling noise included (paper)",
                COLOURS[0],
            ),
            (
                0.2,
                analysis.nearest_distance_debiased,
                analysis.nearest_distance_debiased_interval,
                "debiased",
                COLOURS[1],
            ),
        ):
            axis.bar(x + offset, value, 0.38, color=colour, label=label)
            whiskers(axis, x + offset, value, interval)
        ticks = [
            f"{name}\n→ {class_names[n] if n >= 0 else 'none'}"
            for name, n in zip(class_names, analysis.nearest, strict=True)
        ]
        axis.set_xticks(x, ticks, rotation=45, ha="right", rotation_mode="anchor", fontsize=8)
        axis.set(
            title=f"class → nearest other class, N = {analysis.num_samples:,} "
            "(lines: 95 % confidence intervals)",
            ylabel="distance in latent space",
        )
        axis.legend(fontsize=8, loc="upper left", ncol=2)
    highest = max(axis.get_ylim()[1] for axis in axes[0])
    for axis in axes[0]:  # one scale, with room for the legend
        axis.set_ylim(0, 1.15 * highest)
    return figure


@house_style
def plot_map(
    clusterings: Sequence[Clustering], analyses: Sequence[Analysis], class_names: Sequence[str]
) -> Figure:
    """Figure 10: multidimensional scaling of the means; lines join nearest neighbours."""
    figure, axes = subplots(
        1, len(analyses), figsize=(6.6 * len(analyses), 6), squeeze=False, layout="constrained"
    )
    colours = class_colours(len(class_names))
    for axis, clustering, analysis in zip(axes[0], clusterings, analyses, strict=True):
        place = {int(k): xy for k, xy in zip(clustering.classes, clustering.map, strict=True)}
        for k, xy in place.items():
            near = place[int(analysis.nearest[k])]
            axis.plot(*zip(xy, near, strict=True), color=GREY, lw=1, zorder=1)
        for k, xy in place.items():
            axis.scatter(*xy, s=60, color=colours[k], zorder=2, edgecolor="black", lw=0.5)
            # Names point inwards, so that none leaves the frame.
            right = xy[0] > np.mean([x for x, _ in place.values()])
            axis.annotate(
                class_names[k],
                xy,
                textcoords="offset points",
                xytext=(-7 if right else 7, 5),
                ha="right" if right else "left",
                fontsize=9,
                zorder=3,
                path_effects=[withStroke(linewidth=3, foreground="white")],  # lines pass behind
            )
        axis.set_aspect("equal", adjustable="datalim")
        axis.margins(x=0.35, y=0.15)
        axis.set(
            title=f"map of the class means, N = {analysis.num_samples:,} "
            f"(stress {clustering.map_stress:.2f})",
            xlabel="first coordinate [latent units]",
            ylabel="second coordinate [latent units]",
        )
        axis.grid(alpha=0.3)
    figure.suptitle(
        "multidimensional scaling; lines lead from each class to its nearest", fontsize=10
    )
    return figure


@house_style
def plot_cophenetic(
    clusterings: Sequence[Clustering], analyses: Sequence[Analysis], paper: float | None = None
) -> Figure:
    """Figure 11: cophenetic coefficients with jackknife intervals.

    Args:
        clusterings, analyses: one of each for each N.
        paper: the paper's average linkage, where the data are its own.
    """
    figure, axis = subplots(figsize=(7, 4.2), layout="constrained")
    x, width = np.arange(len(LINKAGES)), 0.8 / len(analyses)
    for i, (clustering, analysis) in enumerate(zip(clusterings, analyses, strict=True)):
        found = [clustering.dendrograms[method] for method in LINKAGES]
        value = np.array([d.cophenetic for d in found])
        position = x + (i - (len(analyses) - 1) / 2) * width
        axis.bar(
            position, value, width * 0.95, color=COLOURS[i], label=f"N = {analysis.num_samples:,}"
        )
        whiskers(
            axis,
            position,
            value,
            Interval(
                np.array([d.cophenetic_interval.low for d in found]),
                np.array([d.cophenetic_interval.high for d in found]),
            ),
        )
    if paper is not None:
        axis.axhline(paper, color=GREY, ls=":", lw=1.2, label=f"paper's average linkage, {paper}")
    axis.set_xticks(x, LINKAGES)
    axis.set(
        ylabel="cophenetic correlation",
        ylim=(0, 1.05),
        title="how well each linkage keeps the distances (lines: 95 % confidence intervals)",
    )
    axis.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.08), ncol=3)
    return figure
