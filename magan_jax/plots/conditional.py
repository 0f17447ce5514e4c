"""Class-conditional samplers of autoencoders."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse

from magan_jax.latent.conditional import ConditionalScores
from magan_jax.latent.exits import Exits
from magan_jax.objectives.variational import DIVERGENCES
from magan_jax.plots.style import COLOURS, GREY, class_colours, house_style, in_legend, subplots
from magan_jax.plots.training import windows


class Mark(NamedTuple):
    """A point of the trade-off, with the sampler's title and what may be written beside it."""

    title: str
    cosine: float
    accuracy: float
    remark: str = ""


class Curve(NamedTuple):
    """One autoencoder's trade-off.

    Attributes:
        title: of the line.
        seeds: cosine and accuracy of each seed, `[M], [M]`.
        ours: further samplers.
        published: the report's.
    """

    title: str
    seeds: Sequence[tuple[np.ndarray, np.ndarray]]
    ours: Sequence[Mark]
    published: Sequence[Mark]


_MARKERS = {"Simple": "o", "Medium 1": "s", "Medium 2": "D"}


@house_style
def plot_trade_off(panels: Mapping[str, Sequence[Curve]], real_cosine: float) -> Figure:
    """Accuracy against mean cosine, a panel for each dimension.

    Args:
        panels: curves by title.
        real_cosine: of real images of a class.
    """
    figure, axes = subplots(
        1, len(panels), figsize=(4.6 * len(panels) + 1.8, 4.6), squeeze=False, layout="constrained"
    )
    lowest = 1.0
    colours = _line_colours(panels)
    for axis, (title, curves) in zip(axes[0], panels.items(), strict=True):
        for curve in curves:
            colour = colours[curve.title]
            for cosine, accuracy in curve.seeds:
                axis.plot(cosine, accuracy, color=colour, lw=1.3, alpha=0.8)
                lowest = min(lowest, float(accuracy.min()))
            for marks, fill in ((curve.ours, colour), (curve.published, "none")):
                for mark in marks:
                    axis.plot(
                        mark.cosine,
                        mark.accuracy,
                        _MARKERS[mark.title],
                        color=colour,
                        mfc=fill,
                        ms=7,
                        zorder=3,
                    )
                    axis.annotate(
                        mark.remark,
                        (mark.cosine, mark.accuracy),
                        (4, -10),
                        textcoords="offset points",
                        color=colour,
                        fontsize=7,
                    )
                    lowest = min(lowest, mark.accuracy)
        axis.axvline(real_cosine, color=GREY, ls=":", lw=1.2)
        axis.set(title=title, xlabel="mean cosine of two images of a class")
        axis.grid(alpha=0.3)
    for axis in axes[0]:
        axis.set_ylim(max(0.0, lowest - 0.03), 1.01)
    axes[0, 0].set_ylabel("accuracy of the classifier")
    handles = [Line2D([], [], color=colour, label=title) for title, colour in colours.items()]
    handles += [
        Line2D([], [], marker=_MARKERS[title], ls="", color=GREY, mfc=fill, label=f"{title}{whose}")
        for title, fill, whose in _kinds_of_marks(panels)
    ]
    handles.append(Line2D([], [], color=GREY, ls=":", label="real images' cosine"))
    figure.legend(handles=handles, loc="outside right center", fontsize=9)
    return figure


def _kinds_of_marks(panels: Mapping[str, Sequence[Curve]]) -> list[tuple[str, str, str]]:
    """Title, filling and owner of each kind of mark that is drawn, in the order of the markers."""
    curves = [curve for of_panel in panels.values() for curve in of_panel]
    return [
        (title, fill, whose)
        for fill, whose, of in (
            (GREY, "", {m.title for curve in curves for m in curve.ours}),
            ("none", ", the report's", {m.title for curve in curves for m in curve.published}),
        )
        for title in _MARKERS
        if title in of
    ]


def _line_colours(panels: Mapping[str, Sequence[Curve]]) -> dict[str, str]:
    """One colour for each title, whichever panels have it."""
    titles = dict.fromkeys(curve.title for curves in panels.values() for curve in curves)
    return dict(zip(titles, COLOURS, strict=False))


@house_style
def plot_one_scale(theta: np.ndarray, num_draws: np.ndarray, scores: ConditionalScores) -> Figure:
    """Accuracy and cosine of Simple's grid against θ and against θ/√n.

    Args:
        theta: `[M]`.
        num_draws: `[M]`, n.
        scores: `[M, K]`.
    """
    figure, axes = subplots(2, 2, figsize=(9.5, 6.4), sharey="row", layout="constrained")
    rows = (("accuracy", scores.accuracy), ("mean cosine", scores.cosine))
    for line, (name, values) in zip(axes, rows, strict=True):
        for axis, x, label in (
            (line[0], theta, "θ"),
            (line[1], theta / np.sqrt(num_draws), "θ / √n"),
        ):
            for n, colour in zip(np.unique(num_draws), COLOURS, strict=False):
                mine = num_draws == n
                axis.plot(
                    x[mine],
                    values.mean(axis=1)[mine],
                    "o-",
                    color=colour,
                    ms=4,
                    lw=1,
                    label=f"n = {n}",
                )
            axis.set_xlabel(label)
            axis.grid(alpha=0.3)
        line[0].set_ylabel(name)
    axes[0, 0].legend(fontsize=9)
    return figure


@house_style
def plot_exit_curves(
    exits: Exits, theta: np.ndarray, accuracy: np.ndarray, class_names: Sequence[str]
) -> Figure:
    """How many draws are still in their class at every θ, as far as they were followed.

    Args:
        exits: `[K, M]`, where each draw first leaves it.
        theta: `[T]`, at which accuracies were measured.
        accuracy: `[T, K]`.
        class_names: K names.
    """
    figure, axis = subplots(figsize=(8.5, 5), layout="constrained")
    for k, colour in enumerate(class_colours(len(class_names))):
        ends, censored = exits.epsilon[k], exits.censored[k]
        left = np.sort(ends[~censored])
        share = 1 - np.arange(len(left) + 1) / len(ends)
        followed = ends[censored][:1]  # the others are still there
        axis.step(
            np.concatenate([[0.0], left, followed]),
            np.append(share, share[-1:].repeat(len(followed))),
            where="post",
            color=colour,
            lw=1.2,
            label=in_legend(class_names[k]),
        )
        axis.plot(theta, accuracy[:, k], "o", color=colour, ms=4)
    axis.set(
        xlabel="θ [standard deviations of the class]",
        ylabel="share of draws in their class",
        xlim=(0, 1.02 * float(theta.max())),
        ylim=(0, 1.02),
    )
    axis.grid(alpha=0.3)
    handles, _ = axis.get_legend_handles_labels()
    handles += [
        Line2D([], [], color=GREY, label="draws followed\nby bisection"),
        Line2D([], [], color=GREY, marker="o", ls="", ms=4, label="Simple, n = 1,\nother draws"),
    ]
    figure.legend(handles=handles, loc="outside right center", fontsize=9)
    return figure


@house_style
def plot_thetas(
    thetas: Mapping[str, np.ndarray], class_names: Sequence[str], order: np.ndarray
) -> Figure:
    """Chosen θ as colours, a panel for each sampler.

    Args:
        thetas: by title, `[K, d]`, or `[1, d]` where all classes share it.
        class_names: K names.
        order: `[d]`, in which dimensions are shown.
    """
    heights = [0.22 * len(theta) + 0.5 for theta in thetas.values()]
    figure, axes = subplots(
        len(thetas),
        1,
        figsize=(0.36 * len(order) + 4, sum(heights) + 0.9),
        squeeze=False,
        layout="constrained",
        gridspec_kw={"height_ratios": heights},
    )
    for axis, (title, theta) in zip(axes[:, 0], thetas.items(), strict=True):
        shown = axis.imshow(theta[:, order], vmin=0, vmax=1, cmap="viridis", aspect="auto")
        axis.set_title(title, fontsize=9)
        labels = class_names if len(theta) > 1 else ["all classes"]
        axis.set_yticks(range(len(theta)), labels, fontsize=8)
        axis.set_xticks(range(len(order)), [str(d) for d in order], fontsize=7)
    axes[-1, 0].set_xlabel("latent dimension, that which tells classes apart most first")
    figure.colorbar(shown, ax=axes[:, 0], label="θ", shrink=0.6)
    return figure


@house_style
def plot_plane(
    points: np.ndarray,
    labels: np.ndarray,
    mean: np.ndarray,
    std: np.ndarray,
    generate: Callable[[np.ndarray], np.ndarray],
    class_names: Sequence[str],
    side: int = 20,
) -> Figure:
    """A plane of latents: encoded images by class, and what a grid of latents looks like.

    Args:
        points: `[N, 2]`, encoded images.
        labels: int `[N]`.
        mean: `[K, 2]`, of each class.
        std: `[K, 2]`.
        generate: `[n, 2] -> images [n, H, W, C]` in [-1, 1].
        class_names: K names.
        side: images along each side of the grid.
    """
    figure, (left, right) = subplots(1, 2, figsize=(13, 6), layout="constrained")
    reach = 1.02 * float(np.abs(points).max())
    for k, colour in enumerate(class_colours(len(class_names))):
        mine = points[labels == k]
        left.scatter(
            *mine.T, s=4, color=colour, alpha=0.5, label=in_legend(class_names[k]), rasterized=True
        )
        left.add_patch(
            Ellipse(
                (float(mean[k, 0]), float(mean[k, 1])),
                2 * float(std[k, 0]),
                2 * float(std[k, 1]),
                fill=False,
                ec="black",
                lw=1.2,
            )
        )
        left.plot(*mean[k], "o", color=colour, mec="black", ms=7)
    left.set(
        xlim=(-reach, reach), ylim=(-reach, reach), xlabel="latent dimension 0",
        ylabel="latent dimension 1", aspect="equal",
    )  # fmt: skip
    left.set_title("encoded test images", fontsize=10)
    # Half a cell inside the frame, so that an image lies where its latent does.
    line = (np.arange(side) + 0.5) / side * 2 * reach - reach
    grid = np.stack(np.meshgrid(line, line[::-1]), axis=-1).reshape(-1, 2)
    images = generate(grid)
    height, width, channels = images.shape[1:]
    mosaic = images.reshape(side, side, height, width, channels).transpose(0, 2, 1, 3, 4)
    mosaic = np.clip((mosaic.reshape(side * height, side * width, channels) + 1) / 2, 0, 1)
    right.imshow(
        mosaic[..., 0] if channels == 1 else mosaic,
        cmap="gray",
        vmin=0,
        vmax=1,
        extent=(-reach, reach, -reach, reach),
    )
    right.set_title("images of a grid of latents", fontsize=10)
    right.set_xlabel("latent dimension 0")
    figure.legend(*left.get_legend_handles_labels(), loc="outside right center", markerscale=3)
    return figure


@house_style
def plot_vae_training(
    histories: Mapping[str, Mapping[str, np.ndarray]], steps_per_epoch: Mapping[str, int]
) -> Figure:
    """Reconstruction loss and divergence of each autoencoder over epochs.

    Args:
        histories: by title, `reconstruction` and one of `DIVERGENCES`, each `[steps]`.
        steps_per_epoch: by title.
    """
    names = {"reconstruction": "reconstruction [nats]"}
    names |= {name: divergence.label for name, divergence in DIVERGENCES.items()}
    shown = [name for name in names if any(name in history for history in histories.values())]
    figure, axes = subplots(
        1, len(shown), figsize=(4.6 * len(shown) + 1.8, 4.2), squeeze=False, layout="constrained"
    )
    for (title, history), colour in zip(histories.items(), COLOURS, strict=False):
        for axis, name in zip(axes[0], shown, strict=True):
            if name in history:
                x, y = windows(history[name], steps_per_epoch[title])
                axis.plot(x, y, color=colour, lw=1.2, label=title)
    for axis, name in zip(axes[0], shown, strict=True):
        axis.set(xlabel="epoch", ylabel=names[name])
        axis.grid(alpha=0.3)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right center", fontsize=9)
    return figure
