"""What a GAN's training can be told, and what of it cannot work."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from magan_jax.models import NETWORKS, NetworkName
from magan_jax.objectives import OBJECTIVES, Constants, ObjectiveName, check_constants
from magan_jax.parallel import device_count
from magan_jax.prior import PRIORS, ClusteredPrior, Prior, PriorName
from magan_jax.training.engine import check_batch_size
from magan_jax.training.optimizers import OPTIMIZERS, OptimizerName
from magan_jax.training.precision import ActivationDtype, check_dtype


@dataclass(frozen=True)
class GANConfig:
    """The generator, the discriminator and their training."""

    latent_dim: int = 100
    """Dimension d of the latent space: all that the generator is given."""
    prior: PriorName = "normal"
    """Distribution of the latents in training."""
    sampling_prior: PriorName | None = None
    """Distribution of the latents when the trained generator is used; None: as in training."""
    num_clusters: int = 10
    """Clusters K of the priors that have them."""
    epochs: int = 100
    """Passes over the training images."""
    batch_size: int = 128
    """Images per update of a network, all devices together."""
    network: NetworkName = "dcgan"
    """Family of the networks: convolutions, or the dense layers of the two MNIST reports."""
    generator_width: int = 64
    """dcgan: channels of the generator's last hidden layer."""
    discriminator_width: int = 64
    """dcgan: channels of the first layer of the discriminator, and of the encoder."""
    generator_layers: tuple[int, ...] = (256, 512, 1024)
    """mlp: features of the generator's hidden layers."""
    discriminator_layers: tuple[int, ...] = (1024, 512, 256)
    """mlp: features of the hidden layers of the discriminator, and of the encoder."""
    optimizer: OptimizerName = "adam"
    """The optimiser, for all networks."""
    learning_rate: float = 2e-4
    """The optimiser's step size, for all networks."""
    beta1: float = 0.5
    """Adam's decay of the first moment; rmsprop has none."""
    beta2: float | None = None
    """Decay of the second moment; None: 0.999 for adam, 0.99 for rmsprop."""
    critic_steps: int = 1
    """Updates of the discriminator per update of the generator, each with images of its own."""
    objective: ObjectiveName = "vanilla"
    """The adversarial objective."""
    constants: Constants = field(default_factory=Constants)
    dtype: ActivationDtype | None = None
    """Activations in training; None: as --dtype."""


def check_gan_config(
    config: GANConfig, images_shape: tuple[int, ...], num_devices: int | None = None
) -> None:
    """Refuse settings that cannot work on images `[N, H, W, C]`, naming the field and the mend."""
    for name in ("latent_dim", "epochs", "generator_width", "discriminator_width", "critic_steps"):
        if getattr(config, name) < 1:
            raise ValueError(f"gan.{name} is {getattr(config, name)}; it must be at least 1.")
    for name in ("generator_layers", "discriminator_layers"):
        layers = getattr(config, name)
        if not layers or min(layers) < 1:
            raise ValueError(
                f"gan.{name} is {layers}; it must name at least one layer, of at least 1 feature."
            )
    _check_names(config)
    if not 0 < config.learning_rate < math.inf:
        raise ValueError(
            f"gan.learning_rate is {config.learning_rate}; it must be positive and finite."
        )
    for name in ("beta1", "beta2"):
        beta = getattr(config, name)
        if beta is not None and not 0 <= beta < 1:
            raise ValueError(f"gan.{name} is {beta}; it must lie in [0, 1).")
    check_constants(config.constants, "gan.constants")
    _check_priors(config)
    check_dtype("gan.dtype", config.dtype)
    divisor = NETWORKS[config.network].divisor
    if len(images_shape) != 4 or images_shape[1] % divisor or images_shape[2] % divisor:
        raise ValueError(
            f"the images have the shape {images_shape}; gan.network {config.network!r} needs "
            f"[N, H, W, C] with H and W divisible by {divisor}."
        )
    _check_batch(config, images_shape[0], device_count(num_devices))


def training_prior(config: GANConfig) -> Prior:
    """Of the latents in training."""
    return PRIORS[config.prior](config.latent_dim, config.num_clusters)


def prior_in_use(config: GANConfig) -> Prior:
    """Of the latents that the trained generator is given."""
    name = config.prior if config.sampling_prior is None else config.sampling_prior
    return PRIORS[name](config.latent_dim, config.num_clusters)


def compares_features(config: GANConfig) -> bool:
    """Whether the objective compares the features of a frozen network."""
    return OBJECTIVES[config.objective](config.constants).needs_features


def _check_names(config: GANConfig) -> None:
    tables: dict[str, Mapping[Any, Any]] = {
        "objective": OBJECTIVES,
        "network": NETWORKS,
        "optimizer": OPTIMIZERS,
        "prior": PRIORS,
        "sampling_prior": {None: None, **PRIORS},
    }
    for field_name, table in tables.items():
        value = getattr(config, field_name)
        if value not in table:
            choices = ", ".join(str(name) for name in table)
            raise ValueError(f"gan.{field_name} is {value!r}; choose one of {choices}.")


def _check_priors(config: GANConfig) -> None:
    try:
        prior, _ = training_prior(config), prior_in_use(config)
    except ValueError as error:
        raise ValueError(f"gan: {error}") from error
    encodes = OBJECTIVES[config.objective](config.constants).encodes
    if encodes and not isinstance(prior, ClusteredPrior):
        raise ValueError(
            f"gan.prior is {config.prior!r}, but gan.objective {config.objective!r} needs one "
            "with clusters to find again; choose cluster or mixture."
        )


def _check_batch(config: GANConfig, num_examples: int, num_devices: int) -> None:
    check_batch_size(config.batch_size, num_examples, num_devices, "gan.batch_size")
    if config.batch_size * config.critic_steps > num_examples:
        raise ValueError(
            f"gan.critic_steps is {config.critic_steps}, with gan.batch_size {config.batch_size} "
            f"more than the {num_examples} examples; lower one of the two."
        )
