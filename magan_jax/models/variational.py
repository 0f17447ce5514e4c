"""Encoder and decoder of a variational autoencoder (VAE report, Tables 1 and 2).

Both have two hidden layers of 500 with softplus. The report does not name an initialisation: it is
Flax's (LeCun's) here.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from magan_jax.models.dense import dense


class Encoder(nn.Module):
    """Images `[N, H, W, C]` in [-1, 1] to the normal distribution q(z|x) of each one's latent.

    Attributes:
        layers: features of each hidden layer.
        latent_dim: d.
        dtype: in which layers multiply; what is returned is float32.
    """

    layers: tuple[int, ...]
    latent_dim: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array) -> tuple[jax.Array, jax.Array]:
        """`[N, H, W, C] -> mean [N, d], logarithm of the variance [N, d]`."""
        light = (images.reshape(images.shape[0], -1) + 1) / 2  # the report's pixels: 0 to 1
        found = dense(2 * self.latent_dim, self.dtype, name="posterior")(
            _hidden(light, self.layers, self.dtype)
        )
        return found[:, : self.latent_dim], found[:, self.latent_dim :]


class Decoder(nn.Module):
    """Latents `[N, d]` to the logit of each pixel's light, `[N, H, W, C]`.

    Attributes:
        layers: features of each hidden layer.
        image_shape: `(H, W, C)`.
        dtype: in which layers multiply; logits are float32.
    """

    layers: tuple[int, ...]
    image_shape: tuple[int, int, int]
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, latents: jax.Array) -> jax.Array:
        """`[N, d] -> [N, H, W, C]`; the image in [-1, 1] is tanh(logit / 2) = 2 sigmoid - 1."""
        x = _hidden(latents, self.layers, self.dtype)
        x = dense(math.prod(self.image_shape), self.dtype, name="image")(x)
        return x.reshape(-1, *self.image_shape)


def _hidden(x: jax.Array, layers: tuple[int, ...], dtype: DTypeLike) -> jax.Array:
    for i, features in enumerate(layers):
        x = nn.softplus(dense(features, dtype, name=f"hidden_{i}")(x))
    return x
