"""What the comparison of arms leaves: results.json, figures, and one HTML page."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from magan_jax.augmentation.bounds import BOUNDS
from magan_jax.augmentation.judging import Judge, accuracy
from magan_jax.augmentation.results import TITLES, augmentation_markdown, budget_entries
from magan_jax.augmentation.trial import Trial
from magan_jax.figures import FigureEntry
from magan_jax.files import jsonable, write_bytes, write_json
from magan_jax.plots.augmentation import (
    plot_accuracy,
    plot_differences,
    plot_neighbourhoods,
    plot_pools,
    plot_purity,
)
from magan_jax.report import write_figures, write_page
from magan_jax.results import run_results
from magan_jax.run import Run
from magan_jax.runtime import is_first_host
from magan_jax.training.engine import Batch


def report_augmentation(run: Run, trials: Sequence[Trial], judge: Judge, test_set: Batch) -> None:
    """Read the test images, and write all that the comparison leaves; the first host does."""
    if not is_first_host():
        return
    with run.timed("test images"):
        entries = budget_entries(trials, test_set)
        judged = accuracy(judge.classify, test_set)
    with run.timed("figures"):
        figures = _figures(entries, trials, run.dataset.class_names)
    folder = run.workdir
    results = run_results(run) | {
        "titles": TITLES, "judge": {"test_accuracy": judged}, "budgets": entries,
    }  # fmt: skip
    write_figures(folder, figures)
    write_json(folder / "config.json", results["config"])
    write_json(folder / "results.json", results)
    write_bytes(folder / "arms.md", augmentation_markdown(entries).encode())
    write_page(folder, "report_augmentation.html", jsonable(results), figures, [])
    run.say(
        "\n".join(_line(entry) for entry in entries)
        + f"\n{results['seconds']['total']:.0f} s in all; read {folder / 'report.html'}"
    )


def _line(entry: Mapping[str, Any]) -> str:
    """What the validation images' favourite among the analysis arms gains."""
    baseline, best = entry["baseline"], entry["best"]
    said = (
        f"{entry['num_per_class']} labels per class: {TITLES[baseline]} "
        f"{entry['arms'][baseline]['test_accuracy']['mean']:.3f}"
    )
    if best is None:
        return said
    found = entry["arms"][best]["against"][baseline]
    interval = (
        ""
        if np.isnan(found["low"])
        else f" [{100 * found['low']:+.1f}, {100 * found['high']:+.1f}], p = "
        f"{found['adjusted']:.2g} for all arms together"
    )
    return (
        f"{said}; {TITLES[best]} {entry['arms'][best]['test_accuracy']['mean']:.3f}, "
        f"{100 * found['mean']:+.1f} points{interval}"
    )


def _figures(
    entries: Sequence[Mapping[str, Any]], trials: Sequence[Trial], names: Sequence[str]
) -> list[FigureEntry]:
    numbers = [entry["num_per_class"] for entry in entries]

    def values(kind: str) -> dict[str, np.ndarray]:
        return {
            TITLES[name]: np.array([e[kind][name]["test_accuracy"]["values"] for e in entries])
            for name in entries[0][kind]
        }

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
    first = next((trial for trial in trials if _pools(trial)), trials[0])
    pools = _pools(first)
    purity = {
        entry["num_per_class"]: {
            TITLES[name]: (arm["purity"]["mean"], arm["diversity"]["mean"])
            for name, arm in (entry["arms"] | entry["bounds"]).items()
            if arm["diversity"] is not None
        }
        for entry in entries
    }
    figures = [
        FigureEntry(
            "accuracy",
            "Test accuracy against labels per class: mean over seeds, band or bar from the least "
            f"to the greatest; grey, {len(BOUNDS)} upper bounds that are given more labels.",
            plot_accuracy(values("arms"), values("bounds"), numbers),
        ),
        FigureEntry(
            "differences",
            "What each arm gains over the stronger of the two baselines, seed by seed, with 95 % "
            "intervals (not corrected for the number of arms).",
            plot_differences(differences, baselines),
        ),
    ]
    if pools:
        figures += [
            FigureEntry(
                "pools",
                "Images that each arm adds, under their labels (of soft ones the likeliest), "
                "not selected.",
                plot_pools(
                    pools, names, f"{first.num_per_class} labels per class, seed {first.seed}"
                ),
            ),
            FigureEntry(
                "purity",
                "Purity: share of an arm's images whose label is that of a classifier which has "
                "seen all labels. Diversity: how many different images a class has, as that "
                "classifier sees it. Means over seeds.",
                plot_purity(purity, [TITLES[name] for name in entries[0]["arms"]]),
            ),
        ]
    studied = {
        entry["num_per_class"]: entry["neighbourhoods"]
        for entry in entries
        if entry["neighbourhoods"]
    }
    if studied:
        figures.append(
            FigureEntry(
                "neighbourhoods",
                "Left: share of latents whose neighbourhood label is that of a classifier which "
                "has seen all labels, against the neighbours' distance, √(2 - 2/√(1 + s²)); 0 for "
                "the latent alone. A triangle stands at the median exit of the class, in its "
                "standard deviations (at the edge, where it lies beyond). Right: all classes, "
                "against the number of neighbours.",
                plot_neighbourhoods(studied, names),
            )
        )
    return figures


def _pools(trial: Trial) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Images of each arm that has any, and their labels, by title."""
    return {
        TITLES[name]: (arm.pool.shown, arm.pool.shown_labels)
        for name, arm in (trial.arms | trial.bounds).items()
        if arm.pool is not None
    }
