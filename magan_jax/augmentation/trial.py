"""One budget of one seed: every arm fitted, its variant chosen, its images judged."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from magan_jax.augmentation.arms import Arm, Variant
from magan_jax.augmentation.budget import Budget
from magan_jax.augmentation.fitting import SHIFTED, Fit, FittingConfig, Moves, fit_all
from magan_jax.augmentation.judging import Judge, PoolJudgement, accuracy, judge_pool
from magan_jax.augmentation.neighbourhoods import Neighbourhoods
from magan_jax.augmentation.pools import Pool, Relabelled, Sources
from magan_jax.augmentation.rows import SoftBatch
from magan_jax.latent.networks import Classify
from magan_jax.latent.regions import NoRegionError


class ArmTrial(NamedTuple):
    """What became of an arm.

    Attributes:
        classifier: the chosen variant's.
        validation: accuracy of each variant on the budget's validation images.
        chosen: the variant.
        pool: its images; None for none.
        failures: of each variant, why it has no images though it should (a labeller that knows
            one class only, for example); None where nothing failed. Such a variant is fitted
            without images, and chosen only where all variants are such.
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


def try_arms(
    key: jax.Array,
    arms: Mapping[str, Arm],
    sources: Sources,
    budget: Budget,
    config: FittingConfig,
    judge: Judge,
    on_progress: Callable[[], None] = lambda: None,
) -> dict[str, ArmTrial]:
    """Fit every variant of every arm to the budget's fitting part, and choose on its other part.

    All arms start from the same parameters and the same key; arms with the same pool share it.
    Validation images are never learned from.

    Args:
        key: of the trial.
        arms: by name.
        sources: with a labeller that was fitted to the same part of the budget.
        budget: few labels.
        config: of the classifiers.
        judge: judges pools, and nothing else.
        on_progress: called after each fit.
    """
    fit_key, pool_key = jax.random.split(key)
    pools: dict[Pool | Relabelled, SoftBatch | str] = {}

    def made_once(pool: Pool | Relabelled) -> SoftBatch | str:
        if pool in pools:
            return pools[pool]
        if isinstance(pool, Relabelled):
            first = made_once(pool.first)
            if isinstance(first, str):
                return first
            make = partial(pool.relabel, pool_key, sources, first)
        else:
            make = partial(pool, pool_key, sources)
        pools[pool] = made_or_reason(make)
        return pools[pool]

    def pool_of(variant: Variant) -> SoftBatch | str | None:
        if variant.pool is None:
            return None
        pool = made_once(variant.pool)
        return pool if isinstance(pool, str) else variant.part(pool)

    made = {
        name: [(pool_of(variant), variant.moves) for variant in arm.variants]
        for name, arm in arms.items()
    }
    return try_all(fit_key, made, budget, sources.num_classes, config, judge, on_progress)


def made_or_reason(make: Callable[[], SoftBatch]) -> SoftBatch | str:
    """The images, or why there are none: one arm without regions must not cost the others."""
    try:
        return make()
    except NoRegionError as error:
        return str(error)


def try_all(
    key: jax.Array,
    arms: Mapping[str, Sequence[tuple[SoftBatch | str | None, Moves]]],
    budget: Budget,
    num_classes: int,
    config: FittingConfig,
    judge: Judge,
    on_progress: Callable[[], None] = lambda: None,
) -> dict[str, ArmTrial]:
    """Fit all variants of all arms from one key, and choose one of each arm.

    Args:
        key: of every fit.
        arms: by name; of each variant its images, or why there are none, and its moves.
        budget: few labels.
        num_classes: K.
        config: of the classifiers.
        judge: judges pools, and nothing else.
        on_progress: called after each fit.
    """
    fits = [
        Fit(key, pool if isinstance(pool, SoftBatch) else None, moves)
        for variants in arms.values()
        for pool, moves in variants
    ]
    classifiers: list[Classify] = []
    for one in fit_all(fits, config, budget.fitting, num_classes):
        classifiers.append(one)
        on_progress()
    found, first = {}, 0
    for name, variants in arms.items():
        own = classifiers[first : first + len(variants)]
        found[name] = _chosen(own, [pool for pool, _ in variants], budget, judge, num_classes)
        first += len(variants)
    return found


def _chosen(
    classifiers: Sequence[Classify],
    pools: Sequence[SoftBatch | str | None],
    budget: Budget,
    judge: Judge,
    num_classes: int,
) -> ArmTrial:
    validation = tuple(accuracy(one, budget.validation) for one in classifiers)
    failures = tuple(pool if isinstance(pool, str) else None for pool in pools)
    able = np.array([reason is None for reason in failures])
    chosen = int(np.argmax(np.where(able | ~able.any(), validation, -1)))
    pool = pools[chosen]
    judged = judge_pool(pool, judge, num_classes) if isinstance(pool, SoftBatch) else None
    return ArmTrial(classifiers[chosen], validation, chosen, judged, failures)


def label_members(
    key: jax.Array, config: FittingConfig, budget: Budget, num_classes: int, num_members: int
) -> Sequence[Classify]:
    """Classifiers of the budget's fitting part, shifted, from keys `fold_in(key, i)`."""
    fits = [Fit(jax.random.fold_in(key, i), moves=SHIFTED) for i in range(num_members)]
    return list(fit_all(fits, config, budget.fitting, num_classes))
