"""Regions of the latent space that a class fills: centres, and how far shifts from them may go."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from magan_jax.errors import check_key, check_positive, warn
from magan_jax.latent.analysis import Analysis, check_same_classes
from magan_jax.latent.exits import bisect_epsilon
from magan_jax.latent.labels import label_latents
from magan_jax.latent.shifts import checked_epsilon, random_signs
from magan_jax.networks import Classify, Generate, check_function
from magan_jax.prior import Prior, check_prior, standard_normal

_ENOUGH, _AWAY = 200, 0.5
"""Latents that tell one prior from another, by half a deviation in some dimension."""

_BLOCK = 1000
"""Latents among which anchors are looked for at once; block b is drawn from `fold_in(key, b)`."""


class NoRegionError(ValueError):
    """No shift of any class keeps its class: there is nothing to draw images from."""


class Regions(NamedTuple):
    """R regions: around `centre`, shifts by up to `epsilon` times `scale` keep the class.

    Attributes:
        label: int `[R]`, the class.
        centre: `[R, d]`.
        scale: `[R, d]`, the unit of a shift in each dimension: σ of the class.
        epsilon: `[R]`, how far a shift may go, in units of `scale`.
    """

    label: np.ndarray
    centre: np.ndarray
    scale: np.ndarray
    epsilon: np.ndarray


def regions_around_means(analysis: Analysis, epsilon: np.ndarray) -> Regions:
    """One region for each class, around its mean (MAGAN, Section 4: μ ± εσ).

    Args:
        analysis: means and standard deviations.
        epsilon: `[K]`: `analysis.epsilon` (the paper's), `analysis.epsilon_debiased`, or the
            `measured` of `measure_invariance`. A class whose ε is 0, NaN or infinite
            (of a σ of 0) has no region.

    Raises:
        ValueError: for another shape or a negative ε.
        NoRegionError: if no class has a region.
    """
    epsilon = checked_epsilon(epsilon, len(analysis.counts))
    there = np.flatnonzero(analysis.valid & (epsilon > 0) & np.isfinite(epsilon))
    if not len(there):
        raise NoRegionError(
            "no class has both statistics and an epsilon above 0; draw more latents in analyze, or "
            "take another epsilon."
        )
    return Regions(there, analysis.mean[there], analysis.std[there], epsilon[there])


def regions_around_anchors(
    key: jax.Array,
    generate: Generate,
    classify: Classify,
    analysis: Analysis,
    *,
    num_anchors: int,
    prior: Prior | None = None,
    num_directions: int = 16,
    upper: float = 3.0,
    tolerance: float = 0.01,
    max_draws: int = 100_000,
    batch_size: int | None = None,
    num_devices: int | None = None,
) -> Regions:
    """Many regions for each class, around random latents of it, each with exits of its own.

    The ε of an anchor is the smallest of its exits along `num_directions` random signs of σ: no
    direction that was tried has left the class up to there. Means are typical of nothing: in many
    dimensions no latent of the prior lies near them, and their images are much alike. Anchors are
    latents as the generator knows them.

    Args:
        key: of the anchors and directions.
        generate, classify: see `analyze`.
        analysis: of these networks and this prior; gives σ.
        num_anchors: of each class; fewer where the draws have no more.
        prior: of the latents; default standard normal.
        num_directions: that are bisected from each anchor.
        upper, tolerance: see `bisect_epsilon`.
        max_draws: latents among which anchors are looked for, at most.
        batch_size, num_devices: see `label_latents`.

    Raises:
        ValueError: for a prior or a classifier that does not fit the analysis, and what
            `bisect_epsilon` refuses.
        NoRegionError: if no class has statistics, or no anchor room around it.

    Warns:
        UserWarning: where the prior draws other latents than the analysis has seen, and as
            `label_latents` does.
    """
    check_key(key)
    num_anchors = check_positive("num_anchors", num_anchors)
    num_directions = check_positive("num_directions", num_directions)
    max_draws = check_positive("max_draws", max_draws)
    prior = standard_normal(analysis.mean.shape[1]) if prior is None else prior
    check_function("prior", prior)
    check_prior(prior, analysis.mean.shape[1])
    check_same_classes(generate, classify, analysis)
    anchor_key, direction_key = jax.random.split(key)
    _warn_of_another_prior(np.asarray(prior(anchor_key, _BLOCK), np.float32), analysis)
    valid = np.flatnonzero(analysis.valid)
    if not len(valid):
        raise NoRegionError("no class has two latents; draw more of them (num_samples).")

    def label_of(latents: np.ndarray) -> np.ndarray:
        return label_latents(
            generate, classify, latents, batch_size=batch_size, num_devices=num_devices
        ).label

    label, centre = _latents_of_classes(anchor_key, label_of, prior, valid, num_anchors, max_draws)
    scale = analysis.std[label].astype(np.float32)
    signs = _signs_of_classes(direction_key, label, num_directions, centre.shape[1])
    exits = bisect_epsilon(
        generate,
        classify,
        centre,
        signs * scale[:, None],
        upper=upper,
        tolerance=tolerance,
        labels=label,
        batch_size=batch_size,
        num_devices=num_devices,
    )
    epsilon = exits.epsilon.min(axis=1)
    inside = epsilon > 0
    if not inside.any():
        raise NoRegionError(
            f"all {len(epsilon)} anchors lie within {tolerance} of a border of their class; lower "
            "tolerance, or take more anchors."
        )
    return Regions(label[inside], centre[inside], scale[inside], epsilon[inside])


def _signs_of_classes(
    key: jax.Array, label: np.ndarray, num_directions: int, latent_dim: int
) -> np.ndarray:
    """Random signs `[R, M, d]` for anchors of the classes `label [R]`, which come class by class.

    Those of class k come from `fold_in(key, k)`: how many anchors others have changes nothing.
    """
    signs = [
        random_signs(
            jax.random.fold_in(key, int(k)), np.sum(label == k) * num_directions, latent_dim
        )
        for k in np.unique(label)
    ]
    return np.concatenate(signs).reshape(len(label), num_directions, latent_dim)


def _latents_of_classes(
    key: jax.Array,
    label_of: Callable[[np.ndarray], np.ndarray],
    prior: Prior,
    classes: np.ndarray,
    count: int,
    max_draws: int,
) -> tuple[np.ndarray, np.ndarray]:
    """The first `count` latents of each class among draws of the prior: labels `[R]`, `[R, d]`."""
    found: dict[int, list[np.ndarray]] = {int(k): [] for k in classes}
    for first in range(0, max_draws, _BLOCK):
        drawn = prior(jax.random.fold_in(key, first // _BLOCK), _BLOCK)
        latents = np.asarray(drawn, np.float32)[: max_draws - first]
        label = label_of(latents)
        for k, kept in found.items():
            kept.extend(latents[label == k][: count - len(kept)])
        if all(len(kept) == count for kept in found.values()):
            break
    if not any(found.values()):
        raise NoRegionError(
            f"none of {max_draws} latents is of a class that the analysis knows; raise max_draws."
        )
    label = np.concatenate([np.full(len(kept), k) for k, kept in found.items()])
    return label, np.concatenate([np.stack(kept) for kept in found.values() if kept])


def _warn_of_another_prior(latents: np.ndarray, analysis: Analysis) -> None:
    """Warn where many draws `[n, d]` have other means or deviations than all latents labelled."""
    valid = analysis.valid
    count = analysis.counts[valid, None]
    if count.sum() < _ENOUGH:
        return
    share, of_class = count / count.sum(), analysis.mean[valid]
    mean = np.sum(share * of_class, axis=0)
    variance = np.sum(share * (analysis.std[valid] ** 2 + (of_class - mean) ** 2), axis=0)
    floor = 1e-3 * np.sqrt(variance.max())  # of a dimension that hardly varies
    spread = np.maximum(np.sqrt(variance), floor)
    away = np.abs(latents.mean(axis=0) - mean) / spread
    ratio = np.maximum(latents.std(axis=0), floor) / spread
    if away.max() > _AWAY or ratio.max() > 1 + _AWAY or ratio.min() < 1 / (1 + _AWAY):
        k = int(np.argmax(away + np.abs(np.log(ratio))))
        warn(
            f"prior draws other latents than those of the analysis (dimension {k}: "
            f"{latents[:, k].mean():.2g} ± {latents[:, k].std():.2g}, there {mean[k]:.2g} ± "
            f"{spread[k]:.2g}); pass prior= as analyze was given it."
        )
