"""Images of random latents."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from magan_jax.blocks import in_blocks
from magan_jax.errors import check_positive
from magan_jax.networks import Generate, as_pytree
from magan_jax.prior import Prior

_BLOCK = 1000
"""Images drawn at once; block b draws its latents from `fold_in(key, b)`."""


def sample_images(key: jax.Array, generate: Generate, prior: Prior, n: int) -> np.ndarray:
    """G(z) for n latents of the prior: `[n, H, W, C]`, on the host.

    Image i depends on the key and on i alone.

    Args:
        key: of the latents.
        generate: `[n, d] -> images`.
        prior: `(key, n) -> z [n, d]`.
        n: how many.
    """
    n = check_positive("n", n)
    function = as_pytree(generate, "generate")
    blocks = [
        jax.device_get(_block(function, prior, jax.random.fold_in(key, b)))
        for b in range(-(-n // _BLOCK))
    ]
    return np.concatenate(blocks)[:n]


def images_of(generate: Generate, latents: Any) -> np.ndarray:
    """G(z) of given latents `[n, d]`, all at once: for the few that a figure shows."""
    return np.asarray(_given(as_pytree(generate, "generate"), jnp.asarray(latents, jnp.float32)))


def images_in_blocks(generate: Generate, latents: np.ndarray) -> np.ndarray:
    """G(z) of many given latents `[n, d]`, a block at a time: `[n, H, W, C]`, on the host."""
    function = as_pytree(generate, "generate")
    images: np.ndarray = in_blocks(
        lambda z: _given(function, z), np.asarray(latents, np.float32), _BLOCK
    )
    return images


@jax.jit
def _given(generate: Callable[[jax.Array], jax.Array], latents: jax.Array) -> jax.Array:
    # In full float32: these are the images that labels are of (see `magan_jax.latent.labels`).
    with jax.default_matmul_precision("highest"):
        return generate(latents)


@partial(jax.jit, static_argnames="prior")
def _block(generate: Callable[[jax.Array], jax.Array], prior: Prior, key: jax.Array) -> jax.Array:
    return _given(generate, prior(key, _BLOCK).astype(jnp.float32))
