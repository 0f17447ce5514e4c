"""Where a ray from a class mean leaves the class: bisection with G and C.

Along the ray μ_k + t v the label C(G(·)) is not monotone: it may leave class k and come back. So
the first failing point of a coarse scan is found first, and the bisection runs between it and
the point before it. An excursion shorter than one step of the scan can be missed.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from magan_jax.errors import check_positive
from magan_jax.latent.labels import (
    check_finite,
    keeps_label,
    label_and_finite,
    logits_and_finite_image,
    warn_of_networks,
)
from magan_jax.latent.settings import check_exit_search
from magan_jax.networks import (
    Classify,
    Generate,
    Networks,
    check_networks,
    chosen_batch_size,
    take_apart,
)
from magan_jax.parallel import DEVICES, device_count, on_devices


class Exits(NamedTuple):
    """First exits of K × M rays from their classes.

    Attributes:
        epsilon: `[K, M]`, a t that was seen to keep the label, as were all scanned points before
            it; the label changes within (epsilon, epsilon + tolerance]. 0 where the mean itself
            has another label, `upper` where censored.
        censored: bool `[K, M]`, no scanned point up to `upper` left the class.
        prototype_label: int `[K]`, C(G(mean)).
    """

    epsilon: np.ndarray
    censored: np.ndarray
    prototype_label: np.ndarray


def bisect_epsilon(
    generate: Generate,
    classify: Classify,
    mean: np.ndarray | jax.Array,
    shifts: np.ndarray | jax.Array,
    *,
    upper: float,
    tolerance: float = 1e-4,
    scan_points: int = 32,
    labels: np.ndarray | None = None,
    batch_size: int | None = None,
    num_devices: int | None = None,
) -> Exits:
    """The first t in (0, upper] at which C(G(mean_k + t · shift)) is not k, for every shift.

    A scan of the points upper/scan_points, 2·upper/scan_points, …, upper up to the first that
    leaves the class, then ⌈log₂(step / tolerance)⌉ halvings: all rays of all classes in one
    compiled call, shared over the devices. Each device follows `batch_size` rays at once, and a
    ray that has found its exit makes place for the next: the networks are asked about no point
    that decides nothing.

    Args:
        generate: `z [n, d] -> images`, JAX-traceable; compiled once (see `analyze`).
        classify: `images -> logits [n, C]`, JAX-traceable.
        mean: `[K, d]`, where the rays of each class start.
        shifts: `[K, M, d]`, directions; t counts multiples of them (with shift = σ, t is in
            standard deviations).
        upper: end of the search.
        tolerance: width of the bracket at the end; at least upper · 2⁻²², float32's resolution.
        scan_points: points of the coarse scan.
        labels: `[K]`, the class that each row of `mean` must keep; default 0..K−1.
        batch_size: rays that each device follows at once; memory and speed, not results. None:
            see `chosen_batch_size`.
        num_devices: see `magan_jax.parallel.on_devices`.

    Raises:
        ValueError: for shapes, bounds or functions that do not fit, or values that are not finite.

    Warns:
        UserWarning: for networks to which the rest of a batch matters, as `label_latents` does.
    """
    mean, shifts = np.asarray(mean, np.float32), np.asarray(shifts, np.float32)
    target = np.arange(mean.shape[0] if mean.ndim else 0) if labels is None else np.asarray(labels)
    _check_rays(mean, shifts, target)
    check_exit_search(upper, tolerance)
    check_positive("scan_points", scan_points)
    latent_dim = mean.shape[1]
    networks, arrays = take_apart(generate, classify)
    batch_size = chosen_batch_size(batch_size, networks, latent_dim)
    halvings = max(0, math.ceil(math.log2(upper / scan_points / tolerance)))
    num_rays = shifts.shape[0] * shifts.shape[1]
    lanes = min(batch_size, -(-num_rays // device_count(num_devices)))
    search, num_classes = _compiled_search(
        networks, latent_dim, scan_points, halvings, lanes, num_devices
    )
    if target.min() < 0 or target.max() >= num_classes:
        wrong = target[(target < 0) | (target >= num_classes)][0]
        raise ValueError(
            f"a row of mean is to keep the label {wrong}, but classify has the classes 0 to "
            f"{num_classes - 1}; name the class of each row with labels=."
        )
    warn_of_networks(generate, classify, mean, batch_size, num_devices, confidences=False)
    found = search(
        arrays,
        mean,
        shifts.reshape(num_rays, -1),  # ray r belongs to mean r // M
        target.astype(np.int32),
        jnp.float32(upper),
    )
    start_label, epsilon, censored, finite = jax.device_get(found)
    check_finite(int(np.sum(~finite)), num_rays, "rays")
    shape = shifts.shape[:2]
    return Exits(epsilon.reshape(shape), censored.reshape(shape), start_label)


def _check_rays(mean: np.ndarray, shifts: np.ndarray, target: np.ndarray) -> None:
    """Refuse arrays that do not fit each other or are not finite."""
    if mean.ndim != 2 or not mean.size:
        raise ValueError(f"mean has the shape {mean.shape}; [K, d] with K, d ≥ 1 is needed.")
    num_means, latent_dim = mean.shape
    if shifts.ndim != 3 or shifts.shape[::2] != mean.shape or not shifts.size:
        raise ValueError(
            f"shifts have the shape {shifts.shape}; with means {mean.shape} they must be "
            f"[{num_means}, M, {latent_dim}] with M ≥ 1."
        )
    for name, array in (("mean", mean), ("shifts", shifts)):
        if not np.isfinite(array).all():
            raise ValueError(
                f"{name} has {np.sum(~np.isfinite(array))} values that are not finite; leave out "
                "classes without statistics and name the others with labels=."
            )
    if target.shape != (num_means,) or not np.issubdtype(target.dtype, np.integer):
        raise ValueError(f"labels are {target}; one whole number for each of {num_means} means.")


class _Lanes(NamedTuple):
    """The rays that a device follows at the moment, one in each of n lanes.

    Attributes:
        place: int `[n]`, of the ray in the queue; at or beyond its end for an idle lane.
        point: int `[n]`, the scan point to look at next; 0 for a ray whose bracket is halved.
        halved: int `[n]`, how often that was done.
        low: `[n]`, seen to keep the label.
        high: `[n]`, seen to have lost it.
        finite: bool `[n]`, all images and logits of the ray were.
    """

    place: jax.Array
    point: jax.Array
    halved: jax.Array
    low: jax.Array
    high: jax.Array
    finite: jax.Array


def _begun(place: jax.Array) -> _Lanes:
    """Lanes before the first scan point of the rays at these places of the queue."""
    whole, real = jnp.zeros_like(place), jnp.zeros(place.shape)
    return _Lanes(place, whole + 1, whole, real, real, jnp.ones(place.shape, bool))


def _looked(now: _Lanes, t: jax.Array, holds: jax.Array, finite: jax.Array) -> _Lanes:
    """Lanes after a look at `t`, a scan point or the middle of a bracket: a ray is scanned until
    it loses its label, and from then on its bracket is halved."""
    scanning = now.point > 0
    return _Lanes(
        place=now.place,
        point=jnp.where(scanning & holds, now.point + 1, 0),
        halved=jnp.where(scanning, now.halved, now.halved + 1),
        low=jnp.where(holds, t, now.low),
        high=jnp.where(holds, now.high, t),
        finite=now.finite & finite,
    )


class _Found(NamedTuple):
    """What is known of all rays, `[R]` each."""

    epsilon: jax.Array
    censored: jax.Array
    finite: jax.Array


@lru_cache(maxsize=16)
def _compiled_search(
    networks: Networks,
    latent_dim: int,
    scan_points: int,
    halvings: int,
    lanes: int,
    num_devices: int | None,
) -> tuple[Callable[..., tuple[jax.Array, ...]], int]:
    """The search, compiled at its first call, and the number of classes."""
    num_classes = check_networks(networks, latent_dim)

    def search(
        arrays: Any, mean: jax.Array, shifts: jax.Array, target: jax.Array, upper: jax.Array
    ) -> tuple[jax.Array, ...]:
        generate, classify = networks.functions(arrays)
        num_rays, directions = len(shifts), len(shifts) // len(mean)
        step = upper / scan_points

        def label(z: jax.Array) -> tuple[jax.Array, jax.Array]:
            logits, finite_image = logits_and_finite_image(generate, classify, z[None])
            found, finite = label_and_finite(logits)
            return found[0].astype(target.dtype), finite[0] & finite_image[0]

        # Rays from a mean that has another label itself end there; the others form a queue.
        start_label, start_finite = jax.lax.map(label, mean, batch_size=min(lanes, len(mean)))
        starts = jnp.repeat(start_label == target, directions, total_repeat_length=num_rays)
        queue = jnp.argsort(~starts, stable=True)
        waiting = jnp.sum(starts)
        # Device i of D takes the places i, i + D, i + 2D, … of the queue.
        devices, device = jax.lax.axis_size(DEVICES), jax.lax.axis_index(DEVICES)

        def follow(state: tuple[_Lanes, jax.Array, _Found]) -> tuple[_Lanes, jax.Array, _Found]:
            now, next_place, found = state
            ray = queue[jnp.minimum(now.place, num_rays - 1)]
            scanned = now.point.astype(jnp.float32) * step
            t = jnp.where(now.point > 0, scanned, (now.low + now.high) / 2)
            logits, finite_image = logits_and_finite_image(
                generate, classify, mean[ray // directions] + t[:, None] * shifts[ray]
            )
            holds, finite = keeps_label(logits, target[ray // directions])
            after = _looked(now, t, holds, finite & finite_image)
            censored = after.point > scan_points
            done = censored | ((after.point == 0) & (after.halved == halvings))
            # Where nothing is written: beyond the last ray.
            where = jnp.where(done & (now.place < waiting), ray, num_rays)
            found = _Found(
                found.epsilon.at[where].set(jnp.where(censored, upper, after.low), mode="drop"),
                found.censored.at[where].set(censored, mode="drop"),
                found.finite.at[where].set(after.finite, mode="drop"),
            )
            # A lane that is done takes the next ray of the queue.
            taken = jnp.cumsum(done.astype(jnp.int32))
            fresh = _begun(next_place + (taken - 1) * devices)
            now = jax.tree.map(lambda new, old: jnp.where(done, new, old), fresh, after)
            return now, next_place + taken[-1] * devices, found

        none = jnp.zeros(num_rays, bool)
        state = (
            _begun(device + jnp.arange(lanes, dtype=jnp.int32) * devices),
            device + lanes * devices,
            _Found(jnp.zeros(num_rays), none, none),
        )
        _, _, found = jax.lax.while_loop(
            lambda state: (state[0].place < waiting).any(), follow, state
        )
        # Every ray was followed by one device at most: the others have zeros there.
        epsilon, censored, finite = (jax.lax.psum(x.astype(jnp.float32), DEVICES) for x in found)
        start_finite = jnp.repeat(start_finite, directions, total_repeat_length=num_rays)
        return start_label, epsilon, censored > 0, start_finite & ((finite > 0) | ~starts)

    return on_devices(search, num_devices=num_devices), num_classes
