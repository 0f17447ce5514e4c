"""Generated images: samples, class means, shifts."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from magan_jax.latent.analysis import Analysis
from magan_jax.plots.style import COLOURS, clipped, house_style, show, subplots


@house_style
def plot_samples(images: np.ndarray, title: str, columns: int = 10) -> Figure:
    """A grid of images `[N, H, W, C]` in [-1, 1]."""
    rows = -(-len(images) // columns)
    figure, axes = subplots(
        rows,
        columns,
        figsize=(0.8 * columns, 0.8 * rows + 0.4),
        squeeze=False,
        layout="constrained",
    )
    for axis in axes.flat:
        axis.axis("off")
    for axis, image in zip(axes.flat, images, strict=False):
        show(axis, image)
    figure.suptitle(title, fontsize=10)
    return figure


@house_style
def plot_class_means(images: np.ndarray, analysis: Analysis, class_names: Sequence[str]) -> Figure:
    """G(μ_k) for every class, C's label of it and C's confidence; images `[K, H, W, C]`."""
    columns = 5
    rows = -(-len(images) // columns)
    figure, axes = subplots(
        rows, columns, figsize=(9, 2.3 * rows + 0.5), squeeze=False, layout="constrained"
    )
    for axis in axes.flat:
        axis.axis("off")
    for k, axis in zip(range(len(images)), axes.flat, strict=False):
        name = clipped(class_names[k], 18)
        if not analysis.valid[k]:
            axis.set_title(f"{name}\n{analysis.counts[k]} latents: no mean", fontsize=8)
            continue
        show(axis, images[k])
        label = int(analysis.mean_label[k])
        verdict = "own label" if label == k else f"labelled {clipped(class_names[label], 18)}"
        axis.set_title(
            f"{name} (n = {analysis.counts[k]})\n{verdict}, {analysis.mean_confidence[k]:.2f}",
            fontsize=8,
            color="black" if label == k else COLOURS[1],
        )
    figure.suptitle(
        f"images of the class means, N = {analysis.num_samples:,}: C's label and its confidence",
        fontsize=10,
    )
    return figure


@house_style
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
    figure, axes = subplots(
        3, count, figsize=(max(1.25 * count + 0.9, 9.0), 5.0), squeeze=False, layout="constrained"
    )
    for row, name in enumerate(("μ − εσ", "μ", "μ + εσ")):
        for k in range(count):
            axis = axes[row, k]
            axis.set_xticks([])
            axis.set_yticks([])
            if labels[row, k] < 0:
                axis.text(0.5, 0.5, "no ε", ha="center", va="center", transform=axis.transAxes)
            else:
                show(axis, images[row, k])
                same = labels[row, k] == k
                axis.set_xlabel(
                    clipped(class_names[labels[row, k]]),
                    fontsize=7,
                    color="black" if same else COLOURS[1],
                )
                for spine in axis.spines.values():
                    spine.set(edgecolor="black" if same else COLOURS[1], linewidth=1 if same else 3)
            if row == 0:
                shown = f"ε = {epsilon[k]:.3f}" if np.isfinite(epsilon[k]) else "no ε"
                axis.set_title(f"{clipped(class_names[k])}\n{shown}", fontsize=8)
        axes[row, 0].set_ylabel(name, fontsize=10)
    figure.suptitle(
        f"{title}; below each image C's label, orange where it is another class", fontsize=10
    )
    return figure
