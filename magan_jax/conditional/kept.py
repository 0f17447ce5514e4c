"""Searches on disk: a call that was interrupted, or that only judges anew, does not repeat them."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from magan_jax.conditional.samplers import Chosen
from magan_jax.files import DAMAGE, jsonable, write_arrays
from magan_jax.latent.conditional import ConditionalScores
from magan_jax.latent.scale_search import SimpleSearch

Found = tuple[SimpleSearch, list[Chosen]]


def kept_search(path: Path, description: Mapping[str, Any], search: Callable[[], Found]) -> Found:
    """What an earlier call found by the very same search, or what `search` finds now.

    A file of another search, or a damaged one, is replaced. With several hosts, of which only the
    first has the file, nothing is kept.

    Args:
        path: an `.npz` file; its folder is created.
        description: all that decides the result, as plain values.
        search: takes minutes.
    """
    if jax.process_count() > 1:
        return search()
    text = json.dumps(jsonable(description), sort_keys=True)
    found = _load(path, text)
    if found is None:
        found = search()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_arrays(path, {"description": np.array(text), **_arrays(*found)})
    return found


def _arrays(grid: SimpleSearch, chosen: list[Chosen]) -> dict[str, np.ndarray]:
    columns = {
        f"chosen/{field}": np.array([getattr(one, field) for one in chosen])
        for field in Chosen._fields
    }
    return {
        "theta": grid.theta,
        "num_draws": grid.num_draws,
        "accuracy": grid.scores.accuracy,
        "cosine": grid.scores.cosine,
        **columns,
    }


def _load(path: Path, text: str) -> Found | None:
    """None for a file that is not there, of another search, or damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if file["description"].item() != text:
                return None
            scores = ConditionalScores(file["accuracy"], file["cosine"])
            grid = SimpleSearch(file["theta"], file["num_draws"], scores)
            columns = [file[f"chosen/{field}"] for field in Chosen._fields]
    except DAMAGE:
        return None
    return grid, [
        Chosen(str(kind), float(weight), theta, int(num_draws), float(searched))
        for kind, weight, theta, num_draws, searched in zip(*columns, strict=True)
    ]
