"""Several ways of training one generator, side by side."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from magan_jax.plots.style import (
    COLOURS,
    GREY,
    class_colours,
    clipped,
    house_style,
    image_rows,
    in_legend,
    log_scale,
    show,
    subplots,
)
from magan_jax.plots.training import windows

_MARKERS = "osD^v<>PX*phd"  # as many as share no factor with the colours
_METRICS = {"frechet_distance": "Fréchet distance", "precision": "precision", "recall": "recall"}


@house_style
def plot_samples_of_systems(
    images: Mapping[str, np.ndarray | None], reasons: Mapping[str, str], columns: int = 16
) -> Figure:
    """A row of images for each system, or why it has none.

    Args:
        images: by title, `[N, H, W, C]` in [-1, 1]; None for a system that has no generator.
        reasons: by title, what became of these.
        columns: images in a row.
    """
    figure, axes = image_rows(list(images), columns)
    for row, (title, found) in zip(axes, images.items(), strict=True):
        if found is None:
            text = row[0].text(0, 0.5, reasons[title], transform=row[0].transAxes, va="center")
            text.set(fontsize=8, in_layout=False)  # it may run over the empty places of its row
            continue
        for axis, image in zip(row, found, strict=False):
            show(axis, image)
    return figure


@house_style
def plot_metric_curves(
    curves: Mapping[str, Mapping[str, np.ndarray]], yardstick: Mapping[str, float]
) -> Figure:
    """Each metric over epochs: mean over seeds, and a band from the least to the greatest.

    Args:
        curves: by title and name of metric, `[S, epochs]`.
        yardstick: by name of metric, what the real test images reach against the training set.
    """
    figure, axes = subplots(1, len(_METRICS), figsize=(14, 4.8), layout="constrained")
    for axis, (metric, label) in zip(axes, _METRICS.items(), strict=True):
        for (title, found), style in zip(curves.items(), _styles(len(curves)), strict=True):
            values = found[metric]
            epochs = np.arange(1, values.shape[1] + 1)
            mean = values.mean(axis=0)
            axis.plot(epochs, mean, **style, ms=4, lw=1.2, label=title)
            if len(values) > 1:
                low, high = values.min(axis=0), values.max(axis=0)
                axis.fill_between(epochs, low, high, color=style["color"], alpha=0.12, lw=0)
        if np.isfinite(yardstick[metric]):
            axis.axhline(yardstick[metric], color=GREY, ls=":", lw=1.2, label="real test images")
        axis.set(xlabel="epoch", ylabel=label)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
    log_scale(axes[0].yaxis)
    for axis in axes[1:]:
        axis.set_ylim(0, 1)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", fontsize=8)
    return figure


@house_style
def plot_losses_of_systems(
    histories: Mapping[str, Mapping[str, np.ndarray]], steps_per_epoch: Mapping[str, int]
) -> Figure:
    """Losses of D and G over epochs, a panel for each system (first seed).

    Args:
        histories: by title, `discriminator_loss` and `generator_loss`, each `[steps]`.
        steps_per_epoch: by title.
    """
    columns = 4
    rows = -(-len(histories) // columns)
    figure, axes = subplots(
        rows, columns, figsize=(13, 2.4 * rows + 0.4), squeeze=False, layout="constrained"
    )
    for axis in axes.flat[len(histories) :]:
        axis.axis("off")
    for axis, (title, history) in zip(axes.flat, histories.items(), strict=False):
        for name, colour in (("discriminator", COLOURS[0]), ("generator", COLOURS[1])):
            x, y = windows(history[f"{name}_loss"], steps_per_epoch[title])
            axis.plot(x, y, color=colour, label=name)
        axis.set_title(title, fontsize=9)
        axis.grid(alpha=0.3)
    for axis in axes[:, 0]:
        axis.set_ylabel("loss")
    for axis in axes.flat[max(0, len(histories) - columns) : len(histories)]:
        axis.set_xlabel("epoch")
    axes[0, 0].legend(fontsize=8)
    return figure


@house_style
def plot_precision_recall(
    ours: Mapping[str, np.ndarray], reported: Mapping[str, tuple[float | None, float | None]]
) -> Figure:
    """Precision against recall of each system: ours filled, its report's hollow.

    Args:
        ours: by title, `(precision, recall)` of each seed, `[S, 2]`.
        reported: by title, precision and recall of a report; None where it gives none.
    """
    figure, axis = subplots(figsize=(9.5, 6), layout="constrained")
    for (title, points), style in zip(ours.items(), _styles(len(ours)), strict=True):
        colour, marker = style["color"], style["marker"]
        precision, recall = points.mean(axis=0)
        if len(points) > 1:
            up, across = points.std(axis=0, ddof=1)
            axis.errorbar(recall, precision, up, across, color=colour, lw=1)
        axis.plot(recall, precision, marker, color=colour, ms=8, label=title)
        their_precision, their_recall = reported[title]
        if their_precision is not None and their_recall is not None:
            axis.plot(their_recall, their_precision, marker, color=colour, ms=8, mfc="none")
            axis.annotate(
                "",
                (their_recall, their_precision),
                (recall, precision),
                arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.7, "ls": ":"},
            )
    axis.plot([], [], "o", color=GREY, mfc="none", ms=8, label="hollow: the report's")
    axis.set(
        xlabel="recall (share of real images near generated ones)",
        ylabel="precision (share of generated images near real ones)",
        xlim=(-0.03, 1.0),
        ylim=(-0.03, 1.03),
    )
    axis.grid(alpha=0.3)
    figure.legend(loc="outside right center", fontsize=8)
    return figure


@house_style
def plot_embeddings(
    points: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray], class_names: Sequence[str]
) -> Figure:
    """Points in the plane `[N, 2]`, coloured by class, a panel for each title."""
    columns = min(3, len(points))
    rows = -(-len(points) // columns)
    figure, axes = subplots(
        rows, columns, figsize=(4.6 * columns + 1, 4.4 * rows), squeeze=False, layout="constrained"
    )
    for axis in axes.flat[len(points) :]:
        axis.axis("off")
    colours = class_colours(len(class_names))
    for axis, (title, found) in zip(axes.flat, points.items(), strict=False):
        for k, colour in enumerate(colours):
            mine = found[labels[title] == k]
            axis.scatter(
                *mine.T, s=5, color=colour, label=in_legend(class_names[k]), rasterized=True
            )
        axis.set_title(title, fontsize=10)
        axis.set(xticks=[], yticks=[])
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right center", markerscale=3, fontsize=9)
    return figure


@house_style
def plot_image_rows(
    rows: Sequence[np.ndarray], labels: Sequence[str], title: str, heads: Sequence[str] = ()
) -> Figure:
    """Rows of images `[N, H, W, C]` in [-1, 1], each with a label in front; heads of columns."""
    columns = max(len(row) for row in rows)
    figure, axes = image_rows(labels, columns)
    for line, row in zip(axes, rows, strict=True):
        for axis, image in zip(line, row, strict=False):
            show(axis, image)
    for axis, head in zip(axes[0], heads, strict=False):
        axis.set_title(clipped(head, 11), fontsize=7)
    figure.suptitle(title, fontsize=10)
    return figure


def _styles(count: int) -> list[dict[str, str]]:
    """Colour, marker and dashes of each of so many lines; no two are alike."""
    return [
        {
            "color": COLOURS[i % len(COLOURS)],
            "marker": _MARKERS[i % len(_MARKERS)],
            "ls": ("-", "--", ":")[i // len(COLOURS) % 3],
        }
        for i in range(count)
    ]
