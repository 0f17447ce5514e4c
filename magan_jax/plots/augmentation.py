"""Arms of few labels beside each other."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
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

_MARKERS = "osD^v<>PX*"
_ACROSS = 3
"""Panels beside each other, at most: a page is no wider."""


@house_style
def plot_accuracy(
    accuracy: Mapping[str, np.ndarray], bounds: Mapping[str, np.ndarray], numbers: Sequence[int]
) -> Figure:
    """Test accuracy against labels per class: mean over seeds, band from least to greatest.

    A single budget has no line to follow: its arms stand side by side, with bars in place of bands.

    Args:
        accuracy: by title of the arm, `[budgets, S]`.
        bounds: the same of the upper bounds, in grey.
        numbers: labels per class, `[budgets]`.
    """
    figure, axis = subplots(figsize=(9.5, 5.6), layout="constrained")
    for place, (title, values) in enumerate(accuracy.items()):
        colour = COLOURS[place % len(COLOURS)]
        dashes = "-" if place < len(COLOURS) else "--"
        marker = _MARKERS[place % len(_MARKERS)]
        x = np.array(numbers, np.float64)
        if len(numbers) == 1:
            x *= 1.02 ** (place - (len(accuracy) - 1) / 2)
        axis.plot(
            x, values.mean(1), color=colour, ls=dashes, marker=marker, ms=5, lw=1.4, label=title
        )
        if values.shape[1] > 1 and len(numbers) == 1:
            axis.vlines(x, values.min(1), values.max(1), color=colour, lw=1.2)
        elif values.shape[1] > 1:
            axis.fill_between(x, values.min(1), values.max(1), color=colour, alpha=0.1, lw=0)
    for place, (title, values) in enumerate(bounds.items()):
        dashes = (":", "--", "-.")[place % 3]
        axis.plot(
            numbers, values.mean(1), color=GREY, ls=dashes, lw=1.2,
            marker=_MARKERS[place % len(_MARKERS)], ms=5, mfc="white",
            label=f"bound: {title}",
        )  # fmt: skip
    log_scale(axis.xaxis)
    axis.set_xticks(numbers, [str(n) for n in numbers])
    if len(numbers) == 1:
        axis.set_xlim(numbers[0] / 1.3, numbers[0] * 1.3)
    axis.minorticks_off()
    axis.set(xlabel="labels per class", ylabel="test accuracy")
    axis.grid(alpha=0.3)
    figure.legend(loc="outside right center", fontsize=8)
    return figure


@house_style
def plot_differences(
    differences: Mapping[int, Mapping[str, tuple[float, float, float]]],
    baselines: Mapping[int, str],
) -> Figure:
    """What each arm gains over a baseline, in points of test accuracy, with 95 % intervals.

    Args:
        differences: by labels per class and title, `(mean, low, high)` as shares; NaN for an
            interval that is not known.
        baselines: by labels per class, the title of what is subtracted.
    """
    rows = list(dict.fromkeys(title for found in differences.values() for title in found))
    figure, axes = _panels(len(differences), width=4.0, height=0.42 * len(rows) + 1.4)
    for axis, (n, found) in zip(axes, differences.items(), strict=True):
        for title, ends in found.items():
            mean, low, high = 100 * np.array(ends)
            place = rows.index(title)
            if np.isfinite([low, high]).all():
                axis.plot([low, high], [place, place], color=COLOURS[0], lw=1.4)
            axis.plot(mean, place, "o", color=COLOURS[0], ms=5)
        axis.axvline(0, color=GREY, lw=1)
        axis.set_title(f"{n} labels per class", fontsize=10)
        axis.set_xlabel(f"points over {baselines[n]}", fontsize=9)
        axis.grid(alpha=0.3, axis="x")
    axes[0].set_yticks(range(len(rows)), rows)
    axes[0].invert_yaxis()
    return figure


@house_style
def plot_pools(
    pools: Mapping[str, tuple[np.ndarray, np.ndarray]], names: Sequence[str], title: str
) -> Figure:
    """A row of images of each arm, with their labels.

    Args:
        pools: by title, uint8 images `[n, H, W, C]` and labels `[n]`.
        names: of the classes.
        title: above all.
    """
    columns = max(len(images) for images, _ in pools.values())
    figure, axes = image_rows(list(pools), columns, width=0.85, height=1.02)
    for row, (images, labels) in zip(axes, pools.values(), strict=True):
        for axis, image, label in zip(row, images, labels, strict=False):
            show(axis, image / 127.5 - 1)
            axis.set_title(clipped(names[int(label)]), fontsize=6, pad=2)
    figure.suptitle(title, fontsize=10)
    return figure


@house_style
def plot_purity(
    found: Mapping[int, Mapping[str, tuple[float, float]]], arms: Sequence[str]
) -> Figure:
    """How pure the labels of each arm's images are, and how different its images of a class.

    Args:
        found: by labels per class and title, purity and diversity.
        arms: titles of all arms, with images or without, which have the colours and markers that
            they have beside each other in `plot_accuracy`; what is no arm is a bound, and grey.
    """
    figure, axes = _panels(len(found), width=4.0, height=4.2, label="purity of labels")
    titles = [*arms, *(title for pools in found.values() for title in pools)]
    titles = list(dict.fromkeys(titles))
    handles = {}
    for axis, (n, pools) in zip(axes, found.items(), strict=True):
        for title, (purity, diversity) in pools.items():
            place = titles.index(title)
            (handles[title],) = axis.plot(
                diversity,
                purity,
                ls="",
                marker=_MARKERS[place % len(_MARKERS)],
                color=COLOURS[place % len(COLOURS)] if title in arms else GREY,
                ms=7,
            )
        axis.set_title(f"{n} labels per class", fontsize=10)
        axis.set_xlabel("diversity within a class (Vendi score)")
        axis.sharex(axes[0])
        axis.grid(alpha=0.3)
    axes[0].set_ylim(0, 1.02)
    known = [title for title in titles if title in handles]
    figure.legend(
        [handles[title] for title in known],
        [title if title in arms else f"bound: {title}" for title in known],
        loc="outside right center",
        fontsize=8,
    )
    return figure


@house_style
def plot_neighbourhoods(found: Mapping[int, Mapping[str, Any]], names: Sequence[str]) -> Figure:
    """How often the label of a latent's neighbourhood is right: by s and class, by number.

    Args:
        found: by labels per class, see `magan_jax.augmentation.neighbourhoods`.
        names: of the classes.
    """
    figure, axes = subplots(
        len(found),
        2,
        figsize=(10.5, 3.6 * len(found) + 0.6),
        squeeze=False,
        sharey="row",
        layout="constrained",
    )
    colours = class_colours(len(names))
    for (left, right), (n, entry) in zip(axes, found.items(), strict=True):
        distance = np.array([0.0, *entry["distance"]])
        shares = np.concatenate([np.asarray(entry["alone"])[None], entry["of_class"]])
        for k, colour in enumerate(colours):
            left.plot(
                distance, shares[:, k], color=colour, marker=".", lw=1.2, label=in_legend(names[k])
            )
            edge = np.minimum(entry["exit"][k], distance[-1])
            left.plot(edge, np.interp(edge, distance, shares[:, k]), "v", color=colour, ms=8)
        left.set(
            xlabel="distance of neighbours in each dimension, in σ of the prior",
            ylabel="share right",
            title=f"{n} labels per class, by class",
        )
        for place, (scale, line) in enumerate(zip(entry["scale"], entry["right"], strict=True)):
            right.plot(
                np.arange(len(line)),
                line,
                color=COLOURS[place % len(COLOURS)],
                marker=_MARKERS[place % len(_MARKERS)],
                ms=4,
                lw=1.2,
                label=f"s = {scale:g}",
            )
        right.set(xlabel="neighbours", title=f"{n} labels per class, all classes")
        right.xaxis.get_major_locator().set_params(integer=True)
        for axis in (left, right):
            axis.grid(alpha=0.3)
    classes, scales = (axis.get_legend_handles_labels() for axis in axes[0])
    figure.legend(*classes, loc="outside lower left", fontsize=8, ncols=5)
    figure.legend(*scales, loc="outside lower right", fontsize=8, ncols=5)
    return figure


def _panels(count: int, width: float, height: float, label: str = "") -> tuple[Figure, list[Axes]]:
    """So many panels of one vertical axis, which may have a label; row by row, a size in inches."""
    rows = -(-count // _ACROSS)
    columns = -(-count // rows)
    figure, axes = subplots(
        rows,
        columns,
        figsize=(width * columns + 2.4, height * rows),
        squeeze=False,
        sharey=True,
        layout="constrained",
    )
    for axis in axes[:, 0]:
        axis.set_ylabel(label)
    for axis in axes.flat[count:]:
        axis.remove()
    return figure, list(axes.flat[:count])
