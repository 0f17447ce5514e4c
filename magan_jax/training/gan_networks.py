"""The networks of a GAN by its settings: G, the trunk of D, an encoder where there is one."""

from typing import Any, NamedTuple

import flax.linen as nn

from magan_jax.models import NETWORKS, Encoder, Size
from magan_jax.objectives import OBJECTIVES, Objective
from magan_jax.parallel import DEVICES
from magan_jax.prior import ClusteredPrior
from magan_jax.training.gan_config import GANConfig, training_prior
from magan_jax.training.precision import activation_dtype


class GANNetworks(NamedTuple):
    """What is trained together.

    Attributes:
        generator: latents `[N, d]` to images `[N, H, W, C]`.
        trunk: D without its last layer, which is the objective's: images to features `[N, F]`.
        encoder: images to both parts of a clustered latent; None where nothing encodes.
    """

    generator: nn.Module
    trunk: nn.Module
    encoder: Encoder | None


def networks_of(
    config: GANConfig, image_shape: tuple[int, int, int], dtype: Any = None
) -> GANNetworks:
    """All networks of a training, in its number format or in `dtype`."""
    family, objective = NETWORKS[config.network], objective_of(config)
    prior = training_prior(config)
    dtype = activation_dtype(config.dtype) if dtype is None else dtype
    size = Size(config.discriminator_width, config.discriminator_layers)
    encoder = None
    if objective.encodes:
        assert isinstance(prior, ClusteredPrior)
        encoder = Encoder(
            family.trunk(size, DEVICES, dtype, False),
            prior.continuous_dim,
            prior.num_clusters,
            dtype,
        )
    return GANNetworks(
        family.generator(generator_size(config), image_shape, DEVICES, dtype),
        family.trunk(size, DEVICES, dtype, objective.batch_norm),
        encoder,
    )


def generator_size(config: GANConfig) -> Size:
    """G's widths."""
    return Size(config.generator_width, config.generator_layers)


def objective_of(config: GANConfig) -> Objective:
    """The objective with its constants."""
    return OBJECTIVES[config.objective](config.constants)
