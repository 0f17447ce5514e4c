"""Training of the generator and the discriminator."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from magan_jax.models import Discriminator, Generator
from magan_jax.objectives import ADVERSARIAL
from magan_jax.parallel import DEVICES, device_count, local_part
from magan_jax.training.engine import Batch, Info, Progress, Step, check_batch_size
from magan_jax.training.ensemble import stacked
from magan_jax.training.images import scale_images
from magan_jax.training.precision import ActivationDtype, activation_dtype, check_dtype
from magan_jax.training.stage import Stage, train_stage


@dataclass(frozen=True)
class GANConfig:
    """The generator, the discriminator and their training."""

    latent_dim: int = 100
    """Dimension d of the latent space, with the standard normal prior."""
    epochs: int = 100
    """Passes over the training images."""
    batch_size: int = 128
    """Images per step, all devices together."""
    generator_width: int = 64
    """Channels of the generator's last hidden layer."""
    discriminator_width: int = 64
    """Channels of the discriminator's first layer."""
    learning_rate: float = 2e-4
    """Adam's step size, for both networks."""
    beta1: float = 0.5
    """Adam's decay of the first moment."""
    objective: str = "vanilla"
    """The adversarial objective, by its name in `magan_jax.objectives.ADVERSARIAL`."""
    dtype: ActivationDtype | None = None
    """Activations in training; None: as --dtype."""


class GANState(NamedTuple):
    """All that a GAN's training carries from step to step.

    Attributes:
        generator: G's parameters.
        statistics: G's running means and variances (BatchNorm).
        generator_optimizer: Adam's moments for G.
        discriminator: D's parameters.
        discriminator_optimizer: Adam's moments for D.
    """

    generator: Any
    statistics: Any
    generator_optimizer: Any
    discriminator: Any
    discriminator_optimizer: Any


def check_gan_config(
    config: GANConfig, images_shape: tuple[int, ...], num_devices: int | None = None
) -> None:
    """Refuse settings that cannot work on images `[N, H, W, C]`, naming the field and the mend."""
    for name in ("latent_dim", "epochs", "generator_width", "discriminator_width"):
        if getattr(config, name) < 1:
            raise ValueError(f"gan.{name} is {getattr(config, name)}; it must be at least 1.")
    if not config.learning_rate > 0:
        raise ValueError(f"gan.learning_rate is {config.learning_rate}; it must be positive.")
    if not 0 <= config.beta1 < 1:
        raise ValueError(f"gan.beta1 is {config.beta1}; it must lie in [0, 1).")
    if config.objective not in ADVERSARIAL:
        raise ValueError(
            f"gan.objective is {config.objective!r}; choose one of {', '.join(ADVERSARIAL)}."
        )
    check_dtype("gan.dtype", config.dtype)
    if len(images_shape) != 4 or images_shape[1] % 4 or images_shape[2] % 4:
        raise ValueError(
            f"the images have the shape {images_shape}; the DCGAN needs [N, H, W, C] with H and W "
            "divisible by 4."
        )
    check_batch_size(
        config.batch_size, images_shape[0], device_count(num_devices), "gan.batch_size"
    )


@partial(jax.jit, static_argnames=("config", "image_shape"))
def init_gan(key: jax.Array, config: GANConfig, image_shape: tuple[int, int, int]) -> GANState:
    """A fresh state; G and D start from keys of their own."""
    generator_key, discriminator_key = jax.random.split(key)
    generator, discriminator = _networks(config, image_shape)
    variables = generator.init(generator_key, jnp.zeros((1, config.latent_dim)), training=False)
    parameters = discriminator.init(discriminator_key, jnp.zeros((1, *image_shape)))["params"]
    optimizer = _optimizer(config)
    return GANState(
        generator=variables["params"],
        statistics=variables["batch_stats"],
        generator_optimizer=optimizer.init(variables["params"]),
        discriminator=parameters,
        discriminator_optimizer=optimizer.init(parameters),
    )


def gan_step(config: GANConfig, image_shape: tuple[int, int, int]) -> Step:
    """One update of D, then one of G against the new D, on the same fake images.

    Returns:
        `step(state, batch, key) -> (state, info)` for `magan_jax.training.engine.train`.
        `info` holds both losses and the share of real and of fake images that D takes for real
        (before its update and after it, respectively).
    """
    generator, discriminator = _networks(config, image_shape)
    objective = ADVERSARIAL[config.objective]
    optimizer = _optimizer(config)

    def step(state: GANState, batch: Batch, key: jax.Array) -> tuple[GANState, Info]:
        real = scale_images(batch.images)
        latents = local_part(jax.random.normal(key, (config.batch_size, config.latent_dim)))

        def generate(parameters: Any) -> tuple[jax.Array, Any]:
            variables = {"params": parameters, "batch_stats": state.statistics}
            fake, updates = generator.apply(
                variables, latents, training=True, mutable=["batch_stats"]
            )
            return fake, updates["batch_stats"]

        def discriminate(parameters: Any, images: jax.Array) -> jax.Array:
            logits, _ = discriminator.apply({"params": parameters}, images, mutable=["batch_stats"])
            return logits

        # Made once for both updates: G does not change in between.
        fake, pull_back, statistics = jax.vjp(generate, state.generator, has_aux=True)

        def discriminator_loss(parameters: Any) -> tuple[jax.Array, Any]:
            real_logits, fake_logits = (
                discriminate(parameters, real),
                discriminate(parameters, fake),
            )
            return objective.discriminator(real_logits, fake_logits), real_logits

        (loss_d, real_logits), gradient = jax.value_and_grad(discriminator_loss, has_aux=True)(
            state.discriminator
        )
        d_parameters, d_optimizer = _update(
            optimizer, gradient, state.discriminator_optimizer, state.discriminator
        )

        def generator_loss(images: jax.Array) -> tuple[jax.Array, jax.Array]:
            logits = discriminate(d_parameters, images)
            return objective.generator(logits), logits

        (loss_g, fake_logits), towards = jax.value_and_grad(generator_loss, has_aux=True)(fake)
        (gradient,) = pull_back(towards)
        g_parameters, g_optimizer = _update(
            optimizer, gradient, state.generator_optimizer, state.generator
        )
        info = {
            "discriminator_loss": loss_d,
            "generator_loss": loss_g,
            "real_taken_for_real": jnp.mean(real_logits > 0),
            "fake_taken_for_real": jnp.mean(fake_logits > 0),
        }
        new_state = GANState(g_parameters, statistics, g_optimizer, d_parameters, d_optimizer)
        return new_state, jax.lax.pmean(info, DEVICES)

    return step


class TrainedGAN(NamedTuple):
    """A trained generator and how it came about.

    Attributes:
        generate: `z [N, d] -> images [N, H, W, C]` in [-1, 1], parameters closed over.
        progress: the training's end: state, history, speed.
    """

    generate: Callable[[jax.Array], jax.Array]
    progress: Progress


def train_gan(
    key: jax.Array,
    config: GANConfig,
    images: np.ndarray,
    *,
    stage: Stage,
    num_devices: int | None = None,
) -> TrainedGAN:
    """Train a generator and a discriminator on `images`, uint8 `[N, H, W, C]`.

    Raises:
        ValueError: for settings that cannot work.
        FloatingPointError: when training diverges.
    """
    return train_gans(key[None], config, images, stage=stage, num_devices=num_devices)[0]


def train_gans(
    keys: jax.Array,
    config: GANConfig,
    images: np.ndarray,
    *,
    stage: Stage,
    num_devices: int | None = None,
) -> list[TrainedGAN]:
    """`train_gan` for each of the keys `[S]`, all at once; each as it would be trained alone."""
    image_shape: Any = images.shape[1:]
    check_gan_config(config, images.shape, num_devices)
    init_keys, train_keys = jax.vmap(jax.random.split, out_axes=1)(keys)
    progress = train_stage(
        stage,
        train_keys,
        gan_step(config, image_shape),
        stacked([init_gan(key, config, image_shape) for key in init_keys]),
        # The GAN sees no labels: it is given none.
        Batch(images, np.zeros(len(images), np.int32)),
        num_epochs=config.epochs,
        batch_size=config.batch_size,
        num_devices=num_devices,
        title="GAN" if len(keys) == 1 else f"{len(keys)} GANs",
    )
    members = [progress.member(i) for i in range(len(keys))]
    return [TrainedGAN(generator_function(config, image_shape, one.state), one) for one in members]


def generator_function(
    config: GANConfig, image_shape: tuple[int, int, int], state: GANState
) -> Callable[[jax.Array], jax.Array]:
    """The trained generator as a function of the latents alone: `[N, d] -> [N, H, W, C]`.

    Its activations are float32 whatever they were in training: the parameters are, and a label
    near the boundary of two classes must not move (see `magan_jax.latent.labels`). It is a pytree
    of its parameters (see `magan_jax.latent.networks`).
    """
    variables = {"params": state.generator, "batch_stats": state.statistics}
    return jax.tree_util.Partial(_generator_in_use(config.generator_width, image_shape), variables)


@cache
def _generator_in_use(
    width: int, image_shape: tuple[int, int, int]
) -> Callable[[Any, jax.Array], jax.Array]:
    """One function for all parameters, so that nothing is compiled anew for others."""
    generator = Generator(width, image_shape)

    def generate(variables: Any, latents: jax.Array) -> jax.Array:
        images = generator.apply(variables, latents, training=False)
        assert isinstance(images, jax.Array)
        return images

    return generate


def _networks(
    config: GANConfig, image_shape: tuple[int, int, int]
) -> tuple[Generator, Discriminator]:
    dtype = activation_dtype(config.dtype)
    return (
        Generator(config.generator_width, image_shape, DEVICES, dtype),
        Discriminator(config.discriminator_width, DEVICES, dtype),
    )


def _optimizer(config: GANConfig) -> optax.GradientTransformation:
    return optax.adam(config.learning_rate, b1=config.beta1)


def _update(
    optimizer: optax.GradientTransformation, gradient: Any, optimizer_state: Any, parameters: Any
) -> tuple[Any, Any]:
    """Average the gradient over the devices and take one step."""
    gradient = jax.lax.pmean(gradient, DEVICES)
    updates, optimizer_state = optimizer.update(gradient, optimizer_state, parameters)
    return optax.apply_updates(parameters, updates), optimizer_state
