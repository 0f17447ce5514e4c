"""A classifier that has seen all labels, and how pure it finds the labels of others."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from magan_jax.augmentation.rows import SoftBatch
from magan_jax.images import scale_images
from magan_jax.metrics import vendi_score
from magan_jax.networks import Classify, as_pytree
from magan_jax.training.engine import Batch

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
    return float(np.mean(hits(classify, images)))


def hits(classify: Classify, images: Batch) -> np.ndarray:
    """Whether each image is given the right label, bool `[N]`."""
    return predicted(classify, np.asarray(images.images)) == np.asarray(images.labels)


def predicted(classify: Classify, images: np.ndarray) -> np.ndarray:
    """The likeliest class of each uint8 image, int `[N]`."""
    return np.asarray(_predicted(as_pytree(classify), jnp.asarray(images)))


@jax.jit
def _predicted(classify: Classify, images: jax.Array) -> jax.Array:
    return jax.lax.map(
        lambda image: jnp.argmax(classify(scale_images(image)[None])[0]), images, batch_size=250
    )
