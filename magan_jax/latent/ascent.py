"""Gradient ascent on latents, towards a class that is wanted.

The exploration of the ClusterGAN report (section Latent space exploration, Figure 1): latents are
moved until the classifier sees another class in their images.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from magan_jax.errors import cause, check_positive, check_real, warn
from magan_jax.latent.labels import check_finite, check_latents, logits_and_finite, warn_of_networks
from magan_jax.networks import (
    Classify,
    Generate,
    Networks,
    check_networks,
    chosen_batch_size,
    take_apart,
)
from magan_jax.parallel import DEVICES, device_count, local_part, on_devices

_SURE = 0.999
"""A probability whose gradient may well be 0 in float32."""


class Ascent(NamedTuple):
    """Where n latents went.

    Attributes:
        latents: `[n, d]`, where they ended.
        target: int `[n]`, the class wanted of each.
        label: int `[n]`, C(G(z)) at the end.
        before: `[n]`, probability of the target under C at the start.
        after: `[n]`, at the end.
    """

    latents: np.ndarray
    target: np.ndarray
    label: np.ndarray
    before: np.ndarray
    after: np.ndarray

    @property
    def reached(self) -> np.ndarray:
        """Bool `[n]`: the image is of the class wanted."""
        return self.label == self.target


def ascend(
    generate: Generate,
    classify: Classify,
    latents: np.ndarray | jax.Array,
    target: np.ndarray | int,
    *,
    step_size: float = 0.1,
    num_steps: int = 100,
    pull: float = 0.0,
    radius: float | None = None,
    batch_size: int | None = None,
    num_devices: int | None = None,
) -> Ascent:
    """Climb log p(target | G(z)) from each latent, all latents in one compiled call.

    A step is `z += step_size · ∇(log softmax(C(G(z)))[target] − pull/2 · (‖z‖ − radius)²)`. The
    second term, the report has none, keeps latents near the shell on which a high-dimensional
    normal prior lies; without it they may end where G was never trained.

    Args:
        generate: `[n, d] -> images`, differentiable.
        classify: `images -> logits [n, K]`, differentiable.
        latents: `[n, d]`, where to start.
        target: int `[n]`, or one class for all.
        step_size: of the ascent, in units of z² (a gradient is one over z).
        num_steps: steps, the same for all latents.
        pull: weight of the pull towards the shell, 0 for none.
        radius: of the shell; None: √d, that of N(0, I).
        batch_size: latents that each device moves at once; memory and speed, not results. None:
            see `chosen_batch_size`.
        num_devices: see `magan_jax.parallel.on_devices`.

    Raises:
        ValueError: for latents, targets or settings that cannot work, functions without a
            gradient, or if G or C give values that are not finite on the way.

    Warns:
        UserWarning: where no latent moves, and as `label_latents` does.
    """
    latents = check_latents(latents)
    num_steps = check_positive("num_steps", num_steps)
    radius = float(np.sqrt(latents.shape[1])) if radius is None else radius
    _check_steps(step_size, pull, radius)
    networks, arrays = take_apart(generate, classify)
    batch_size = chosen_batch_size(batch_size, networks, latents.shape[1])
    num_classes = check_networks(networks, latents.shape[1])
    target = _check_target(target, len(latents), num_classes)

    warn_of_networks(generate, classify, latents, batch_size, num_devices, confidences=True)
    compiled = _compiled_ascent(networks, latents.shape[1], num_devices)
    size = batch_size * device_count(num_devices)
    results = []
    for first in range(0, len(latents), size):
        rows = slice(first, first + size)
        missing = size - len(target[rows])
        padded = np.pad(latents[rows], ((0, missing), (0, 0)))
        wanted = np.pad(target[rows], (0, missing))
        settings = (np.float32(step_size), np.float32(pull), np.float32(radius))
        ended = compiled(arrays, padded, wanted, *settings, np.int32(num_steps))
        results.append(ended)
    *found, finite = (
        np.concatenate(x)[: len(latents)] for x in zip(*jax.device_get(results), strict=True)
    )
    check_finite(int(np.sum(~finite)), len(latents))
    moved, label, before, after = found
    if (moved == latents).all() and (before < _SURE).any():
        warn(
            "no latent moves: the gradient of every probability is 0, as that of whole numbers, of "
            f"rounded or of saturated images is, or step_size {step_size} is too small for "
            "float32; give functions that are differentiable, or a larger step_size."
        )
    return Ascent(moved, target, label, before, after)


def _check_steps(step_size: float, pull: float, radius: float) -> None:
    """Refuse steps that cannot be taken."""
    for name, value in (("step_size", step_size), ("pull", pull), ("radius", radius)):
        check_real(name, value)
    if not 0 < step_size < np.inf:
        raise ValueError(f"step_size is {step_size}; it must be positive and finite.")
    if not 0 <= pull < np.inf:
        raise ValueError(f"pull is {pull}; it must be 0 (no pull) or a positive number.")
    if not 0 <= radius < np.inf:
        raise ValueError(f"radius is {radius}; it must be 0 or a positive number.")


def _check_target(target: np.ndarray | int, n: int, num_classes: int) -> np.ndarray:
    """The class wanted of each latent, int32 `[n]`."""
    wanted = np.asarray(target)
    if wanted.shape not in ((), (n,)) or not np.issubdtype(wanted.dtype, np.integer):
        raise ValueError(
            f"target has the shape {wanted.shape} and type {wanted.dtype}; one class, or one for "
            f"each of {n} latents, as integers, is needed."
        )
    if (wanted < 0).any() or (wanted >= num_classes).any():
        raise ValueError(
            f"target holds classes {wanted.min()} to {wanted.max()}; classify knows 0 to "
            f"{num_classes - 1}."
        )
    return np.broadcast_to(wanted, (n,)).astype(np.int32)


def _check_differentiable(networks: Networks, latent_dim: int) -> None:
    """Refuse functions through which JAX takes no gradient, by tracing alone."""

    def total(z: jax.Array, arrays: Any) -> jax.Array:
        return jnp.sum(logits_and_finite(*networks.functions(arrays), z)[0])

    latents = jax.ShapeDtypeStruct((2, latent_dim), jnp.float32)
    try:
        jax.eval_shape(jax.grad(total), latents, networks.shapes)
    except Exception as error:  # whatever a function of the user's may raise
        raise ValueError(
            f"generate or classify has no gradient ({cause(error)}), along which "
            "ascend climbs; give functions that JAX differentiates: a jax.pure_callback needs "
            "jax.custom_vjp around it."
        ) from error


@lru_cache(maxsize=16)
def _compiled_ascent(
    networks: Networks, latent_dim: int, num_devices: int | None
) -> Callable[..., tuple[jax.Array, ...]]:
    _check_differentiable(networks, latent_dim)

    def climb(
        arrays: Any,
        latents: jax.Array,
        target: jax.Array,
        step_size: jax.Array,
        pull: jax.Array,
        radius: jax.Array,
        num_steps: jax.Array,
    ) -> tuple[jax.Array, ...]:
        functions, mine = networks.functions(arrays), local_part(target)

        def log_probability(z: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
            logits, finite = logits_and_finite(*functions, z)
            chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), mine[:, None], axis=1)[:, 0]
            return chosen, (jnp.argmax(logits, axis=-1), finite)

        def height(z: jax.Array) -> jax.Array:
            # Rows are independent, so the gradient of the sum holds that of each.
            length = jnp.sqrt(jnp.sum(z**2, axis=1) + 1e-12)  # differentiable at 0 too
            return jnp.sum(log_probability(z)[0] - pull / 2 * (length - radius) ** 2)

        def step(_: int, z: jax.Array) -> jax.Array:
            return z + step_size * jax.grad(height)(z)

        start = local_part(latents)
        before, _ = log_probability(start)
        end = jax.lax.fori_loop(0, num_steps, step, start)
        after, (label, finite) = log_probability(end)
        finite &= jnp.isfinite(end).all(axis=1)
        outputs = (end, label, jnp.exp(before), jnp.exp(after), finite)
        return jax.lax.all_gather(outputs, DEVICES, tiled=True)

    return on_devices(climb, num_devices=num_devices)
