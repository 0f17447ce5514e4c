"""Numbers and tables as readers see them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np


def number(value: Any, digits: int = 3) -> str:
    """With so many digits after the point, whole numbers without; a dash for what has no value."""
    if value is None or not np.isfinite(float(value)):
        return "–"
    if isinstance(value, (int, np.integer)):
        return f"{value:,}"
    return f"{float(value):.{digits}f}"


def interval(pair: Any, digits: int = 3) -> str:
    """`[low, high]`: empty where there is none, open where only the upper end is missing."""
    known = [end is not None and bool(np.isfinite(float(end))) for end in pair or ()]
    if known == [True, False]:
        return f"[{number(float(pair[0]), digits)}, …"
    if not known or not all(known):
        return ""
    return f"[{number(float(pair[0]), digits)}, {number(float(pair[1]), digits)}]"


def mean_and_std(entry: Any, digits: int = 3) -> str:
    """A number over seeds, `mean ± std` of those that have it.

    Args:
        entry: what `over_seeds` or `combine` made of the seeds; or a number that is one for all.
        digits: after the point.
    """
    if not isinstance(entry, Mapping):
        return number(entry, digits)
    mean, std = number(entry["mean"], digits), entry["std"]
    return mean if std is None else f"{mean} ± {number(std, digits)}"


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; a row that is shorter than the header ends in empty cells."""
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    for row in rows:
        cells = [cell.replace("|", "\\|").replace("\n", " ") for cell in row]
        cells += [""] * (len(header) - len(cells))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
