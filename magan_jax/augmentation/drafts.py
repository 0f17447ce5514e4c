"""One budget of one seed before anything is fitted to it: what each classifier will learn from."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeVar

import jax

from magan_jax.augmentation.arms import Arm, Variant
from magan_jax.augmentation.budget import Budget
from magan_jax.augmentation.fitting import HALF, UNMOVED, Fit, Moves
from magan_jax.augmentation.neighbourhoods import Neighbourhoods
from magan_jax.augmentation.pools import Derived, Sources
from magan_jax.augmentation.rows import SoftBatch
from magan_jax.latent.regions import NoRegionError
from magan_jax.training.engine import Batch

Made = TypeVar("Made")


class Attempt(NamedTuple):
    """A variant before it is fitted.

    Attributes:
        fit: what it learns from.
        failure: why it has no images though it should (a labeller that knows one class only, for
            example); None where nothing failed. Such a variant is fitted without images.
        moves_of: the arm whose chosen variant's moves it will have, in the place of those of
            `fit`; None for its own.
    """

    fit: Fit
    failure: str | None = None
    moves_of: str | None = None


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

    All will start from the same parameters and the same key; arms of the same part of a pool
    share it, and pools derived from the same share that.

    Args:
        key: of the trial's arms.
        arms: by name.
        sources: with a labeller that was fitted to `few`.
        few: uint8 images and labels that may be learned from.
    """
    fit_key, pool_key = jax.random.split(key)
    there: dict[Any, Any] = {}

    def made_once(make: Callable[[jax.Array, Sources], Any] | Derived) -> Any:
        """A pool, what pools share, or the reason why there is none."""
        if make not in there:
            if isinstance(make, Derived):
                first = made_once(make.first)
                there[make] = (
                    first
                    if isinstance(first, str)
                    else made_or_reason(partial(make.then, pool_key, sources, first))
                )
            else:
                there[make] = made_or_reason(partial(make, pool_key, sources))
        return there[make]

    parts: dict[Any, SoftBatch | str] = {}

    def part_of(variant: Variant) -> SoftBatch | str | None:
        if variant.pool is None:
            return None
        # One object for all: fits that share it have it on the device once.
        which = variant.pool, variant.part
        if which not in parts:
            pool = made_once(variant.pool)
            parts[which] = pool if isinstance(pool, str) else variant.part(pool)
        return parts[which]

    return {
        name: [
            attempt(fit_key, few, part_of(variant), variant.moves, variant.share)
            for variant in arm.variants
        ]
        for name, arm in arms.items()
    }


def attempt(
    key: jax.Array,
    few: Batch,
    made: SoftBatch | str | None,
    moves: Moves | str,
    share: float = HALF,
) -> Attempt:
    """Of images, of none where none are wanted, or of the reason why there are none."""
    failure = made if isinstance(made, str) else None
    pool = None if isinstance(made, str) else made
    own, moves_of = (UNMOVED, moves) if isinstance(moves, str) else (moves, None)
    return Attempt(Fit(key, few, pool, own, share), failure, moves_of)


def made_or_reason(make: Callable[[], Made]) -> Made | str:
    """What is made, or why it cannot be: one arm without regions must not cost the others."""
    try:
        return make()
    except NoRegionError as error:
        return str(error)
