"""What the comparison of arms leaves: results.json, figures, and one HTML page."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from magan_jax.augmentation.figures import augmentation_figures
from magan_jax.augmentation.judging import Judge, accuracy
from magan_jax.augmentation.results import TITLES, augmentation_markdown, budget_entries
from magan_jax.augmentation.trial import Trial
from magan_jax.outputs import write_outputs
from magan_jax.results import run_results
from magan_jax.run import Run, RunConfig
from magan_jax.runtime import is_first_host
from magan_jax.training.engine import Batch


def report_augmentation(
    run: Run[RunConfig], trials: Sequence[Trial], judge: Judge, test_set: Batch
) -> None:
    """Read the test images, and write all that the comparison leaves; the first host does."""
    if not is_first_host():
        return
    with run.timed("test images"):
        entries = budget_entries(trials, test_set)
        judged = accuracy(judge.classify, test_set)
    with run.timed("figures"):
        figures = augmentation_figures(entries, trials, run.dataset.class_names)
    folder = run.workdir
    results = run_results(run) | {
        "titles": TITLES, "judge": {"test_accuracy": judged}, "budgets": entries,
    }  # fmt: skip
    write_outputs(
        folder,
        results,
        figures,
        template="report_augmentation.html",
        tables={"arms.md": augmentation_markdown(entries)},
    )
    run.say(
        "\n".join(_line(entry) for entry in entries)
        + f"\n{results['seconds']['total']:.0f} s in all; read {folder / 'report.html'}"
    )
    run.finish()


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
