"""MAGAN's Algorithm 1 on a stream of latents, with what is needed to trust its results.

Latent i is drawn from `fold_in(key, i)`: it depends on nothing else, so the first thousand
latents of a large analysis are the latents of a small one, and neither batch size nor the number
of devices changes any of them. Memory does not grow with the number of latents: moments of each
block are merged into those of the stream, inside one compiled loop.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from magan_jax.latent.geometry import (
    Geometry,
    Interval,
    geometry,
    jackknife_interval,
    leave_one_out,
    permutation_p_values,
    root,
    root_interval,
)
from magan_jax.latent.labels import (
    Classify,
    Generate,
    check_finite,
    check_functions,
    check_positive,
    label_latents,
    logits_and_finite,
)
from magan_jax.latent.moments import (
    Moments,
    group_sums,
    merge,
    merge_all,
    moments_of_groups,
    standard_deviation,
)
from magan_jax.latent.prior import Prior, standard_normal
from magan_jax.parallel import DEVICES, on_devices

BLOCK = 1000
"""Latents within which labels are permuted, and the least that one loop iteration draws."""

REPLICATES = 20
"""Disjoint parts of the stream for the jackknife: latent i belongs to part i mod REPLICATES."""


class Analysis(NamedTuple):
    """Class statistics of N labelled latents in d dimensions; K classes.

    A class with fewer than two latents has no statistics: its entries are NaN, its `nearest` and
    `mean_label` are −1, and it takes part in no distance. Intervals are 95 % jackknife intervals
    over `replicates`.

    Attributes:
        num_samples: N.
        counts: int `[K]`.
        mean: `[K, d]`, μ.
        std: `[K, d]`, σ, with n − 1.
        spread: `[K]`, s = ‖σ‖₂.
        mean_label: int `[K]`, C(G(μ_k)).
        mean_confidence: `[K]`, the softmax probability of that label.
        distance: `[K, K]`, ‖μ_i − μ_j‖₂.
        distance_interval: of `distance`, about its expectation at this N, noise included.
        distance_debiased: `[K, K]`, √max(D², 0) (see `magan_jax.latent.geometry`).
        distance_debiased_interval: of `distance_debiased`.
        nearest: int `[K]`, the nearest other class.
        nearest_distance: `[K]`, d_min.
        nearest_distance_interval: of `nearest_distance`.
        nearest_distance_debiased: `[K]`, `distance_debiased` to `nearest`.
        nearest_distance_debiased_interval: of `nearest_distance_debiased`.
        epsilon: `[K]`, the paper's ε = d_min / s.
        epsilon_interval: of `epsilon`.
        epsilon_debiased: `[K]`, `nearest_distance_debiased / s`.
        epsilon_debiased_interval: of `epsilon_debiased`.
        num_permutations: B behind the p-values.
        p_value: `[K, K]`, permutation p-value of each pair of means.
        replicates: moments of the R parts of the stream, `[R, K]` and `[R, K, d]`.
    """

    num_samples: int
    counts: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    spread: np.ndarray
    mean_label: np.ndarray
    mean_confidence: np.ndarray
    distance: np.ndarray
    distance_interval: Interval
    distance_debiased: np.ndarray
    distance_debiased_interval: Interval
    nearest: np.ndarray
    nearest_distance: np.ndarray
    nearest_distance_interval: Interval
    nearest_distance_debiased: np.ndarray
    nearest_distance_debiased_interval: Interval
    epsilon: np.ndarray
    epsilon_interval: Interval
    epsilon_debiased: np.ndarray
    epsilon_debiased_interval: Interval
    num_permutations: int
    p_value: np.ndarray
    replicates: Moments

    @property
    def valid(self) -> np.ndarray:
        """bool `[K]`: the class has at least two latents, and so has statistics."""
        return self.counts >= 2


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


def analyze(
    key: jax.Array,
    generate: Generate,
    classify: Classify,
    *,
    latent_dim: int,
    num_classes: int,
    num_samples: int = 1000,
    prior: Prior | None = None,
    batch_size: int = BLOCK,
    num_permutations: int = 199,
    num_devices: int | None = None,
) -> Analysis:
    """Label latents with C(G(z)) and describe each class (MAGAN, Algorithm 1).

    Args:
        key: of the latents and the permutations.
        generate: `z [n, d] -> images [n, ...]`, any JAX-traceable function. It is compiled once:
            what it closes over is frozen at its first use, so changed parameters need a new
            function. The same holds for `classify`.
        classify: `images -> logits [n, K]`, any JAX-traceable function.
        latent_dim: d.
        num_classes: K.
        num_samples: N; the paper has 1000.
        prior: `(key, n) -> z [n, d]` with independent rows; default standard normal.
        batch_size: latents in one forward pass; it changes memory and speed, not the result.
        num_permutations: B, for the p-values; 0 leaves them out (they are then NaN).
        num_devices: see `magan_jax.parallel.on_devices`.

    Raises:
        ValueError: for sizes or functions that do not fit, and for images or logits that are not
            finite.
    """
    check_positive("latent_dim", latent_dim)
    check_positive("num_classes", num_classes)
    check_positive("batch_size", batch_size)
    check_positive("num_samples", num_samples)
    if not 2 <= num_samples < 2**31:
        raise ValueError(
            f"num_samples is {num_samples}; a standard deviation needs at least 2, and latents "
            "are numbered below 2³¹."
        )
    if num_permutations < 0:
        raise ValueError(f"num_permutations is {num_permutations}; it must be 0 or more.")
    prior = standard_normal(latent_dim) if prior is None else prior
    stream = _compiled_stream(
        generate,
        classify,
        prior,
        latent_dim,
        num_classes,
        batch_size,
        num_permutations,
        num_devices,
    )
    labelled: LabelledStream = jax.device_get(stream(key, jnp.uint32(num_samples)))
    check_finite(int(labelled.nonfinite), num_samples)

    total = merge_all(labelled.replicates)
    valid = total.count >= 2
    means = np.where(valid[:, None], total.mean, np.nan)
    mean_label = np.full(num_classes, -1)
    mean_confidence = np.full(num_classes, np.nan)
    if valid.any():
        labels = label_latents(
            generate, classify, means[valid], batch_size=batch_size, num_devices=num_devices
        )
        mean_label[valid], mean_confidence[valid] = labels.label, labels.confidence
    return _describe(labelled, num_samples, total, means, mean_label, mean_confidence)


def _describe(
    labelled: LabelledStream,
    num_samples: int,
    total: Moments,
    means: np.ndarray,
    mean_label: np.ndarray,
    mean_confidence: np.ndarray,
) -> Analysis:
    """All statistics of a labelled stream, in float64 on the host."""
    replicates = labelled.replicates
    found = geometry(total)
    without_a_part = [geometry(moments) for moments in leave_one_out(replicates)]

    def interval(statistic: Callable[[Geometry], np.ndarray]) -> Interval:
        values = np.stack([statistic(part) for part in without_a_part])
        return jackknife_interval(statistic(found), values, replicates)

    def squared_epsilon(g: Geometry) -> np.ndarray:
        return g.nearest_squared_debiased / g.spread**2

    n = np.maximum(total.count, 2)
    permuted_mean = np.asarray(labelled.permuted_mean, np.float64)[..., :-1]
    mean_square = np.asarray(labelled.permuted_mean, np.float64)[..., -1]
    scatter = np.maximum(mean_square - np.sum(permuted_mean**2, axis=-1), 0)  # [B, K]
    return Analysis(
        num_samples=int(num_samples),
        counts=total.count.astype(np.int64),
        mean=means,
        std=standard_deviation(total),
        spread=found.spread,
        mean_label=mean_label,
        mean_confidence=mean_confidence,
        distance=found.distance,
        distance_interval=interval(lambda g: g.distance),
        distance_debiased=root(found.squared_debiased),
        distance_debiased_interval=root_interval(
            interval(lambda g: g.squared_debiased), found.squared_debiased
        ),
        nearest=found.nearest,
        nearest_distance=found.nearest_distance,
        nearest_distance_interval=interval(lambda g: g.nearest_distance),
        nearest_distance_debiased=root(found.nearest_squared_debiased),
        nearest_distance_debiased_interval=root_interval(
            interval(lambda g: g.nearest_squared_debiased), found.nearest_squared_debiased
        ),
        epsilon=found.nearest_distance / found.spread,
        epsilon_interval=interval(lambda g: g.nearest_distance / g.spread),
        epsilon_debiased=root(found.nearest_squared_debiased) / found.spread,
        epsilon_debiased_interval=root_interval(interval(squared_epsilon), squared_epsilon(found)),
        num_permutations=len(labelled.permuted_mean),
        p_value=permutation_p_values(
            found.distance, found.spread, total.count, permuted_mean, np.sqrt(scatter * n / (n - 1))
        ),
        replicates=replicates,
    )


@lru_cache(maxsize=16)
def _compiled_stream(
    generate: Generate,
    classify: Classify,
    prior: Prior,
    latent_dim: int,
    num_classes: int,
    batch_size: int,
    num_permutations: int,
    num_devices: int | None,
) -> Callable[[jax.Array, jax.Array], LabelledStream]:
    """`stream(key, num_samples)`, compiled once for any number of samples."""
    check_functions(generate, classify, latent_dim, num_classes)
    _check_prior(prior, latent_dim)
    blocks = max(1, batch_size // BLOCK)
    drawn = blocks * BLOCK

    def draw(key: jax.Array, index: jax.Array) -> jax.Array:
        return prior(jax.random.fold_in(key, index), 1)[0]

    def label_block(latents: jax.Array) -> tuple[jax.Array, jax.Array]:
        logits, finite = logits_and_finite(generate, classify, latents)
        return jnp.argmax(logits, axis=-1), finite

    def label(latents: jax.Array) -> tuple[jax.Array, jax.Array]:
        if batch_size >= drawn:
            return label_block(latents)
        label, finite = jax.lax.map(
            lambda z: jax.tree.map(lambda x: x[0], label_block(z[None])),
            latents,
            batch_size=batch_size,
        )
        return label, finite

    def stream(key: jax.Array, num_samples: jax.Array) -> LabelledStream:
        latent_key, permutation_key = jax.random.split(key)
        devices = jax.lax.axis_size(DEVICES)
        iterations = (num_samples + drawn * devices - 1) // (drawn * devices)
        some = jax.vmap(draw, (None, 0))(latent_key, jnp.arange(BLOCK, dtype=jnp.uint32))
        centre = jnp.mean(some, axis=0)

        def iteration(number: jax.Array, so_far: LabelledStream) -> LabelledStream:
            first = (number * devices + jax.lax.axis_index(DEVICES).astype(jnp.uint32)) * drawn
            index = first + jnp.arange(drawn, dtype=jnp.uint32)
            latents = jax.vmap(draw, (None, 0))(latent_key, index)
            label_of, finite = label(latents)
            wanted = index < num_samples
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
        mine = jax.lax.fori_loop(jnp.uint32(0), iterations, iteration, nothing)
        return _over_devices(mine)

    return on_devices(stream, num_devices=num_devices)


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
