"""The six autoencoders of the VAE report, and its published numbers.

"Categorical generation of images via analysis of learned latent vectors" (Vargas Aguilar, Gu, Lee),
Sections 4.2 and 4.3. Its cosines are of images; it does not say how many.
"""

from dataclasses import replace
from typing import NamedTuple

from magan_jax.objectives.variational import DivergenceName
from magan_jax.training.vae import VAEConfig


class System(NamedTuple):
    """One autoencoder.

    Attributes:
        title: for tables and figures.
        divergence: what its latents are held to the prior by.
        latent_dim: d.
    """

    title: str
    divergence: DivergenceName
    latent_dim: int


SYSTEMS: dict[str, System] = {
    f"{divergence}_{d}": System(f"{divergence.upper()}, d = {d}", divergence, d)
    for divergence in DivergenceName.__args__  # type: ignore[attr-defined]
    for d in (2, 10, 20)
}
"""By the name that `--systems` uses."""


class Published(NamedTuple):
    """A row of the report's Table 4.

    Attributes:
        system: in `SYSTEMS`.
        sampler: in `SAMPLERS`.
        theta: θ; None where it is a vector of one training's own dimensions.
        num_draws: n.
        cosine: of the images of a class, mean.
        accuracy: of the classifier on them.
    """

    system: str
    sampler: str
    theta: float | None
    num_draws: int
    cosine: float
    accuracy: float


TABLE_4 = (
    Published("elbo_20", "simple", 0.4, 2, 0.9200, 0.995),
    Published("mmd_20", "simple", 0.6, 3, 0.8870, 0.9968),
    # Its θ has eleven numbers for ten dimensions, and is said to be a partial result.
    Published("mmd_10", "medium1", None, 1, 0.8168, 0.9960),
)

SAMPLERS = {"simple": "Simple", "medium1": "Medium 1", "medium2": "Medium 2"}
"""Section 3.5: one θ; one for each dimension; one for each dimension and class."""


def chosen_config(name: str, base: VAEConfig) -> VAEConfig:
    """The configuration of a system; what it does not set itself is that of `base`."""
    system = SYSTEMS[name]
    return replace(base, divergence=system.divergence, latent_dim=system.latent_dim)
