"""One budget of one seed before anything is fitted to it: what each classifier will learn from."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import jax

from magan_jax.augmentation.arms import Arm, Variant
from magan_jax.augmentation.budget import Budget
from magan_jax.augmentation.fitting import Fit, Moves
from magan_jax.augmentation.neighbourhoods import Neighbourhoods
from magan_jax.augmentation.pools import Pool, Relabelled, Sources
from magan_jax.augmentation.rows import SoftBatch
from magan_jax.latent.regions import NoRegionError
from magan_jax.training.engine import Batch


class Attempt(NamedTuple):
    """A variant before it is fitted.

    Attributes:
        fit: what it learns from.
        failure: why it has no images though it should (a labeller that knows one class only, for
            example); None where nothing failed. Such a variant is fitted without images.
    """

    fit: Fit
    failure: str | None = None


class Draft(NamedTuple):
    """A trial before it is fitted.

    Attributes:
        seed: of the budget and of all that will be fitted to it.
        num_per_class: n.
        num_classes: K.
        budget: few labels.
        arms: attempts of each arm, one a variant, by name.
        bounds: those of each upper bound.
        neighbourhoods: what the labels of neighbourhoods are worth; None where no arm uses them.
    """

    seed: int
    num_per_class: int
    num_classes: int
    budget: Budget
    arms: dict[str, list[Attempt]]
    bounds: dict[str, list[Attempt]]
    neighbourhoods: Neighbourhoods | None = None


def draft_arms(
    key: jax.Array, arms: Mapping[str, Arm], sources: Sources, few: Batch
) -> dict[str, list[Attempt]]:
    """Make the images of every variant of every arm.

    All will start from the same parameters and the same key; arms with the same pool share it.

    Args:
        key: of the trial's arms.
        arms: by name.
        sources: with a labeller that was fitted to `few`.
        few: uint8 images and labels that may be learned from.
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

    return {
        name: [attempt(fit_key, few, pool_of(variant), variant.moves) for variant in arm.variants]
        for name, arm in arms.items()
    }


def attempt(key: jax.Array, few: Batch, made: SoftBatch | str | None, moves: Moves) -> Attempt:
    """Of images, of none where none are wanted, or of the reason why there are none."""
    if isinstance(made, str):
        return Attempt(Fit(key, few, None, moves), made)
    return Attempt(Fit(key, few, made, moves))


def made_or_reason(make: Callable[[], SoftBatch]) -> SoftBatch | str:
    """The images, or why there are none: one arm without regions must not cost the others."""
    try:
        return make()
    except NoRegionError as error:
        return str(error)
