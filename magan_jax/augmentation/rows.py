"""Images with soft labels, of which a compiled training draws what it learns from."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

_MULTIPLE = 1024
"""Sets are filled up to a multiple of this, so that few sizes are compiled."""


class SoftBatch(NamedTuple):
    """Images with a distribution over the classes in the place of a label.

    Attributes:
        images: uint8 `[P, H, W, C]`.
        probabilities: `[P, K]`, each row sums to 1; a hard label has a single 1.
    """

    images: np.ndarray
    probabilities: np.ndarray


class Rows(NamedTuple):
    """Images and probabilities, of which `number` from the place `first` on count."""

    images: jax.Array
    probabilities: jax.Array
    first: jax.Array
    number: jax.Array

    def draw(self, key: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
        """Some of them, with replacement: uint8 `[count, H, W, C]` and `[count, K]`."""
        chosen = self.first + jax.random.randint(key, (count,), 0, self.number)
        return self.images[chosen], self.probabilities[chosen]


EACH_ITS_OWN = Rows(images=None, probabilities=None, first=0, number=0)  # type: ignore[arg-type]
"""The axes over which a function of one set is mapped to take the sets of `sets_to_rows`."""


def to_rows(images: Any, probabilities: Any) -> Rows:
    """For a compiled function, whose programs are as many as there are multiples of 1024.

    Args:
        images: uint8 `[P, H, W, C]`.
        probabilities: `[P, K]`.
    """
    together = sets_to_rows([SoftBatch(images, probabilities)])
    return together._replace(first=together.first[0], number=together.number[0])


def sets_to_rows(sets: Sequence[SoftBatch]) -> Rows:
    """S sets of any size behind one another, with `first [S]` and `number [S]`.

    What several sets share (the same object) is there once.
    """
    different = list({id(one): one for one in sets}.values())
    sizes = [len(one.images) for one in different]
    first = dict(zip(map(id, different), np.cumsum([0, *sizes[:-1]]), strict=True))
    missing = -sum(sizes) % _MULTIPLE

    def joined(arrays: Sequence[Any], dtype: Any) -> jax.Array:
        shape = (missing, *arrays[0].shape[1:])
        return jnp.asarray(np.concatenate([*arrays, np.zeros(shape, dtype)], dtype=dtype))

    return Rows(
        joined([one.images for one in different], np.uint8),
        joined([one.probabilities for one in different], np.float32),
        jnp.asarray([first[id(one)] for one in sets], jnp.int32),
        jnp.asarray([len(one.images) for one in sets], jnp.int32),
    )
