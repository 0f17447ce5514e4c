"""Labels along the ray of each class, μ + pσ."""

from typing import NamedTuple

import numpy as np

from magan_jax.errors import check_positive, check_real
from magan_jax.latent.analysis import (
    Analysis,
    among_all_classes,
    check_same_classes,
    classes_with_statistics,
)
from magan_jax.latent.labels import label_latents
from magan_jax.networks import Classify, Generate


class RayLabels(NamedTuple):
    """Labels along μ_k + p σ_k.

    Attributes:
        position: `[P]`, p.
        label: int `[K, P]`; −1 for a class without statistics.
        confidence: `[K, P]`.
    """

    position: np.ndarray
    label: np.ndarray
    confidence: np.ndarray


def labels_along_rays(
    generate: Generate,
    classify: Classify,
    analysis: Analysis,
    *,
    reach: float = 3.0,
    num_points: int = 121,
    batch_size: int | None = None,
    num_devices: int | None = None,
) -> RayLabels:
    """Labels at μ_k + p σ_k for p from −reach to reach, for every class (Equation 4's shifts).

    Args:
        generate, classify: see `analyze`.
        analysis: class means and standard deviations.
        reach: in standard deviations, to either side.
        num_points: P, evenly spaced, both ends among them.
        batch_size, num_devices: see `label_latents`.

    Raises:
        ValueError: for a reach or a number of points that is not positive, if no class has
            statistics, and for what `label_latents` refuses.

    Warns:
        UserWarning: as `label_latents` does.
    """
    if not 0 < check_real("reach", reach) < np.inf:
        raise ValueError(f"reach is {reach}; it must be positive and finite.")
    num_points = check_positive("num_points", num_points)
    valid = classes_with_statistics(analysis)
    check_same_classes(generate, classify, analysis)
    position = np.linspace(-reach, reach, num_points)
    num_classes, latent_dim = analysis.mean.shape
    rays = analysis.mean[valid, None] + position[:, None] * analysis.std[valid, None]
    found = label_latents(
        generate,
        classify,
        rays.reshape(-1, latent_dim),
        batch_size=batch_size,
        num_devices=num_devices,
    )
    shape = (len(valid), num_points)
    return RayLabels(
        position,
        among_all_classes(found.label.reshape(shape), valid, num_classes, -1),
        among_all_classes(found.confidence.reshape(shape), valid, num_classes, np.nan),
    )
