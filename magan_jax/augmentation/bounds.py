"""Upper bounds: what an arm could reach if labels were not few; they are given all of them."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from magan_jax.augmentation.budget import Budget
from magan_jax.augmentation.fitting import SHIFTED, UNMOVED, FittingConfig, Moves
from magan_jax.augmentation.judging import Judge
from magan_jax.augmentation.pools import Sources, paper_shifts, pseudo_labelled
from magan_jax.augmentation.rows import SoftBatch
from magan_jax.augmentation.trial import ArmTrial, made_or_reason, try_all
from magan_jax.training.engine import Batch

_ROWS = 100
"""Stream of the real images; an arm's pool uses the first few."""


class Known(NamedTuple):
    """All there is to know.

    Attributes:
        sources: with a labeller that has seen all labels (not the one that judges).
        train_set: all images with all labels.
    """

    sources: Sources
    train_set: Batch


class Bound(NamedTuple):
    """An upper bound.

    Attributes:
        title: for tables and figures.
        pool: makes the images that stand where an arm's synthetic ones do.
        moves: classical augmentation, that of the arms it bounds.
    """

    title: str
    pool: Callable[[jax.Array, Known], SoftBatch]
    moves: Moves = SHIFTED


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
        "pseudo-labels, C of all labels", lambda key, known: pseudo_labelled(key, known.sources)
    ),
    "real_labels": Bound("as many real labels", real_labels),
}
"""By name."""


def try_bounds(
    key: jax.Array,
    known: Known,
    budget: Budget,
    config: FittingConfig,
    judge: Judge,
    on_progress: Callable[[], None] = lambda: None,
) -> dict[str, ArmTrial]:
    """Fit every bound as `try_arms` fits an arm of one variant, all from the same key."""
    fit_key, pool_key = jax.random.split(key)
    made = {
        name: [(made_or_reason(partial(bound.pool, pool_key, known)), bound.moves)]
        for name, bound in BOUNDS.items()
    }
    classes = known.sources.num_classes
    return try_all(fit_key, made, budget, classes, config, judge, on_progress)
