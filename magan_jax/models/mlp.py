"""The networks of dense layers of the two MNIST reports.

Their fixed generator 100→256→512→1024→784 with tanh and the discriminator 784→1024→512→256→1, leaky
rectifiers of slope 0.2 between the layers and no BatchNorm (the SAN report has a smaller
discriminator for all but its SAN, see `magan_jax.comparison.systems`). The reports do not name an
initialisation: He's before a rectifier here, Flax's (LeCun's) before the tanh.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from magan_jax.models.dense import dense

_SLOPE = 0.2


class Generator(nn.Module):
    """`generate`: latents `[N, d]` to images `[N, H, W, C]` in (-1, 1).

    Attributes:
        layers: features of each hidden layer.
        image_shape: `(H, W, C)`.
        dtype: in which layers multiply; parameters and images are float32.
    """

    layers: tuple[int, ...] = (256, 512, 1024)
    image_shape: tuple[int, int, int] = (28, 28, 1)
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, latents: jax.Array, *, training: bool) -> jax.Array:
        """`[N, d] -> [N, H, W, C]`, in training as in use."""
        x = _hidden(latents, self.layers, self.dtype)
        x = dense(math.prod(self.image_shape), self.dtype, name="image")(x)
        return jnp.tanh(x).reshape(-1, *self.image_shape)


class Trunk(nn.Module):
    """Images `[N, H, W, C]` to features `[N, F]`: the discriminator without its last layer.

    Attributes:
        layers: features of each layer, F the last.
        dtype: in which layers multiply, and of the features; parameters are float32.
    """

    layers: tuple[int, ...] = (1024, 512, 256)
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, *, training: bool = True, batches: int = 1) -> jax.Array:
        """`[N, H, W, C] -> [N, F]`, in training as in use and each image by itself."""
        x = _hidden(images.reshape(images.shape[0], -1), self.layers, self.dtype)
        return x.astype(self.dtype)


def _hidden(x: jax.Array, layers: tuple[int, ...], dtype: DTypeLike) -> jax.Array:
    """Dense layers, each with its leaky rectifier."""
    for i, features in enumerate(layers):
        layer = dense(features, dtype, kernel_init=nn.initializers.he_normal(), name=f"hidden_{i}")
        x = nn.leaky_relu(layer(x), _SLOPE)
    return x
