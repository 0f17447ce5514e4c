"""Many rows: some of them, or all, a block at a time."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np


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
