"""Ours and its peers in turns, a row from what they took, and the table of all rows."""

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypedDict

import jax
import numpy as np

from magan_jax.tables import markdown_table

Work = Callable[[], Any]

WARM_UPS = 3
"""Turns that are not counted: the first of them compile."""


class Row(NamedTuple):
    """One row of the table.

    Attributes:
        row: its name and what is measured.
        unit: of `ours` and `peer`.
        ours: our median.
        peer: the peer's median.
        peer_name: what we are compared with.
        ratio: median of the ratios of neighbouring turns, more is better; `low`, `high` the
            least and the greatest.
        must: the ratio that must be reached.
        aim: the ratio aimed at.
        limit: our share of the rate of a plain product on this machine, where it applies.
        copying: our share of the rate of a plain copy, likewise. More than 1 is possible: what
            stays in caches is counted, and a large copy does not.
        peers: the median of every form of the peer that works here, by name; where there is but
            one, None.
    """

    row: str
    unit: str
    ours: float
    peer: float
    peer_name: str
    ratio: float
    low: float
    high: float
    must: float | None
    aim: float | None
    limit: float | None = None
    copying: float | None = None
    peers: dict[str, float] | None = None


class Reachable(NamedTuple):
    """Rates that a work of ours would have at the machine's limits, in the units of its row.

    Attributes:
        by_products: were it nothing but a plain product.
        by_copying: were it nothing but a plain copy of the bytes it reads and writes.
    """

    by_products: float
    by_copying: float


class Goals(TypedDict):
    """The ratio that must be reached, and the one aimed at."""

    must: float | None
    aim: float | None


def goals(
    must: float | None = None, aim: float | None = None, *, accelerator: float | None = None
) -> Goals:
    """`must` and `aim` of a row on a CPU, or the one aim that it has on an accelerator."""
    if jax.default_backend() == "cpu":
        return {"must": must, "aim": aim}
    return {"must": None, "aim": accelerator}


def row_of(
    name: str,
    unit: str,
    ours: np.ndarray | float,
    peer: np.ndarray | float,
    peer_name: str,
    ratios: np.ndarray | float,
    *,
    must: float | None = None,
    aim: float | None = None,
) -> Row:
    """The row of some turns, or of a single number where there is nothing to repeat."""
    return Row(
        name,
        unit,
        float(np.median(ours)),
        float(np.median(peer)),
        peer_name,
        float(np.median(ratios)),
        float(np.min(ratios)),
        float(np.max(ratios)),
        must,
        aim,
    )


def take_turns(
    works: Mapping[str, Work], turns: int, warm_ups: int = WARM_UPS
) -> dict[str, np.ndarray]:
    """Seconds of each work, `[turns]`, measured in alternation."""
    for work in works.values():
        for _ in range(warm_ups):
            jax.block_until_ready(work())
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(turns):
        for name, work in works.items():
            began = time.perf_counter()
            jax.block_until_ready(work())
            seconds[name].append(time.perf_counter() - began)
    return {name: np.array(times) for name, times in seconds.items()}


def compare(
    name: str,
    unit: str,
    ours: Work,
    others: Mapping[str, Work],
    turns: int,
    *,
    our_units: float,
    peer_units: float,
    must: float | None = None,
    aim: float | None = None,
    reachable: Reachable | None = None,
) -> Row:
    """A row of rates: units per second of ours against the fastest of the others.

    Args:
        name: of the row.
        unit: of a rate.
        ours: one turn of ours.
        others: one turn of each peer.
        turns: how many are counted.
        our_units: units in one turn of ours.
        peer_units: units in one turn of a peer.
        must: see `Row`.
        aim: see `Row`.
        reachable: the rates at which the machine's limits would be reached.
    """
    seconds = take_turns({"": ours, **others}, turns)
    mine = our_units / seconds.pop("")
    rates = {peer: peer_units / times for peer, times in seconds.items()}
    best = max(rates, key=lambda peer: float(np.median(rates[peer])))
    row = row_of(name, unit, mine, rates[best], best, mine / rates[best], must=must, aim=aim)
    if reachable is not None:
        row = row._replace(
            limit=row.ours / reachable.by_products, copying=row.ours / reachable.by_copying
        )
    medians = {peer: float(np.median(rate)) for peer, rate in rates.items()}
    return row._replace(peers=medians if len(medians) > 1 else None)


def printed_by(
    program: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> list[str]:
    """The words that a Python process of its own prints, for what only a fresh one can show."""
    command = [sys.executable, "-c", program, *arguments]
    found = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return found.stdout.split()


def markdown(rows: list[Row]) -> str:
    """The table of the README."""
    cells = []
    for r in rows:
        shares = (r.limit, r.copying)
        cells.append(
            [
                r.row,
                f"{r.ours:,.4g} {r.unit}",
                f"{r.peer:,.4g}: {r.peer_name}",
                f"{r.ratio:.2f} ({r.low:.2f}–{r.high:.2f})",
                " / ".join("–" if x is None else f"{x:.2g}" for x in (r.must, r.aim)),
                "–" if None in shares else ", ".join(f"{x:.0%}" for x in shares if x is not None),
            ]
        )
    header = ["row", "ours", "peer", "ratio (least–greatest)", "must / aim"]
    return markdown_table([*header, "of the machine's limits"], cells)
