"""Images with soft labels, of which a compiled training draws what it learns from."""

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
    """Images and probabilities, of which the first `number` count."""

    images: jax.Array
    probabilities: jax.Array
    number: jax.Array

    def draw(self, key: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
        """Some of them, with replacement: uint8 `[count, H, W, C]` and `[count, K]`."""
        chosen = jax.random.randint(key, (count,), 0, self.number)
        return self.images[chosen], self.probabilities[chosen]


def to_rows(images: Any, probabilities: Any, *, least: int = 0) -> Rows:
    """For a compiled function, whose programs are as many as there are multiples of 1024.

    Args:
        images: uint8 `[P, H, W, C]`.
        probabilities: `[P, K]`.
        least: as many rows at least, so that sets of several sizes can be stacked.
    """
    count = len(images)
    filled = max(count, least)
    padding = [(0, filled + -filled % _MULTIPLE - count)]
    return Rows(
        jnp.asarray(np.pad(images, padding + 3 * [(0, 0)])),
        jnp.asarray(np.pad(probabilities, [*padding, (0, 0)]), jnp.float32),
        jnp.int32(count),
    )
