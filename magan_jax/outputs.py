"""What every run leaves in its folder: results, tables, arrays, figures, and one HTML page."""

import base64
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from magan_jax.errors import warn
from magan_jax.files import jsonable, write_arrays, write_bytes, write_csv, write_json
from magan_jax.plots.style import png_of
from magan_jax.results import metrics_table
from magan_jax.tables import interval, mean_and_std, number
from magan_jax.training.progress import Progress

_NONE: Mapping[str, Any] = MappingProxyType({})


class FigureEntry(NamedTuple):
    """A figure on its way into the report.

    Attributes:
        name: of its file, without `.png`.
        caption: what to see in it, one or two sentences.
        figure: the figure.
    """

    name: str
    caption: str
    figure: Figure


def write_outputs(
    folder: Path,
    results: Mapping[str, Any],
    figures: Sequence[FigureEntry],
    *,
    template: str,
    tables: Mapping[str, str | None] = _NONE,
    arrays: Mapping[str, Mapping[str, np.ndarray]] = _NONE,
    progress: Mapping[str, Progress] = _NONE,
    filters: Mapping[str, Callable[..., str]] = _NONE,
) -> None:
    """Write all that a run leaves, each file whole or not at all.

    Args:
        folder: where to.
        results: of results.json and of the page; its `config` is a file of its own too.
        figures: in reading order.
        template: of report.html.
        tables: Markdown by the name of its file; None removes what another run left there.
        arrays: by name, by the name of their .npz file.
        progress: of each training by its name, for metrics.csv; none leaves no such file.
        filters: that the template needs besides those of all.
    """
    plain = jsonable(results)
    for name in ("results.json", "report.html"):  # written last: they are there when all else is
        (folder / name).unlink(missing_ok=True)
    write_figures(folder, figures)
    write_json(folder / "config.json", plain["config"])
    for name, table in tables.items():
        if table is None:
            (folder / name).unlink(missing_ok=True)
        else:
            write_bytes(folder / name, table.encode())
    for name, found in arrays.items():
        write_arrays(folder / name, found)
    if progress:
        write_csv(folder / "metrics.csv", *metrics_table(progress))
    write_json(folder / "results.json", plain)
    write_page(folder, template, plain, figures, filters)


def write_figures(folder: Path, figures: Sequence[FigureEntry]) -> None:
    """Write figures/*.png, and remove those of an earlier run with other settings."""
    place = folder / "figures"
    place.mkdir(parents=True, exist_ok=True)
    written, lacking = set(), set[str]()
    for entry in figures:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            picture = png_of(entry.figure)
        for warning in said:
            if str(warning.message).startswith("Glyph"):  # once for each letter and figure
                lacking.add(entry.name)
            else:
                warnings.warn_explicit(
                    warning.message, warning.category, warning.filename, warning.lineno
                )
        path = place / f"{entry.name}.png"
        write_bytes(path, picture)
        written.add(path)
    for stale in set(place.glob("*.png")) - written:
        stale.unlink()
    if lacking:
        warn(
            f"no font here has all letters of the class names: {len(lacking)} figures in {place} "
            "show boxes in their place; install one (fonts-noto-cjk on Debian) and call again."
        )


def write_page(
    folder: Path,
    template: str,
    results: Mapping[str, Any],
    figures: Sequence[FigureEntry],
    filters: Mapping[str, Callable[..., str]] = _NONE,
) -> None:
    """Render report.html from a template, its figures (already in `folder`) inside the page."""
    pictures = []
    for entry in figures:
        png = (folder / "figures" / f"{entry.name}.png").read_bytes()
        pictures.append(
            {"name": entry.name, "caption": entry.caption, "data": base64.b64encode(png).decode()}
        )
    page = Environment(
        loader=PackageLoader("magan_jax", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page.filters["number"] = number
    page.filters["interval"] = interval
    page.filters["across"] = _across
    page.filters["mean"] = lambda values: float(np.mean(values))
    page.filters["metric"] = _metric
    page.filters["points"] = _points
    page.filters |= filters
    html = page.get_template(template).render(results=results, figures=pictures)
    write_bytes(folder / "report.html", html.encode())


def _metric(name: str) -> str:
    """A metric as readers know it."""
    known = {"frechet_distance": "Fréchet distance", "frechet_distance_infinity": "FD∞"}
    return known.get(name, name.replace("_", " "))


def _across(entry: Any, digits: int = 3) -> str:
    """A number over seeds, the deviation on the same line as its sign."""
    return mean_and_std(entry, digits).replace("± ", "±\N{NO-BREAK SPACE}")


def _points(difference: Mapping[str, Any]) -> str:
    """The interval of a difference of shares, in points."""
    ends = [difference[end] for end in ("low", "high")]
    return interval([None if end is None else 100 * end for end in ends], 1)
