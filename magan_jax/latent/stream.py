"""A stream of labelled latents, reduced to class moments inside one compiled loop.

Latent i is drawn from `fold_in(key, i)`: it depends on nothing else, so the first thousand
latents of a large analysis are the latents of a small one, and neither batch size nor the number
of devices changes any of them. Memory does not grow with the number of latents: moments of each
block are merged into those of the stream.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from magan_jax.latent.labels import logits_and_finite
from magan_jax.latent.moments import Moments, group_sums, merge, moments_of_groups
from magan_jax.latent.networks import Networks, check_networks
from magan_jax.latent.prior import Prior
from magan_jax.parallel import DEVICES, device_count, on_devices

BLOCK = 1000
"""Latents within which labels are permuted, and the least that one loop iteration draws."""

_SEGMENT_ITERATIONS = 50
"""Loop iterations in one compiled call: long enough to cost nothing, short enough for a bar."""

REPLICATES = 20
"""Disjoint parts of the stream for the jackknife: latent i belongs to part i mod REPLICATES."""


class LabelledStream(NamedTuple):
    """What is kept of a stream of labelled latents.

    Attributes:
        replicates: moments of its parts, `[R, K]` and `[R, K, d]`.
        permuted_mean: `[B, K, d + 1]`, class means of (z − c, ‖z − c‖²) under B permutations of
            the labels; c is near the mean of all latents, so that nothing cancels.
        nonfinite: int `[]`, latents whose image or logits were not finite.
    """

    replicates: Moments
    permuted_mean: jax.Array
    nonfinite: jax.Array


Segment = Callable[[Any, jax.Array, jax.Array, jax.Array], LabelledStream]


@lru_cache(maxsize=16)
def compiled_stream(
    networks: Networks,
    prior: Prior,
    latent_dim: int,
    num_classes: int,
    batch_size: int,
    num_permutations: int,
    num_devices: int | None,
) -> Segment:
    """`segment(arrays, key, first, end)`: latents first, first + 1, …, end − 1, compiled once.

    `arrays` are those of the networks; `first` must be a whole number of iterations.
    """
    check_networks(networks, latent_dim, num_classes)
    _check_prior(prior, latent_dim)
    drawn = _drawn_at_once(batch_size)

    def draw(key: jax.Array, index: jax.Array) -> jax.Array:
        return prior(jax.random.fold_in(key, index), 1)[0]

    def label_block(arrays: Any, latents: jax.Array) -> tuple[jax.Array, jax.Array]:
        logits, finite = logits_and_finite(*networks.functions(arrays), latents)
        return jnp.argmax(logits, axis=-1), finite

    def label(arrays: Any, latents: jax.Array) -> tuple[jax.Array, jax.Array]:
        if batch_size >= drawn:
            return label_block(arrays, latents)
        label, finite = jax.lax.map(
            lambda z: jax.tree.map(lambda x: x[0], label_block(arrays, z[None])),
            latents,
            batch_size=batch_size,
        )
        return label, finite

    def segment(arrays: Any, key: jax.Array, start: jax.Array, end: jax.Array) -> LabelledStream:
        latent_key, permutation_key = jax.random.split(key)
        devices = jax.lax.axis_size(DEVICES)
        together = drawn * devices
        some = jax.vmap(draw, (None, 0))(latent_key, jnp.arange(BLOCK, dtype=jnp.uint32))
        centre = jnp.mean(some, axis=0)

        def iteration(number: jax.Array, so_far: LabelledStream) -> LabelledStream:
            first = (number * devices + jax.lax.axis_index(DEVICES).astype(jnp.uint32)) * drawn
            index = first + jnp.arange(drawn, dtype=jnp.uint32)
            latents = jax.vmap(draw, (None, 0))(latent_key, index)
            label_of, finite = label(arrays, latents)
            wanted = index < end
            group = jnp.where(wanted & finite, label_of, num_classes)  # num_classes: in no class
            parts = jax.vmap(lambda z, g: moments_of_groups(z, g, num_classes), (1, 1))(
                latents.reshape(-1, REPLICATES, latent_dim), group.reshape(-1, REPLICATES)
            )
            before = jnp.sum(so_far.replicates.count, axis=0)
            here = jnp.sum(parts.count, axis=0)
            share = (here / jnp.maximum(before + here, 1))[:, None]
            centred = latents - centre
            square = jnp.sum(centred**2, axis=-1, keepdims=True)
            permuted = _permuted_means(
                permutation_key,
                first // BLOCK,
                jnp.concatenate([centred, square], axis=-1),
                group,
                wanted,
                here,
                num_permutations,
            )
            return LabelledStream(
                merge(so_far.replicates, parts),
                so_far.permuted_mean + (permuted - so_far.permuted_mean) * share,
                so_far.nonfinite + jnp.sum(wanted & ~finite),
            )

        nothing = LabelledStream(
            Moments(
                jnp.zeros((REPLICATES, num_classes), jnp.int32),
                jnp.zeros((REPLICATES, num_classes, latent_dim)),
                jnp.zeros((REPLICATES, num_classes, latent_dim)),
            ),
            jnp.zeros((num_permutations, num_classes, latent_dim + 1)),
            jnp.zeros((), jnp.int32),
        )
        last = (end + together - 1) // together
        mine = jax.lax.fori_loop(start // together, last, iteration, nothing)
        return _over_devices(mine)

    return on_devices(segment, num_devices=num_devices)


def label_stream(
    segment: Segment,
    arrays: Any,
    key: jax.Array,
    num_samples: int,
    *,
    batch_size: int,
    num_devices: int | None,
    quiet: bool | None = None,
) -> LabelledStream:
    """The whole stream, in as many calls as a progress bar needs, merged in float64 on the host."""
    size = _SEGMENT_ITERATIONS * _drawn_at_once(batch_size) * device_count(num_devices)
    whole = None
    with tqdm(
        total=num_samples,
        desc="latents",
        unit=" latents",
        unit_scale=True,
        disable=True if num_samples <= size else quiet,
        dynamic_ncols=True,
    ) as bar:
        for first in range(0, num_samples, size):
            end = min(first + size, num_samples)
            part = jax.device_get(segment(arrays, key, jnp.uint32(first), jnp.uint32(end)))
            whole = part if whole is None else _joined(whole, part)
            bar.update(end - first)
    assert whole is not None
    return whole


def _drawn_at_once(batch_size: int) -> int:
    """Latents that one device draws in one iteration: whole blocks."""
    return max(1, batch_size // BLOCK) * BLOCK


def _joined(a: LabelledStream, b: LabelledStream) -> LabelledStream:
    """Two parts of one stream as one, in float64."""
    a, b = (
        jax.tree.map(lambda x: np.asarray(x, np.float64 if x.dtype.kind == "f" else np.int64), x)
        for x in (a, b)
    )
    before, here = (np.sum(x.replicates.count, axis=0) for x in (a, b))
    share = (here / np.maximum(before + here, 1))[:, None]
    return LabelledStream(
        merge(a.replicates, b.replicates),
        a.permuted_mean + (b.permuted_mean - a.permuted_mean) * share,
        a.nonfinite + b.nonfinite,
    )


def _permuted_means(
    key: jax.Array,
    first_block: jax.Array,
    latents: jax.Array,
    group: jax.Array,
    wanted: jax.Array,
    count: jax.Array,
    num_permutations: int,
) -> jax.Array:
    """Class means `[B, K, ...]` after rotating the labels within each block, B times.

    Labels of independent latents are exchangeable under the null, and rotations by independent
    offsets form a subgroup of the permutations, which is what an exact test needs (Hemerik and
    Goeman, 2018, Theorem 2); unlike a shuffle, a rotation costs no sort, and unlike a
    permutation of the whole stream it needs no memory of it. Latents beyond N stay in no class.
    """
    num_classes = count.shape[0]
    blocks = group.reshape(-1, BLOCK)
    present = jnp.sum(wanted.reshape(-1, BLOCK), axis=1, keepdims=True)  # they come first
    position = jnp.arange(BLOCK)
    block_keys = jax.vmap(lambda b: jax.random.fold_in(key, first_block + b))(
        jnp.arange(len(blocks), dtype=jnp.uint32)
    )

    def means(number: jax.Array) -> jax.Array:
        offset = jax.vmap(
            lambda k, n: jax.random.randint(jax.random.fold_in(k, number), (1,), 0, n)
        )(block_keys, jnp.maximum(present[:, 0], 1))
        source = jnp.where(
            position < present, (position + offset) % jnp.maximum(present, 1), position
        )
        rotated = jnp.take_along_axis(blocks, source, axis=1).reshape(-1)
        membership = jax.nn.one_hot(rotated, num_classes, dtype=latents.dtype)
        return group_sums(membership, latents) / jnp.maximum(count, 1)[:, None]

    return jax.lax.map(means, jnp.arange(num_permutations, dtype=jnp.uint32), batch_size=16)


def _over_devices(mine: LabelledStream) -> LabelledStream:
    """The streams of all devices as one."""
    parts = jax.lax.all_gather(mine, DEVICES)
    counts = jnp.sum(parts.replicates.count, axis=1)  # [D, K]
    share = counts / jnp.maximum(jnp.sum(counts, axis=0), 1)
    devices = [
        jax.tree.map(lambda x, i=i: x[i], parts.replicates) for i in range(len(parts.nonfinite))
    ]
    merged = devices[0]
    for other in devices[1:]:
        merged = merge(merged, other)
    return LabelledStream(
        merged,
        jnp.sum(parts.permuted_mean * share[:, None, :, None], axis=0),
        jnp.sum(parts.nonfinite),
    )


def _check_prior(prior: Prior, latent_dim: int) -> None:
    drawn = jax.eval_shape(lambda k: prior(k, 1), jax.random.key(0))
    if getattr(drawn, "shape", None) != (1, latent_dim):
        raise ValueError(
            f"prior(key, 1) gave {getattr(drawn, 'shape', type(drawn).__name__)}; with latent_dim "
            f"{latent_dim} it must give {(1, latent_dim)}."
        )
