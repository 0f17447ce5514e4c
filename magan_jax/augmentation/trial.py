"""One budget of one seed: every arm fitted, its variant chosen, its images judged."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np

from magan_jax.augmentation.budget import Budget
from magan_jax.augmentation.drafts import Attempt, Draft
from magan_jax.augmentation.fitting import FittingConfig, fit_all
from magan_jax.augmentation.judging import Judge, PoolJudgement, accuracy, judge_pool
from magan_jax.augmentation.neighbourhoods import Neighbourhoods
from magan_jax.latent.networks import Classify


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


def try_drafts(
    drafts: Sequence[Draft],
    config: FittingConfig,
    judge: Judge,
    on_progress: Callable[[], None] = lambda: None,
) -> list[Trial]:
    """Fit every variant of every arm and bound, and choose one of each.

    What several drafts need is fitted together (`fit_all`): an accelerator takes all with images
    in one compiled call, all without in another. Choices are made on the validation images of a
    draft's own budget, which are never learned from.

    Args:
        drafts: what to fit; at least one, all of the same classes.
        config: of the classifiers.
        judge: judges pools, and nothing else.
        on_progress: called for each fit, when it is done; on an accelerator, when all are.
    """
    fits = [
        attempt.fit
        for draft in drafts
        for attempts in (*draft.arms.values(), *draft.bounds.values())
        for attempt in attempts
    ]

    def counted() -> Iterator[Classify]:
        for classifier in fit_all(fits, config, drafts[0].num_classes):
            on_progress()
            yield classifier

    classifiers = counted()  # in the order of the fits

    def tried(draft: Draft, attempts: Sequence[Attempt]) -> ArmTrial:
        own = list(islice(classifiers, len(attempts)))
        return _chosen(own, attempts, draft.budget, judge, draft.num_classes)

    return [
        Trial(
            draft.seed,
            draft.num_per_class,
            draft.num_classes,
            draft.budget.held_out,
            {name: tried(draft, attempts) for name, attempts in draft.arms.items()},
            {name: tried(draft, attempts) for name, attempts in draft.bounds.items()},
            draft.neighbourhoods,
        )
        for draft in drafts
    ]


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
