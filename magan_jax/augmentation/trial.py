"""One budget of one seed: every arm fitted, its variant chosen, its images judged."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from magan_jax.augmentation.budget import Budget
from magan_jax.augmentation.drafts import Attempt, Draft
from magan_jax.augmentation.fitting import Fit, FittingConfig, fit_all
from magan_jax.augmentation.judging import Judge, PoolJudgement, accuracy, judge_pool
from magan_jax.augmentation.neighbourhoods import Neighbourhoods
from magan_jax.networks import Classify


class ArmTrial(NamedTuple):
    """What became of an arm.

    Attributes:
        classifier: the chosen variant's.
        validation: accuracy of each variant on the budget's validation images.
        chosen: the variant; one that failed only where all variants have.
        pool: its images; None for none.
        failures: of each variant, see `Attempt.failure`.
    """

    classifier: Classify
    validation: tuple[float, ...]
    chosen: int
    pool: PoolJudgement | None
    failures: tuple[str | None, ...]


class Trial(NamedTuple):
    """One budget of one seed.

    Attributes:
        seed: of the budget and all that was fitted to it.
        num_per_class: n.
        num_classes: K.
        held_out: bool `[K·n]`, labels that were kept for choices.
        arms: by name.
        bounds: the upper bounds, by name.
        neighbourhoods: what the labels of neighbourhoods are worth; None where no arm uses them.
    """

    seed: int
    num_per_class: int
    num_classes: int
    held_out: np.ndarray
    arms: dict[str, ArmTrial]
    bounds: dict[str, ArmTrial]
    neighbourhoods: Neighbourhoods | None = None


_Row = tuple[int, str]
"""Which draft, and which of its arms or bounds."""


def try_drafts(
    drafts: Sequence[Draft],
    config: FittingConfig,
    judge: Judge,
    on_progress: Callable[[], None] = lambda: None,
) -> list[Trial]:
    """Fit every variant of every arm and bound, and choose one of each.

    What several drafts need is fitted together (`fit_all`): an accelerator takes all with images
    in one compiled call, all without in another; and then, alike, arms and bounds whose images move
    as those of another's chosen variant. Choices are made on the validation images of a draft's own
    budget, which are never learned from.

    Args:
        drafts: what to fit; at least one, all of the same classes.
        config: of the classifiers.
        judge: judges pools, and nothing else.
        on_progress: called for each fit, when it is done; on an accelerator, when all of its call
            are.

    Raises:
        ValueError: where images are to move as those of an arm that is not there, or that itself
            follows another.
    """
    rows = {
        (place, name): attempts
        for place, draft in enumerate(drafts)
        for name, attempts in (draft.arms | draft.bounds).items()
    }
    tried: dict[_Row, ArmTrial] = {}

    def settled(place: int, one: Attempt) -> Fit:
        if one.moves_of is None:
            return one.fit
        leader = place, one.moves_of
        return one.fit._replace(moves=rows[leader][tried[leader].chosen].fit.moves)

    def fit_rows(those: Sequence[_Row]) -> None:
        fits = [settled(row[0], one) for row in those for one in rows[row]]
        classifiers = fit_all(fits, config, drafts[0].num_classes)
        for row in those:
            own = []
            for _ in rows[row]:
                own.append(next(classifiers))
                on_progress()
            draft = drafts[row[0]]
            tried[row] = _chosen(own, rows[row], draft.budget, judge, draft.num_classes)

    followers = _followers(rows)
    fit_rows([row for row in rows if row not in followers])
    if followers:
        fit_rows(followers)

    return [
        Trial(
            draft.seed,
            draft.num_per_class,
            draft.num_classes,
            draft.budget.held_out,
            {name: tried[place, name] for name in draft.arms},
            {name: tried[place, name] for name in draft.bounds},
            draft.neighbourhoods,
        )
        for place, draft in enumerate(drafts)
    ]


def _followers(rows: Mapping[_Row, Sequence[Attempt]]) -> list[_Row]:
    """Those whose images move as another's chosen variant; refuses one without such a leader."""
    leaders = {row: {one.moves_of for one in found} - {None} for row, found in rows.items()}
    for (place, name), others in leaders.items():
        for leader in others:
            if leaders.get((place, str(leader)), {leader}):
                there = ", ".join(own for draft, own in rows if draft == place)
                raise ValueError(
                    f"{name} moves its images as {leader}; a draft with it needs an arm {leader} "
                    f"that follows no other, and has {there}: add it, or leave {name} out."
                )
    return [row for row, others in leaders.items() if others]


def _chosen(
    classifiers: Sequence[Classify],
    attempts: Sequence[Attempt],
    budget: Budget,
    judge: Judge,
    num_classes: int,
) -> ArmTrial:
    validation = tuple(accuracy(one, budget.validation) for one in classifiers)
    failures = tuple(one.failure for one in attempts)
    able = np.array([reason is None for reason in failures])
    chosen = int(np.argmax(np.where(able | ~able.any(), validation, -1)))
    pool = attempts[chosen].fit.synthetic
    judged = None if pool is None else judge_pool(pool, judge, num_classes)
    return ArmTrial(classifiers[chosen], validation, chosen, judged, failures)
