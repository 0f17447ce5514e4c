"""The label of a latent: C(G(z))."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from magan_jax.blocks import evenly_spaced, warn_of_neighbours
from magan_jax.errors import NetworkOutputError, warn
from magan_jax.networks import (
    Classify,
    Generate,
    Networks,
    check_networks,
    chosen_batch_size,
    take_apart,
)
from magan_jax.parallel import DEVICES, device_count, everywhere, local_part, on_devices

_BLOCK_WIDTHS = range(64, 15, -1)
"""Logits that an argmax of many looks at together: the first that divides them."""

_BOTH = "generate or classify"

_LOOKED_AT = 50
"""Latents that networks are tried on before a work of another kind."""

_LOWEST = np.int32(-(2**31))
"""Below every logit as a whole number."""


class Labels(NamedTuple):
    """Labels of n latents.

    Attributes:
        label: int `[n]`, the class of the largest logit.
        confidence: `[n]`, its softmax probability.
    """

    label: np.ndarray
    confidence: np.ndarray


def label_latents(
    generate: Generate,
    classify: Classify,
    latents: np.ndarray | jax.Array,
    *,
    batch_size: int | None = None,
    num_devices: int | None = None,
) -> Labels:
    """Label latents by the classifier's view of their images.

    Args:
        generate: `[n, d] -> images`, JAX-traceable; compiled once (see `analyze`).
        classify: `images -> logits [n, K]`, JAX-traceable.
        latents: `[n, d]`.
        batch_size: latents that each device handles at once; None: see `chosen_batch_size`.
        num_devices: see `magan_jax.parallel.on_devices`.

    Raises:
        ValueError: for latents that are not finite `[n, d]`, or whose logits are not finite.

    Warns:
        UserWarning: for what look like probabilities in the place of logits, and for networks that
            give a latent another image or other logits beside other latents.
    """
    latents = check_latents(latents)
    found = _look_at(generate, classify, latents, batch_size, num_devices)
    check_finite(int(np.sum(~found.finite)), len(latents))
    _warn_of_probabilities(found)
    warn_of_neighbours(_BOTH, found.lead, found.by_itself)
    return Labels(found.label, found.confidence)


def warn_of_networks(
    generate: Generate,
    classify: Classify,
    latents: np.ndarray,
    batch_size: int | None = None,
    num_devices: int | None = None,
    *,
    confidences: bool,
) -> None:
    """What `label_latents` warns of, where networks are asked for something else.

    Its program is that of `analyze`, compiled already where that was called.

    Args:
        generate, classify, batch_size, num_devices: see there.
        latents: `[n, d]`, of which some are looked at.
        confidences: whether these matter, so that probabilities will not do for logits.
    """
    some = evenly_spaced(np.asarray(latents, np.float32), _LOOKED_AT)
    found = _look_at(generate, classify, some, batch_size, num_devices)
    if found.finite.all():  # else what is asked for says so
        if confidences:
            _warn_of_probabilities(found)
        warn_of_neighbours(_BOTH, found.lead, found.by_itself)


class _Look(NamedTuple):
    """What networks say of n latents.

    Attributes:
        label, confidence: see `Labels`.
        lead: `[n]`, the largest logit over the mean of all: a common offset is no part of it.
        finite: bool `[n]`, image and logits are.
        sums_to_one: bool `[n]`, the logits might be probabilities.
        by_itself: `[m]`, the lead of the first latent in a batch of nothing else, at each place.
    """

    label: np.ndarray
    confidence: np.ndarray
    lead: np.ndarray
    finite: np.ndarray
    sums_to_one: np.ndarray
    by_itself: np.ndarray


def _look_at(
    generate: Generate,
    classify: Classify,
    latents: np.ndarray,
    batch_size: int | None,
    num_devices: int | None,
) -> _Look:
    """What the networks say of `latents [n, d]`, whatever it is; see `label_latents`."""
    networks, arrays = take_apart(generate, classify)
    batch_size = chosen_batch_size(batch_size, networks, latents.shape[1])
    compiled = _compiled_labels(networks, latents.shape[1], batch_size, num_devices)
    size = batch_size * device_count(num_devices)
    arrays, results = everywhere(arrays, num_devices), []
    for first in range(0, len(latents), size):
        part = latents[first : first + size]
        padded = np.pad(part, ((0, size - len(part)), (0, 0)))
        results.append(compiled(arrays, padded))
    by_itself = compiled(arrays, np.repeat(latents[:1], size, axis=0))
    # Cut on the host: on the device each length would be a program of its own.
    columns = (
        np.concatenate(x)[: len(latents)] for x in zip(*jax.device_get(results), strict=True)
    )
    return _Look._make([*columns, np.asarray(by_itself[2])])


def _warn_of_probabilities(found: _Look) -> None:
    if found.sums_to_one.all():
        warn(
            "classify gives numbers from 0 on that sum to 1, as probabilities do; it must give "
            "logits: labels are right, confidences too low. Logarithms of them will do, by "
            "jax.nn.log_softmax."
        )


@lru_cache(maxsize=16)
def _compiled_labels(
    networks: Networks, latent_dim: int, batch_size: int, num_devices: int | None
) -> Callable[..., tuple[jax.Array, ...]]:
    check_networks(networks, latent_dim)

    def label(arrays: Any, latents: jax.Array) -> tuple[jax.Array, ...]:
        logits, finite_image = logits_and_finite_image(
            *networks.functions(arrays), local_part(latents)
        )
        label, finite = label_and_finite(logits)
        confidence = jnp.max(jax.nn.softmax(logits, axis=-1), axis=-1)
        sums_to_one = (logits >= 0).all(-1) & (jnp.abs(jnp.sum(logits, axis=-1) - 1) < 1e-2)
        lead = jnp.max(logits, axis=-1) - jnp.mean(logits, axis=-1)  # a common offset is no part
        outputs = (label, confidence, lead, finite & finite_image, sums_to_one)
        return jax.lax.all_gather(outputs, DEVICES, tiled=True)

    return on_devices(label, num_devices=num_devices)


def logits_and_finite(
    generate: Generate, classify: Classify, latents: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """`[n, d] -> logits [n, K]`, and `[n]`: image and logits of this latent are finite."""
    logits, finite = logits_and_finite_image(generate, classify, latents)
    return logits, finite & jnp.isfinite(logits).all(-1)


def logits_and_finite_image(
    generate: Generate, classify: Classify, latents: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """`[n, d] -> logits [n, K]`, and `[n]`: the image of this latent is finite.

    In full float32: with TF32 or bf16 products a boundary between two classes would move by more
    than the tolerances asked for.
    """
    with jax.default_matmul_precision("highest"):
        images = generate(latents)
        logits = classify(images)
    finite = jnp.isfinite(images).reshape(len(latents), -1).all(-1)
    return logits.astype(jnp.float32), finite


def check_latents(latents: np.ndarray | jax.Array) -> np.ndarray:
    """`latents [n, d]` as float32; refuses other shapes and values that are not finite."""
    latents = np.asarray(latents, np.float32)
    if latents.ndim != 2 or not latents.size:
        raise ValueError(f"latents have the shape {latents.shape}; [n, d] with n, d ≥ 1 is needed.")
    if not np.isfinite(latents).all():
        raise ValueError(
            f"latents have {np.sum(~np.isfinite(latents))} values that are not finite; leave out "
            "classes without a mean."
        )
    return latents


def label_and_finite(logits: jax.Array) -> tuple[jax.Array, jax.Array]:
    """`[n, K] -> int [n], [n]`: `argmax(logits)`, and whether all logits are finite.

    A row that is not finite has some label in 0..K−1. An argmax takes one number after another;
    of many logits, the largest of each block is found first, several at a time.
    """
    num_classes = logits.shape[1]
    width = next((w for w in _BLOCK_WIDTHS if num_classes % w == 0), _BLOCK_WIDTHS[0])
    if num_classes < 2 * width:
        return jnp.argmax(logits, axis=-1), jnp.isfinite(logits).all(-1)
    padding = ((0, 0), (0, -num_classes % width))
    order, size = (
        jnp.pad(x, padding, constant_values=least).reshape(len(logits), -1, width)
        for x, least in zip(_as_whole_numbers(logits), (_LOWEST, jnp.int32(0)), strict=True)
    )
    largest, finite = _largest_and_finite(order, size)
    block = jnp.argmax(largest, axis=1)
    inside = jnp.take_along_axis(order, block[:, None, None], axis=1)[:, 0]
    return block * width + jnp.argmax(inside, axis=1), finite.all(-1)


def keeps_label(logits: jax.Array, label: jax.Array) -> tuple[jax.Array, jax.Array]:
    """`[n, K], [n] -> [n], [n]`: `argmax(logits) == label`, and whether all logits are finite.

    Both in one pass, which a CPU takes several logits at a time, unlike an argmax.
    """
    order, size = _as_whole_numbers(logits)
    place = jax.lax.broadcasted_iota(label.dtype, logits.shape, 1)
    # Of equal logits the first counts, so those behind the label's own must be one less. It is
    # not compared with itself: a compiler may compute it twice, rounded otherwise.
    least = order - (place > label[:, None]).astype(order.dtype)
    rival, finite = _largest_and_finite(jnp.where(place == label[:, None], _LOWEST, least), size)
    own = jnp.take_along_axis(order, label[:, None], axis=1)[:, 0]
    return rival < own, finite


def _as_whole_numbers(logits: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Float32 as int32 in the same order, −0 and 0 the same, and the same of their absolute values.

    The greatest of whole numbers is found several at a time; of floats, one of which may be NaN,
    a CPU looks at one after another.
    """
    bits = jax.lax.bitcast_convert_type(logits, jnp.int32)
    size = bits & jnp.int32(0x7FFFFFFF)
    return jnp.where(bits < 0, -size, size), size


def _largest_and_finite(order: jax.Array, size: jax.Array) -> tuple[jax.Array, jax.Array]:
    """`[..., K] -> [...]`: the largest, and whether all are finite, in one pass."""
    largest, largest_size = jax.lax.reduce(
        (order, size),
        (_LOWEST, jnp.int32(0)),
        lambda a, b: (jnp.maximum(a[0], b[0]), jnp.maximum(a[1], b[1])),
        (order.ndim - 1,),
    )
    return largest, largest_size < jnp.int32(0x7F800000)  # infinity


def check_finite(bad: int, total: int, what: str = "latents") -> None:
    """Refuse results that contain images or logits that are not finite."""
    if bad:
        raise NetworkOutputError(
            f"generate or classify gave values that are not finite for {bad} of {total} {what}; "
            f"such {what} have no label. Look at the generator's parameters and its images."
        )
