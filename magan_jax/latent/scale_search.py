"""Which θ makes a sampler's images differ most and still be of their class (VAE report, 3.5)."""

from typing import Any, NamedTuple

import jax
import numpy as np
from tqdm import tqdm

from magan_jax.latent.conditional import (
    ClassLatents,
    ConditionalScores,
    score_conditional,
    score_pairs,
)
from magan_jax.latent.networks import Classify, Generate

THETAS = np.round(np.linspace(0, 1, 11), 1)
"""The report's grid of θ."""

NUM_DRAWS = (1, 2, 3, 5)
"""The report's grid of n."""


class SimpleSearch(NamedTuple):
    """The report's Simple: one θ and one n for all classes and dimensions.

    Attributes:
        theta: `[M]`, of each of the M = 44 samplers of the grid.
        num_draws: int `[M]`.
        scores: of the grid, `[M, K]`.
    """

    theta: np.ndarray
    num_draws: np.ndarray
    scores: ConditionalScores

    def best(self, accuracy_weight: float = 1.0, num_draws: int | None = None) -> int:
        """Index of the least objective, mean over classes; of one n, if it is given."""
        objective = self.scores.objective(accuracy_weight).mean(axis=1)
        if num_draws is not None:
            objective = np.where(self.num_draws == num_draws, objective, np.inf)
        return int(np.argmin(objective))


class ScaleSearch(NamedTuple):
    """The report's Medium 1 (a θ for each dimension) or Medium 2 (and class).

    Attributes:
        theta: `[K, d]`; equal rows for Medium 1.
        objective: `[sweeps + 1]`, mean over classes, before the first sweep and after each.
        evaluations: samplers of a class that were scored.
    """

    theta: np.ndarray
    objective: np.ndarray
    evaluations: int


def search_simple(
    key: jax.Array,
    generate: Generate,
    classify: Classify,
    latents: ClassLatents,
    *,
    num_samples: int,
    num_devices: int | None = None,
) -> SimpleSearch:
    """Score the report's whole grid of θ and n (Section 3.5.1) in one compiled call.

    Args:
        key: of the draws, the same for all samplers.
        generate, classify, latents, num_samples, num_devices: see `score_conditional`.
    """
    theta, draws = (x.ravel() for x in np.meshgrid(THETAS, NUM_DRAWS, indexing="ij"))
    scores = score_conditional(
        key,
        generate,
        classify,
        latents,
        theta[:, None, None],
        num_draws=draws,
        num_samples=num_samples,
        num_devices=num_devices,
    )
    return SimpleSearch(theta, draws, scores)


def search_scales(
    key: jax.Array,
    generate: Generate,
    classify: Classify,
    latents: ClassLatents,
    *,
    start: float,
    per_class: bool,
    num_samples: int,
    accuracy_weight: float = 1.0,
    max_sweeps: int = 5,
    num_devices: int | None = None,
    quiet: bool | None = None,
    title: str = "θ",
) -> ScaleSearch:
    """Coordinate descent over the report's grid, dimension by dimension (Sections 3.5.2, 3.5.3).

    The whole grid has 11^d points for Medium 1, of which the report saw 0.01 %; descent ends where
    no change of a single θ makes the objective smaller, or after `max_sweeps`. The objective is a
    sum over classes, so that Medium 2's K descents run side by side and cost as much as Medium 1's.

    Args:
        key: of the draws, the same throughout.
        generate, classify, latents, num_samples, num_devices: see `score_conditional`.
        start: θ of all dimensions before the first sweep; a point of the grid.
        per_class: Medium 2.
        accuracy_weight: of 1 − accuracy beside the cosine; 1 is the report's Eq. 4.
        max_sweeps: times that all dimensions are gone through, at most.
        quiet: no progress bar; None: quiet when stderr is not a terminal.
        title: in front of it.

    Raises:
        ValueError: for a start beside the grid.
    """
    if not np.isclose(THETAS, start).any():
        raise ValueError(f"start is {start}; it must be one of {', '.join(map(str, THETAS))}.")
    num_classes, latent_dim = latents.mean.shape
    label = np.tile(np.arange(num_classes), len(THETAS))
    weights = np.ones((len(label), 1))
    theta = np.full((num_classes, latent_dim), float(start))
    current: Any = None
    history: list[float] = []
    evaluations = 0
    with tqdm(
        total=max_sweeps * latent_dim, desc=title, unit=" dimensions", disable=quiet, leave=False
    ) as bar:
        for _ in range(max_sweeps):
            before = theta.copy()
            for d in range(latent_dim):
                tried = np.tile(theta, (len(THETAS), 1))
                tried[:, d] = np.repeat(THETAS, num_classes)
                accuracy, cosine = score_pairs(
                    key,
                    generate,
                    classify,
                    latents,
                    label,
                    tried,
                    weights,
                    num_samples,
                    num_devices,
                )
                objective = cosine + accuracy_weight * (1 - accuracy)
                objective = objective.reshape(len(THETAS), num_classes)
                evaluations += objective.size
                if not per_class:
                    objective = np.broadcast_to(
                        objective.mean(axis=1, keepdims=True), objective.shape
                    )
                place = np.abs(THETAS[:, None] - theta[:, d]).argmin(axis=0)
                current = np.take_along_axis(objective, place[None], axis=0)[0]
                if not history:
                    history.append(float(current.mean()))
                # Where others are as good, θ stays: descent must end.
                least = objective.argmin(axis=0)
                better = objective.min(axis=0) < current
                theta[:, d] = np.where(better, THETAS[least], theta[:, d])
                current = np.minimum(objective.min(axis=0), current)
                bar.update()
            history.append(float(current.mean()))
            if np.array_equal(theta, before):
                break
    return ScaleSearch(theta, np.array(history), evaluations)
