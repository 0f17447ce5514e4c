"""Many rows: some of them, or all, a block at a time."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from magan_jax.errors import warn

_ROUNDING = 0.01
"""Of the largest number: more is not rounding, even of bfloat16 networks."""


def evenly_spaced(rows: np.ndarray, count: int) -> np.ndarray:
    """At most `count` rows, spread over all of them: a set may be sorted by class."""
    if len(rows) <= count:
        return rows
    return rows[np.arange(count) * len(rows) // count]


def in_blocks(function: Callable[[np.ndarray], Any], rows: np.ndarray, size: int) -> Any:
    """`function` of all rows, `size` of them in each call; results on the host.

    The last block is filled up with copies of its last row, so that `function` sees one shape only
    and is compiled once.

    Args:
        function: `[size, ...]` to an array, or a pytree of arrays, `[size, ...]`.
        rows: `[n, ...]`, n ≥ 1.
        size: rows in each call.

    Returns:
        The same pytree, arrays `[n, ...]`.

    Raises:
        ValueError: for no rows.
    """
    if not len(rows):
        raise ValueError("there are no rows; at least one is needed.")
    parts = []
    for first in range(0, len(rows), size):
        part = rows[first : first + size]
        padding = [(0, size - len(part)), *[(0, 0)] * (rows.ndim - 1)]
        parts.append(jax.device_get(function(np.pad(part, padding, mode="edge"))))
    return jax.tree.map(lambda *arrays: np.concatenate(arrays)[: len(rows)], *parts)


def warn_of_neighbours(name: str, found: np.ndarray, by_itself: np.ndarray) -> None:
    """Warn of a function of rows for which it matters which others are in a block, and where.

    Args:
        name: what to call it.
        found: `[n, ...]`, what it gives n rows in their blocks; finite.
        by_itself: `[m, ...]`, what it gives a block that holds the first of them at all places.
    """
    moved = np.abs(by_itself - found[0]).max()
    largest = max(found.max(), -found.min())
    if not moved <= _ROUNDING * largest:
        warn(
            f"{name} gives a row of a batch something else beside other rows (numbers up to "
            f"{largest:.3g}, which move by {moved:.2g}), as batch normalisation and "
            "dropout do in training, or noise that is drawn by the place in a batch: results then "
            "depend on the batch size. Call networks as they are to be used, for example with "
            "train=False, or after module.eval()."
        )
