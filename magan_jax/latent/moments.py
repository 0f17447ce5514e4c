"""Counts, means and squared deviations of groups, merged without cancellation.

Moments of parts are merged by the pairwise update of Chan, Golub and LeVeque (1983), never
formed as E[x²] − E[x]². The functions work on NumPy and on JAX arrays, inside and outside
compiled code.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Array = Any


class Moments(NamedTuple):
    """First and second moments of G groups of vectors.

    Attributes:
        count: whole numbers `[..., G]`, vectors in each group (float32 would stop at 2²⁴).
        mean: `[..., G, d]`, zero for an empty group.
        scatter: `[..., G, d]`, Σ (z − mean)² by dimension.
    """

    count: Array
    mean: Array
    scatter: Array


def moments_of_groups(vectors: jax.Array, group: jax.Array, num_groups: int) -> Moments:
    """Moments of the rows of `vectors [n, d]` by `group [n]`; others than 0..G−1 are left out."""
    membership = jax.nn.one_hot(group, num_groups, dtype=vectors.dtype)  # [n, G]
    count = jnp.sum(membership.astype(jnp.int32), axis=0)
    mean = group_sums(membership, vectors) / jnp.maximum(count, 1)[:, None]
    inside = (group >= 0) & (group < num_groups)
    centred = vectors - mean[jnp.clip(group, 0, num_groups - 1)]
    centred = jnp.where(inside[:, None], centred, 0)
    return Moments(count, mean, group_sums(membership, centred**2))


def group_sums(membership: jax.Array, vectors: jax.Array) -> jax.Array:
    """`[n, G], [n, d] -> [G, d]` in full float32 (TF32 or bf16 would spoil means near zero)."""
    return jnp.matmul(membership.T, vectors, precision=jax.lax.Precision.HIGHEST)


def merge(a: Moments, b: Moments) -> Moments:
    """Moments of the union of two disjoint samples (Chan et al., Eq. 2.1)."""
    count = a.count + b.count
    share = b.count / jnp.maximum(count, 1)
    delta = b.mean - a.mean
    return Moments(
        count=count,
        mean=a.mean + delta * share[..., None],
        scatter=a.scatter + b.scatter + delta**2 * (a.count * share)[..., None],
    )


def merge_all(parts: Moments, weight: np.ndarray | None = None) -> Moments:
    """Merge along the first axis in float64 on the host, each part counted `weight` times.

    Args:
        parts: moments with a leading axis `[R, ..., G]`.
        weight: `[R]`, how often each part enters; default once. Zero leaves a part out.
    """
    times = np.ones(len(parts.count)) if weight is None else np.asarray(weight, np.float64)
    count = np.asarray(parts.count, np.float64) * times.reshape(-1, *[1] * (parts.count.ndim - 1))
    mean = np.asarray(parts.mean, np.float64)
    total = count.sum(0)
    share = count / np.maximum(total, 1)
    merged_mean = np.sum(share[..., None] * mean, axis=0)
    scatter = np.asarray(parts.scatter, np.float64)
    scatter = np.tensordot(times, scatter, 1) + np.sum(
        count[..., None] * (mean - merged_mean) ** 2, axis=0
    )
    return Moments(total, merged_mean, scatter)


def standard_deviation(moments: Moments) -> np.ndarray:
    """Per-dimension standard deviation with n − 1 (MAGAN, Algorithm 1, line 6).

    Returns:
        `[..., G, d]`; NaN for a group of fewer than two vectors.
    """
    count = np.asarray(moments.count, np.float64)[..., None]
    enough = count >= 2
    variance = np.asarray(moments.scatter, np.float64) / np.where(enough, count - 1, 1)
    return np.where(enough, np.sqrt(variance), np.nan)
