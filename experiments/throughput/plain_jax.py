"""The same GAN as a JAX user writes it: `nn.Conv`, one `lax.scan`, one jit."""

import itertools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from magan_jax.images import scale_images
from magan_jax.training.gan_config import GANConfig
from throughput.turns import Work


class PlainGenerator(nn.Module):
    """The generator of `magan_jax.models`."""

    width: int

    @nn.compact
    def __call__(self, z: jax.Array) -> jax.Array:
        """`[n, d]` to images `[n, 28, 28, 1]`."""
        x = nn.Dense(49 * 2 * self.width, use_bias=False)(z).reshape(-1, 7, 7, 2 * self.width)
        x = nn.relu(nn.BatchNorm(use_running_average=False)(x))
        x = nn.ConvTranspose(self.width, (4, 4), (2, 2), use_bias=False)(x)
        x = nn.relu(nn.BatchNorm(use_running_average=False)(x))
        return jnp.tanh(nn.ConvTranspose(1, (4, 4), (2, 2))(x))


class PlainDiscriminator(nn.Module):
    """The discriminator of `magan_jax.models`."""

    width: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Images to scores `[n]`."""
        x = nn.leaky_relu(nn.Conv(self.width, (4, 4), (2, 2))(x), 0.2)
        x = nn.Conv(2 * self.width, (4, 4), (2, 2), use_bias=False)(x)
        x = nn.leaky_relu(nn.BatchNorm(use_running_average=False)(x), 0.2)
        return nn.Dense(1)(x.reshape(len(x), -1))[:, 0]


def plain_jax_gan(config: GANConfig, images: np.ndarray, steps: int) -> Work:
    """`steps` steps of D and of G in one compiled call, of the vanilla objective."""
    generator = PlainGenerator(config.generator_width)
    discriminator = PlainDiscriminator(config.discriminator_width)
    adam = optax.adam(config.learning_rate, b1=config.beta1)
    key = jax.random.key(0)
    g = generator.init(key, jnp.zeros((1, config.latent_dim)))
    d = discriminator.init(key, jnp.zeros((1, 28, 28, 1)))
    step = _plain_step(config, generator, discriminator, adam)

    @jax.jit
    def chunk(state: Any, data: jax.Array, key: jax.Array) -> Any:
        keys = jax.random.split(key, steps)
        return jax.lax.scan(lambda state, key: (step(state, data, key), None), state, keys)[0]

    data = jnp.asarray(images)
    state = [(g, d, adam.init(g), adam.init(d))]
    calls = itertools.count()

    def work() -> None:
        state[0] = jax.block_until_ready(
            chunk(state[0], data, jax.random.fold_in(key, next(calls)))
        )

    return work


def _plain_step(
    config: GANConfig,
    generator: nn.Module,
    discriminator: nn.Module,
    adam: optax.GradientTransformation,
) -> Callable[[Any, jax.Array, jax.Array], Any]:
    def step(state: Any, data: jax.Array, key: jax.Array) -> Any:
        g, d, g_adam, d_adam = state
        index_key, latent_key = jax.random.split(key)
        real = scale_images(data[jax.random.randint(index_key, (config.batch_size,), 0, len(data))])
        z = jax.random.normal(latent_key, (config.batch_size, config.latent_dim))
        fake = _apply(generator, g, z)
        gradient = jax.grad(
            lambda d: (
                jnp.mean(jax.nn.softplus(-_apply(discriminator, d, real)))
                + jnp.mean(jax.nn.softplus(_apply(discriminator, d, fake)))
            )
        )(d)
        updates, d_adam = adam.update(gradient, d_adam)
        d = optax.apply_updates(d, updates)
        gradient = jax.grad(
            lambda g: jnp.mean(jax.nn.softplus(-_apply(discriminator, d, _apply(generator, g, z))))
        )(g)
        updates, g_adam = adam.update(gradient, g_adam)
        return optax.apply_updates(g, updates), d, g_adam, d_adam

    return step


def _apply(network: nn.Module, variables: Any, x: jax.Array) -> Any:
    return network.apply(variables, x, mutable=["batch_stats"])[0]
