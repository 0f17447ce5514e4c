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

from magan_jax.latent.labels import (
    check_finite,
    check_positive,
    keeps_label,
    logits_and_finite_image,
)
from magan_jax.latent.networks import (
    Classify,
    Generate,
    Networks,
    check_networks,
    chosen_batch_size,
    take_apart,
)
from magan_jax.parallel import DEVICES, device_count, local_part, on_devices


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

    The mean, a scan of `scan_points` points upper/scan_points, 2·upper/scan_points, …, upper,
    then ⌈log₂(step / tolerance)⌉ halvings: so many network evaluations for each ray, all rays of
    all classes in one compiled call, in chunks of `batch_size` shared over the devices.

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
    """
    mean, shifts = np.asarray(mean, np.float32), np.asarray(shifts, np.float32)
    target = np.arange(mean.shape[0] if mean.ndim else 0) if labels is None else np.asarray(labels)
    _check_rays(mean, shifts, target)
    _check_search(upper, tolerance, scan_points)
    batch_size = chosen_batch_size(batch_size)
    latent_dim = mean.shape[1]
    halvings = max(0, math.ceil(math.log2(upper / scan_points / tolerance)))
    num_rays = shifts.shape[0] * shifts.shape[1]
    devices = device_count(num_devices)
    batch = min(batch_size, -(-num_rays // devices))
    chunks = -(-num_rays // (batch * devices))
    networks, arrays = take_apart(generate, classify)
    search, num_classes = _compiled_search(
        networks, latent_dim, scan_points, halvings, batch, num_devices
    )
    if target.min() < 0 or target.max() >= num_classes:
        wrong = target[(target < 0) | (target >= num_classes)][0]
        raise ValueError(
            f"a row of mean is to keep the label {wrong}, but classify has the classes 0 to "
            f"{num_classes - 1}; name the class of each row with labels=."
        )
    # Ray r belongs to mean r // M. Rays beyond the last repeat it and are dropped.
    ray = np.minimum(np.arange(devices * chunks * batch), num_rays - 1)
    rays = ray.reshape(devices, chunks, batch)
    epsilon, inside, start_label, finite = jax.device_get(
        search(
            arrays,
            mean,
            shifts.reshape(num_rays, -1),
            target.astype(np.int32),
            rays,
            jnp.float32(upper),
        )
    )
    shape = shifts.shape[:2]
    check_finite(int(np.sum(~finite[:num_rays])), num_rays, "rays")
    censored = (inside[:num_rays] > scan_points).reshape(shape)
    return Exits(
        epsilon=np.where(censored, np.float32(upper), epsilon[:num_rays].reshape(shape)),
        censored=censored,
        prototype_label=start_label[:num_rays].reshape(shape)[:, 0],
    )


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


def _check_search(upper: float, tolerance: float, scan_points: int) -> None:
    """Refuse a search that cannot end as asked."""
    if not (upper > 0 and math.isfinite(upper)):
        raise ValueError(f"upper is {upper}; it must be positive and finite.")
    if not upper * 2.0**-22 <= tolerance < upper:
        raise ValueError(
            f"tolerance is {tolerance}; it must lie between {upper * 2.0**-22:.1g} (float32 "
            f"resolves no less of upper) and upper = {upper}."
        )
    check_positive("scan_points", scan_points)


@lru_cache(maxsize=16)
def _compiled_search(
    networks: Networks,
    latent_dim: int,
    scan_points: int,
    halvings: int,
    batch_size: int,
    num_devices: int | None,
) -> tuple[Callable[..., tuple[jax.Array, ...]], int]:
    """The search, compiled at its first call, and the number of classes."""
    num_classes = check_networks(networks, latent_dim)

    def search(
        arrays: Any,
        mean: jax.Array,
        shifts: jax.Array,
        target: jax.Array,
        rays: jax.Array,
        upper: jax.Array,
    ) -> tuple[jax.Array, ...]:
        generate, classify = networks.functions(arrays)
        directions = shifts.shape[0] // mean.shape[0]
        step = upper / scan_points

        def follow(chunk: jax.Array) -> tuple[jax.Array, ...]:
            which = chunk // directions
            start, direction, wanted = mean[which], shifts[chunk], target[which]

            def look(t: jax.Array) -> tuple[jax.Array, ...]:
                """Logits `[n, C]`, and `[n]`: the label is the wanted one; all is finite."""
                logits, finite_image = logits_and_finite_image(
                    generate, classify, start + t[:, None] * direction
                )
                holds, finite = keeps_label(logits, wanted)
                return logits, holds, finite & finite_image

            def last_inside(inside: jax.Array) -> jax.Array:
                return jnp.maximum(inside - 1, 0) * step

            def visit(i: jax.Array, carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
                inside, low, high, finite = carry
                scanning = i <= scan_points
                t = jnp.where(scanning, i * step, (low + high) / 2)
                _, holds, ok = look(t)
                inside = jnp.where(scanning & (inside == i) & holds, i + 1, inside)
                low = jnp.where(scanning, last_inside(inside), jnp.where(holds, t, low))
                high = jnp.where(scanning, inside * step, jnp.where(holds, high, t))
                return inside, low, high, finite & ok

            logits, holds, finite = look(jnp.zeros(wanted.shape))
            start_label = jax.lax.cond(
                holds.all(),
                lambda _: wanted,
                lambda logits: jnp.argmax(logits, axis=-1).astype(wanted.dtype),
                logits,
            )
            # `inside` counts the points 0, step, 2·step, … that hold before the first that fails.
            # The halvings follow the scan in one loop: the networks are compiled once for both.
            inside = holds.astype(jnp.int32)
            inside, low, _, finite = jax.lax.fori_loop(
                1,
                scan_points + halvings + 1,
                visit,
                (inside, last_inside(inside), inside * step, finite),
            )
            undecided = (inside >= 1) & (inside <= scan_points)
            return jnp.where(undecided, low, last_inside(inside)), inside, start_label, finite

        mine = local_part(rays)[0]  # [chunks, batch_size]
        results = jax.tree.map(lambda x: x.reshape(-1), jax.lax.map(follow, mine))
        return jax.lax.all_gather(results, DEVICES, tiled=True)

    return on_devices(search, num_devices=num_devices), num_classes
