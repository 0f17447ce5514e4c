"""How far a shift may go (MAGAN, Figure 12), and the labels along each ray."""

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from magan_jax.latent.analysis import Analysis
from magan_jax.latent.invariance import Invariance, RayLabels
from magan_jax.plots.style import COLOURS, class_colours, plt, whiskers


def plot_epsilon(
    analyses: Sequence[Analysis], invariance: Invariance, class_names: Sequence[str]
) -> Figure:
    """Figure 12: the paper's ε, the debiased ε and the measured exits, per class."""
    size = max(12.0, 0.55 * len(class_names)), 5.2
    figure, axis = plt.subplots(figsize=size, layout="constrained")
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
        colour = COLOURS[i % len(COLOURS)]
        axis.bar(position, np.maximum(value, floor), width * 0.92, color=colour, label=label)
        whiskers(axis, position, value, interval, floor)
        for place in position[value < floor]:
            axis.annotate(
                "<0.01",
                (place, floor),
                textcoords="offset points",
                xytext=(0, 3),
                ha="center",
                fontsize=7,
                rotation=90,
                color=colour,
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
                    x[which] + 0.46,  # beside the bars: they belong to none of them
                    np.maximum(value[which], floor),
                    marker=marker,
                    s=30,
                    facecolor=face,
                    edgecolor="black",
                    zorder=3,
                    label=label + suffix,
                )
    axis.set_yscale("log")
    seen = np.concatenate([np.append(value, interval.high) for value, interval, _ in series])
    axis.set_ylim(floor, 1.6 * max(invariance.upper, *seen[np.isfinite(seen)]))
    axis.set_xticks(x, class_names, rotation=30, ha="right", rotation_mode="anchor")
    axis.set(
        title="how far a shift ε·σ may go: from distances, and measured at "
        f"N = {analyses[-1].num_samples:,} (95 % intervals)",
        ylabel="ε [standard deviations], log scale",
    )
    axis.grid(alpha=0.3, axis="y")
    axis.legend(fontsize=8, ncol=2, loc="upper center", bbox_to_anchor=(0.5, -0.22))
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
    rows = -(-len(class_names) // 5)
    if rows <= 6:  # a longer legend would be larger than the picture, and its colours too alike
        axis.legend(
            handles=[Patch(color=c, label=n) for c, n in zip(colours, class_names, strict=True)],
            ncol=min(5, len(class_names)),
            fontsize=8,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.6 / (0.42 * len(class_names) + 0.6)),
        )
    return figure
