"""A linear classifier of features that were learned without labels."""

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.linear_model import LogisticRegression

from magan_jax.augmentation.places import in_nine_places
from magan_jax.networks import Classify, as_pytree
from magan_jax.training.engine import Batch
from magan_jax.training.standardised import Features, features_of_images

_STRENGTH = 0.01
"""scikit-learn's C for one image in one place: the weight of the data against that of |W|² / 2."""
_MOST_ROWS = 10_000
"""Rows that a fit may have; where nine places need more, images stand in one."""


def fit_probe(features: Features, real: Batch, num_classes: int) -> Classify:
    """Multinomial logistic regression of the features of few images, each in nine places.

    Every image is also learned from moved by a pixel along either axis or both, with the darkest
    value where it leaves: a linear classifier is not told otherwise that it matters not. Over 1111
    images stand in their own place only, with the same weight against the penalty.

    Args:
        features: `images [n, H, W, C] in [-1, 1] -> [n, F]`, of comparable scales; see
            `discriminator_features`. A pytree of its parameters, if it has any.
        real: uint8 images and labels; each class at least once.
        num_classes: K.

    Returns:
        `images in [-1, 1] -> logits [n, K]`, a pytree of its parameters.

    Raises:
        ValueError: for a class without images, or a label that is none of the K.
    """
    labels = np.asarray(real.labels)
    if labels.min(initial=0) < 0 or labels.max(initial=0) >= num_classes:
        raise ValueError(
            f"labels go from {labels.min()} to {labels.max()}; with num_classes {num_classes} they "
            f"must lie in 0..{num_classes - 1}."
        )
    missing = np.setdiff1d(np.arange(num_classes), labels)
    if len(missing):
        raise ValueError(f"labels has no image of class {missing[0]}; give at least one of each.")
    images = np.asarray(real.images)
    weight = 9 * _STRENGTH
    if 9 * len(images) <= _MOST_ROWS:
        images = np.concatenate(list(in_nine_places(images)))
        labels, weight = np.tile(labels, 9), _STRENGTH
    found = features_of_images(features, images)
    model = LogisticRegression(C=weight, max_iter=1000)
    model.fit(found, labels)
    # Two classes have one set of weights, that of the second against the first.
    weights = np.stack([0 * model.coef_[0], model.coef_[0]]) if num_classes == 2 else model.coef_
    bias = np.array([0, model.intercept_[0]]) if num_classes == 2 else model.intercept_
    arrays = (jnp.asarray(x, jnp.float32) for x in (weights.T, bias))
    return jax.tree_util.Partial(_logits, as_pytree(features), *arrays)


def _logits(features: Features, weights: jax.Array, bias: jax.Array, x: jax.Array) -> jax.Array:
    return features(x) @ weights + bias[None]
