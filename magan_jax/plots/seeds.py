"""Several generators of one kind beside each other: what differs from seed to seed."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import squareform

from magan_jax.latent.agreement import Likeness
from magan_jax.latent.clustering import LINKAGES, merge_support
from magan_jax.plots.geometry import draw_dendrogram, draw_distances
from magan_jax.plots.style import COLOURS, house_style, log_scale, show, subplots


@house_style
def plot_likenesses(likenesses: Mapping[str, Likeness], num_samples: int) -> Figure:
    """How alike the generators are in each respect, with intervals, against chance."""
    height = 0.42 * len(likenesses) + 1.6
    figure, axis = subplots(figsize=(9, height), layout="constrained")
    y = np.arange(len(likenesses))
    for place, likeness in zip(y, likenesses.values(), strict=True):
        different = likeness.pairs[np.triu_indices(len(likeness.pairs), 1)]
        axis.scatter(
            different,
            np.full(len(different), place),
            s=10,
            color=COLOURS[5],
            alpha=0.5,
            label="two generators" if place == 0 else None,
        )
        if np.isfinite([likeness.low, likeness.high]).all():
            axis.hlines(place, likeness.low, likeness.high, color="black", lw=1.5)
        axis.scatter(
            [likeness.mean],
            [place],
            s=45,
            color=COLOURS[0],
            zorder=3,
            label="mean, 95 % interval" if place == 0 else None,
        )
        axis.scatter(
            [likeness.chance],
            [place],
            marker="|",
            s=160,
            color=COLOURS[1],
            zorder=3,
            label="chance (classes renamed)" if place == 0 else None,
        )
    axis.set_yticks(y, [f"{n} (p = {k.p_value:.3f})" for n, k in likenesses.items()])
    axis.invert_yaxis()
    axis.set(
        xlabel="1: the same in both generators; chance: nothing in common",
        title=f"how alike the latent geometries of the seeds are, N = {num_samples:,}",
    )
    axis.set_xlim(right=1.03)
    axis.grid(alpha=0.3, axis="x")
    axis.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.35, -0.55 / height), ncol=3)
    return figure


@house_style
def plot_distances_of_seeds(
    distances: np.ndarray, class_names: Sequence[str], num_samples: int
) -> Figure:
    """Mean and standard deviation over seeds of `distances [S, K, K]`, of those that have them."""
    figure, axes = subplots(1, 2, figsize=(14.4, 6.4), layout="constrained")
    for axis, matrix, title in (
        (axes[0], over_known(np.mean, distances, 1), "mean"),
        (axes[1], over_known(partial(np.std, ddof=1), distances, 2), "standard deviation"),
    ):
        draw_distances(axis, matrix, class_names, label=f"{title} of ‖μᵢ − μⱼ‖ in latent space")
        of_some = ", of those that have the class" if np.isnan(distances).any() else ""
        axis.set_title(f"{title} over {len(distances)} seeds{of_some}, N = {num_samples:,}")
    return figure


def over_known(
    statistic: Callable[[np.ndarray], np.floating], values: np.ndarray, fewest: int
) -> np.ndarray:
    """A statistic over the seeds `[S, …]` that have a value; NaN where fewer than `fewest` do."""

    def of(column: np.ndarray) -> float:
        known = column[np.isfinite(column)]
        return float(statistic(known)) if len(known) >= fewest else np.nan

    return np.apply_along_axis(of, 0, values)


@house_style
def plot_nearest_of_seeds(
    nearest: np.ndarray, class_names: Sequence[str], num_samples: int
) -> Figure:
    """In how many seeds class j is the nearest of class i; `nearest [S, K]`, −1 for none."""
    count = len(class_names)
    votes = np.stack([(nearest == j).sum(0) for j in range(count)], axis=1)  # [K, K]
    figure, axis = subplots(figsize=(7.6, 6.4), layout="constrained")
    shown = axis.imshow(votes, cmap="Blues", vmin=0, vmax=len(nearest))
    for i in range(count):
        for j in range(count):
            if votes[i, j]:
                dark = votes[i, j] > 0.6 * len(nearest)
                axis.text(
                    j,
                    i,
                    str(votes[i, j]),
                    ha="center",
                    va="center",
                    color="white" if dark else "black",
                )
    axis.set_xticks(range(count), class_names, rotation=45, ha="right", rotation_mode="anchor")
    axis.set_yticks(range(count), class_names)
    axis.set(
        xlabel="nearest class", ylabel="class", title=f"nearest class by seed, N = {num_samples:,}"
    )
    whole = MaxNLocator(integer=True)
    figure.colorbar(shown, ax=axis, label=f"seeds, of {len(nearest)}", shrink=0.85, ticks=whole)
    return figure


@house_style
def plot_dendrograms_of_seeds(
    distances: np.ndarray, class_names: Sequence[str], num_samples: int
) -> Figure:
    """Dendrograms of the mean distances; at each merge the share of seeds that have it.

    Args:
        distances: `[S, V, V]`, classes with statistics in all seeds.
        class_names: V names.
        num_samples: N of the analyses.
    """
    figure, axes = subplots(2, 2, figsize=(12, 9), layout="constrained")
    for axis, method in zip(axes.flat, LINKAGES, strict=True):
        mean, *of_seeds = (
            linkage(squareform(matrix, checks=False), method)
            for matrix in (distances.mean(0), *distances)
        )
        draw_dendrogram(axis, mean, class_names, merge_support(mean, of_seeds))
        axis.set_title(f"{method} linkage of the mean distances")
    figure.suptitle(
        f"clusters of the class means over {len(distances)} seeds, N = {num_samples:,} "
        "(grey: share of seeds with the same cluster)"
    )
    return figure


@house_style
def plot_epsilon_of_seeds(series: Mapping[str, np.ndarray], class_names: Sequence[str]) -> Figure:
    """ε of each class: a dot for each seed, a bar for the mean of those that have one; each of
    `series` is `[S, K]`."""
    figure, axis = subplots(figsize=(12, 5.2), layout="constrained")
    x, floor = np.arange(len(class_names)), 1e-2
    width = 0.8 / len(series)
    for i, (label, values) in enumerate(series.items()):
        place = x + (i - (len(series) - 1) / 2) * width
        mean = np.maximum(over_known(np.mean, values, 1), floor)
        axis.bar(place, mean, width * 0.92, color=COLOURS[i % len(COLOURS)], label=label)
        spread = np.linspace(-0.25, 0.25, len(values))[:, None] * width
        axis.scatter(
            (place + spread).ravel(),
            np.maximum(values, floor).ravel(),
            s=7,
            color="black",
            zorder=3,
            label="one seed (those below 0.01 lie at the foot)" if i == 0 else None,
        )
    log_scale(axis.yaxis)
    axis.set_ylim(bottom=floor * 0.8)
    axis.set_xticks(x, class_names, rotation=30, ha="right", rotation_mode="anchor")
    axis.set(
        title="how far a shift ε·σ may go, seed by seed (bars: means)",
        ylabel="ε [standard deviations], log scale",
    )
    axis.grid(alpha=0.3, axis="y")
    figure.legend(fontsize=8, ncol=2, loc="outside lower center")
    return figure


@house_style
def plot_class_means_of_seeds(
    images: np.ndarray, labels: np.ndarray, seeds: Sequence[int], class_names: Sequence[str]
) -> Figure:
    """G(μ_k) of every seed; `images [S, K, H, W, C]`, C's `labels [S, K]`, −1 for no mean."""
    rows, columns = labels.shape
    figure, axes = subplots(rows, columns, figsize=(columns + 0.9, rows + 0.75), squeeze=False)
    figure.subplots_adjust(
        left=0.09, right=0.995, bottom=0.005, top=1 - 0.6 / (rows + 0.75), hspace=0.06
    )
    for row, seed in enumerate(seeds):
        for k in range(columns):
            axis = axes[row, k]
            axis.set(xticks=[], yticks=[])
            if row == 0:
                axis.set_title(class_names[k], fontsize=8)
            if labels[row, k] < 0:
                axis.text(0.5, 0.5, "no mean", ha="center", va="center", transform=axis.transAxes)
                continue
            show(axis, images[row, k])
            own = labels[row, k] == k
            for spine in axis.spines.values():
                spine.set(edgecolor="black" if own else COLOURS[1], linewidth=0.8 if own else 3)
        axes[row, 0].set_ylabel(f"seed {seed}", fontsize=8)
    figure.suptitle("images of the class means, orange where C sees another class", fontsize=10)
    return figure
