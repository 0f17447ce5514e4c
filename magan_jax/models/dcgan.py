"""A DCGAN for small images (Radford et al., 2016).

The MAGAN paper shows its architectures in Figures 2 and 3 only; this is the usual DCGAN for
28×28: a projection and two transposed convolutions of stride 2 against two convolutions of
stride 2. One departure from DCGAN: the discriminator's convolutions start from He's
initialisation instead of N(0, 0.02²), under which narrow networks hardly move at first (measured
at width 16, three epochs: Fréchet distance 45 against 49 in a classifier's features).
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from magan_jax.models.convolution import StridedConv, StridedConvTranspose
from magan_jax.models.dense import dense
from magan_jax.models.normalisation import BatchNorm, along_last_axis

_NORMAL = nn.initializers.normal(0.02)
_SLOPE = 0.2


class Generator(nn.Module):
    """`generate`: latents `[N, d]` to images `[N, H, W, C]` in (-1, 1).

    Attributes:
        width: channels of the last hidden layer; the first has twice as many.
        image_shape: `(H, W, C)`, H and W divisible by 4.
        axis_name: the mapped axis over which BatchNorm takes its statistics in training, so that
            the result does not depend on the number of devices; None outside a mapped function.
        dtype: of activations; parameters, the statistics of BatchNorm and images are float32.
    """

    width: int = 64
    image_shape: tuple[int, int, int] = (28, 28, 1)
    axis_name: str | None = None
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, latents: jax.Array, *, training: bool) -> jax.Array:
        """`[N, d] -> [N, H, W, C]`."""
        height, width, channels = self.image_shape

        def normalise_and_activate(x: jax.Array) -> jax.Array:
            return nn.relu(BatchNorm(training, 0.9, self.axis_name, self.dtype)(x))

        features = (height // 4) * (width // 4) * 2 * self.width
        x = dense(features, self.dtype, use_bias=False, kernel_init=_NORMAL)(latents)
        x = normalise_and_activate(x.reshape(-1, height // 4, width // 4, 2 * self.width))
        x = StridedConvTranspose(self.width, _NORMAL, self.dtype)(x)
        x = normalise_and_activate(x)
        x = StridedConvTranspose(channels, _NORMAL, self.dtype)(x)
        # Of float32 from here on, as the bias is: its gradient is a sum over all pixels.
        bias = self.param("bias", nn.initializers.zeros, (channels,))
        return jnp.tanh(x + along_last_axis(bias, x))


class Trunk(nn.Module):
    """Images `[N, H, W, C]` to features `[N, F]`: the discriminator without its last layer.

    In training BatchNorm takes the statistics of the batch at hand, which is all real or all
    generated (DCGAN, Section 3), and what it leaves as running statistics is the last batch's: one
    pass over real images fixes those that features in use are taken with.

    Attributes:
        width: channels of the first convolution; the second has twice as many.
        axis_name: see `Generator`.
        dtype: of activations and features; parameters and the statistics of BatchNorm are float32.
        batch_norm: without it, an image's features do not depend on the others of its batch.
    """

    width: int = 64
    axis_name: str | None = None
    dtype: DTypeLike = jnp.float32
    batch_norm: bool = True

    @nn.compact
    def __call__(self, images: jax.Array, *, training: bool = True, batches: int = 1) -> jax.Array:
        """`[N, H, W, C] -> [N, F]`; in training, apply with `mutable=["batch_stats"]`.

        The images may be several batches one after another, each with statistics of its own.
        """
        x = StridedConv(self.width, dtype=self.dtype)(images)
        bias = self.param("bias", nn.initializers.zeros, (self.width,))
        x = nn.leaky_relu(x + along_last_axis(bias, x), _SLOPE)
        x = StridedConv(2 * self.width, dtype=self.dtype)(x)
        if self.batch_norm:
            axis_name = None if self.is_initializing() else self.axis_name
            x = BatchNorm(training, 0.0, axis_name, self.dtype)(x, batches)
        else:
            bias = self.param("second_bias", nn.initializers.zeros, (2 * self.width,))
            x = x + along_last_axis(bias, x)
        return nn.leaky_relu(x, _SLOPE).astype(self.dtype).reshape(x.shape[0], -1)
