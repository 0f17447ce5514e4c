"""The classifier C that gives every generated image its label (MAGAN, Figure 4)."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from magan_jax.models.convolution import StridedConv
from magan_jax.models.dense import dense
from magan_jax.models.dropout import drop
from magan_jax.models.normalisation import LayerNorm


def check_classifiable(images_shape: Sequence[int]) -> None:
    """Refuse images that the classifier's two strided convolutions cannot halve twice.

    Raises:
        ValueError: unless the shape is `(N, H, W, C)` with H and W divisible by 4.
    """
    if len(images_shape) != 4 or images_shape[1] % 4 or images_shape[2] % 4:
        raise ValueError(
            f"the images have the shape {tuple(images_shape)}; the classifier needs [N, H, W, C] "
            "with H and W divisible by 4: crop or pad them."
        )


class Classifier(nn.Module):
    """Images `[N, H, W, C]` to logits `[N, K]`.

    The paper's Figure 4 is not in its text: this is a small convolutional network with strided
    convolutions (max-pooling has a non-deterministic gradient on GPU), LayerNorm (which, unlike
    BatchNorm, is the same function in training and in use) and dropout.

    Attributes:
        num_classes: K.
        width: channels of the first convolution; the second has twice as many.
        dropout: rate before each dense layer, in training only.
        dtype: of activations; parameters, the statistics of LayerNorm and logits are float32.
    """

    num_classes: int
    width: int = 64
    dropout: float = 0.3
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, dropout_keys: jax.Array | None = None) -> jax.Array:
        """`[N, H, W, C] -> [N, K]`.

        In training, `dropout_keys [N]` has a key for each image, so that what is dropped does not
        depend on how a batch is shared among devices; without them nothing is.
        """
        x = images
        for features in (self.width, 2 * self.width):
            x = nn.relu(LayerNorm(dtype=self.dtype)(StridedConv(features, dtype=self.dtype)(x)))
        x = drop(dropout_keys, 0, self.dropout, x.reshape(x.shape[0], -1))
        hidden = dense(4 * self.width, self.dtype, kernel_init=nn.initializers.he_normal())
        x = drop(dropout_keys, 1, self.dropout, nn.relu(hidden(x)))
        return dense(self.num_classes, self.dtype)(x)
