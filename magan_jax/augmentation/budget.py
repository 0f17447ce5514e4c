"""Few labels of a large training set: all that may be known of them."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from magan_jax.training.engine import Batch

VALIDATION_SHARE = 5
"""One label in so many, class by class, is kept for choices."""


class Budget(NamedTuple):
    """n labelled images of each of K classes, in the order of the classes.

    Attributes:
        images: uint8 `[K·n, H, W, C]`.
        labels: int32 `[K·n]`.
        held_out: bool `[K·n]`, those on which choices are made; ⌈n / 5⌉ of each class.
        rows: int `[K·n]`, where they stand in the training set.
    """

    images: np.ndarray
    labels: np.ndarray
    held_out: np.ndarray
    rows: np.ndarray

    @property
    def fitting(self) -> Batch:
        """What is learned from."""
        return Batch(self.images[~self.held_out], self.labels[~self.held_out])

    @property
    def validation(self) -> Batch:
        """What choices are made on."""
        return Batch(self.images[self.held_out], self.labels[self.held_out])


def check_budgets(budgets: Sequence[int], labels: np.ndarray, num_classes: int) -> None:
    """Refuse numbers of labels per class that cannot be drawn; call it before any training."""
    if not budgets:
        raise ValueError("budgets is empty; name at least one number of labels per class.")
    for n in budgets:
        _check_number("budgets", n, labels, num_classes)


def _check_number(name: str, n: int, labels: np.ndarray, num_classes: int) -> None:
    if isinstance(n, bool) or int(n) != n or n < 2:
        raise ValueError(
            f"{name} is {n}; it must be a whole number, at least 2: one image of each class to "
            "learn from and one to choose by."
        )
    for k, count in enumerate(np.bincount(labels, minlength=num_classes)):
        if count < n:
            raise ValueError(
                f"{name} is {n}, but class {k} has {count} training images; it must be at most so "
                "many."
            )


def draw_budget(key: jax.Array, train_set: Batch, num_per_class: int, num_classes: int) -> Budget:
    """Draw n images of each class, without replacement, and forget the other labels.

    Args:
        key: class k is permuted by `fold_in(key, k)` and its first n taken: a smaller budget of
            the same key is a part of a larger one.
        train_set: all training images with all labels.
        num_per_class: n, at least 2: one to learn from, one to choose by.
        num_classes: K.

    Raises:
        ValueError: for n below 2, or a class with fewer images.
    """
    labels, rows = np.asarray(train_set.labels), []
    _check_number("num_per_class", num_per_class, labels, num_classes)
    for k in range(num_classes):
        own = np.flatnonzero(labels == k)
        order = jax.random.permutation(jax.random.fold_in(key, k), len(own))
        rows.append(own[np.asarray(order[:num_per_class])])
    taken = np.concatenate(rows)
    held_out = np.tile(np.arange(num_per_class) % VALIDATION_SHARE == 0, num_classes)
    return Budget(
        np.asarray(train_set.images)[taken], labels[taken].astype(np.int32), held_out, taken
    )
