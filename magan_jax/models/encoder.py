"""The encoder E that finds an image's latent again (ClusterGAN; Mukherjee et al., 2019)."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from magan_jax.models.dense import dense


class Encoder(nn.Module):
    """`encode`: images `[N, H, W, C]` to the continuous part and the cluster of their latents.

    Attributes:
        trunk: images to features. It has no BatchNorm, since E is also asked about single images.
        continuous_dim: dimension of the continuous part z_n.
        num_clusters: K.
        dtype: in which the last layer multiplies; what it returns is float32.
    """

    trunk: nn.Module
    continuous_dim: int
    num_clusters: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array) -> tuple[jax.Array, jax.Array]:
        """`[N, H, W, C] -> z_n [N, continuous_dim], logits of the cluster [N, K]`."""
        found = dense(self.continuous_dim + self.num_clusters, self.dtype)(self.trunk(images))
        return found[:, : self.continuous_dim], found[:, self.continuous_dim :]
