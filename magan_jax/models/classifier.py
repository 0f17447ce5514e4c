"""The classifier C that gives every generated image its label (MAGAN, Figure 4)."""

import flax.linen as nn
import jax

from magan_jax.models.convolution import StridedConv


class Classifier(nn.Module):
    """Images `[N, H, W, C]` to logits `[N, K]`.

    The paper's Figure 4 is not in its text: this is a small convolutional network with strided
    convolutions (max-pooling has a non-deterministic gradient on GPU), LayerNorm (which, unlike
    BatchNorm, is the same function in training and in use) and dropout.

    Attributes:
        num_classes: K.
        width: channels of the first convolution; the second has twice as many.
        dropout: rate before each dense layer, in training only.
    """

    num_classes: int
    width: int = 64
    dropout: float = 0.3

    @nn.compact
    def __call__(self, images: jax.Array, *, training: bool) -> jax.Array:
        """`[N, H, W, C] -> [N, K]`; needs an rng named `dropout` in training."""
        x = images
        for features in (self.width, 2 * self.width):
            x = nn.relu(nn.LayerNorm()(StridedConv(features)(x)))
        x = x.reshape(x.shape[0], -1)
        x = nn.Dropout(self.dropout, deterministic=not training)(x)
        x = nn.relu(nn.Dense(4 * self.width, kernel_init=nn.initializers.he_normal())(x))
        x = nn.Dropout(self.dropout, deterministic=not training)(x)
        return nn.Dense(self.num_classes)(x)
