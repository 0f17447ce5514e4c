"""One budget of one seed: every arm fitted, its variant chosen, its images judged."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from magan_jax.augmentation.arms import Arm, Pool, Sources, Variant
from magan_jax.augmentation.budget import Budget
from magan_jax.augmentation.fitting import FittingConfig, Moves, SoftBatch, fit
from magan_jax.latent.networks import Classify
from magan_jax.metrics import vendi_score
from magan_jax.training.engine import Batch
from magan_jax.training.images import scale_images

_JUDGED = 2_000
"""Synthetic images of a pool whose labels and diversity are judged."""
_OF_A_CLASS = 100
"""Images of a class behind its diversity."""
_SHOWN = 12
"""Images of a pool that figures show."""

SHIFTED = Moves(max_shift=1)
"""How the labeller's and the judge's images are moved."""


class Judge(NamedTuple):
    """A classifier that has seen all labels: it says how pure labels are, and decides nothing.

    Attributes:
        classify: `images -> logits`.
        features: `images -> [n, F]`.
    """

    classify: Classify
    features: Callable[[jax.Array], jax.Array]


class PoolJudgement(NamedTuple):
    """The synthetic images of a variant.

    Attributes:
        size: how many.
        purity: share whose likeliest label is the judge's.
        diversity: Vendi score of the judge's features within a class, mean over classes; 1 where
            all images of a class are alike.
        shown: some of them, uint8.
        shown_labels: their likeliest labels.
    """

    size: int
    purity: float
    diversity: float
    shown: np.ndarray
    shown_labels: np.ndarray


class ArmTrial(NamedTuple):
    """What became of an arm.

    Attributes:
        classifier: the chosen variant's.
        validation: accuracy of each variant on the budget's validation images.
        chosen: the variant.
        pool: its images; None for none.
        failure: why the chosen variant has no images though it should (a labeller that knows one
            class only, for example): it was then fitted without any; None where nothing failed.
    """

    classifier: Classify
    validation: tuple[float, ...]
    chosen: int
    pool: PoolJudgement | None
    failure: str | None = None


class Trial(NamedTuple):
    """One budget of one seed.

    Attributes:
        seed: of the budget and all that was fitted to it.
        num_per_class: n.
        arms: by name.
        bounds: the upper bounds, by name.
    """

    seed: int
    num_per_class: int
    arms: dict[str, ArmTrial]
    bounds: dict[str, ArmTrial]


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

    All arms start from the same parameters and draw the same real images; arms with the same pool
    share it. Validation images are never learned from.

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
    pools: dict[Pool, SoftBatch | str] = {}

    def pool_of(variant: Variant) -> SoftBatch | str | None:
        if variant.pool is not None and variant.pool not in pools:
            pools[variant.pool] = made_or_reason(partial(variant.pool, pool_key, sources))
        return None if variant.pool is None else pools[variant.pool]

    trials = {}
    for name, arm in arms.items():
        classifiers: list[Classify] = []
        for variant in arm.variants:
            pool = pool_of(variant)
            classifiers.append(
                fit(
                    fit_key,
                    config,
                    budget.fitting,
                    sources.num_classes,
                    synthetic=None if isinstance(pool, str) else pool,
                    moves=variant.moves,
                )
            )
            on_progress()
        validation = tuple(accuracy(one, budget.validation) for one in classifiers)
        chosen = int(np.argmax(validation))
        pool = pool_of(arm.variants[chosen])
        trials[name] = arm_trial(classifiers[chosen], validation, chosen, pool, judge)
    return trials


def made_or_reason(make: Callable[[], SoftBatch]) -> SoftBatch | str:
    """The images, or why there are none: one arm without images must not cost the others."""
    try:
        return make()
    except ValueError as error:
        return str(error)


def arm_trial(
    classifier: Classify,
    validation: tuple[float, ...],
    chosen: int,
    pool: SoftBatch | str | None,
    judge: Judge,
) -> ArmTrial:
    """What became of an arm, its pool (or why it has none) judged."""
    if isinstance(pool, str):
        return ArmTrial(classifier, validation, chosen, None, pool)
    judged = None if pool is None else judge_pool(pool, judge)
    return ArmTrial(classifier, validation, chosen, judged)


def label_members(
    key: jax.Array, config: FittingConfig, budget: Budget, num_classes: int, num_members: int
) -> Sequence[Classify]:
    """Classifiers fitted to the budget's fitting part, from keys `fold_in(key, i)`."""
    return [
        fit(jax.random.fold_in(key, i), config, budget.fitting, num_classes, moves=SHIFTED)
        for i in range(num_members)
    ]


def judge_pool(pool: SoftBatch, judge: Judge) -> PoolJudgement:
    """How pure a pool's labels are and how different its images, by evenly spaced ones."""
    rows = np.unique(np.linspace(0, len(pool.images) - 1, _JUDGED).astype(int))
    images, label = pool.images[rows], np.argmax(np.asarray(pool.shares)[rows], axis=1)
    true = predicted(judge.classify, images)
    scores = []
    for k in np.unique(label):
        own = images[label == k][:_OF_A_CLASS]
        features = np.asarray(judge.features(scale_images(own)))
        features = features[np.linalg.norm(features, axis=1) > 0]
        if len(features):
            scores.append(vendi_score(features))
    shown = np.random.default_rng(0).permutation(len(images))[:_SHOWN]
    return PoolJudgement(
        len(pool.images),
        float(np.mean(label == true)),
        float(np.mean(scores)),
        images[shown],
        label[shown],
    )


def accuracy(classify: Classify, images: Batch) -> float:
    """Share of the images with the right label."""
    return float(np.mean(predicted(classify, np.asarray(images.images)) == images.labels))


def predicted(classify: Classify, images: np.ndarray) -> np.ndarray:
    """The likeliest class of each uint8 image, int `[N]`."""
    return np.asarray(_predicted(classify, jnp.asarray(images)))


@jax.jit
def _predicted(classify: Classify, images: jax.Array) -> jax.Array:
    return jax.lax.map(
        lambda image: jnp.argmax(classify(scale_images(image)[None])[0]), images, batch_size=250
    )
