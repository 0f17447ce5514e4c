"""The numbers in the objectives' equations."""

import math
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Constants:
    """The numbers in the objectives' equations; each objective reads its own."""

    clip: float = 0.01
    """wasserstein: every parameter of D stays in [-clip, clip]."""
    penalty: float = 10.0
    """wasserstein_gp, cluster_wasserstein_gp: weight λ of the gradient penalty."""
    direction: float = 1.0
    """san: weight λ of the direction's loss."""
    perceptual: float = 0.01
    """perceptual: weight of the distance of features."""
    continuous: float = 10.0
    """cluster, cluster_wasserstein_gp: weight β_n of the mean squared error in z_n; the method's
    authors have 10 for MNIST and 0 for Fashion-MNIST."""
    label: float = 10.0
    """cluster, cluster_wasserstein_gp: weight β_c of the cross-entropy of the cluster."""


def check_constants(constants: Constants, name: str) -> None:
    """Refuse constants with which an equation makes no sense; `name` is how the user calls them."""
    for one in fields(constants):
        value = getattr(constants, one.name)
        if not 0 <= value < math.inf:
            raise ValueError(f"{name}.{one.name} is {value}; it must be 0 or more, and finite.")
    if constants.clip == 0:
        raise ValueError(f"{name}.clip is 0; it must be positive, or D is 0 for all images.")
