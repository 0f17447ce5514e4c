"""How the samplers of an autoencoder are searched and judged."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SamplingConfig:
    """The search for θ and the draws that judge it."""

    num_searched: int = 500
    """Images of each class by which samplers are chosen."""
    num_judged: int = 1000
    """Other images of each class, by which the chosen ones are judged."""
    accuracy_weights: tuple[float, ...] = (1.0, 10.0)
    """Weights of 1 − accuracy beside the cosine; the report's Eq. 4 has 1."""
    max_sweeps: int = 5
    """Times that the search goes through all dimensions, at most."""
    num_rays: int = 1000
    """Draws of each class that are followed from the class mean outwards."""


def check_sampling_config(config: SamplingConfig) -> None:
    """Refuse settings that cannot work, naming the field; to be called before any training."""
    for name, least in (("num_searched", 2), ("num_judged", 2), ("max_sweeps", 1), ("num_rays", 1)):
        if getattr(config, name) < least:
            raise ValueError(
                f"sampling.{name} is {getattr(config, name)}; it must be at least {least}."
            )
    weights = config.accuracy_weights
    if not weights or not all(w > 0 and np.isfinite(w) for w in weights):
        raise ValueError(
            f"sampling.accuracy_weights is {weights}; one or more positive numbers are needed."
        )
    if len(set(weights)) < len(weights):
        raise ValueError(f"sampling.accuracy_weights is {weights}; each is needed once.")
