"""Jackknife intervals of distances and ε: few classes on the host, many on the device.

The jackknife is Efron and Stein's (1981), see `jackknife`. Of many classes every part of the stream
costs a product of K² pairs and d dimensions, and more memory traffic for what is made of it. There,
not the distances without a part are computed but their changes, for which float32 is enough: where
leaving a part out moves the means by e_i,

    d²₍₋ᵣ₎(i, j) − d²(i, j) = (v_i − v_j)·(e_i − e_j) = P_ii + P_jj − P_ij − P_ji,

with v = 2μ + e and one product P = v eᵀ. Rounding is then a share of the change, not of the
distance.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from magan_jax.latent.geometry import Geometry, geometry, interval_of_changes, jackknife
from magan_jax.latent.moments import FEW_GROUPS, Moments


class Estimates(NamedTuple):
    """What has an interval, of K classes; distances that may be debiased to zero as squares.

    Attributes:
        distance: `[K, K]`.
        squared_debiased: `[K, K]`.
        nearest_distance: `[K]`.
        nearest_squared_debiased: `[K]`.
        epsilon: `[K]`.
        squared_epsilon: `[K]`, debiased.
    """

    distance: np.ndarray
    squared_debiased: np.ndarray
    nearest_distance: np.ndarray
    nearest_squared_debiased: np.ndarray
    epsilon: np.ndarray
    squared_epsilon: np.ndarray


def estimates(found: Geometry) -> Estimates:
    """All that has an interval."""
    with np.errstate(divide="ignore", invalid="ignore"):  # of a class without spread
        return Estimates(
            found.distance,
            found.squared_debiased,
            found.nearest_distance,
            found.nearest_squared_debiased,
            found.nearest_distance / found.spread,
            found.nearest_squared_debiased / found.spread**2,
        )


def intervals_of(parts: Moments, whole: Moments, found: Geometry) -> Any:
    """95 % intervals of the `estimates`, by leaving out one part at a time.

    Args:
        parts: moments of R parts of a stream, `[R, K]` and `[R, K, d]`.
        whole: all of them merged.
        found: its geometry.

    Returns:
        `Estimates` with an `Interval` in place of each array.
    """
    if parts.count.shape[1] <= FEW_GROUPS:
        return jackknife(lambda moments: estimates(geometry(moments)), parts)
    return intervals_of_many(parts, whole, found)


class _Whole(NamedTuple):
    """Of all parts, float32, in units of a spread.

    Attributes:
        centred: means `[K, d]` minus their mean.
        squared: d² `[K, K]`.
        beyond_nearest: d² minus that of the nearest class, `[K, K]`: taken in float64, so that
            ties are told apart.
    """

    centred: np.ndarray
    squared: np.ndarray
    beyond_nearest: np.ndarray


class _Part(NamedTuple):
    """Of the part that is left out, float32: `[K, d]`, and `[K]` made from counts.

    Attributes:
        away: m − μ, the part's mean from that of all; the difference is taken in float64.
        valid: what is left of the class has at least two latents.
        share: n_r / left.
        scatter: (n_r s² − S_r) / (left − 1), how s² changes but for the shift of the mean.
        shift: n_r n / (left (left − 1)), by which ‖m − μ‖² makes s² smaller.
        noise: s² n_r / (left n), how s²/n changes if s² does not.
        left: latents without the part.
    """

    away: np.ndarray
    valid: np.ndarray
    share: np.ndarray
    scatter: np.ndarray
    shift: np.ndarray
    noise: np.ndarray
    left: np.ndarray


class _Nearest(NamedTuple):
    """Without one part: the nearest class of each `[K]`, and what changes with it."""

    nearest: jax.Array
    distance: jax.Array
    squared_debiased: jax.Array
    variance: jax.Array


def intervals_of_many(parts: Moments, whole: Moments, found: Geometry) -> Any:
    """`intervals_of` in float32 on the default device; see the top of this file.

    Widths are right to about 1e-6 of themselves; where two means lie much nearer to each other
    than to the centre of all, to 1e-7 times the ratio of the two distances times √R.
    """
    count = np.asarray(parts.count, np.float64)
    left = np.maximum(whole.count - count, 1)
    variance = found.spread**2
    scatter = np.sum(parts.scatter, axis=-1, dtype=np.float64)
    fewer = np.maximum(left - 1, 1)
    # In units of a spread: squares of changes must neither overflow nor vanish in float32.
    unit = np.nanmean(found.spread) if np.nansum(found.spread) > 0 else 1.0
    nearest_squared = np.where(found.nearest < 0, np.nan, found.nearest_distance) ** 2
    squared = found.distance**2
    inputs: Any = (
        _Whole(
            (whole.mean - whole.mean.mean(axis=0)) / unit,
            squared / unit**2,
            (squared - nearest_squared[:, None]) / unit**2,
        ),
        _Part(
            np.stack([_difference(part, whole.mean, unit) for part in parts.mean]),
            whole.count - count >= 2,
            count / left,
            (count * variance - scatter) / fewer / unit**2,
            count * whole.count / (left * fewer),
            variance * count / (left * np.maximum(whole.count, 1)) / unit**2,
            left,
        ),
    )
    inputs = jax.tree.map(lambda x: x if x.dtype == bool else np.asarray(x, np.float32), inputs)
    of_pairs, nearest = jax.device_get(_without_each_part(*inputs))
    pairs = [
        (
            np.multiply(total, scale, dtype=np.float64),
            np.multiply(square, scale**2, dtype=np.float64),
        )
        for (total, square), scale in zip(of_pairs, (unit, unit**2), strict=True)
    ]

    # What is made of the nearest classes is little, and made in float64.
    rows = np.arange(count.shape[1])
    at = _Nearest(nearest[0], *(x.astype(np.float64) for x in nearest[1:]))
    there = at.nearest >= 0
    apart = np.where(there, found.distance[rows, at.nearest], np.nan) + unit * at.distance
    debiased = np.where(there, found.squared_debiased[rows, at.nearest], np.nan)
    debiased += unit**2 * at.squared_debiased
    left_variance = variance + unit**2 * at.variance
    value = estimates(found)
    with np.errstate(divide="ignore", invalid="ignore"):  # of a class without spread
        left_out = (apart, debiased, apart / np.sqrt(left_variance), debiased / left_variance)
        of_nearest = [x - whole_value for x, whole_value in zip(left_out, value[2:], strict=True)]
    sums = pairs + [(x.sum(axis=0), (x**2).sum(axis=0)) for x in of_nearest]
    intervals = [
        interval_of_changes(v, total, square, parts.count)
        for v, (total, square) in zip(value, sums, strict=True)
    ]
    return Estimates(*intervals)  # type: ignore[arg-type]


def _difference(part: np.ndarray, mean: np.ndarray, unit: float) -> np.ndarray:
    away = np.subtract(part, mean, dtype=np.float64)
    away /= unit
    return away.astype(np.float32)


@jax.jit
def _without_each_part(
    whole: _Whole, parts: _Part
) -> tuple[tuple[tuple[jax.Array, jax.Array], ...], _Nearest]:
    """Sums over parts of the changes of d and D², and of their squares; `_Nearest` of each part."""
    num_classes = len(whole.centred)
    itself = jnp.eye(num_classes, dtype=bool)
    before = jnp.sqrt(whole.squared)

    def leave_out(sums: tuple[tuple[jax.Array, jax.Array], ...], part: _Part) -> tuple[Any, Any]:
        moved = -part.share[:, None] * part.away
        products = jnp.matmul(
            2 * whole.centred + moved, moved.T, precision=jax.lax.Precision.HIGHEST
        )
        own = jnp.diagonal(products)
        change = jnp.where(itself, 0, own[:, None] + own[None] - products - products.T)
        valid = part.valid & jnp.isfinite(jnp.diagonal(whole.squared))
        change = jnp.where(valid[:, None] & valid[None], change, jnp.nan)
        after = jnp.sqrt(jnp.maximum(whole.squared + change, 0))
        farther = jnp.where(itself | (change == 0), change, change / (before + after))
        variance = part.scatter - part.shift * jnp.sum(part.away**2, axis=1)
        noise = part.noise + variance / part.left
        debiased = change - jnp.where(itself, 0, noise[:, None] + noise[None])
        beyond = whole.beyond_nearest + change
        others = jnp.where(itself | jnp.isnan(beyond), jnp.inf, beyond)
        nearest = jnp.argmin(others, axis=1)

        def to_nearest(x: jax.Array) -> jax.Array:
            return jnp.take_along_axis(x, nearest[:, None], axis=1)[:, 0]

        there = jnp.isfinite(to_nearest(others))
        sums = tuple((t + x, s + x**2) for (t, s), x in zip(sums, (farther, debiased), strict=True))
        return sums, _Nearest(
            jnp.where(there, nearest, -1), to_nearest(farther), to_nearest(debiased), variance
        )

    nothing = jnp.zeros((num_classes, num_classes))
    return jax.lax.scan(leave_out, ((nothing, nothing),) * 2, parts)
