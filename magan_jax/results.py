"""What results.json and metrics.csv say of any run: plain values, no files and no figures."""

import dataclasses
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from magan_jax.metrics import Score
from magan_jax.run import Run, RunConfig
from magan_jax.runtime import environment
from magan_jax.training.progress import Progress


def run_results(run: Run[RunConfig]) -> dict[str, Any]:
    """What results.json says of the run itself."""
    dataset = run.dataset
    return {
        "preset": run.preset,
        "config": dataclasses.asdict(run.config),
        "environment": environment(),
        "dataset": {
            "name": dataset.name,
            "class_names": dataset.class_names,
            "counts": {"train": len(dataset.train_images), "test": len(dataset.test_images)},
            "image_shape": dataset.train_images.shape[1:],
            "sha256": dataset.sha256,
            "source": dataset.source,
            "official": dataset.official,
        },
        "seconds": run.seconds | {"total": sum(run.seconds.values())},
    }


def score_entry(score: Score) -> dict[str, Any]:
    """A metric in results.json: its value and all that it depends on; what does not apply is not
    there."""
    return {name: value for name, value in score._asdict().items() if value is not None}


def training_entry(progress: Progress) -> dict[str, Any]:
    """How something was trained, and how fast."""
    untimed = (
        "every compiled call of the training was the first of its length, compilation included"
    )
    return {
        "images_per_second_reason": None if progress.images_per_second > 0 else untimed,
        "trained_with": progress.trained_with,
        "epochs": progress.epochs,
        "steps": progress.steps,
        "seconds": progress.seconds,
        "images_per_second": progress.images_per_second,
    }


def metrics_table(stages: Mapping[str, Progress]) -> tuple[list[str], list[list[Any]]]:
    """Header and rows of metrics.csv: a row per tenth of an epoch, mean of each scalar in it.

    What is measured once per epoch stands in the epoch's last row.
    """
    names = sorted({name for progress in stages.values() for name in progress.history})
    rows: list[list[Any]] = []
    for stage, progress in stages.items():
        parts = min(10, progress.steps_per_epoch)
        edges = [round(i * progress.steps_per_epoch / parts) for i in range(parts + 1)]
        for epoch in range(progress.epochs):
            for first, last in pairwise(edges):
                offset = epoch * progress.steps_per_epoch
                row: list[Any] = [stage, epoch + 1, offset + last]
                for name in names:
                    values = progress.history.get(name)
                    cell = None
                    if values is not None and len(values) == progress.steps:
                        cell = float(values[offset + first : offset + last].mean())
                    elif values is not None and last == edges[-1]:
                        cell = float(values[epoch])
                    row.append(cell)
                rows.append(row)
    return ["stage", "epoch", "step", *names], rows
