"""Which θ makes a sampler's images differ most and still be of their class (VAE report, 3.5)."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from tqdm import tqdm

from magan_jax.errors import check_positive
from magan_jax.latent.conditional import ConditionalScores, checked_latents, score_conditional
from magan_jax.latent.encodings import ClassLatents
from magan_jax.networks import Classify, Generate

THETAS = np.round(np.linspace(0, 1, 11), 1)
"""The report's grid of θ."""

NUM_DRAWS = (1, 2, 3, 5)
"""The report's grid of n."""

WHOLE_GRID = 1331
"""A grid of Medium 1 with no more points than this is scored whole: three dimensions."""


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
        """Index of the least objective, mean over classes; of one n, if it is given.

        Raises:
            ValueError: for an n that is not in the grid.
        """
        objective = self.scores.objective(accuracy_weight).mean(axis=1)
        if num_draws is not None:
            if not np.any(self.num_draws == num_draws):
                there = ", ".join(map(str, np.unique(self.num_draws)))
                raise ValueError(f"num_draws is {num_draws}; the grid has {there}.")
            objective = np.where(self.num_draws == num_draws, objective, np.inf)
        return int(np.argmin(objective))


class ScaleSearch(NamedTuple):
    """The report's Medium 1 (a θ for each dimension) or Medium 2 (and class).

    Attributes:
        theta: `[K, d]`; equal rows for Medium 1.
        objective: `[sweeps + 1]`, mean over classes, before the first sweep and after each; where
            the whole grid was scored, that of the start and the least.
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
    num_samples: int = 500,
    num_devices: int | None = None,
) -> SimpleSearch:
    """Score the report's whole grid of θ and n (Section 3.5.1) in one compiled call.

    Args:
        key: of the draws, the same for all samplers.
        generate, classify, latents, num_samples, num_devices: see `score_conditional`.

    Raises:
        ValueError: and all else as `score_conditional` does.
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
    num_samples: int = 500,
    accuracy_weight: float = 1.0,
    max_sweeps: int = 5,
    num_devices: int | None = None,
    quiet: bool | None = None,
    title: str = "θ",
) -> ScaleSearch:
    """The best θ of the report's grid (Sections 3.5.2, 3.5.3), whole where that can be.

    It has 11^d points, of which the report saw 0.01 %. In more than three dimensions it is gone
    through by coordinate descent, dimension by dimension, which ends where no change of a single θ
    makes the objective smaller, or after `max_sweeps`: that is not always the least of the grid.
    The objective is a sum over classes, so that Medium 2's K searches run side by side and cost as
    much as Medium 1's.

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
        ValueError: for a start beside the grid, and a weight or number of sweeps that is not
            positive.

    Warns:
        UserWarning: as `score_conditional` does.
    """
    max_sweeps = check_positive("max_sweeps", max_sweeps)
    if not (accuracy_weight > 0 and np.isfinite(accuracy_weight)):
        raise ValueError(f"accuracy_weight is {accuracy_weight}; it must be positive and finite.")
    if not np.isclose(THETAS, start).any():
        raise ValueError(f"start is {start}; it must be one of {', '.join(map(str, THETAS))}.")
    num_classes, latent_dim = checked_latents(latents).mean.shape

    def objective(theta: np.ndarray) -> np.ndarray:
        """Of M samplers `[M, K, d]`: `[M, K]`, for Medium 1 the mean in all columns."""
        scores = score_conditional(
            key,
            generate,
            classify,
            latents,
            theta,
            num_samples=num_samples,
            num_devices=num_devices,
        )
        found = scores.objective(accuracy_weight)
        return found if per_class else np.broadcast_to(found.mean(1, keepdims=True), found.shape)

    if len(THETAS) ** latent_dim <= WHOLE_GRID:
        return _whole_grid(objective, start, num_classes, latent_dim)
    with tqdm(
        total=max_sweeps * latent_dim, desc=title, unit=" dimensions", disable=quiet, leave=False
    ) as bar:
        theta = np.full((num_classes, latent_dim), float(start))
        return _descent(objective, theta, max_sweeps, bar.update)


ScaleObjective = Callable[[np.ndarray], np.ndarray]
"""From the θ of M samplers `[M, K, d]` to the objective of each and each class, `[M, K]`."""


def _whole_grid(
    objective: ScaleObjective, start: float, num_classes: int, latent_dim: int
) -> ScaleSearch:
    grid = np.stack(np.meshgrid(*[THETAS] * latent_dim, indexing="ij"), -1)
    grid = grid.reshape(-1, latent_dim)
    found = objective(np.broadcast_to(grid[:, None], (len(grid), num_classes, latent_dim)))
    first = found[np.isclose(grid, start).all(axis=1).argmax()]
    history = [float(first.mean()), float(found.min(axis=0).mean())]
    return ScaleSearch(grid[found.argmin(axis=0)], np.array(history), found.size)


def _descent(
    objective: ScaleObjective,
    start: np.ndarray,
    max_sweeps: int,
    after_dimension: Callable[[], object],
) -> ScaleSearch:
    """Dimension by dimension from the θ `[K, d]` of `start`."""
    theta, evaluations = start, 0
    history: list[float] = []
    for _ in range(max_sweeps):
        before = theta
        for d in range(theta.shape[1]):
            tried = np.tile(theta, (len(THETAS), 1, 1))
            tried[:, :, d] = THETAS[:, None]
            found = objective(tried)
            evaluations += found.size
            place = np.abs(THETAS[:, None] - theta[:, d]).argmin(axis=0)
            current = np.take_along_axis(found, place[None], axis=0)[0]
            if not history:
                history.append(float(current.mean()))
            # Where others are as good, θ stays: descent must end.
            least = found.min(axis=0)
            theta = theta.copy()
            theta[:, d] = np.where(least < current, THETAS[found.argmin(axis=0)], theta[:, d])
            after_dimension()
        history.append(float(np.minimum(least, current).mean()))
        if np.array_equal(theta, before):
            break
    return ScaleSearch(theta, np.array(history), evaluations)
