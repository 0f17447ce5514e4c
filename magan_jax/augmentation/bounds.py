"""Upper bounds: what an arm of the same images could reach if labels were not few."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from magan_jax.augmentation.arms import SHARES
from magan_jax.augmentation.drafts import Attempt, attempt, made_or_reason
from magan_jax.augmentation.fitting import UNMOVED, Moves
from magan_jax.augmentation.pools import Sources, paper_shifts, pseudo_labelled
from magan_jax.augmentation.rows import SoftBatch
from magan_jax.training.engine import Batch

_ROWS = 100
"""Stream of the real images; an arm's pool uses the first few."""


class Known(NamedTuple):
    """All there is to know.

    Attributes:
        sources: with a labeller that has seen all labels (not the one that judges).
        train_set: images with their labels; none on which choices are made.
    """

    sources: Sources
    train_set: Batch


class Bound(NamedTuple):
    """An upper bound.

    Attributes:
        title: for tables and figures.
        pool: makes the images that stand where an arm's synthetic ones do.
        moves: classical augmentation, that of the arms it bounds; or the name of an arm: then as
            the images of that arm's chosen variant.
    """

    title: str
    pool: Callable[[jax.Array, Known], SoftBatch]
    moves: Moves | str = "classical"


def real_labels(key: jax.Array, known: Known) -> SoftBatch:
    """As many real images as an arm has synthetic ones, with their true labels."""
    labels = np.asarray(known.train_set.labels)
    count = min(known.sources.config.num_images, len(labels))
    order = jax.random.permutation(jax.random.fold_in(key, _ROWS), len(labels))
    rows = np.asarray(order[:count])
    images = np.asarray(known.train_set.images)[rows]
    return SoftBatch(images, np.eye(known.sources.num_classes)[labels[rows]])


BOUNDS: dict[str, Bound] = {
    "paper_set_up": Bound(
        "the paper's shifts, C of all labels",
        lambda key, known: paper_shifts(key, known.sources),
        UNMOVED,
    ),
    "all_labels": Bound(
        "pseudo-labels, C of all labels, + classical",
        lambda key, known: pseudo_labelled(key, known.sources),
    ),
    "real_labels": Bound("as many real labels, + classical", real_labels),
}
"""By name."""


def draft_bounds(key: jax.Array, known: Known, few: Batch) -> dict[str, list[Attempt]]:
    """Make the images of every bound, as `draft_arms` does; each has a variant of each share.

    Args:
        key: of the trial's bounds, which all start from the same parameters, but not the arms'.
        known: all labels, and who has learned them.
        few: uint8 images and labels, as the arms have them.
    """
    fit_key, pool_key = jax.random.split(key)
    made = {
        name: made_or_reason(partial(one.pool, pool_key, known)) for name, one in BOUNDS.items()
    }
    return {
        name: [attempt(fit_key, few, made[name], one.moves, share) for share in SHARES.values()]
        for name, one in BOUNDS.items()
    }
