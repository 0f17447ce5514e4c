"""Features that latent neighbours share: contrastive learning with a generator as its data.

Two images of latents close to the same z are of the same thing; those of other z are, nearly
always, of another. An encoder that can tell which are which (InfoNCE; van den Oord et al., 2018;
with a generator's views, Jahanian et al., 2022) has learned what a shift within the neighbourhood
leaves alone, of which the class is a part. No label takes part.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from magan_jax.blocks import evenly_spaced
from magan_jax.images import random_appearance, scale_images
from magan_jax.models.contrastive import ContrastiveEncoder
from magan_jax.networks import Generate
from magan_jax.parallel import DEVICES, device_count, local_part
from magan_jax.prior import Prior, standard_normal
from magan_jax.training.engine import Batch, Step, check_batch_size
from magan_jax.training.optimizers import adamw_cosine
from magan_jax.training.progress import Info
from magan_jax.training.stage import Stage, train_stage
from magan_jax.training.standardised import NUM_REFERENCE, Features, standardised


@dataclass(frozen=True)
class ContrastConfig:
    """How the features that latent neighbours share are learned."""

    epochs: int = 9
    """Each as many latents as there are training images."""
    batch_size: int = 96
    """Latents, each of which gives two images."""
    scale: float = 0.5
    """s: the neighbours of z are (z + s η) / √(1 + s²), η of the standard normal."""
    temperature: float = 0.2
    """τ of the softmax over similarities."""
    width: int = 32
    """Channels of the encoder's first convolution."""
    learning_rate: float = 2e-3
    """AdamW's, at the start of a cosine decay to zero."""
    weight_decay: float = 1e-4
    """AdamW's."""
    max_shift: int = 2
    """Pixels that every image is moved by at most, each way."""
    max_erased: int = 9
    """Pixels along either side of the rectangle that every image loses, at most."""
    brightness: float = 0.4
    """Every image's light is multiplied by exp(N(0, this²))."""


class ContrastState(NamedTuple):
    """What is carried from step to step.

    Attributes:
        parameters: of the encoder.
        optimizer: AdamW's moments.
    """

    parameters: Any
    optimizer: Any


def check_contrast_config(
    config: ContrastConfig, image_shape: tuple[int, ...], num_devices: int | None
) -> None:
    """Refuse settings that cannot work, naming the field; to be called before any training.

    Args:
        config: the settings.
        image_shape: of the real images, `(N, H, W, C)`.
        num_devices: see `magan_jax.parallel.on_devices`.
    """
    for name in ("epochs", "width", "batch_size", "max_shift", "max_erased"):
        value, least = getattr(config, name), 0 if name.startswith("max") else 1
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(
                f"contrast.{name} is {value}; it must be a whole number, at least {least}."
            )
    for name in ("scale", "temperature", "learning_rate"):
        value = getattr(config, name)
        if not (value > 0 and np.isfinite(value)):
            raise ValueError(f"contrast.{name} is {value}; it must be positive and finite.")
    for name in ("weight_decay", "brightness"):
        value = getattr(config, name)
        if not (value >= 0 and np.isfinite(value)):
            raise ValueError(f"contrast.{name} is {value}; it must be 0 or more, and finite.")
    side = min(image_shape[1:3])
    for name in ("max_shift", "max_erased"):
        if getattr(config, name) >= side:
            raise ValueError(
                f"contrast.{name} is {getattr(config, name)}; it must be less than the images' "
                f"shorter side, {side}."
            )
    devices = device_count(num_devices)
    check_batch_size(config.batch_size, image_shape[0], devices, "contrast.batch_size")
    if config.batch_size < 2:
        raise ValueError("contrast.batch_size is 1; one latent has no other to be told from.")


def train_contrast(
    key: jax.Array,
    config: ContrastConfig,
    generate: Generate,
    prior: Prior,
    images: np.ndarray,
    *,
    stage: Stage,
    num_devices: int | None = None,
) -> Features:
    """Train an encoder on pairs of neighbouring latents' images.

    Args:
        key: of the training.
        config: the settings.
        generate: G, `z [N, d] -> images [N, H, W, C]` in [-1, 1].
        prior: the standard normal, for neighbours are distributed as it is.
        images: uint8 `[N, H, W, C]`, real: they say how many latents an epoch has, and over them
            every feature has mean 0 and standard deviation 1.
        stage: where it is kept.
        num_devices: see `magan_jax.parallel.on_devices`.

    Returns:
        `images [n, H, W, C] -> features [n, 256]`, a pytree of its parameters.

    Raises:
        ValueError: for settings that cannot work, or another prior.
        FloatingPointError: when training diverges.
    """
    check_contrast_config(config, images.shape, num_devices)
    latent_dim = jax.eval_shape(lambda k: prior(k, 1), key).shape[1]
    if prior is not standard_normal(latent_dim):
        raise ValueError(
            f"prior is {prior}; neighbours are those of the standard normal: give "
            f"magan_jax.prior.standard_normal({latent_dim})."
        )
    init_key, train_key = jax.random.split(key)
    state, num_steps = init_contrast(init_key, config, images.shape[1:], len(images))
    progress = train_stage(
        stage,
        train_key,
        contrast_step(config, generate, prior, num_steps),
        state,
        Batch(images, np.zeros(len(images), np.int32)),  # asked for their number only
        num_epochs=config.epochs,
        batch_size=config.batch_size,
        num_devices=num_devices,
        title="contrast",
    )
    variables = {"params": progress.state.parameters}
    real = scale_images(jnp.asarray(evenly_spaced(images, NUM_REFERENCE)))
    return standardised(_features_in_use(config.width), variables, real)


def init_contrast(
    key: jax.Array, config: ContrastConfig, image_shape: tuple[int, ...], num_images: int
) -> tuple[ContrastState, int]:
    """A fresh state, and the number of steps of a training with so many real images."""
    num_steps = config.epochs * (num_images // config.batch_size)
    parameters = _encoder(config.width).init(key, jnp.zeros((1, *image_shape)))["params"]
    return ContrastState(parameters, _optimizer(config, num_steps).init(parameters)), num_steps


def contrast_step(config: ContrastConfig, generate: Generate, prior: Prior, num_steps: int) -> Step:
    """One AdamW step on the InfoNCE of a batch of latents.

    Its images are G's as everywhere: a trained generator computes in full float32.

    Returns:
        `step(state, batch, key) -> (state, info)` for `magan_jax.training.engine.train`.
    """
    optimizer = _optimizer(config, num_steps)

    def step(state: ContrastState, batch: Batch, key: jax.Array) -> tuple[Any, Info]:
        # Keys for every latent of the whole batch: each device takes those of its own.
        latent_keys, move_keys = (
            local_part(jax.random.split(k, config.batch_size)) for k in jax.random.split(key)
        )
        latents = jax.vmap(partial(two_neighbours, config, prior))(latent_keys)
        images = generate(latents.reshape(-1, latents.shape[2]))
        move_keys = jax.vmap(jax.random.split)(move_keys).reshape(-1)
        images = jax.vmap(
            partial(
                random_appearance,
                max_shift=config.max_shift,
                max_erased=config.max_erased,
                brightness=config.brightness,
            )
        )(move_keys, images)

        def loss(parameters: Any) -> jax.Array:
            found: Any = _encoder(config.width).apply({"params": parameters}, images)
            return info_nce(found[1].reshape(*latents.shape[:2], -1), config.temperature)

        # Through the gathered vectors each device's gradient has a part of all devices' losses.
        value, gradient = jax.value_and_grad(loss)(state.parameters)
        gradient = jax.lax.pmean(gradient, DEVICES)
        updates, moments = optimizer.update(gradient, state.optimizer, state.parameters)
        new_state = ContrastState(optax.apply_updates(state.parameters, updates), moments)
        return new_state, jax.lax.pmean({"loss": value}, DEVICES)

    return step


def two_neighbours(config: ContrastConfig, prior: Prior, key: jax.Array) -> jax.Array:
    """Two neighbours `[2, d]` of one latent; each is distributed as it is."""
    latent_key, noise_key = jax.random.split(key)
    z = prior(latent_key, 1)
    noise = jax.random.normal(noise_key, (2, *z.shape[1:]))
    return (z + config.scale * noise) / jnp.sqrt(1 + config.scale**2)


def info_nce(vectors: jax.Array, temperature: float) -> jax.Array:
    """Mean over all views of -log softmax of the similarity to the other view of the same latent.

    Args:
        vectors: unit vectors `[N, 2, F]`, two views of each of a device's latents; within
            a function that is mapped over `DEVICES`.
        temperature: similarities are divided by it.
    """
    own = jnp.concatenate([vectors[:, 0], vectors[:, 1]])  # [2 N, F]
    everyone = jax.lax.all_gather(own, DEVICES)  # [devices, 2 N, F]
    columns = everyone.reshape(-1, own.shape[1])
    first = jax.lax.axis_index(DEVICES) * len(own)
    itself = first + jnp.arange(len(own))
    other = first + jnp.roll(jnp.arange(len(own)), len(vectors))
    similarity = own @ columns.T / temperature
    similarity = jnp.where(jnp.arange(len(columns))[None] == itself[:, None], -jnp.inf, similarity)
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(similarity, other))


@cache
def _encoder(width: int) -> ContrastiveEncoder:
    return ContrastiveEncoder(width)


@cache
def _features_in_use(width: int) -> Callable[[Any, jax.Array], jax.Array]:
    """One function for all parameters, so that nothing is compiled anew for others."""

    def features(variables: Any, images: jax.Array) -> Any:
        found: Any = _encoder(width).apply(variables, images)
        return found[0]

    return features


def _optimizer(config: ContrastConfig, num_steps: int) -> optax.GradientTransformation:
    return adamw_cosine(config.learning_rate, config.weight_decay, num_steps)
