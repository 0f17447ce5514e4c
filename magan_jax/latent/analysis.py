"""MAGAN's Algorithm 1 on a stream of latents, with what is needed to trust its results."""

from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from magan_jax.errors import check_key, check_positive, check_whole
from magan_jax.latent.geometry import Interval, geometry, permutation_p_values, root, root_interval
from magan_jax.latent.intervals import intervals_of
from magan_jax.latent.labels import check_finite, label_latents
from magan_jax.latent.moments import Moments, merge_all, standard_deviation
from magan_jax.latent.settings import check_latents_labelled
from magan_jax.latent.stream import LabelledStream, compiled_stream, empty_stream, label_stream
from magan_jax.networks import (
    Classify,
    Generate,
    check_function,
    check_networks,
    chosen_batch_size,
    take_apart,
)
from magan_jax.prior import Prior, standard_normal


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


def analyze(
    key: jax.Array,
    generate: Generate,
    classify: Classify,
    *,
    latent_dim: int,
    num_classes: int,
    num_samples: int = 1000,
    prior: Prior | None = None,
    batch_size: int | None = None,
    num_permutations: int = 199,
    num_devices: int | None = None,
    quiet: bool | None = None,
) -> Analysis:
    """Label latents with C(G(z)) and describe each class (MAGAN, Algorithm 1).

    Args:
        key: of the latents and the permutations.
        generate: `z [n, d] -> images [n, ...]`, any JAX-traceable function. It is compiled once:
            what it closes over is frozen at its first use, so changed parameters need a new
            function, or one that is a pytree (`jax.tree_util.Partial(apply, parameters)`), whose
            arrays are arguments of the compiled program. The same holds for `classify`.
        classify: `images -> logits [n, K]`, any JAX-traceable function.
        latent_dim: d.
        num_classes: K.
        num_samples: N; the paper has 1000.
        prior: `(key, n) -> z [n, d]` with independent rows; default standard normal.
        batch_size: latents in one forward pass; it changes memory and speed, not the result. None:
            see `chosen_batch_size`.
        num_permutations: B, for the p-values; 0 leaves them out (they are then NaN).
        num_devices: see `magan_jax.parallel.on_devices`.
        quiet: no progress bar; None: quiet when stderr is not a terminal.

    Raises:
        ValueError: for sizes or functions that do not fit, and for images or logits that are not
            finite.

    Warns:
        UserWarning: as `label_latents` does, of the class means.
    """
    check_key(key)
    latent_dim = check_positive("latent_dim", latent_dim)
    num_classes = check_positive("num_classes", num_classes)
    num_samples = check_positive("num_samples", num_samples)
    check_latents_labelled("num_samples", num_samples)
    num_permutations = check_whole("num_permutations", num_permutations, 0)
    prior = standard_normal(latent_dim) if prior is None else prior
    check_function("prior", prior)
    networks, arrays = take_apart(generate, classify)
    batch_size = chosen_batch_size(batch_size, networks, latent_dim)
    segment = compiled_stream(
        networks, prior, latent_dim, num_classes, batch_size, num_permutations, num_devices
    )
    labelled = label_stream(
        segment,
        arrays,
        key,
        num_samples,
        partial(empty_stream, num_classes, latent_dim, num_permutations),
        batch_size=batch_size,
        num_devices=num_devices,
        quiet=quiet,
    )
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
    """All statistics of a labelled stream, in float64 on the host but for intervals of many."""
    found = geometry(total)
    interval = intervals_of(labelled.replicates, total, found)
    squared_epsilon = found.nearest_squared_debiased / found.spread**2
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
        distance_interval=interval.distance,
        distance_debiased=root(found.squared_debiased),
        distance_debiased_interval=root_interval(interval.squared_debiased, found.squared_debiased),
        nearest=found.nearest,
        nearest_distance=found.nearest_distance,
        nearest_distance_interval=interval.nearest_distance,
        nearest_distance_debiased=root(found.nearest_squared_debiased),
        nearest_distance_debiased_interval=root_interval(
            interval.nearest_squared_debiased, found.nearest_squared_debiased
        ),
        epsilon=found.nearest_distance / found.spread,
        epsilon_interval=interval.epsilon,
        epsilon_debiased=root(found.nearest_squared_debiased) / found.spread,
        epsilon_debiased_interval=root_interval(interval.squared_epsilon, squared_epsilon),
        num_permutations=len(labelled.permuted_mean),
        p_value=permutation_p_values(
            found.distance, found.spread, total.count, permuted_mean, np.sqrt(scatter * n / (n - 1))
        ),
        replicates=labelled.replicates,
    )


def check_same_classes(generate: Generate, classify: Classify, analysis: Analysis) -> None:
    """Refuse a classifier with another number of classes than the analysis has."""
    networks, _ = take_apart(generate, classify)
    num_classes, latent_dim = analysis.mean.shape
    found = check_networks(networks, latent_dim)
    if found != num_classes:
        raise ValueError(
            f"classify gives logits for {found} classes, but the analysis is of {num_classes}; "
            "take the classifier that it was made with."
        )


def classes_with_statistics(analysis: Analysis) -> np.ndarray:
    """The classes that have statistics, of which there must be some."""
    valid = np.flatnonzero(analysis.valid)
    if not len(valid):
        raise ValueError("no class has two latents; draw more of them (num_samples).")
    return valid


def among_all_classes(
    rows: np.ndarray, valid: np.ndarray, num_classes: int, fill: float | bool
) -> np.ndarray:
    """`rows` of the valid classes among all classes, `fill` elsewhere."""
    out = np.full(
        (num_classes, *rows.shape[1:]),
        fill,
        dtype=np.asarray(rows).dtype if not isinstance(fill, float) else np.float64,
    )
    out[valid] = rows
    return out
