"""How fast, against what a user would pick instead: every row beside its peer, in the same run.

    python experiments/benchmark.py                          # all rows, the paper's networks
    python experiments/benchmark.py --rows gan classifier --json mine.json

The peers need `pip install -e '.[bench]'`; rows whose peer is missing are left out, and say so.
Ours and the peer take turns after three warm-ups each (`start` and `memory` in new processes,
without any; `whole`, `devices` and `dtype` have no turns); the ratio is that of neighbouring
turns, median (least to greatest), always such that more is better. The rows lie in `throughput/`;
those of `dtype` are about quality: what training in bfloat16 loses of it.
"""

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jax
import tyro
from tqdm import tqdm

from magan_jax import load_dataset
from magan_jax.cli import one_sentence
from magan_jax.compilation import keep_compiled
from magan_jax.data import Dataset
from magan_jax.files import write_json
from magan_jax.runtime import environment
from magan_jax.training.engine import Batch
from throughput.growth_rows import growth_rows, memory_row
from throughput.latent_rows import label_rows
from throughput.limits import MachineLimit, machine_limit
from throughput.quality_rows import dtype_rows
from throughput.search_rows import evaluation_rows, search_rows
from throughput.torch_forms import FORMS, torch_forms, torch_version
from throughput.training_rows import (
    classifier_rows,
    engine_row,
    exchange_row,
    gan_rows,
    seeds_row,
    start_row,
    whole_rows,
)
from throughput.turns import Row, markdown


@dataclass(frozen=True)
class Config:
    """What is measured, and how long."""

    rows: tuple[str, ...] = ()
    """Groups of rows, by the names in `GROUPS`; default all."""
    json: Path | None = None
    """Write the table there as JSON."""
    forms: tuple[str, ...] = FORMS
    """Forms of PyTorch to try, of which the fastest counts."""
    turns: int = 5
    """Turns of ours and of the peer, after the warm-ups; of `start` at most three."""
    chunk_steps: int = 16
    """Training steps of the GAN in one turn; take 200 on an accelerator."""
    latents: int = 5_000
    """Latents labelled in one turn; take 1000000 on an accelerator."""
    directions: int = 64
    """Shift directions of each class in the search; take 4096 on an accelerator."""
    seeds: int = 4
    """Trainings in each number format whose quality is compared; take 16 on an accelerator."""
    images: int = 6_000
    """Training images of these; take 60000 on an accelerator."""


@cache
def dataset() -> Dataset:
    """What the networks learn."""
    return load_dataset("fashion_mnist", None)


GROUPS: dict[str, Callable[[Config, Batch, MachineLimit], list[Row]]] = {
    "gan": lambda c, data, limits: gan_rows(data, limits, c.turns, c.chunk_steps, c.forms),
    "classifier": lambda c, data, limits: classifier_rows(
        data, limits, c.turns, c.chunk_steps, c.forms
    ),
    "seeds": lambda c, data, limits: [seeds_row(data, c.turns, seeds_steps(c.chunk_steps))],
    "whole": lambda c, data, limits: whole_rows(data, test_set()),
    "labels": lambda c, data, limits: label_rows(c.turns, c.latents, limits, c.forms),
    "memory": lambda c, data, limits: [memory_row(c.turns)],
    "evaluations": lambda c, data, limits: evaluation_rows(data, c.turns, c.directions, limits),
    "search": lambda c, data, limits: search_rows(data, c.turns, c.directions, c.forms),
    "growth": lambda c, data, limits: growth_rows(c.turns),
    "start": lambda c, data, limits: [start_row(c.turns)],
    "devices": lambda c, data, limits: [exchange_row()],
    "engine": lambda c, data, limits: [engine_row(data, c.turns, c.chunk_steps)],
    "dtype": lambda c, data, limits: dtype_rows(dataset(), c.seeds, c.images),
}
"""What `--rows` names, in the order of the table."""


def seeds_steps(chunk_steps: int) -> int:
    """Steps of each seed in one turn: on a CPU, where seeds take one another's time, as many of all
    as one GAN takes."""
    return max(1, chunk_steps // 16) if jax.default_backend() == "cpu" else chunk_steps


def test_set() -> Batch:
    """The real test images, which a whole training watches."""
    dataset = load_dataset("fashion_mnist", None)
    return Batch(dataset.test_images, dataset.test_labels)


def main() -> None:
    """Measure, print, and keep."""
    config = tyro.cli(Config, description=__doc__.splitlines()[0])
    unknown = set(config.rows) - set(GROUPS)
    if unknown:
        raise ValueError(
            f"--rows names {', '.join(sorted(unknown))}; choose of {', '.join(GROUPS)}."
        )
    unknown = set(config.forms) - set(FORMS)
    if unknown:
        raise ValueError(
            f"--forms names {', '.join(sorted(unknown))}; choose of {' · '.join(FORMS)}."
        )
    if config.seeds < 2:
        raise ValueError(f"--seeds is {config.seeds}; their deviation needs at least 2.")
    # In a folder of this call: nothing is measured with what another one left behind.
    os.environ.pop("JAX_COMPILATION_CACHE_DIR", None)  # of the processes that rows start, too
    jax.config.update("jax_compilation_cache_dir", None)
    with tempfile.TemporaryDirectory() as folder:
        keep_compiled(Path(folder))
        measure(config)


def measure(config: Config) -> None:
    """All rows that were asked for."""
    data = jax.device_put(Batch(dataset().train_images, dataset().train_labels))
    limits = machine_limit()
    if not torch_forms():
        print("PyTorch is not installed (pip install -e '.[bench]'): its rows are left out.")
    machine = (
        environment() | limits._asdict() | {"peer": torch_version() if torch_forms() else None}
    )
    rows: list[Row] = []
    for name in tqdm([n for n in GROUPS if n in (config.rows or GROUPS)], disable=None):
        rows += GROUPS[name](config, data, limits)
        if config.json is not None:  # after every group: what is measured is kept
            write_json(config.json, {"machine": machine, "rows": [r._asdict() for r in rows]})
    print(f"{markdown(rows)}\n{json.dumps(machine, indent=1)}")


if __name__ == "__main__":
    one_sentence(main)
