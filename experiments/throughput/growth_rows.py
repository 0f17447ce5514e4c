"""Rows about how time and memory grow with the problem."""

from functools import partial

import jax
import numpy as np

from magan_jax.networks import Classify
from throughput.latent_rows import analysis_of
from throughput.search_rows import Search
from throughput.turns import Row, Work, goals, printed_by, row_of, take_turns


def growth_rows(turns: int) -> list[Row]:
    """Time against N or rays, classes and dimensions, where G and C cost nothing."""
    return [*_analysis_growth(turns), *_search_growth(turns)]


def _analysis_growth(turns: int) -> list[Row]:
    def of(n: int, num_classes: int = 10, d: int = 100) -> Work:
        # These networks cost nothing: on a CPU no batch suits them better than another.
        batch_size = 1000 if jax.default_backend() == "cpu" else None
        return analysis_of(_itself, _first_logits(num_classes), d, num_classes, n, batch_size)

    many = []
    if jax.default_backend() != "cpu":
        many = [_growth("analyze, N 10⁸ against 10⁶", of(10**8), of(10**6), turns, factor=100)]
    return [
        _growth("analyze, N 10⁶ against 10⁴", of(10**6), of(10**4), turns, factor=100),
        *many,
        _growth(
            # Of fewer latents a part of the stream has too few of each class for an interval, and
            # the distances of 1000 · 1000 classes without each part take longer than the stream.
            "analyze, 1000 classes against 10 (N = 10⁶, 1024 dimensions)",
            of(10**6, 1000, 1024),
            of(10**6, 10, 1024),
            turns,
            must=1 / 1.5,
        ),
        _growth(
            "analyze, 1600 dimensions against 400",
            of(20_000, 10, 1600),
            of(20_000, 10, 400),
            turns,
            factor=4,
        ),
    ]


def _search_growth(turns: int) -> list[Row]:
    random = np.random.default_rng(0)

    def of(num_classes: int, directions: int, d: int = 100) -> Work:
        shifts = random.standard_normal((num_classes, directions, d), np.float32)
        mean = np.eye(num_classes, d, dtype=np.float32)
        labels = np.arange(num_classes)
        search = Search(_itself, _first_logits(num_classes), mean, shifts, labels)
        # A batch that divides 10 · 512: a padded last one would flatter the larger search.
        return partial(search.ours, batch_size=1024)

    return [
        _growth(
            "bisect_epsilon, 10 · 4096 rays against 10 · 512",
            of(10, 4096),
            of(10, 512),
            turns,
            factor=8,
        ),
        _growth(
            "bisect_epsilon, 1000 classes · 4 rays against 10 · 400 (1024 dimensions)",
            of(1000, 4, 1024),
            of(10, 400, 1024),
            turns,
            must=1 / 1.5,
        ),
        _growth(
            "bisect_epsilon, 1600 dimensions against 400",
            of(10, 512, 1600),
            of(10, 512, 400),
            turns,
            factor=4,
        ),
    ]


def _growth(
    what: str, larger: Work, smaller: Work, turns: int, factor: float = 1.0, must: float = 0.9
) -> Row:
    """The time that `factor` smaller ones would take, over the time of the larger one."""
    seconds = take_turns({"large": larger, "small": smaller}, turns)
    expected = factor * seconds["small"]
    return row_of(
        f"growth: {what}",
        "s",
        seconds["large"],
        expected,
        "the smaller, in proportion",
        expected / seconds["large"],
        **goals(must, accelerator=must),
    )


def _itself(z: jax.Array) -> jax.Array:
    return z


def _first_logits(num_classes: int) -> Classify:
    return lambda x: x[:, :num_classes]


# The peak of a process that does nothing else, in KiB: of its own memory, or of its accelerator's.
_MEMORY = """
import sys, jax
from pathlib import Path
from magan_jax import analyze
analyze(jax.random.key(0), lambda z: z, lambda x: x[:, :10], latent_dim=100, num_classes=10,
        num_samples=int(sys.argv[1]), quiet=True)
if jax.default_backend() == "cpu":
    status = Path("/proc/self/status").read_text().splitlines()
    print(next(line for line in status if line.startswith("VmHWM")).split()[1])
else:
    print(jax.devices()[0].memory_stats()["peak_bytes_in_use"] / 1024)
"""
# VmHWM, since the peak that getrusage knows of begins with that of the parent process.


def memory_row(turns: int) -> Row:
    """Peak memory of a process that analyses many latents, and of one that analyses few.

    In turns: what the compiler takes meanwhile changes from one process to the next.
    """
    peaks = np.array(
        [
            [float(printed_by(_MEMORY, n)[0]) / 1024 for n in ("1000000", "10000")]
            for _ in range(turns)
        ]
    )
    large, small = peaks.T
    return row_of(
        "memory: analyze, N = 1,000,000",
        "MiB",
        large,
        small,
        "itself at N = 10,000",
        small / large,
        **goals(1 / 1.1, accelerator=1 / 1.1),
    )
