"""The encoder that is trained to see what latent neighbours share."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from magan_jax.models.convolution import StridedConv
from magan_jax.models.dense import dense


class ContrastiveEncoder(nn.Module):
    """Images `[N, H, W, C]` to features `[N, features]` and to unit vectors `[N, projection]`.

    The convolutions of the classifier; the loss asks the unit vectors, which two more layers make
    of the features: what is near the loss serves others less (Chen et al., 2020, Section 4.2).

    Attributes:
        width: channels of the first convolution; the second has twice as many.
        features: what is used after training.
        projection: what the loss compares.
    """

    width: int = 32
    features: int = 256
    projection: int = 64

    @nn.compact
    def __call__(self, images: jax.Array) -> tuple[jax.Array, jax.Array]:
        """`[N, H, W, C] -> [N, features], [N, projection]`."""
        x = images
        for width in (self.width, 2 * self.width):
            x = nn.relu(nn.LayerNorm()(StridedConv(width)(x)))
        x = x.reshape(x.shape[0], -1)
        features = nn.relu(_dense(self.features)(x))
        x = _dense(self.projection)(nn.relu(_dense(2 * self.projection)(features)))
        return features, x / jnp.sqrt(jnp.sum(x**2, axis=1, keepdims=True) + 1e-12)


def _dense(features: int) -> nn.Module:
    return dense(features, jnp.float32, kernel_init=nn.initializers.he_normal())
