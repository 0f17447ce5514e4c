"""Arrays to matplotlib figures, one function each; every figure can be read on its own.

Figure numbers are those of the MAGAN paper.
"""

from collections.abc import Mapping, Sequence

import matplotlib

matplotlib.use("Agg")  # files only: a machine without a screen is the usual one

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from scipy.cluster.hierarchy import dendrogram

from magan_jax.latent.analysis import Analysis
from magan_jax.latent.clustering import LINKAGES, Clustering
from magan_jax.latent.geometry import Interval
from magan_jax.latent.invariance import Invariance, RayLabels

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito
_GREY = "#666666"


def class_colours(num_classes: int) -> list[tuple[float, float, float, float]]:
    """A colour for each class, the same in every figure."""
    palette = plt.get_cmap("tab10" if num_classes <= 10 else "tab20")
    return [palette(i % palette.N) for i in range(num_classes)]


def plot_training(
    gan: Mapping[str, np.ndarray],
    classifier: Mapping[str, np.ndarray],
    gan_steps_per_epoch: int,
    classifier_steps_per_epoch: int,
) -> Figure:
    """Losses of G and D, what D takes for real, and the classifier's accuracy, over epochs."""
    figure, axes = plt.subplots(1, 3, figsize=(13, 3.8), layout="constrained")

    def draw(axis, values, steps_per_epoch, label, colour):
        x, y = _windows(values, steps_per_epoch)
        axis.plot(x, y, color=colour, label=label)

    draw(axes[0], gan["discriminator_loss"], gan_steps_per_epoch, "discriminator", _COLOURS[0])
    draw(axes[0], gan["generator_loss"], gan_steps_per_epoch, "generator", _COLOURS[1])
    axes[0].axhline(2 * np.log(2), color=_GREY, ls=":", lw=1)
    axes[0].axhline(np.log(2), color=_GREY, ls="--", lw=1)
    axes[0].set(title="GAN losses (dotted: D, dashed: G at equilibrium)", ylabel="loss [nats]")
    draw(axes[1], gan["real_taken_for_real"], gan_steps_per_epoch, "real images", _COLOURS[0])
    draw(axes[1], gan["fake_taken_for_real"], gan_steps_per_epoch, "generated images", _COLOURS[1])
    axes[1].set(title="what D takes for real", ylabel="share of images", ylim=(0, 1))
    draw(
        axes[2],
        classifier["train_accuracy"],
        classifier_steps_per_epoch,
        "training, with dropout",
        _COLOURS[4],
    )
    test = classifier["test_accuracy"]
    axes[2].plot(np.arange(1, len(test) + 1), test, "o-", ms=3, color=_COLOURS[2], label="test")
    axes[2].set(
        title=f"classifier: {test[-1]:.4f} on the test set",
        ylabel="accuracy",
        ylim=(max(0.0, min(0.8, float(test.min()) - 0.02)), 1.0),
    )
    for axis in axes:
        axis.set_xlabel("epoch")
        axis.grid(alpha=0.3)
        axis.legend(loc="best", fontsize=8)
    return figure


def _windows(values: np.ndarray, steps_per_epoch: int) -> tuple[np.ndarray, np.ndarray]:
    """Means over tenths of an epoch, and where their middles lie."""
    size = max(1, steps_per_epoch // 10)
    count = max(1, len(values) // size)
    means = np.array([part.mean() for part in np.array_split(values, count)])
    return (np.arange(count) + 0.5) * len(values) / count / steps_per_epoch, means


def plot_samples(images: np.ndarray, title: str, columns: int = 10) -> Figure:
    """A grid of images `[N, H, W, C]` in [-1, 1]."""
    rows = -(-len(images) // columns)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(0.8 * columns, 0.8 * rows + 0.4),
        squeeze=False,
        layout="constrained",
    )
    for axis in axes.flat:
        axis.axis("off")
    for axis, image in zip(axes.flat, images, strict=False):
        _show(axis, image)
    figure.suptitle(title, fontsize=10)
    return figure


def plot_class_means(images: np.ndarray, analysis: Analysis, class_names: Sequence[str]) -> Figure:
    """G(μ_k) for every class, with the label that C gives it; images `[K, H, W, C]`."""
    columns = 5
    rows = -(-len(images) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(9, 2.3 * rows + 0.5), squeeze=False, layout="constrained"
    )
    for axis in axes.flat:
        axis.axis("off")
    for k, axis in zip(range(len(images)), axes.flat, strict=False):
        if not analysis.valid[k]:
            axis.set_title(f"{class_names[k]}\n{analysis.counts[k]} latents: no mean", fontsize=8)
            continue
        _show(axis, images[k])
        label = int(analysis.mean_label[k])
        verdict = "own label" if label == k else f"labelled {class_names[label]}"
        axis.set_title(
            f"{class_names[k]} (n = {analysis.counts[k]})\n{verdict}, "
            f"{analysis.mean_confidence[k]:.2f}",
            fontsize=8,
            color="black" if label == k else _COLOURS[1],
        )
    figure.suptitle(f"images of the class means, N = {analysis.num_samples:,}", fontsize=10)
    return figure


def plot_distances(analyses: Sequence[Analysis], class_names: Sequence[str]) -> Figure:
    """Figure 7: distances of the class means, for each N."""
    figure, axes = plt.subplots(
        1, len(analyses), figsize=(7.2 * len(analyses), 6.4), squeeze=False, layout="constrained"
    )
    for axis, analysis in zip(axes[0], analyses, strict=True):
        shown = axis.imshow(analysis.distance, cmap="viridis", vmin=0)
        ticks = range(len(class_names))
        axis.set_xticks(ticks, class_names, rotation=45, ha="right", rotation_mode="anchor")
        axis.set_yticks(ticks, class_names)
        if len(class_names) <= 20:
            middle = np.nanmax(analysis.distance) * 0.6
            for i in ticks:
                for j in ticks:
                    value = analysis.distance[i, j]
                    axis.text(
                        j,
                        i,
                        "–" if np.isnan(value) else f"{value:.2f}",
                        ha="center",
                        va="center",
                        fontsize=8,
                        color="black" if value > middle else "white",
                    )
        axis.set_title(f"distance of class means, N = {analysis.num_samples:,}")
        figure.colorbar(shown, ax=axis, label="‖μᵢ − μⱼ‖ in latent space", shrink=0.85)
    return figure


def plot_dendrograms(clustering: Clustering, analysis: Analysis, names: Sequence[str]) -> Figure:
    """Figure 8: four dendrograms; at each merge the share of bootstrap trees that have it."""
    figure, axes = plt.subplots(2, 2, figsize=(12, 9), layout="constrained")
    for axis, method in zip(axes.flat, LINKAGES, strict=True):
        found = clustering.dendrograms[method]
        drawn = dendrogram(
            found.merges,
            labels=[names[k] for k in clustering.classes],
            ax=axis,
            leaf_rotation=45,
            color_threshold=0,
            above_threshold_color=_COLOURS[0],
        )
        # scipy draws merges in its own order; heights identify them.
        for x, height in zip(drawn["icoord"], drawn["dcoord"], strict=True):
            merge = int(np.argmin(np.abs(found.merges[:, 2] - height[1])))
            if len(found.merges) <= 20 and merge < len(found.merges) - 1:
                axis.annotate(
                    f"{found.support[merge]:.0%}",
                    (np.mean(x[1:3]), height[1]),
                    textcoords="offset points",
                    xytext=(0, 0),
                    ha="center",
                    va="center",
                    fontsize=7.5,
                    color=_GREY,
                    bbox={"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none"},
                )
        plt.setp(axis.get_xticklabels(), ha="right", rotation_mode="anchor")
        axis.set(
            title=f"{method} linkage, cophenetic coefficient {found.cophenetic:.2f}",
            ylabel="distance",
        )
        axis.margins(y=0.08)
    figure.suptitle(
        f"clusters of the class means, N = {analysis.num_samples:,} "
        "(grey: share of bootstrap dendrograms with the same cluster)"
    )
    return figure


def plot_nearest(analyses: Sequence[Analysis], class_names: Sequence[str]) -> Figure:
    """Figure 9: distance to the nearest other class, as it is and debiased."""
    figure, axes = plt.subplots(
        1, len(analyses), figsize=(7.5 * len(analyses), 4.6), squeeze=False, layout="constrained"
    )
    x = np.arange(len(class_names))
    for axis, analysis in zip(axes[0], analyses, strict=True):
        for offset, value, interval, label, colour in (
            (
                -0.2,
                analysis.nearest_distance,
                analysis.nearest_distance_interval,
                "d_min, sampling noise included (paper)",
                _COLOURS[0],
            ),
            (
                0.2,
                analysis.nearest_distance_debiased,
                analysis.nearest_distance_debiased_interval,
                "debiased",
                _COLOURS[1],
            ),
        ):
            axis.bar(x + offset, value, 0.38, color=colour, label=label)
            _whiskers(axis, x + offset, value, interval)
        ticks = [
            f"{name}\n→ {class_names[n] if n >= 0 else 'none'}"
            for name, n in zip(class_names, analysis.nearest, strict=True)
        ]
        axis.set_xticks(x, ticks, rotation=45, ha="right", rotation_mode="anchor", fontsize=8)
        axis.set(
            title=f"class → nearest other class, N = {analysis.num_samples:,}",
            ylabel="distance in latent space",
        )
        axis.set_ylim(0, axis.get_ylim()[1] * 1.15)  # room for the legend
        axis.legend(fontsize=8, loc="upper left", ncol=2)
    return figure


def plot_map(
    clusterings: Sequence[Clustering], analyses: Sequence[Analysis], class_names: Sequence[str]
) -> Figure:
    """Figure 10: multidimensional scaling of the means; lines join nearest neighbours."""
    figure, axes = plt.subplots(
        1, len(analyses), figsize=(6.6 * len(analyses), 6), squeeze=False, layout="constrained"
    )
    colours = class_colours(len(class_names))
    for axis, clustering, analysis in zip(axes[0], clusterings, analyses, strict=True):
        place = {int(k): xy for k, xy in zip(clustering.classes, clustering.map, strict=True)}
        for k, xy in place.items():
            near = place[int(analysis.nearest[k])]
            axis.plot(*zip(xy, near, strict=True), color=_GREY, lw=1, zorder=1)
        for k, xy in place.items():
            axis.scatter(*xy, s=60, color=colours[k], zorder=2, edgecolor="black", lw=0.5)
            axis.annotate(
                class_names[k], xy, textcoords="offset points", xytext=(7, 5), fontsize=9, zorder=3
            )
        axis.set_aspect("equal", adjustable="datalim")
        axis.margins(x=0.35, y=0.15)
        axis.set(
            title=f"map of the class means, N = {analysis.num_samples:,} "
            f"(stress {clustering.map_stress:.2f})",
            xlabel="first coordinate [latent units]",
            ylabel="second coordinate",
        )
        axis.grid(alpha=0.3)
    figure.suptitle(
        "multidimensional scaling; lines lead from each class to its nearest", fontsize=10
    )
    return figure


def plot_cophenetic(
    clusterings: Sequence[Clustering], analyses: Sequence[Analysis], paper: float | None = None
) -> Figure:
    """Figure 11: cophenetic coefficients with jackknife intervals.

    Args:
        clusterings, analyses: one of each for each N.
        paper: the paper's average linkage, where the data are its own.
    """
    figure, axis = plt.subplots(figsize=(7, 4.2), layout="constrained")
    x, width = np.arange(len(LINKAGES)), 0.8 / len(analyses)
    for i, (clustering, analysis) in enumerate(zip(clusterings, analyses, strict=True)):
        found = [clustering.dendrograms[method] for method in LINKAGES]
        value = np.array([d.cophenetic for d in found])
        position = x + (i - (len(analyses) - 1) / 2) * width
        axis.bar(
            position, value, width * 0.95, color=_COLOURS[i], label=f"N = {analysis.num_samples:,}"
        )
        _whiskers(
            axis,
            position,
            value,
            Interval(
                np.array([d.cophenetic_interval.low for d in found]),
                np.array([d.cophenetic_interval.high for d in found]),
            ),
        )
    if paper is not None:
        axis.axhline(paper, color=_GREY, ls=":", lw=1.2, label=f"paper's average linkage, {paper}")
    axis.set_xticks(x, LINKAGES)
    axis.set(
        ylabel="cophenetic correlation",
        ylim=(0, 1.05),
        title="how well each linkage keeps the distances (95 % intervals)",
    )
    axis.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.08), ncol=3)
    return figure


def plot_epsilon(
    analyses: Sequence[Analysis], invariance: Invariance, class_names: Sequence[str]
) -> Figure:
    """Figure 12: the paper's ε, the debiased ε and the measured exits, per class."""
    figure, axis = plt.subplots(figsize=(12, 5.2), layout="constrained")
    x = np.arange(len(class_names))
    series = []
    for analysis in analyses:
        n = f"N = {analysis.num_samples:,}"
        series.append((analysis.epsilon, analysis.epsilon_interval, f"paper's ε, {n}"))
        series.append(
            (analysis.epsilon_debiased, analysis.epsilon_debiased_interval, f"debiased ε, {n}")
        )
    series.append(
        (
            invariance.measured,
            invariance.measured_interval,
            "measured: 5 % of random directions have left the class",
        )
    )
    width = 0.8 / len(series)
    floor = 1e-2
    for i, (value, interval, label) in enumerate(series):
        position = x + (i - (len(series) - 1) / 2) * width
        axis.bar(position, np.maximum(value, floor), width * 0.92, color=_COLOURS[i], label=label)
        _whiskers(axis, position, value, interval, floor)
        for place in position[value < floor]:
            axis.annotate(
                "<0.01",
                (place, floor),
                textcoords="offset points",
                xytext=(0, 3),
                ha="center",
                fontsize=7,
                rotation=90,
                color=_COLOURS[i],
            )
    for marker, value, censored, label in (
        ("^", invariance.plus, invariance.plus_censored, "exit along +σ"),
        ("v", invariance.minus, invariance.minus_censored, "exit along −σ"),
    ):
        for which, face, suffix in (
            (~censored, "black", ""),
            (censored, "white", f": beyond {invariance.upper:g}"),
        ):
            if which.any():
                axis.scatter(
                    x[which],
                    np.maximum(value[which], floor),
                    marker=marker,
                    s=30,
                    facecolor=face,
                    edgecolor="black",
                    zorder=3,
                    label=label + suffix,
                )
    axis.set_yscale("log")
    axis.set_ylim(floor, invariance.upper * 1.6)
    axis.set_xticks(x, class_names, rotation=30, ha="right", rotation_mode="anchor")
    axis.set(
        title="how far a shift ε·σ may go: from distances, and measured at "
        f"N = {analyses[-1].num_samples:,} (95 % intervals)",
        ylabel="ε [standard deviations], log scale",
    )
    axis.grid(alpha=0.3, axis="y")
    axis.legend(fontsize=8, ncol=2, loc="upper center", bbox_to_anchor=(0.5, -0.22))
    return figure


def plot_shifts(
    images: np.ndarray,
    labels: np.ndarray,
    epsilon: np.ndarray,
    class_names: Sequence[str],
    title: str,
) -> Figure:
    """Figure 13: G(μ − εσ), G(μ), G(μ + εσ) for every class.

    Args:
        images: `[3, K, H, W, C]`.
        labels: int `[3, K]`, C's label of each; −1 where there is no image.
        epsilon: `[K]`.
        class_names: K names.
        title: which ε.
    """
    count = len(class_names)
    figure, axes = plt.subplots(
        3, count, figsize=(1.25 * count + 0.9, 5.0), squeeze=False, layout="constrained"
    )
    for row, name in enumerate(("μ − εσ", "μ", "μ + εσ")):
        for k in range(count):
            axis = axes[row, k]
            axis.set_xticks([])
            axis.set_yticks([])
            if labels[row, k] < 0:
                axis.text(0.5, 0.5, "no ε", ha="center", va="center", transform=axis.transAxes)
            else:
                _show(axis, images[row, k])
                same = labels[row, k] == k
                axis.set_xlabel(
                    class_names[labels[row, k]], fontsize=7, color="black" if same else _COLOURS[1]
                )
                for spine in axis.spines.values():
                    spine.set(
                        edgecolor="black" if same else _COLOURS[1], linewidth=1 if same else 3
                    )
            if row == 0:
                shown = f"ε = {epsilon[k]:.3f}" if np.isfinite(epsilon[k]) else "no ε"
                axis.set_title(f"{class_names[k]}\n{shown}", fontsize=8)
        axes[row, 0].set_ylabel(name, fontsize=10)
    figure.suptitle(
        f"{title}; below each image C's label, orange where it is another class", fontsize=10
    )
    return figure


def plot_rays(rays: RayLabels, invariance: Invariance, class_names: Sequence[str]) -> Figure:
    """Labels along μ + pσ for every class; black ticks: the bisected exits."""
    figure, axis = plt.subplots(figsize=(12, 0.42 * len(class_names) + 2), layout="constrained")
    colours = class_colours(len(class_names))
    step = rays.position[1] - rays.position[0]
    edges = np.append(rays.position - step / 2, rays.position[-1] + step / 2)
    axis.pcolormesh(
        edges,
        np.arange(len(class_names) + 1) - 0.5,
        np.ma.masked_less(rays.label, 0),
        cmap=ListedColormap(colours),
        norm=BoundaryNorm(np.arange(len(class_names) + 1) - 0.5, len(class_names)),
    )
    axis.vlines([0], -0.5, len(class_names) - 0.5, color="black", lw=1, ls=":")
    for k in range(len(class_names)):
        for end, censored in (
            (invariance.plus[k], invariance.plus_censored[k]),
            (-invariance.minus[k], invariance.minus_censored[k]),
        ):
            if np.isfinite(end) and not censored:
                axis.vlines([end], k - 0.45, k + 0.45, color="black", lw=2.5)
    axis.set_yticks(range(len(class_names)), class_names)
    axis.invert_yaxis()
    axis.set(
        xlabel="p [standard deviations]",
        title="label of G(μ + pσ) along each class's ray (black: first exit, by bisection)",
    )
    axis.legend(
        handles=[Patch(color=c, label=n) for c, n in zip(colours, class_names, strict=True)],
        ncol=min(5, len(class_names)),
        fontsize=8,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.13),
    )
    return figure


def _show(axis: plt.Axes, image: np.ndarray) -> None:
    """One image in [-1, 1], grey or RGB."""
    pixels = np.clip((np.asarray(image, np.float32) + 1) / 2, 0, 1)
    if pixels.shape[-1] == 1:
        axis.imshow(pixels[..., 0], cmap="gray", vmin=0, vmax=1)
    else:
        axis.imshow(pixels)


def _whiskers(
    axis: plt.Axes, x: np.ndarray, value: np.ndarray, interval: Interval, floor: float = 0.0
) -> None:
    """Error bars where there is an interval."""
    low = np.maximum(np.asarray(interval.low, float), floor)
    high = np.maximum(np.asarray(interval.high, float), floor)
    there = np.isfinite(low) & np.isfinite(high) & np.isfinite(value)
    axis.vlines(np.asarray(x)[there], low[there], high[there], color="black", lw=1.2)
