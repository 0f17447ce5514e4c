"""One budget of one seed: every arm fitted, its variant chosen, its images judged."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from magan_jax.augmentation.arms import Arm, Pool, Sources, Variant
from magan_jax.augmentation.budget import Budget
from magan_jax.augmentation.fitting import SHIFTED, FittingConfig, Moves, SoftBatch, fit
from magan_jax.latent.networks import Classify
from magan_jax.latent.regions import NoRegionError
from magan_jax.latent.sampling import as_pytree
from magan_jax.metrics import vendi_score
from magan_jax.training.engine import Batch
from magan_jax.training.images import scale_images

_JUDGED = 2_000
"""Synthetic images of a pool whose labels and diversity are judged."""
_OF_A_CLASS = 25
"""Images of a class behind its diversity, which no class of fewer has: it grows with them."""
_SHOWN = 12
"""Images of a pool that figures show."""


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
        of_class: int `[K]`, how many have each class as their likeliest label.
        purity: share whose likeliest label is the judge's.
        diversity: Vendi score of the judge's features of 25 images of a class, mean over the
            classes that have so many; 1 where all of a class are alike; NaN without such a class.
        shown: some of them, uint8.
        shown_labels: their likeliest labels.
    """

    size: int
    of_class: np.ndarray
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
    """

    seed: int
    num_per_class: int
    num_classes: int
    held_out: np.ndarray
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
    pools: dict[Pool, SoftBatch | str] = {}

    def pool_of(variant: Variant) -> SoftBatch | str | None:
        if variant.pool is not None and variant.pool not in pools:
            pools[variant.pool] = made_or_reason(partial(variant.pool, pool_key, sources))
        if variant.pool is None:
            return None
        pool = pools[variant.pool]
        return pool if isinstance(pool, str) else variant.part(pool)

    trials = {}
    for name, arm in arms.items():
        pairs = [(pool_of(variant), variant.moves) for variant in arm.variants]
        trials[name] = try_variants(
            fit_key, pairs, budget, sources.num_classes, config, judge, on_progress
        )
    return trials


def made_or_reason(make: Callable[[], SoftBatch]) -> SoftBatch | str:
    """The images, or why there are none: one arm without regions must not cost the others."""
    try:
        return make()
    except NoRegionError as error:
        return str(error)


def try_variants(
    key: jax.Array,
    variants: Sequence[tuple[SoftBatch | str | None, Moves]],
    budget: Budget,
    num_classes: int,
    config: FittingConfig,
    judge: Judge,
    on_progress: Callable[[], None],
) -> ArmTrial:
    """Fit each variant (its images, or why there are none, and its moves) and choose one."""
    classifiers: list[Classify] = []
    for pool, moves in variants:
        images = None if isinstance(pool, str) else pool
        classifiers.append(
            fit(key, config, budget.fitting, num_classes, synthetic=images, moves=moves)
        )
        on_progress()
    validation = tuple(accuracy(one, budget.validation) for one in classifiers)
    failures = tuple(pool if isinstance(pool, str) else None for pool, _ in variants)
    able = np.array([reason is None for reason in failures])
    chosen = int(np.argmax(np.where(able | ~able.any(), validation, -1)))
    pool = variants[chosen][0]
    judged = judge_pool(pool, judge, num_classes) if isinstance(pool, SoftBatch) else None
    return ArmTrial(classifiers[chosen], validation, chosen, judged, failures)


def label_members(
    key: jax.Array, config: FittingConfig, budget: Budget, num_classes: int, num_members: int
) -> Sequence[Classify]:
    """Classifiers of the budget's fitting part, shifted, from keys `fold_in(key, i)`."""
    return [
        fit(jax.random.fold_in(key, i), config, budget.fitting, num_classes, moves=SHIFTED)
        for i in range(num_members)
    ]


def judge_pool(pool: SoftBatch, judge: Judge, num_classes: int) -> PoolJudgement:
    """How pure a pool's labels are and how different its images, by images drawn at random."""
    of_all = np.argmax(np.asarray(pool.probabilities), axis=1)
    rows = np.random.default_rng(0).permutation(len(pool.images))[:_JUDGED]
    images, label = pool.images[rows], of_all[rows]
    true = predicted(judge.classify, images)
    scores = []
    for k in range(num_classes):
        own = images[label == k][:_OF_A_CLASS]
        if len(own) == _OF_A_CLASS:
            features = np.asarray(judge.features(scale_images(own)))
            if np.linalg.norm(features, axis=1).all():  # a row of zeros has no direction
                scores.append(vendi_score(features))
    return PoolJudgement(
        len(pool.images),
        np.bincount(of_all, minlength=num_classes),
        float(np.mean(label == true)),
        float(np.mean(scores)) if scores else float("nan"),
        images[:_SHOWN],
        label[:_SHOWN],
    )


def accuracy(classify: Classify, images: Batch) -> float:
    """Share of the images with the right label."""
    return float(np.mean(predicted(classify, np.asarray(images.images)) == images.labels))


def predicted(classify: Classify, images: np.ndarray) -> np.ndarray:
    """The likeliest class of each uint8 image, int `[N]`."""
    return np.asarray(_predicted(as_pytree(classify), jnp.asarray(images)))


@jax.jit
def _predicted(classify: Classify, images: jax.Array) -> jax.Array:
    return jax.lax.map(
        lambda image: jnp.argmax(classify(scale_images(image)[None])[0]), images, batch_size=250
    )
