"""Features on a common scale, as a function of images."""

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from magan_jax.blocks import in_blocks
from magan_jax.images import scale_images
from magan_jax.networks import as_pytree

Features = Callable[[jax.Array], jax.Array]
"""Images `[N, H, W, C]` in [-1, 1] to features `[N, F]`."""

NUM_REFERENCE = 2000
"""Real images behind the statistics of features."""
_BLOCK = 500


def standardised(
    function: Callable[[Any, jax.Array], jax.Array], variables: Any, real: jax.Array
) -> Features:
    """`images -> features`, each with mean 0 and standard deviation 1 over real images.

    Args:
        function: `variables, images in [-1, 1] -> features [N, F]`, the same object for all
            parameters of a network, so that nothing is compiled anew for others.
        variables: a pytree.
        real: images in [-1, 1].

    Returns:
        A pytree of its parameters (see `magan_jax.networks`); a feature that is constant
        over `real` is 0 for all images.
    """
    found = np.asarray(jax.jit(function)(variables, real), np.float64)
    mean, spread = (jnp.asarray(x, jnp.float32) for x in (found.mean(axis=0), found.std(axis=0)))
    return jax.tree_util.Partial(_scaled(function), variables, mean, spread)


@cache
def _scaled(function: Callable[[Any, jax.Array], jax.Array]) -> Callable[..., jax.Array]:
    def features(variables: Any, mean: jax.Array, spread: jax.Array, x: jax.Array) -> jax.Array:
        alive, centred = spread > 0, function(variables, x) - mean[None]
        return jnp.where(alive[None], centred / jnp.where(alive, spread, 1)[None], 0)

    return features


def features_of_images(features: Features, images: np.ndarray) -> np.ndarray:
    """`[n, F]` of stored images, uint8 `[n, H, W, C]`, compiled, a block at a time."""
    function = as_pytree(features)
    found: np.ndarray = in_blocks(lambda block: _of_block(function, block), images, _BLOCK)
    return found


@jax.jit
def _of_block(features: Features, images: jax.Array) -> jax.Array:
    return features(scale_images(images))
