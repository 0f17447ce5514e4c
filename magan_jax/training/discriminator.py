"""What a discriminator has learned to see: its features, as a function of images."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from magan_jax.parallel import DEVICES
from magan_jax.training.gan_config import GANConfig
from magan_jax.training.gan_networks import networks_of
from magan_jax.training.gan_step import GANState
from magan_jax.training.images import scale_images

_NUM_REFERENCE = 2000
"""Real images behind the statistics of features."""


def discriminator_features(
    config: GANConfig, images: np.ndarray, state: GANState
) -> Callable[[jax.Array], jax.Array]:
    """What the last layer of a trained discriminator is given, each image by itself.

    Labels have no part in it. BatchNorm takes the statistics of the first 2000 of `images`, and
    over these every feature has mean 0 and standard deviation 1 (0, where it is constant).

    Args:
        config: of the training.
        images: uint8 `[N, H, W, C]`, real.
        state: the training's end, `TrainedGAN.progress.state`.

    Returns:
        `images [n, H, W, C] in [-1, 1] -> features [n, F]`, float32; a pytree of its parameters
        (see `magan_jax.latent.networks`).
    """
    shape: Any = images.shape[1:]
    trunk = networks_of(config, shape, jnp.float32).trunk
    real = scale_images(jnp.asarray(images[:_NUM_REFERENCE]))
    parameters = {"params": state.discriminator["trunk"]}
    variables = parameters | _statistics(trunk, parameters, real)
    found = np.asarray(_plain(trunk, variables, real), np.float64)
    spread = found.std(axis=0)
    mean, spread = (jnp.asarray(x, jnp.float32) for x in (found.mean(axis=0), spread))
    return jax.tree_util.Partial(_standardised(trunk), variables, mean, spread)


@partial(jax.jit, static_argnames="trunk")
def _statistics(trunk: nn.Module, parameters: Any, images: jax.Array) -> Any:
    """BatchNorm's, of these images; nothing where the network has none."""

    def one_device(x: jax.Array) -> Any:
        return trunk.apply(parameters, x, mutable=["batch_stats"])[1]

    return jax.tree.map(lambda x: x[0], jax.vmap(one_device, axis_name=DEVICES)(images[None]))


@partial(jax.jit, static_argnames="trunk")
def _plain(trunk: nn.Module, variables: Any, images: jax.Array) -> jax.Array:
    found: Any = trunk.apply(variables, images, training=False)
    return found


@cache
def _standardised(trunk: nn.Module) -> Callable[..., jax.Array]:
    """One function for all parameters; Linen modules of equal settings are equal."""

    def features(variables: Any, mean: jax.Array, spread: jax.Array, x: jax.Array) -> jax.Array:
        found: Any = trunk.apply(variables, x, training=False)
        return jnp.where(spread > 0, (found - mean) / jnp.where(spread > 0, spread, 1), 0)

    return features
