"""Training of a variational autoencoder, without labels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from magan_jax.blocks import in_blocks
from magan_jax.errors import NetworkOutputError
from magan_jax.images import scale_images
from magan_jax.models.variational import Decoder, Encoder
from magan_jax.objectives.variational import DIVERGENCES, DivergenceName, Encoded, bernoulli_loss
from magan_jax.parallel import DEVICES, device_count, local_part
from magan_jax.training.engine import Batch, Step, check_batch_size
from magan_jax.training.ensemble import stacked
from magan_jax.training.precision import ActivationDtype, activation_dtype, check_dtype
from magan_jax.training.progress import Info, Progress
from magan_jax.training.stage import Stage, train_stage

_BLOCK = 1000


@dataclass(frozen=True)
class VAEConfig:
    """A variational autoencoder and its training."""

    divergence: DivergenceName = "elbo"
    """What keeps the latents near the prior: elbo (KL) or mmd."""
    latent_dim: int = 20
    """d."""
    layers: tuple[int, ...] = (500, 500)
    """Features of each hidden layer of encoder and decoder."""
    epochs: int = 50
    """Passes over the training images; the report does not say how many."""
    batch_size: int = 128
    """Images per step, all devices together; the report does not say how many."""
    learning_rate: float = 1e-3
    """Adam's."""
    mmd_weight: float = 100.0
    """λ of the maximum mean discrepancy, beside a reconstruction loss summed over pixels."""
    dtype: ActivationDtype | None = None
    """Activations in training; None: as --dtype."""


class VAEState(NamedTuple):
    """All that the training carries from step to step.

    Attributes:
        parameters: of `encoder` and `decoder`.
        optimizer: Adam's moments and step count.
    """

    parameters: Any
    optimizer: Any


class TrainedVAE(NamedTuple):
    """A trained autoencoder as functions; both are pytrees of their parameters.

    Attributes:
        encode: `images [N, H, W, C] -> mean [N, d], logarithm of the variance [N, d]`.
        decode: `latents [N, d] -> logits [N, H, W, C]` of each pixel's light.
        generate: `latents [N, d] -> images [N, H, W, C]` in [-1, 1], the mean of p(x|z).
        progress: the training's end: state, history, speed.
    """

    encode: Callable[[jax.Array], tuple[jax.Array, jax.Array]]
    decode: Callable[[jax.Array], jax.Array]
    generate: Callable[[jax.Array], jax.Array]
    progress: Progress


def check_vae_config(
    config: VAEConfig, images_shape: Sequence[int], num_devices: int | None = None
) -> None:
    """Refuse settings that cannot work, naming the field and the mend.

    Args:
        config: the settings.
        images_shape: of the training images, `(N, H, W, C)`.
        num_devices: see `magan_jax.parallel.on_devices`.

    Raises:
        ValueError: for the first thing that cannot work.
    """
    if config.divergence not in DIVERGENCES:
        raise ValueError(
            f"vae.divergence is {config.divergence!r}; choose one of {', '.join(DIVERGENCES)}."
        )
    for field in ("latent_dim", "epochs"):
        if getattr(config, field) < 1:
            raise ValueError(f"vae.{field} is {getattr(config, field)}; it must be at least 1.")
    if not config.layers or min(config.layers) < 1:
        raise ValueError(
            f"vae.layers is {config.layers}; at least one hidden layer of at least 1 is needed."
        )
    for field in ("learning_rate", "mmd_weight"):
        value = getattr(config, field)
        if not (value > 0 and np.isfinite(value)):
            raise ValueError(f"vae.{field} is {value}; it must be positive and finite.")
    check_dtype("vae.dtype", config.dtype)
    check_batch_size(
        config.batch_size, images_shape[0], device_count(num_devices), "vae.batch_size"
    )
    if config.batch_size < 2:
        raise ValueError("vae.batch_size is 1; a discrepancy of samples needs at least 2 images.")


@partial(jax.jit, static_argnames=("config", "image_shape"))
def init_vae(key: jax.Array, config: VAEConfig, image_shape: tuple[int, int, int]) -> VAEState:
    """A fresh state."""
    encoder, decoder = _networks(config, image_shape)
    encoder_key, decoder_key = jax.random.split(key)
    parameters = {
        "encoder": encoder.init(encoder_key, jnp.zeros((1, *image_shape)))["params"],
        "decoder": decoder.init(decoder_key, jnp.zeros((1, config.latent_dim)))["params"],
    }
    return VAEState(parameters, _optimizer(config).init(parameters))


def vae_step(config: VAEConfig, image_shape: tuple[int, int, int]) -> Step:
    """One Adam step on reconstruction loss + weight · divergence.

    z = μ + σ η, one draw for each image (the reparametrisation of Kingma and Welling, 2014). The
    weight is that of the divergence's table: 1 of KL, `mmd_weight` of the discrepancy.

    Returns:
        `step(state, batch, key) -> (state, info)` for `magan_jax.training.engine.train`.
    """
    encoder, decoder = _networks(config, image_shape)
    optimizer = _optimizer(config)
    divergence = DIVERGENCES[config.divergence]
    weight = 1.0 if divergence.weight is None else getattr(config, divergence.weight)
    shape = (config.batch_size, config.latent_dim)

    def step(state: VAEState, batch: Batch, key: jax.Array) -> tuple[Any, Info]:
        # Drawn for the whole batch: each device takes what belongs to its images.
        noise, prior = (jax.random.normal(k, shape) for k in jax.random.split(key))
        noise = local_part(noise)
        images = scale_images(batch.images)

        def loss(parameters: Any) -> tuple[jax.Array, Info]:
            encoded: Any = encoder.apply({"params": parameters["encoder"]}, images)
            mean, log_variance = encoded
            latents = mean + jnp.exp(0.5 * log_variance) * noise
            logits: Any = decoder.apply({"params": parameters["decoder"]}, latents)
            # A discrepancy of samples is one of the whole batch, however many devices share it.
            # Through the gathered latents each device's gradient has a part of all devices' losses.
            together = jax.lax.all_gather(latents, DEVICES, tiled=True)
            reconstruction = bernoulli_loss(logits, (images + 1) / 2)
            apart = divergence.of(Encoded(mean, log_variance, together, prior))
            info = {"reconstruction": reconstruction, config.divergence: apart}
            return reconstruction + weight * apart, info

        (value, info), gradient = jax.value_and_grad(loss, has_aux=True)(state.parameters)
        gradient = jax.lax.pmean(gradient, DEVICES)
        updates, moments = optimizer.update(gradient, state.optimizer, state.parameters)
        new_state = VAEState(optax.apply_updates(state.parameters, updates), moments)
        return new_state, jax.lax.pmean({"loss": value, **info}, DEVICES)

    return step


def train_vaes(
    keys: jax.Array,
    config: VAEConfig,
    images: np.ndarray,
    *,
    stage: Stage,
    num_devices: int | None = None,
    title: str = "VAE",
) -> list[TrainedVAE]:
    """Train an autoencoder from each of the keys `[S]`, all at once, each as if alone.

    Args:
        keys: one for each training.
        config: the settings.
        images: uint8 `[N, H, W, C]`, without labels.
        stage: where it is kept.
        num_devices: see `magan_jax.parallel.on_devices`.
        title: in front of the progress bar.

    Raises:
        ValueError: for settings that cannot work.
        FloatingPointError: when a training diverges.
    """
    check_vae_config(config, images.shape, num_devices)
    image_shape: Any = images.shape[1:]
    init_keys, train_keys = jax.vmap(jax.random.split, out_axes=1)(keys)
    progress = train_stage(
        stage,
        train_keys,
        vae_step(config, image_shape),
        stacked([init_vae(key, config, image_shape) for key in init_keys]),
        Batch(images, np.zeros(len(images), np.int32)),
        num_epochs=config.epochs,
        batch_size=config.batch_size,
        num_devices=num_devices,
        title=title,
    )
    return [
        TrainedVAE(*vae_functions(config, image_shape, one.state), one)
        for one in (progress.member(i) for i in range(len(keys)))
    ]


def vae_functions(
    config: VAEConfig, image_shape: tuple[int, int, int], state: VAEState
) -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]:
    """`encode`, `decode` and `generate` of `TrainedVAE`, in full float32 whatever training had."""
    encode, decode, generate = _in_use(config.layers, config.latent_dim, image_shape)
    return (
        jax.tree_util.Partial(encode, state.parameters["encoder"]),
        jax.tree_util.Partial(decode, state.parameters["decoder"]),
        jax.tree_util.Partial(generate, state.parameters["decoder"]),
    )


def reconstruction_loss(vae: TrainedVAE, images: jax.Array | np.ndarray) -> float:
    """Mean −log p(x|z) in nats of images `[N, H, W, C]` in [-1, 1], z the mean of q(z|x)."""
    losses = in_blocks(
        lambda x: _losses(vae.encode, vae.decode, x), np.asarray(images), min(_BLOCK, len(images))
    )
    return float(np.mean(losses, dtype=np.float64))


def reconstructed(vae: TrainedVAE, images: np.ndarray) -> np.ndarray:
    """Each image (uint8) through encoder (the mean of q(z|x)) and decoder, as uint8 again.

    Raises:
        NetworkOutputError: where a reconstruction is not finite.
    """
    found = in_blocks(
        lambda x: _through(vae.encode, vae.generate, x), images, min(_BLOCK, len(images))
    )
    bad = int(np.sum(~np.isfinite(found.reshape(len(found), -1)).all(axis=1)))
    if bad:
        raise NetworkOutputError(
            f"the reconstructions of {bad} of {len(images)} images are not finite; look at the "
            "autoencoder's parameters."
        )
    return np.clip(np.round((found + 1) * 127.5), 0, 255).astype(np.uint8)


@jax.jit
def _losses(encode: Any, decode: Any, images: jax.Array) -> jax.Array:
    logits = decode(encode(images)[0])
    return jax.vmap(lambda y, x: bernoulli_loss(y[None], x[None]))(logits, (images + 1) / 2)


@jax.jit
def _through(encode: Any, generate: Any, images: jax.Array) -> jax.Array:
    return generate(encode(scale_images(images))[0])


@cache
def _in_use(
    layers: tuple[int, ...], latent_dim: int, image_shape: tuple[int, int, int]
) -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]:
    """One function each for all parameters, so that nothing is compiled anew for others."""
    encoder, decoder = Encoder(layers, latent_dim), Decoder(layers, image_shape)

    @jax.jit  # whoever calls it by itself would compile every operation
    def encode(parameters: Any, images: jax.Array) -> Any:
        with jax.default_matmul_precision("highest"):  # no TF32, no bf16 passes
            return encoder.apply({"params": parameters}, images)

    @jax.jit
    def decode(parameters: Any, latents: jax.Array) -> Any:
        with jax.default_matmul_precision("highest"):
            return decoder.apply({"params": parameters}, latents)

    @jax.jit
    def generate(parameters: Any, latents: jax.Array) -> Any:
        return jnp.tanh(decode(parameters, latents) / 2)

    return encode, decode, generate


def _networks(config: VAEConfig, image_shape: tuple[int, int, int]) -> tuple[Encoder, Decoder]:
    dtype = activation_dtype(config.dtype)
    return (
        Encoder(config.layers, config.latent_dim, dtype),
        Decoder(config.layers, image_shape, dtype),
    )


def _optimizer(config: VAEConfig) -> optax.GradientTransformation:
    return optax.adam(config.learning_rate)
