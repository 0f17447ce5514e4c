"""Labels for generated images from classifiers that have seen few."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from magan_jax.augmentation.fitting import SHIFTED, Fit, FittingConfig, fit_all
from magan_jax.augmentation.places import in_nine_places
from magan_jax.blocks import in_blocks
from magan_jax.errors import check_positive
from magan_jax.images import scale_images
from magan_jax.latent.labels import check_finite, check_latents, logits_and_finite
from magan_jax.networks import Classify, Generate, Networks, as_pytree, take_apart
from magan_jax.training.engine import Batch
from magan_jax.training.ensemble import stacked

_BLOCK = 500
"""Latents labelled at once."""


def fit_ensembles(
    keys: Sequence[jax.Array],
    config: FittingConfig,
    few: Sequence[Batch],
    num_classes: int,
    num_members: int,
) -> list[Classify]:
    """An ensemble for each of several sets of few labelled images, all fitted together.

    Args:
        keys: of each; its member i has `fold_in(key, i)`.
        config: of the members.
        few: uint8 images and labels of each, which are shifted in training.
        num_classes: K.
        num_members: of an ensemble.
    """
    fits = [
        Fit(jax.random.fold_in(key, i), real, moves=SHIFTED)
        for key, real in zip(keys, few, strict=True)
        for i in range(num_members)
    ]
    members = list(fit_all(fits, config, num_classes))
    return [
        ensemble(members[first : first + num_members])
        for first in range(0, len(members), num_members)
    ]


def ensemble(members: Sequence[Callable[[jax.Array], jax.Array]]) -> Classify:
    """One classifier out of several: its probabilities are the mean of theirs.

    Args:
        members: `images -> logits [n, K]`, pytrees of the same structure (`fit` returns such).

    Returns:
        `images [n, H, W, C] -> log of the mean probabilities [n, K]`, which serve as logits.
    """
    return jax.tree_util.Partial(_log_mean_probabilities, stacked(members))


def _log_mean_probabilities(members: Any, images: jax.Array) -> jax.Array:
    # One after another: on a CPU their products in one batch (`vmap`) take four times as long, and
    # an accelerator is filled by the images of one.
    each = jax.lax.map(lambda one: jax.nn.softmax(one(images)), members)
    return jnp.log(jnp.maximum(jnp.mean(each, axis=0), jnp.finfo(jnp.float32).tiny))


def opinion_pool(members: Sequence[Classify]) -> Classify:
    """One classifier out of unlike ones: its logits are the mean of their log-probabilities.

    Where `ensemble` averages out the chance in classifiers of one kind, this lets kinds that err
    differently outvote each other: a class that one of them rules out is out.

    Args:
        members: `images -> logits [n, K]`, each a pytree of its parameters, if it has any.
    """
    return jax.tree_util.Partial(_mean_log_probabilities, list(map(as_pytree, members)))


def _mean_log_probabilities(members: Sequence[Classify], images: jax.Array) -> jax.Array:
    return jnp.mean(jnp.stack([jax.nn.log_softmax(one(images)) for one in members]), axis=0)


def probabilities_of(classify: Classify, images: np.ndarray) -> np.ndarray:
    """Class probabilities `[n, K]` of uint8 images `[n, H, W, C]`."""
    function = as_pytree(classify)
    found = in_blocks(lambda block: _probabilities_of(function, block), images, _BLOCK)
    return np.asarray(found)


def probabilities_in_nine_places(classify: Classify, images: np.ndarray) -> np.ndarray:
    """The mean of an image's probabilities `[n, K]` where it is and a pixel aside, all around."""
    each = (probabilities_of(classify, moved) for moved in in_nine_places(images))
    return np.mean(list(each), axis=0)


@jax.jit
def _probabilities_of(classify: Classify, images: jax.Array) -> jax.Array:
    return jax.nn.softmax(classify(scale_images(images)), axis=-1)


def neighbourhood_probabilities(
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
    z' is distributed as z is, and correlated with it by 1 / √(1 + s²). Not in the paper: its ε
    asks how far a label stays the same, this how much of it the neighbourhood shares.

    Args:
        key: neighbour j draws its η from `fold_in(key, j)`.
        generate, classify: see `analyze`.
        latents: `[n, d]` of a standard normal prior.
        scale: s; 0 for the latents alone.
        num_neighbours: m; 0 for the latents alone.

    Raises:
        ValueError: for a scale that is negative or not finite, or latents that are not finite.
    """
    each = neighbours_probabilities(
        key, generate, classify, latents, scale=scale, num_neighbours=num_neighbours
    )
    return np.mean(list(each), axis=0)


def neighbours_probabilities(
    key: jax.Array,
    generate: Generate,
    classify: Classify,
    latents: np.ndarray,
    *,
    scale: float,
    num_neighbours: int,
) -> Iterator[np.ndarray]:
    """Of each latent itself, then of its neighbour 1, 2, … m: m + 1 arrays `[n, K]`.

    Arguments and errors are those of `neighbourhood_probabilities`, which is their mean.
    """
    if not (scale >= 0 and np.isfinite(scale)):
        raise ValueError(f"scale is {scale}; it must be 0 or more, and finite.")
    if num_neighbours:
        num_neighbours = check_positive("num_neighbours", num_neighbours)
    z = check_latents(latents)
    yield _probabilities(generate, classify, z)
    for j in range(num_neighbours):
        noise = np.asarray(jax.random.normal(jax.random.fold_in(key, j), z.shape, jnp.float32))
        yield _probabilities(generate, classify, (z + scale * noise) / np.sqrt(1 + scale**2))


def _probabilities(generate: Generate, classify: Classify, latents: np.ndarray) -> np.ndarray:
    networks, arrays = take_apart(generate, classify)
    probabilities, finite = in_blocks(lambda z: _of_block(networks, arrays, z), latents, _BLOCK)
    check_finite(int(np.sum(~finite)), len(latents))
    return np.asarray(probabilities)


@partial(jax.jit, static_argnames="networks")
def _of_block(networks: Networks, arrays: Any, latents: jax.Array) -> tuple[jax.Array, jax.Array]:
    logits, finite = logits_and_finite(*networks.functions(arrays), latents)
    return jax.nn.softmax(logits, axis=-1), finite
