"""How the samplers of an autoencoder are searched and judged."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from magan_jax.data import Dataset
from magan_jax.files import digest_of
from magan_jax.latent.scale_search import NUM_DRAWS, THETAS, WHOLE_GRID

SEARCH_VERSION = 2
"""One more with each change of the code that changes what a search finds."""


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


def search_description(
    config: SamplingConfig, seed: int, networks: Any, latents: Any
) -> Mapping[str, Any]:
    """All that decides what a search finds; how it is judged afterwards does not.

    Args:
        config: the settings.
        seed: of the draws.
        networks: decoder and classifier, pytrees of their parameters.
        latents: where the classes are.
    """
    return {
        "version": SEARCH_VERSION,
        "grid": [THETAS, NUM_DRAWS, WHOLE_GRID],
        "num_searched": config.num_searched,
        "accuracy_weights": config.accuracy_weights,
        "max_sweeps": config.max_sweeps,
        "seed": seed,
        "networks": digest_of(networks),
        "latents": digest_of(latents),
    }


def check_classes(dataset: Dataset) -> None:
    """Refuse data whose classes have no deviation or no cosine, before anything is trained."""
    for part, images, labels in (
        ("training", dataset.train_images, dataset.train_labels),
        ("test", dataset.test_images, dataset.test_labels),
    ):
        count = np.bincount(labels, minlength=len(dataset.class_names))
        if count.min() < 2:
            few = int(np.argmin(count))
            raise ValueError(
                f"the class {dataset.class_names[few]} has {count[few]} {part} images; a deviation "
                "and a pair need at least 2: use a data set with all its classes."
            )
        dark = np.flatnonzero(~images.reshape(len(images), -1).any(axis=1))
        if part == "test" and dark.size:
            raise ValueError(
                f"{dark.size} test image(s) are black everywhere, the first is number {dark[0]}; "
                "such an image has no cosine: leave it out."
            )
