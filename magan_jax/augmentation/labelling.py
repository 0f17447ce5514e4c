"""Labels for generated images from classifiers that have seen few."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from magan_jax.latent.labels import check_finite, check_latents, check_positive, logits_and_finite
from magan_jax.latent.networks import Classify, Generate, Networks, take_apart
from magan_jax.training.ensemble import stacked

_BLOCK = 500
"""Latents labelled at once."""


def ensemble(members: Sequence[Callable[[jax.Array], jax.Array]]) -> Classify:
    """One classifier out of several: its probabilities are the mean of theirs.

    Args:
        members: `images -> logits [n, K]`, pytrees of the same structure (`fit` returns such).

    Returns:
        `images [n, H, W, C] -> log of the mean probabilities [n, K]`, which serve as logits.
    """
    return jax.tree_util.Partial(_log_mean_shares, stacked(members))


def _log_mean_shares(members: Any, images: jax.Array) -> jax.Array:
    shares = jax.vmap(lambda one: jax.nn.softmax(one(images)))(members)
    return jnp.log(jnp.maximum(jnp.mean(shares, axis=0), jnp.finfo(jnp.float32).tiny))


def neighbourhood_shares(
    key: jax.Array,
    generate: Generate,
    classify: Classify,
    latents: np.ndarray,
    *,
    scale: float,
    num_neighbours: int,
) -> np.ndarray:
    """Class probabilities `[n, K]`, averaged over the neighbourhood of each latent.

    The mean of C's probabilities at z and at m points z' = (z + s η) / √(1 + s²), η ~ N(0, I):
    z' is distributed as z is, and correlated with it by 1 / √(1 + s²). A labeller with few labels
    errs here and there; what it says of most of a neighbourhood is right more often.

    Args:
        key: neighbour j draws its η from `fold_in(key, j)`.
        generate, classify: see `analyze`.
        latents: `[n, d]` of a standard normal prior.
        scale: s; 0 for the latents alone.
        num_neighbours: m; 0 for the latents alone.

    Raises:
        ValueError: for a scale that is negative or not finite, or latents that are not finite.
    """
    if not (scale >= 0 and np.isfinite(scale)):
        raise ValueError(f"scale is {scale}; it must be 0 or more, and finite.")
    if num_neighbours:
        check_positive("num_neighbours", num_neighbours)
    z = check_latents(latents)
    total = _shares(generate, classify, z)
    for j in range(num_neighbours):
        noise = np.asarray(jax.random.normal(jax.random.fold_in(key, j), z.shape))
        total = total + _shares(generate, classify, (z + scale * noise) / np.sqrt(1 + scale**2))
    return total / (num_neighbours + 1)


def _shares(generate: Generate, classify: Classify, latents: np.ndarray) -> np.ndarray:
    networks, arrays = take_apart(generate, classify)
    parts = []
    for first in range(0, len(latents), _BLOCK):
        part = latents[first : first + _BLOCK]
        padded = np.pad(part, ((0, _BLOCK - len(part)), (0, 0)))
        shares, finite = jax.device_get(_shares_of_block(networks, arrays, padded))
        check_finite(int(np.sum(~finite[: len(part)])), len(latents))
        parts.append(shares[: len(part)])
    return np.concatenate(parts)


@partial(jax.jit, static_argnames="networks")
def _shares_of_block(
    networks: Networks, arrays: Any, latents: jax.Array
) -> tuple[jax.Array, jax.Array]:
    logits, finite = logits_and_finite(*networks.functions(arrays), latents)
    return jax.nn.softmax(logits, axis=-1), finite
