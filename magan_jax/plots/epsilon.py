"""How far a shift may go (MAGAN, Figure 12), and the labels along each ray."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from magan_jax.latent.analysis import Analysis
from magan_jax.latent.invariance import Invariance
from magan_jax.latent.rays import RayLabels
from magan_jax.plots.style import (
    COLOURS,
    class_colours,
    house_style,
    log_scale,
    span,
    subplots,
    whiskers,
)

_FLOOR = 1e-2
"""Where the logarithmic axis of ε begins; what lies below is written."""


@house_style
def plot_epsilon(
    analyses: Sequence[Analysis], invariance: Invariance, class_names: Sequence[str]
) -> Figure:
    """Figure 12: the paper's ε, the debiased ε and the measured exits, per class.

    Args:
        analyses: of the same K classes, at rising N.
        invariance: measured with the last of them.
        class_names: K names.
    """
    size = span(len(class_names), 0.55, 12), 5.2
    figure, axis = subplots(figsize=size, layout="constrained")
    x = np.arange(len(class_names))
    series = []
    for analysis in analyses:
        n = f"N = {analysis.num_samples:,}"
        series.append((analysis.epsilon, analysis.epsilon_interval, f"paper's ε, {n}"))
        series.append(
            (analysis.epsilon_debiased, analysis.epsilon_debiased_interval, f"debiased ε, {n}")
        )
    label = "measured: 5 % of random directions have left the class"
    series.append((invariance.measured, invariance.measured_interval, label))
    width = 0.8 / len(series)
    for i, (value, interval, label) in enumerate(series):
        position = x + (i - (len(series) - 1) / 2) * width
        colour = COLOURS[i % len(COLOURS)]
        bars = axis.bar(
            position, np.maximum(value, _FLOOR), width * 0.92, color=colour, label=label
        )
        if value is invariance.measured:
            _open_bounds(axis, bars, invariance, colour)
        whiskers(axis, position, value, interval, _FLOOR)
        _write_below(axis, position[value < _FLOOR], colour)
    _draw_exits(axis, x + 0.46, invariance)  # beside the bars: they belong to none of them
    log_scale(axis.yaxis)
    seen = np.concatenate([np.append(value, interval.high) for value, interval, _ in series])
    axis.set_ylim(_FLOOR, 1.6 * max(invariance.upper, *seen[np.isfinite(seen)]))
    axis.set_xticks(x, class_names, rotation=30, ha="right", rotation_mode="anchor")
    axis.set(
        title="how far a shift ε·σ may go: from distances, and measured at "
        f"N = {analyses[-1].num_samples:,} (lines: 95 % confidence intervals)",
        ylabel="ε [standard deviations], log scale",
    )
    axis.grid(alpha=0.3, axis="y")
    figure.legend(fontsize=8, ncol=2, loc="outside lower center")
    return figure


def _open_bounds(axis: Axes, bars: BarContainer, invariance: Invariance, colour: Any) -> None:
    """Open the bars of classes that were not followed to their exit, and say so in the legend."""
    if not invariance.measured_censored.any():
        return
    # A legend shows the first of several bars, which may be an open one.
    axis.bar([0], [0], color=colour, label=bars.get_label())
    bars.set_label("_nolegend_")
    for bar, censored in zip(bars, invariance.measured_censored, strict=True):
        if censored:
            bar.set(**_open(colour))
    (beyond,) = axis.bar([0], [0], label=f"measured: beyond {invariance.upper:g}")
    beyond.set(**_open(colour))


def _write_below(axis: Axes, places: np.ndarray, colour: Any, points: float = 3) -> None:
    """Say of what lies below the axis that it does, so many points above its foot."""
    for place in places:
        axis.annotate(
            f"<{_FLOOR:g}",
            (place, _FLOOR),
            textcoords="offset points",
            xytext=(0, points),
            ha="center",
            fontsize=7,
            rotation=90,
            color=colour,
        )


def _draw_exits(axis: Axes, places: np.ndarray, invariance: Invariance) -> None:
    """Markers of the exits along ±σ `[K]`, hollow where they lie beyond what was followed."""
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
                    places[which],
                    np.maximum(value[which], _FLOOR),
                    marker=marker,
                    s=30,
                    facecolor=face,
                    edgecolor="black",
                    zorder=3,
                    label=label + suffix,
                    clip_on=False,  # a marker at the foot is whole
                )
    least = np.fmin(invariance.plus, invariance.minus)
    _write_below(axis, places[least < _FLOOR], "black", points=7)


def _open(colour: Any) -> dict[str, Any]:
    """How a bar is drawn whose end is only a lower bound."""
    return {"fill": False, "hatch": "///", "edgecolor": colour, "linewidth": 0.8}


@house_style
def plot_rays(
    rays: RayLabels, invariance: Invariance, class_names: Sequence[str], num_samples: int
) -> Figure:
    """Labels along μ + pσ for every class, of `num_samples` latents; black ticks: the exits."""
    height = span(len(class_names), 0.42, 0.8)
    figure, axis = subplots(figsize=(12, height + 2), layout="constrained")
    colours = class_colours(len(class_names))
    exits = np.stack(
        [
            np.where(censored, np.nan, sign * end)
            for sign, end, censored in (
                (-1, invariance.minus, invariance.minus_censored),
                (1, invariance.plus, invariance.plus_censored),
            )
        ],
        axis=1,
    )
    palette = ListedColormap(colours)
    norm = BoundaryNorm(np.arange(len(class_names) + 1) - 0.5, len(class_names))
    for k, label in enumerate(rays.label):
        axis.pcolormesh(
            _edges(rays.position, exits[k]),
            [k - 0.5, k + 0.5],
            np.ma.masked_less(label[None], 0),
            cmap=palette,
            norm=norm,
        )
    axis.vlines([0], -0.5, len(class_names) - 0.5, color="black", lw=1, ls=":")
    places, ends = np.nonzero(np.isfinite(exits))
    axis.vlines(exits[places, ends], places - 0.45, places + 0.45, color="black", lw=2.5)
    axis.set_yticks(range(len(class_names)), class_names)
    axis.invert_yaxis()
    axis.set(
        xlabel="p [standard deviations]",
        title=f"label of G(μ + pσ) along each class's ray, N = {num_samples:,} "
        "(black: first exit, by bisection)",
    )
    rows = -(-len(class_names) // 5)
    if rows <= 6:  # a longer legend would be larger than the picture, and its colours too alike
        axis.legend(
            handles=[Patch(color=c, label=n) for c, n in zip(colours, class_names, strict=True)],
            ncol=min(5, len(class_names)),
            fontsize=8,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.6 / (height + 0.6)),
        )
    return figure


def _edges(position: np.ndarray, exits: np.ndarray) -> np.ndarray:
    """Where the colours of a ray's points meet: half-way, but at an exit between two of them, which
    bisection knows more exactly."""
    middle = (position[1:] + position[:-1]) / 2
    known = exits[np.isfinite(exits) & (exits > position[0]) & (exits < position[-1])]
    middle[np.searchsorted(position, known) - 1] = known
    first, last = position[0] - np.diff(position[:2]) / 2, position[-1] + np.diff(position[-2:]) / 2
    return np.concatenate([first, middle, last])
