"""The figures of the comparison of arms, from what results.json says of it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from magan_jax.augmentation.bounds import BOUNDS
from magan_jax.augmentation.results import TITLES
from magan_jax.augmentation.trial import Trial
from magan_jax.outputs import FigureEntry
from magan_jax.plots.augmentation import (
    plot_accuracy,
    plot_differences,
    plot_neighbourhoods,
    plot_pools,
    plot_purity,
)

Entries = Sequence[Mapping[str, Any]]
"""Of `budget_entries`."""


def augmentation_figures(
    entries: Entries, trials: Sequence[Trial], names: Sequence[str]
) -> list[FigureEntry]:
    """All figures that there is something for.

    Args:
        entries: of `budget_entries`, one a number of labels.
        trials: of which images are shown.
        names: of the classes.
    """
    figures = (
        _accuracy(entries),
        _differences(entries),
        _pools(trials, names),
        _purity(entries),
        _neighbourhoods(entries, names),
    )
    return [figure for figure in figures if figure is not None]


def _accuracy(entries: Entries) -> FigureEntry:
    def values(kind: str) -> dict[str, np.ndarray]:
        return {
            TITLES[name]: np.array([e[kind][name]["test_accuracy"]["values"] for e in entries])
            for name in entries[0][kind]
        }

    return FigureEntry(
        "accuracy",
        "Test accuracy against labels per class: mean over seeds, band or bar from the least "
        f"to the greatest; grey, {len(BOUNDS)} upper bounds that are given more labels.",
        plot_accuracy(values("arms"), values("bounds"), [e["num_per_class"] for e in entries]),
    )


def _differences(entries: Entries) -> FigureEntry:
    differences = {
        entry["num_per_class"]: {
            TITLES[name]: tuple(
                arm["against"][entry["baseline"]][part] for part in ("mean", "low", "high")
            )
            for name, arm in entry["arms"].items()
            if name != entry["baseline"]
        }
        for entry in entries
    }
    baselines = {entry["num_per_class"]: TITLES[entry["baseline"]] for entry in entries}
    return FigureEntry(
        "differences",
        "What each arm gains over the stronger of the two baselines, seed by seed, with 95 % "
        "intervals (not corrected for the number of arms).",
        plot_differences(differences, baselines),
    )


def _pools(trials: Sequence[Trial], names: Sequence[str]) -> FigureEntry | None:
    """Of the first trial that has any images."""

    def shown(trial: Trial) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        return {
            TITLES[name]: (arm.pool.shown, arm.pool.shown_labels)
            for name, arm in (trial.arms | trial.bounds).items()
            if arm.pool is not None
        }

    first = next(filter(shown, trials), None)
    if first is None:
        return None
    title = f"{first.num_per_class} labels per class, seed {first.seed}"
    return FigureEntry(
        "pools",
        "Images that each arm adds, under their labels (of soft ones the likeliest), not selected.",
        plot_pools(shown(first), names, title),
    )


def _purity(entries: Entries) -> FigureEntry | None:
    purity = {
        entry["num_per_class"]: {
            TITLES[name]: (arm["purity"]["mean"], arm["diversity"]["mean"])
            for name, arm in (entry["arms"] | entry["bounds"]).items()
            if arm["diversity"] is not None
        }
        for entry in entries
    }
    if not any(purity.values()):
        return None
    return FigureEntry(
        "purity",
        "Purity: share of an arm's images whose label is that of a classifier which has "
        "seen all labels. Diversity: how many different images a class has, as that "
        "classifier sees it. Means over seeds.",
        plot_purity(purity, [TITLES[name] for name in entries[0]["arms"]]),
    )


def _neighbourhoods(entries: Entries, names: Sequence[str]) -> FigureEntry | None:
    studied = {
        entry["num_per_class"]: entry["neighbourhoods"]
        for entry in entries
        if entry["neighbourhoods"]
    }
    if not studied:
        return None
    return FigureEntry(
        "neighbourhoods",
        "Left: share of latents whose neighbourhood label is that of a classifier which "
        "has seen all labels, against the neighbours' distance, √(2 - 2/√(1 + s²)); 0 for "
        "the latent alone. A triangle stands at the median exit of the class, in its "
        "standard deviations (at the edge, where it lies beyond). Right: all classes, "
        "against the number of neighbours.",
        plot_neighbourhoods(studied, names),
    )
