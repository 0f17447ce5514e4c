"""How far neighbours of a latent may lie, and how many there should be, for their mean label to be
right: s of the neighbourhood labels beside the measured exits of each class."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from scipy.stats import spearmanr

from magan_jax.augmentation.arms import Sources
from magan_jax.augmentation.judging import Judge, predicted
from magan_jax.augmentation.labelling import neighbours_probabilities
from magan_jax.latent.exits import bisect_epsilon
from magan_jax.latent.invariance import random_signs

SCALES = (0.2, 0.4, 0.6, 0.8, 1.2)
"""s that are looked at."""
_LATENTS = 1_000
_STARTS = 200
"""Latents from which exits are measured."""
_DIRECTIONS = 4


class Neighbourhoods(NamedTuple):
    """Labels of neighbourhoods, held against a judge's.

    Attributes:
        right: int `[S, m + 1, K]`, of the latents whose image the judge takes for class k, those
            whose mean probabilities over themselves and the first j neighbours are greatest for k.
        counts: int `[K]`, latents of each class as the judge sees them.
        exits: `[K]`, the median over latents (by the labeller's class) and directions of the first
            exit from the class, in standard deviations of the class; NaN for a class of none.
    """

    right: np.ndarray
    counts: np.ndarray
    exits: np.ndarray


def study_neighbourhoods(key: jax.Array, sources: Sources, judge: Judge) -> Neighbourhoods:
    """Count right labels for every s of `SCALES` and up to `num_neighbours`; measure exits.

    A neighbour by s η and a shift by t σ along random signs are about as far away when s = t, for
    the spread of a class is about that of the prior: the best s can be read beside the exits.
    The judge has seen all labels: nothing that is found here may be used by an arm.

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
        right.append([np.sum(own[label == of_class], axis=0) for label in labels])
    exits = _median_exits(sign_key, sources, latents[:_STARTS], labels[0][:_STARTS])
    return Neighbourhoods(np.array(right), own.sum(axis=0), exits)


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

    `right` `[S, m + 1]` is of all classes; `alone`, `best` and `best_scale` `[K]` of each, the best
    among `SCALES` and no neighbour at all (`best_scale` 0) with all m neighbours.
    """
    there = [one for one in found if one is not None]
    if not there:
        return None
    counts = np.sum([one.counts for one in there], axis=0)
    right = np.sum([one.right for one in there], axis=0)
    of_class = np.concatenate([right[:1, 0], right[:, -1]]) / np.where(counts, counts, np.nan)
    scales = np.array([0.0, *SCALES])
    known = counts > 0
    best = np.full(len(counts), np.nan)
    best[known] = scales[np.argmax(of_class[:, known], axis=0)]
    # Of each class over the seeds in which it has any.
    exits = np.full(len(counts), np.nan)
    for k, each in enumerate(np.array([one.exits for one in there]).T):
        if np.isfinite(each).any():
            exits[k] = np.nanmedian(each)
    both = known & np.isfinite(exits)
    varied = both.sum() > 2 and len(set(best[both])) > 1 and len(set(exits[both])) > 1
    return {
        "scale": SCALES,
        "counts": counts,
        "right": right.sum(axis=2) / counts.sum(),
        "of_class": of_class[1:],
        "alone": of_class[0],
        "best": np.max(of_class, axis=0),
        "best_scale": best,
        "exit": exits,
        "rank_correlation": float(spearmanr(best[both], exits[both]).statistic) if varied else None,
        "rank_correlation_reason": None if varied else "the best s is the same for all classes",
        "classes_reason": None if both.all() else "no image of the class, as the judge sees it",
    }
