"""A claim, what decides it, and a table of them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from magan_jax.latent.analysis import Analysis
from magan_jax.latent.geometry import Interval
from magan_jax.tables import markdown_table

PAPER_SAMPLES = 1000
TOO_FEW = "a class has too few latents for this"
_WRONG_N = f"the paper's number belongs to N = {PAPER_SAMPLES}"


class Claim(NamedTuple):
    """One claim and what became of it.

    Attributes:
        claim: what the paper says.
        where: in the paper.
        paper: its value.
        ours: our value at the paper's N.
        low, high: ends of an interval of ours, None where there is none: of a number the one that
            decides; of the worst class's share that of this class by itself, as if it had not been
            chosen for being the worst.
        large: our value at the large N.
        holds: at the paper's N; None where the question cannot be decided.
        reason: why, with numbers.
    """

    claim: str
    where: str
    paper: str
    ours: str
    low: float | None
    high: float | None
    large: str
    holds: bool | None
    reason: str


def undecided(claim: str, where: str, paper: str) -> Claim:
    """A claim about all classes, of which some have too few latents."""
    return Claim(claim, where, paper, "none", None, None, "none", None, TOO_FEW)


def claim_of_number(
    claim: str,
    where: str,
    paper: float,
    analysis: Analysis,
    small: tuple[float, tuple[float, float]],
    large: tuple[float, tuple[float, float]],
    reason: str,
) -> Claim:
    """A number of the paper's against the prediction interval of a second analysis."""
    value, interval = small
    low, high = prediction_interval(value, interval)
    known = np.isfinite([value, low, high]).all()
    same_n = analysis.num_samples == PAPER_SAMPLES
    if not known:
        holds, why = None, TOO_FEW
    elif not same_n:
        holds, why = None, _WRONG_N
    else:
        holds, why = bool(low <= paper <= high), reason
        end = low if paper < low else high
        if not holds and three_digits(end) == three_digits(
            paper
        ):  # the digits shown would not tell
            why = f"{paper:g} lies just outside, beyond {end:.4g}; {reason}"
    return Claim(
        claim,
        where,
        f"{paper:g}",
        three_digits(value) if np.isfinite(value) else "none",
        *_known_ends(low, high),
        f"{three_digits(large[0])} {shown_ends(large[1])}" if np.isfinite(large[0]) else "none",
        holds,
        why,
    )


def prediction_interval(value: float, interval: tuple[float, float]) -> tuple[float, float]:
    """From the interval of a value to that of a second value drawn like it."""
    return (value - np.sqrt(2) * (value - interval[0]), value + np.sqrt(2) * (interval[1] - value))


def ends_at(interval: Interval, *index: int) -> tuple[float, float]:
    """Both ends of one entry's interval."""
    return float(interval.low[index]), float(interval.high[index])


def shown_ends(ends: tuple[float, float]) -> str:
    """`[low, high]`; nothing where an end is unknown."""
    return f"[{', '.join(map(three_digits, ends))}]" if np.isfinite(ends).all() else ""


def three_digits(value: float) -> str:
    """With three significant digits, zeros among them."""
    return f"{value:#.3g}".rstrip(".")


def _known_ends(low: float, high: float) -> tuple[float | None, float | None]:
    if not np.isfinite([low, high]).all():
        return None, None
    return float(low), float(high)


def claims_markdown(claims: Sequence[Claim], small: int, large: int) -> str:
    """The claims as a table for a README: every cell from the run, none by hand."""
    verdict = {True: "yes", False: "**no**", None: "open"}
    rows = []
    for c in claims:
        ours = c.ours
        if c.low is not None and c.high is not None:
            ours += f" {shown_ends((c.low, c.high))}"
        rows.append([c.claim, c.paper, ours, c.large, verdict[c.holds], c.reason])
    columns = [f"ours, N = {n:,}" for n in (small, large)]
    return markdown_table(["claim", "paper", *columns, "holds", "why"], rows)
