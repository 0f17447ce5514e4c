"""Adversarial objectives, one family a file; they know nothing of the networks' layers."""

from collections.abc import Callable
from typing import Literal

from magan_jax.objectives.cluster import cluster, cluster_wasserstein_gp
from magan_jax.objectives.constants import Constants, check_constants
from magan_jax.objectives.hinge import hinge
from magan_jax.objectives.objective import Discriminate, Discriminated, LastLayer, Made, Objective
from magan_jax.objectives.perceptual import perceptual
from magan_jax.objectives.san import san
from magan_jax.objectives.vanilla import vanilla
from magan_jax.objectives.wasserstein import wasserstein, wasserstein_gp

__all__ = [
    "CONSTANTS_OF",
    "OBJECTIVES",
    "Constants",
    "Discriminate",
    "Discriminated",
    "LastLayer",
    "Made",
    "Objective",
    "ObjectiveName",
    "check_constants",
]

ObjectiveName = Literal[
    "vanilla",
    "wasserstein",
    "wasserstein_gp",
    "hinge",
    "san",
    "perceptual",
    "cluster",
    "cluster_wasserstein_gp",
]

OBJECTIVES: dict[ObjectiveName, Callable[[Constants], Objective]] = {
    "vanilla": vanilla,
    "wasserstein": wasserstein,
    "wasserstein_gp": wasserstein_gp,
    "hinge": hinge,
    "san": san,
    "perceptual": perceptual,
    "cluster": cluster,
    "cluster_wasserstein_gp": cluster_wasserstein_gp,
}
"""Objectives, given their constants, by the name that a configuration uses."""

CONSTANTS_OF: dict[ObjectiveName, tuple[str, ...]] = {
    "vanilla": (),
    "wasserstein": ("clip",),
    "wasserstein_gp": ("penalty",),
    "hinge": (),
    "san": ("direction",),
    "perceptual": ("perceptual",),
    "cluster": ("continuous", "label"),
    "cluster_wasserstein_gp": ("continuous", "label", "penalty"),
}
"""Which of the constants each of them reads."""
