"""Counts, means and squared deviations of groups, merged without cancellation.

Moments of parts are merged by the pairwise update of Chan, Golub and LeVeque (1983), never
formed as E[x²] − E[x]². The functions work on NumPy and on JAX arrays, inside and outside
compiled code.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Array = Any

FEW_GROUPS = 32
"""Up to so many groups, each row is compared with every group, and all groups are merged."""

_AT_ONCE = 2**16
"""Numbers that the host merges at once: few enough for its cache."""


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
    count = jnp.sum(membership.astype(jnp.int32), axis=0, dtype=jnp.int32)
    mean = group_means(membership, vectors, count)
    inside = (group >= 0) & (group < num_groups)
    centred = vectors - mean[jnp.clip(group, 0, num_groups - 1)]
    centred = jnp.where(inside[:, None], centred, 0)
    return Moments(count, mean, group_sums(membership, centred**2))


def add_rows(so_far: Moments, vectors: jax.Array, group: jax.Array) -> Moments:
    """P parts with more rows in each: `so_far [P, G]`, `vectors [m, P, d]`, `group [m, P]`.

    With at most `FEW_GROUPS`, every row is compared with every group, and all groups are merged.
    With more, only the groups that rows belong to are read and written: the cost of a row does
    not depend on G then.
    """
    num_parts, num_groups = so_far.count.shape
    if num_groups <= FEW_GROUPS:
        of_parts = jax.vmap(lambda v, g: moments_of_groups(v, g, num_groups), (1, 1))
        return merge(so_far, of_parts(vectors, group))
    place = jnp.arange(num_parts), jnp.where(group < 0, num_groups, group)

    def at_rows(x: jax.Array) -> jax.Array:
        """What `x [P, G, ...]` holds for the group of each row: `[m, P, ...]`."""
        return x.at[place].get(mode="clip")

    def add(x: jax.Array, rows: Array) -> jax.Array:
        return x.at[place].add(rows, mode="drop")

    # Chan et al.'s update as sums over rows. With k rows that move the mean of n from m to m',
    # m' = m + Σ (z − m) / (n + k), and the scatter grows by Σ (z − m')² + n (m' − m)², of which
    # each row brings its k-th part. All terms are positive: nothing cancels.
    count = add(so_far.count, 1)
    before, after = at_rows(so_far.count), jnp.maximum(at_rows(count), 1)
    old_mean = at_rows(so_far.mean)
    mean = add(so_far.mean, (vectors - old_mean) / after[..., None])
    new_mean = at_rows(mean)
    share = before / jnp.maximum(after - before, 1)
    moved = share[..., None] * (new_mean - old_mean) ** 2
    return Moments(count, mean, add(so_far.scatter, (vectors - new_mean) ** 2 + moved))


def group_sums(membership: jax.Array, vectors: jax.Array) -> jax.Array:
    """`[n, G], [n, d] -> [G, d]` in full float32 (TF32 or bf16 would spoil means near zero)."""
    return jnp.matmul(membership.T, vectors, precision=jax.lax.Precision.HIGHEST)


def group_means(membership: jax.Array, vectors: jax.Array, count: jax.Array) -> jax.Array:
    """`[n, G], [n, d], int [G] -> [G, d]`: `group_sums` over the counts; 0 for an empty group."""
    return group_sums(membership, vectors) / jnp.maximum(count, 1).astype(vectors.dtype)[:, None]


def merge(a: Moments, b: Moments) -> Moments:
    """Moments of the union of two disjoint samples (Chan et al., Eq. 2.1)."""
    count = a.count + b.count
    share = b.count / count.clip(1)  # a method: jnp.maximum would turn float64 into float32
    delta = b.mean - a.mean
    between = a.count.astype(share.dtype) * share
    return Moments(
        count=count,
        mean=a.mean + delta * share[..., None],
        scatter=a.scatter + b.scatter + delta**2 * between[..., None],
    )


def merge_over_axis(mine: Moments, axis: str) -> Moments:
    """Moments of the union over a mapped axis (devices), in float32 sums of equal size.

    Chan et al.'s update for all parts at once: the mean of all, and Σ (z − mean)² as each part's
    own scatter and n (m − mean)² for its shifted mean. Nothing is gathered.
    """
    count = jax.lax.psum(mine.count, axis)
    share = mine.count / jnp.maximum(count, 1)
    mean = jax.lax.psum(mine.mean * share[..., None], axis)
    weight = mine.count.astype(mean.dtype)
    shifted = weight[..., None] * (mine.mean - mean) ** 2
    return Moments(count, mean, jax.lax.psum(mine.scatter + shifted, axis))


def merge_all(parts: Moments, weight: np.ndarray | None = None) -> Moments:
    """Merge along the first axis in float64 on the host, each part counted `weight` times.

    Args:
        parts: moments with a leading axis `[R, ..., G]`.
        weight: `[R]`, how often each part enters; default once. Zero leaves a part out.
    """
    times = np.ones(len(parts.count)) if weight is None else np.asarray(weight, np.float64)
    merged = []
    for _, few in _few_groups(parts):
        count = few.count * times.reshape(-1, *[1] * (few.count.ndim - 1))
        total = count.sum(0)
        share = count / np.maximum(total, 1)
        mean = np.sum(share[..., None] * few.mean, axis=0)
        scatter = np.tensordot(times, few.scatter, 1) + np.sum(
            count[..., None] * (few.mean - mean) ** 2, axis=0
        )
        merged.append(Moments(total, mean, scatter))
    return Moments(*(np.concatenate(x) for x in zip(*merged, strict=True)))


def leave_one_out(parts: Moments, whole: Moments) -> Iterator[Moments]:
    """R parts of G groups merged without each part in turn, in float64 on the host.

    Chan et al.'s update backwards: the part is taken out of `whole = merge_all(parts)`. The digits
    that this loses are those of the share that is left, and float64 has many more than the parts.
    """
    for r in range(len(parts.count)):
        part = Moments(*(np.asarray(x[r]) for x in parts))
        count = whole.count - part.count
        left = np.maximum(count, 1)
        delta = np.subtract(part.mean, whole.mean, dtype=np.float64)
        mean = whole.mean - delta * (part.count / left)[:, None]
        mean[count == 0] = 0
        delta *= delta
        delta *= (part.count * whole.count / left)[:, None]
        delta += part.scatter
        yield Moments(count, mean, np.maximum(whole.scatter - delta, 0))


def _few_groups(parts: Moments) -> Iterator[tuple[slice, Moments]]:
    """All parts, `[R, G, ...]`, in float64, of as many groups at once as a cache can hold."""
    parts = Moments(*map(np.asarray, parts))
    size = max(1, _AT_ONCE // max(1, parts.mean[:, :1].size))
    for first in range(0, parts.count.shape[1], size):
        groups = slice(first, first + size)
        yield groups, Moments(*(x[:, groups].astype(np.float64) for x in parts))


def standard_deviation(moments: Moments) -> np.ndarray:
    """Per-dimension standard deviation with n − 1 (MAGAN, Algorithm 1, line 6).

    Returns:
        `[..., G, d]`; NaN for a group of fewer than two vectors.
    """
    count = np.asarray(moments.count, np.float64)[..., None]
    enough = count >= 2
    variance = np.asarray(moments.scatter, np.float64) / np.where(enough, count - 1, 1)
    return np.where(enough, np.sqrt(variance), np.nan)
