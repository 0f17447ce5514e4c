"""How far neighbours of a latent may lie, and how many there should be, for their mean label to be
right: s of the neighbourhood labels beside the measured exits of each class."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from scipy.stats import pearsonr, permutation_test, rankdata

from magan_jax.augmentation.judging import Judge, predicted
from magan_jax.augmentation.labelling import neighbours_probabilities
from magan_jax.augmentation.pools import Sources
from magan_jax.latent.exits import bisect_epsilon
from magan_jax.latent.shifts import random_signs

SCALES = (0.2, 0.4, 0.6, 0.8, 1.2)
"""s that are looked at."""
_LATENTS = 1_000
_STARTS = 200
"""Latents from which exits are measured."""
_DIRECTIONS = 4


class Neighbourhoods(NamedTuple):
    """Labels of neighbourhoods, held against a judge's.

    Attributes:
        right: int `[2, S, m + 1, K]`, of the latents whose image the judge takes for class k, those
            whose mean probabilities over themselves and the first j neighbours are greatest for k,
            in either half of the latents.
        counts: int `[2, K]`, latents of each class as the judge sees them, in either half.
        exits: `[K]`, the median over latents (by the labeller's class) and directions of the first
            exit from the class, in standard deviations of the class; NaN for a class of none.
    """

    right: np.ndarray
    counts: np.ndarray
    exits: np.ndarray


def study_neighbourhoods(key: jax.Array, sources: Sources, judge: Judge) -> Neighbourhoods:
    """Count right labels for every s of `SCALES` and up to `num_neighbours`; measure exits.

    Neighbours differ from z by √(2 - 2/√(1 + s²)) in each dimension (`distance_of`), in the prior's
    standard deviations, and a shift by t σ along random signs by t of the class's, which is about
    as wide: so the best s can be read beside the exits. The judge has seen all labels: nothing
    that is found here may be used by an arm.

    Args:
        key: latents, neighbours and directions are drawn from its `fold_in`.
        sources: with the labeller of few labels.
        judge: of all labels.
    """
    latent_key, neighbour_key, sign_key = (jax.random.fold_in(key, i) for i in range(3))
    latents = sources.latents(latent_key, _LATENTS)
    of_class = predicted(judge.classify, sources.images(latents))
    own = np.eye(sources.num_classes, dtype=int)[of_class]
    right = []
    for scale in SCALES:
        labels = _labels(neighbour_key, sources, latents, scale)
        hits = own * (labels == of_class)[..., None]
        right.append(_of_halves(hits, axis=1))
    exits = _median_exits(sign_key, sources, latents[:_STARTS], labels[0][:_STARTS])
    return Neighbourhoods(np.stack(right, axis=1), _of_halves(own, axis=0), exits)


def distance_of(scale: Any) -> np.ndarray:
    """Root mean square of z' - z in each dimension, z' = (z + s η) / √(1 + s²)."""
    return np.sqrt(2 - 2 / np.sqrt(1 + np.square(scale)))


def _of_halves(hits: np.ndarray, axis: int) -> np.ndarray:
    """Sums over either half of an axis, first."""
    return np.stack([half.sum(axis=axis) for half in np.split(hits, 2, axis=axis)])


def _labels(key: jax.Array, sources: Sources, latents: np.ndarray, scale: float) -> np.ndarray:
    """`[m + 1, n]`: by each latent alone, with one neighbour, with two, …"""
    each = neighbours_probabilities(
        key,
        sources.generate,
        sources.classify,
        latents,
        scale=scale,
        num_neighbours=sources.config.num_neighbours,
    )
    return np.cumsum(list(each), axis=0).argmax(axis=2)


def _median_exits(
    key: jax.Array, sources: Sources, latents: np.ndarray, label: np.ndarray
) -> np.ndarray:
    analysis = sources.analysis
    there = analysis.valid[label]
    exits = np.full(sources.num_classes, np.nan)
    if not there.any():
        return exits
    latents, label = latents[there], label[there]
    signs = random_signs(key, len(label) * _DIRECTIONS, latents.shape[1])
    found = bisect_epsilon(
        sources.generate,
        sources.classify,
        latents,
        signs.reshape(len(label), _DIRECTIONS, -1) * analysis.std[label][:, None],
        upper=sources.config.upper,
        tolerance=sources.config.tolerance,
        labels=label,
        num_devices=sources.num_devices,
    )
    for k in np.unique(label):
        exits[k] = np.median(found.epsilon[label == k])
    return exits


def neighbourhood_entry(found: Sequence[Neighbourhoods | None]) -> dict[str, Any] | None:
    """Plain values of several seeds together, counts added up; None where nothing was studied.

    `right` `[S, m + 1]` is of all classes and latents, `of_class` `[S, K]` of each class with all m
    neighbours, `alone` `[K]` with none. `best_scale` `[K]` is the best of `SCALES` and 0, no
    neighbour, on the first half of the latents; `best_alone` and `best` are the shares of the
    second half, without neighbours and at that s: what was chosen is not what is reported.
    """
    there = [one for one in found if one is not None]
    if not there:
        return None
    halves = np.sum([one.counts for one in there], axis=0)
    right = np.sum([one.right for one in there], axis=0)
    counts = halves.sum(axis=0)
    # [2, S + 1, K]: without neighbours, then with all of them at each s.
    hits = np.concatenate([right[:, :1, 0], right[:, :, -1]], axis=1)
    with np.errstate(invalid="ignore"):
        of_half, of_class = hits / halves[:, None], hits.sum(axis=0) / counts
    scales = np.array([0.0, *SCALES])
    seen = (halves > 0).all(axis=0)
    chosen = np.argmax(hits[0], axis=0)
    best_scale = np.where(seen, scales[chosen], np.nan)
    exits = np.full(len(counts), np.nan)
    for k, each in enumerate(np.array([one.exits for one in there]).T):
        if np.isfinite(each).any():
            exits[k] = np.nanmedian(each)
    both = seen & np.isfinite(exits)
    correlation, reason = _rank_correlation(best_scale[both], exits[both])
    absent = "a class of which the judge, or the labeller, sees none among these latents"
    return {
        "scale": SCALES,
        "distance": distance_of(SCALES),
        "counts": counts,
        "right": right.sum(axis=(0, 3)) / counts.sum(),
        "of_class": of_class[1:],
        "alone": of_class[0],
        "best_scale": best_scale,
        "best_distance": distance_of(best_scale),
        "best": np.where(seen, of_half[1, chosen, np.arange(len(counts))], np.nan),
        "best_alone": np.where(seen, of_half[1, 0], np.nan),
        "exit": exits,
        "classes": int(both.sum()),
        "rank_correlation": correlation,
        "rank_correlation_reason": reason,
        "reason": None if both.all() else absent,
    }


def _rank_correlation(best: np.ndarray, exits: np.ndarray) -> tuple[dict[str, Any] | None, Any]:
    """Spearman's, or why there is none; its two-sided p-value is that of the orders of the classes,
    of which seven have few enough to go through all (Student's approximation would be 0 for a
    perfect order, and too small where most of the best s are the same)."""
    if len(best) < 4:
        return None, f"{len(best)} classes are too few"
    for name, values in (("best s", best), ("median exit", exits)):
        if len(set(values)) == 1:
            return None, f"the {name} is the same for all classes"
    ranks = rankdata(best), rankdata(exits)
    found = permutation_test(
        ranks[:1],
        lambda x, axis: pearsonr(x, ranks[1], axis=axis).statistic,
        permutation_type="pairings",
        vectorized=True,
        n_resamples=9_999,
        rng=np.random.default_rng(0),
    )
    return {"value": float(found.statistic), "p_value": float(found.pvalue)}, None
