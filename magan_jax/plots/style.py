"""What all figures share: colours, images, error bars."""

import io
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis
from matplotlib.colors import hsv_to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from magan_jax.latent.geometry import Interval

# Names of classes are the user's: a $ in them is no formula, and they may be in any script.
_SCRIPTS = ("Noto Sans CJK JP", "Noto Sans CJK SC", "IPAexGothic", "WenQuanYi Zen Hei", "Noto Sans")
_INSTALLED = {font.name for font in font_manager.fontManager.ttflist}
house_style = matplotlib.rc_context(
    {
        "text.parse_math": False,
        "font.family": ["DejaVu Sans", *(name for name in _SCRIPTS if name in _INSTALLED)],
    }
)
"""A decorator of whatever draws or saves a figure: what a user has set for others stays."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito
GREY = "#666666"


def subplots(
    rows: int = 1,
    columns: int = 1,
    *,
    figsize: tuple[float, float],
    layout: Any = None,
    **shared: Any,
) -> tuple[Figure, Any]:
    """A figure and its axes, as pyplot's function of this name gives them, but without pyplot: no
    window, no backend, and no list of open figures."""
    figure = Figure(figsize=figsize, layout=layout)
    return figure, figure.subplots(rows, columns, **shared)


@house_style
def png_of(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def class_colours(num_classes: int) -> list[tuple[float, float, float, float]]:
    """A colour for each class, the same in every figure."""
    if num_classes <= 20:
        palette = matplotlib.colormaps["tab10" if num_classes <= 10 else "tab20"]
        return [palette(i) for i in range(num_classes)]
    # Neighbours far apart on the wheel (the golden ratio), in three lights.
    hues = np.arange(num_classes) * 0.618034 % 1
    lights = np.array([0.95, 0.75, 0.55])[np.arange(num_classes) % 3]
    saturations = np.array([0.85, 0.6, 0.9])[np.arange(num_classes) % 3]
    colours = hsv_to_rgb(np.stack([hues, saturations, lights], axis=-1))
    return [(float(r), float(g), float(b), 1.0) for r, g, b in colours]


class _WrittenOut(LogFormatter):
    """0.01, 0.1, 1 rather than powers of ten, which are formulas; where `LogFormatter` has room."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return f"{x:g}" if super().__call__(x, pos) else ""


def log_scale(axis: XAxis | YAxis) -> None:
    """Make an axis logarithmic."""
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    axis.set_major_formatter(_WrittenOut())
    axis.set_minor_formatter(_WrittenOut(minor_thresholds=(1, 0.4)))


def clipped(name: str, longest: int = 14) -> str:
    """A class's name where there is room for few letters."""
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def in_legend(name: str) -> str:
    """A class's name where a legend would leave it out for its first letter."""
    return f" {name}" if name.startswith("_") else name


def span(num_classes: int, each: float, least: float) -> float:
    """A side of a figure that holds so many classes, in inches: enough for each, as far as a
    picture can be opened."""
    return float(np.clip(each * num_classes, least, 80.0))


def show(axis: Axes, image: np.ndarray) -> None:
    """One image in [-1, 1], grey or RGB."""
    pixels = np.clip((np.asarray(image, np.float32) + 1) / 2, 0, 1)
    if pixels.shape[-1] == 1:
        axis.imshow(pixels[..., 0], cmap="gray", vmin=0, vmax=1)
    else:
        axis.imshow(pixels)


def image_rows(
    titles: Sequence[str], columns: int, width: float = 0.62, height: float = 0.66
) -> tuple[Figure, np.ndarray]:
    """A row of bare axes for each title, which stands in front of it; sizes of one, in inches."""
    figure, axes = subplots(
        len(titles),
        columns,
        figsize=(width * columns + 1.8, height * len(titles) + 0.4),
        squeeze=False,
        layout="constrained",
    )
    for row, title in zip(axes, titles, strict=True):
        for axis in row:
            axis.set(xticks=[], yticks=[], frame_on=False)
        row[0].set_ylabel(title, rotation=0, ha="right", va="center", fontsize=9)
    return figure, axes


def whiskers(
    axis: Axes, x: np.ndarray, value: np.ndarray, interval: Interval, floor: float = 0.0
) -> None:
    """Error bars where there is an interval."""
    low = np.maximum(np.asarray(interval.low, float), floor)
    high = np.maximum(np.asarray(interval.high, float), floor)
    there = np.isfinite(low) & np.isfinite(high) & np.isfinite(value)
    axis.vlines(np.asarray(x)[there], low[there], high[there], color="black", lw=1.2)
