"""What became of a system that was trained from several seeds, and of the claims about it."""

from collections.abc import Callable, Sequence
from typing import Generic, Literal, NamedTuple, TypeVar

from magan_jax.data import Dataset, is_published
from magan_jax.errors import NetworkOutputError

SystemT = TypeVar("SystemT")
JudgedT = TypeVar("JudgedT")

Verdict = Literal["holds", "does not hold", "open"]
"""On a claim, decided over seeds."""

SHOWN: dict[Verdict, str] = {"holds": "yes", "does not hold": "**no**", "open": "open"}
"""Verdicts in the tables, where the question is whether a claim holds."""


class Outcome(NamedTuple, Generic[SystemT, JudgedT]):
    """All seeds of a system.

    Attributes:
        system: what was trained.
        judged: one for each seed that did not fail.
        failure: which failed and why; None if none did.
    """

    system: SystemT
    judged: Sequence[JudgedT]
    failure: str | None = None


def judge_seeds(
    system: SystemT, seeds: Sequence[int], judge: Callable[[int], JudgedT]
) -> Outcome[SystemT, JudgedT]:
    """Judge what was trained from each seed; networks that give no numbers cost their seed alone.

    Args:
        system: what was trained.
        seeds: from which.
        judge: of the index of a seed.
    """
    judged, failures = [], []
    for i, seed in enumerate(seeds):
        try:
            judged.append(judge(i))
        except (FloatingPointError, NetworkOutputError) as error:
            failures.append(f"seed {seed}: {error}")
    return Outcome(system, judged, " ".join(failures) or None)


def count_verdicts(verdicts: Sequence[Verdict], dataset: Dataset) -> str:
    """How many claims about MNIST hold, in a line; on other data they are looked at, no more."""
    other = (
        "" if is_published(dataset, "mnist") else f" (made of MNIST, looked at on {dataset.name})"
    )
    return (
        f"{other}: {verdicts.count('holds')} hold, {verdicts.count('does not hold')} do not, "
        f"{verdicts.count('open')} are open"
    )
