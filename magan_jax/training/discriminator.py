"""What a discriminator has learned to see: its features, as a function of images."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from magan_jax.blocks import evenly_spaced
from magan_jax.images import scale_images
from magan_jax.parallel import DEVICES
from magan_jax.training.gan_config import GANConfig
from magan_jax.training.gan_networks import networks_of
from magan_jax.training.gan_step import GANState
from magan_jax.training.standardised import NUM_REFERENCE, Features, standardised


def discriminator_features(config: GANConfig, images: np.ndarray, state: GANState) -> Features:
    """What the last layer of a trained discriminator is given, each image by itself.

    Labels have no part in it. BatchNorm takes the statistics of 2000 of `images`, evenly spaced
    (a set may be sorted by class), and over these every feature has mean 0 and standard deviation
    1 (0, where it is constant).

    Args:
        config: of the training.
        images: uint8 `[N, H, W, C]`, real.
        state: the training's end, `TrainedGAN.progress.state`.

    Returns:
        `images [n, H, W, C] in [-1, 1] -> features [n, F]`, float32; a pytree of its parameters
        (see `magan_jax.networks`).
    """
    shape: Any = images.shape[1:]
    trunk = networks_of(config, shape, jnp.float32).trunk
    real = scale_images(jnp.asarray(evenly_spaced(images, NUM_REFERENCE)))
    parameters = {"params": state.discriminator["trunk"]}
    variables = parameters | _statistics(trunk, parameters, real)
    return standardised(_trunk_in_use(trunk), variables, real)


@partial(jax.jit, static_argnames="trunk")
def _statistics(trunk: nn.Module, parameters: Any, images: jax.Array) -> Any:
    """BatchNorm's, of these images; nothing where the network has none."""

    def one_device(x: jax.Array) -> Any:
        return trunk.apply(parameters, x, mutable=["batch_stats"])[1]

    return jax.tree.map(lambda x: x[0], jax.vmap(one_device, axis_name=DEVICES)(images[None]))


@cache
def _trunk_in_use(trunk: nn.Module) -> Callable[[Any, jax.Array], jax.Array]:
    """One function for all parameters; Linen modules of equal settings are equal."""

    def features(variables: Any, images: jax.Array) -> jax.Array:
        found: Any = trunk.apply(variables, images, training=False)
        return found

    return features
