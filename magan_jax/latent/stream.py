"""A stream of labelled latents, reduced to class moments inside one compiled loop.

Latent i is drawn from `fold_in(key, i)`: it depends on nothing else, so the first thousand
latents of a large analysis are the latents of a small one, and neither batch size nor the number
of devices changes any of them. Memory does not grow with the number of latents: moments of each
block are merged into those of the stream.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from magan_jax.latent.labels import label_and_finite, logits_and_finite_image
from magan_jax.latent.moments import Moments, add_rows, group_means, merge, merge_over_axis
from magan_jax.networks import STREAM_BLOCK, Networks, check_networks
from magan_jax.parallel import DEVICES, device_count, everywhere, on_devices
from magan_jax.prior import Prior, check_prior

BLOCK = STREAM_BLOCK
"""Latents within which labels are permuted, and the least that one loop iteration draws."""

_SEGMENT_ITERATIONS = 50
"""Loop iterations in one compiled call: long enough to cost nothing, short enough for a bar."""

_PER_GROUP = 100
"""Latents for each class and part, on average, after which float32 hands over to the host: not
more often, for what is handed over grows with the classes."""

_NUMBERS_IN_CACHES = 400_000
"""Random numbers that a CPU makes at once: of 1600 dimensions 250 latents take 0.6 to 0.85 of the
time of 1000."""

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


Segment = Callable[[Any, jax.Array, jax.Array, jax.Array, LabelledStream], LabelledStream]


def empty_stream(num_classes: int, latent_dim: int, num_permutations: int) -> LabelledStream:
    """The stream before its first latent."""
    return LabelledStream(
        Moments(
            jnp.zeros((REPLICATES, num_classes), jnp.int32),
            jnp.zeros((REPLICATES, num_classes, latent_dim)),
            jnp.zeros((REPLICATES, num_classes, latent_dim)),
        ),
        jnp.zeros((num_permutations, num_classes, latent_dim + 1)),
        jnp.zeros((), jnp.int32),
    )


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
    """`segment(arrays, key, first, end, so_far)`, compiled once: latents first, first + 1, …,
    end − 1, added to the stream so far.

    `arrays` are those of the networks; `first` must be a whole number of iterations.
    """
    check_networks(networks, latent_dim, num_classes)
    check_prior(prior, latent_dim)
    drawn = _drawn_at_once(batch_size)
    in_caches = _drawn_in_caches(drawn, latent_dim)

    def draw(key: jax.Array, index: jax.Array) -> jax.Array:
        # As `label_latents` takes them; sums of small whole numbers would overflow.
        return prior(jax.random.fold_in(key, index), 1)[0].astype(jnp.float32)

    def label_block(arrays: Any, latents: jax.Array) -> tuple[jax.Array, jax.Array]:
        logits, finite_image = logits_and_finite_image(*networks.functions(arrays), latents)
        found, finite = label_and_finite(logits)
        return found, finite & finite_image

    def label(arrays: Any, latents: jax.Array) -> tuple[jax.Array, jax.Array]:
        if batch_size >= drawn:
            return label_block(arrays, latents)
        label, finite = jax.lax.map(
            lambda z: jax.tree.map(lambda x: x[0], label_block(arrays, z[None])),
            latents,
            batch_size=batch_size,
        )
        return label, finite

    def segment(
        arrays: Any, key: jax.Array, start: jax.Array, end: jax.Array, so_far: LabelledStream
    ) -> LabelledStream:
        latent_key, permutation_key = jax.random.split(key)
        devices = jax.lax.axis_size(DEVICES)
        together = drawn * devices
        some = jax.vmap(draw, (None, 0))(latent_key, jnp.arange(BLOCK, dtype=jnp.uint32))
        centre = jnp.mean(some, axis=0)

        def iteration(number: jax.Array, so_far: LabelledStream) -> LabelledStream:
            first = (number * devices + jax.lax.axis_index(DEVICES).astype(jnp.uint32)) * drawn
            index = first + jnp.arange(drawn, dtype=jnp.uint32)
            latents = jax.lax.map(partial(draw, latent_key), index, batch_size=in_caches)
            found, finite = label(arrays, latents)
            wanted = index < end
            bad = jnp.sum(wanted & ~finite, dtype=jnp.int32)
            so_far = so_far._replace(nonfinite=so_far.nonfinite + bad)
            return _with_latents(
                so_far,
                latents,
                jnp.where(wanted & finite, found, num_classes),  # num_classes: in no class
                wanted,
                centre,
                permutation_key,
                first // BLOCK,
            )

        if devices > 1:  # the first device goes on from there, the others begin anew
            first_one = jax.lax.axis_index(DEVICES) == 0
            so_far = jax.tree.map(lambda x: jnp.where(first_one, x, 0), so_far)
        last = (end + together - 1) // together
        mine = jax.lax.fori_loop(start // together, last, iteration, so_far)
        return _over_devices(mine)

    return on_devices(segment, num_devices=num_devices, donate_last=True)


def _with_latents(
    so_far: LabelledStream,
    latents: jax.Array,
    group: jax.Array,
    wanted: jax.Array,
    centre: jax.Array,
    permutation_key: jax.Array,
    first_block: jax.Array,
) -> LabelledStream:
    """The stream with the moments of further latents.

    Args:
        so_far: before them.
        latents: `[n, d]`, whole blocks.
        group: int `[n]`, of each the class; the number of classes where it is in none.
        wanted: bool `[n]`, whether the latent belongs to the stream; those that do come first.
        centre: `[d]`, see `LabelledStream`.
        permutation_key: of all permutations.
        first_block: number of the first block in the stream.
    """
    num_permutations, _, width = so_far.permuted_mean.shape
    replicates = add_rows(
        so_far.replicates, latents.reshape(-1, REPLICATES, width - 1), group.reshape(-1, REPLICATES)
    )
    total = jnp.sum(replicates.count, axis=0)
    here = total - jnp.sum(so_far.replicates.count, axis=0)
    share = (here / jnp.maximum(total, 1))[:, None]
    centred = latents - centre[None]
    square = jnp.sum(centred**2, axis=-1, keepdims=True)
    permuted = _permuted_means(
        permutation_key,
        first_block,
        jnp.concatenate([centred, square], axis=-1),
        group,
        wanted,
        here,
        num_permutations,
    )
    return so_far._replace(
        replicates=replicates,
        permuted_mean=so_far.permuted_mean + (permuted - so_far.permuted_mean) * share[None],
    )


def label_stream(
    segment: Segment,
    arrays: Any,
    key: jax.Array,
    num_samples: int,
    nothing: Callable[[], LabelledStream],
    *,
    batch_size: int,
    num_devices: int | None,
    quiet: bool | None = None,
) -> LabelledStream:
    """The whole stream, in as many calls as a progress bar needs, merged in float64 on the host."""
    size = _SEGMENT_ITERATIONS * _drawn_at_once(batch_size) * device_count(num_devices)
    arrays, so_far = everywhere(arrays, num_devices), nothing()
    together = _PER_GROUP * so_far.replicates.count.size
    whole, begun = None, 0
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
            so_far = segment(arrays, key, jnp.uint32(first), jnp.uint32(end), so_far)
            jax.block_until_ready(so_far)  # the bar shows what is done
            bar.update(end - first)
            if end - begun >= together and end < num_samples:
                whole, begun = _joined(whole, jax.device_get(so_far)), end
                so_far = nothing()
    return _joined(whole, jax.device_get(so_far))


def _drawn_at_once(batch_size: int) -> int:
    """Latents that one device draws in one iteration: whole blocks."""
    return max(1, batch_size // BLOCK) * BLOCK


def _drawn_in_caches(drawn: int, latent_dim: int) -> int:
    """How many of these latents are drawn together, whose bits and numbers a CPU's caches hold."""
    if jax.default_backend() != "cpu":
        return drawn
    most = max(1, _NUMBERS_IN_CACHES // latent_dim)
    return next(n for n in range(min(most, drawn), 0, -1) if drawn % n == 0)


def _joined(a: LabelledStream | None, b: LabelledStream) -> LabelledStream:
    """Two stretches of one stream as one, in float64; the second alone is left as it is."""
    if a is None:
        return b

    def wide(x: Any) -> np.ndarray:
        return np.asarray(x, np.float64 if x.dtype.kind == "f" else np.int64)

    # One part after another: all of them at once would not fit a cache.
    parts = [
        merge(*(Moments(*(wide(x[r]) for x in stream.replicates)) for stream in (a, b)))
        for r in range(REPLICATES)
    ]
    before, here = (np.sum(x.replicates.count, axis=0, dtype=np.int64) for x in (a, b))
    share = (here / np.maximum(before + here, 1))[:, None]
    return LabelledStream(
        Moments(*(np.stack(x) for x in zip(*parts, strict=True))),
        a.permuted_mean + (wide(b.permuted_mean) - a.permuted_mean) * share,
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
    if not num_permutations:
        return jnp.zeros((0, num_classes, latents.shape[1]))
    blocks = group.reshape(-1, BLOCK)
    present = jnp.sum(wanted.reshape(-1, BLOCK), axis=1, keepdims=True)  # they come first
    position = jnp.arange(BLOCK)[None]
    block_keys = jax.vmap(lambda b: jax.random.fold_in(key, first_block + b))(
        jnp.arange(len(blocks), dtype=jnp.uint32)
    )

    def means(number: jax.Array) -> jax.Array:
        offset = jax.vmap(
            lambda k, n: jax.random.randint(jax.random.fold_in(k, number), (1,), 0, n, jnp.int32)
        )(block_keys, jnp.maximum(present[:, 0], 1))
        source = jnp.where(
            position < present, (position + offset) % jnp.maximum(present, 1), position
        )
        rotated = jnp.take_along_axis(blocks, source, axis=1).reshape(-1)
        membership = jax.nn.one_hot(rotated, num_classes, dtype=latents.dtype)
        return group_means(membership, latents, count)

    return jax.lax.map(means, jnp.arange(num_permutations, dtype=jnp.uint32), batch_size=16)


def _over_devices(mine: LabelledStream) -> LabelledStream:
    """The streams of all devices as one, in sums: memory does not grow with the devices."""
    if jax.lax.axis_size(DEVICES) == 1:
        return mine
    here = jnp.sum(mine.replicates.count, axis=0)
    share = (here / jnp.maximum(jax.lax.psum(here, DEVICES), 1))[:, None]
    return LabelledStream(
        merge_over_axis(mine.replicates, DEVICES),
        jax.lax.psum(mine.permuted_mean * share[None], DEVICES),
        jax.lax.psum(mine.nonfinite, DEVICES),
    )
