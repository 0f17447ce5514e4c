"""Convolutions of stride 2 as one matrix product each.

Inside `lax.scan`, XLA's CPU backend sends the backward pass of a convolution down its slow path,
and on GPU convolutions are not captured in CUDA graphs. The same layers written as a matrix
product and four shifted slices (or sums) are fast on both, and become batched products under
`vmap`. Parameters keep the ordinary `[4, 4, in, out]` kernel, so a layer equals
`lax.conv_general_dilated` or `lax.conv_transpose` with the same kernel.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

KERNEL_SIZE = 4
_SHIFTS = ((0, 0), (0, 1), (1, 0), (1, 1))


def strided_conv(images: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolution with a 4×4 kernel, stride 2 and one pixel of zero padding.

    Space-to-depth by 2 turns it into a 2×2 convolution of stride 1: four shifted views side by
    side, times the kernel as a `[16·in, out]` matrix.

    Args:
        images: `[N, H, W, in]`, H and W even.
        kernel: `[4, 4, in, out]`.

    Returns:
        `[N, H/2, W/2, out]`, equal to `lax.conv_general_dilated(images, kernel, (2, 2),
        ((1, 1), (1, 1)))` in NHWC/HWIO.
    """
    n, height, width, channels = images.shape
    rows, columns = height // 2, width // 2
    padded = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    blocks = padded.reshape(n, rows + 1, 2, columns + 1, 2 * channels)
    blocks = blocks.swapaxes(2, 3).reshape(n, rows + 1, columns + 1, 4 * channels)
    patches = jnp.concatenate(
        [blocks[:, i : i + rows, j : j + columns] for i, j in _SHIFTS], axis=-1
    )
    # Kernel index (2·block + offset) per axis -> (block row, block column, offset row, offset col).
    matrix = kernel.reshape(2, 2, 2, 2, channels, -1).transpose(0, 2, 1, 3, 4, 5)
    return patches @ matrix.reshape(16 * channels, -1)


def strided_conv_transpose(images: jax.Array, kernel: jax.Array) -> jax.Array:
    """Transposed convolution with a 4×4 kernel and stride 2 that doubles height and width.

    One product gives every input pixel its 4×4 patch of the output; the patches overlap by half,
    so four shifted sums of 2×2 blocks and a depth-to-space assemble the image.

    Args:
        images: `[N, H, W, in]`.
        kernel: `[4, 4, in, out]`.

    Returns:
        `[N, 2H, 2W, out]`, equal to `lax.conv_transpose(images, kernel, (2, 2),
        ((2, 2), (2, 2)))` in NHWC/HWIO.
    """
    n, height, width, channels = images.shape
    features = kernel.shape[-1]
    # `lax.conv_transpose` slides the kernel unflipped over the dilated input; scattering patches
    # is the flipped view of the same sum.
    matrix = kernel[::-1, ::-1].reshape(2, 2, 2, 2, channels, features)
    matrix = matrix.transpose(4, 0, 2, 1, 3, 5).reshape(channels, 16 * features)
    patches = (images.reshape(-1, channels) @ matrix).reshape(n, height, width, 4, 4 * features)
    shifted = [
        jnp.pad(patches[:, :, :, 2 * i + j], ((0, 0), (i, 1 - i), (j, 1 - j), (0, 0)))
        for i, j in _SHIFTS
    ]
    blocks = shifted[0] + shifted[1] + shifted[2] + shifted[3]
    pixels = blocks.reshape(n, height + 1, width + 1, 2, 2 * features).swapaxes(2, 3)
    return pixels.reshape(n, 2 * height + 2, 2 * width + 2, features)[:, 1:-1, 1:-1]


class StridedConv(nn.Module):
    """`strided_conv` with a learned kernel and no bias: halves height and width."""

    features: int
    kernel_init: nn.initializers.Initializer = nn.initializers.he_normal()

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """`[N, H, W, in] -> [N, H/2, W/2, features]`."""
        shape = (KERNEL_SIZE, KERNEL_SIZE, images.shape[-1], self.features)
        return strided_conv(images, self.param("kernel", self.kernel_init, shape))


class StridedConvTranspose(nn.Module):
    """`strided_conv_transpose` with a learned kernel and no bias: doubles height and width."""

    features: int
    kernel_init: nn.initializers.Initializer = nn.initializers.he_normal()

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """`[N, H, W, in] -> [N, 2H, 2W, features]`."""
        shape = (KERNEL_SIZE, KERNEL_SIZE, images.shape[-1], self.features)
        return strided_conv_transpose(images, self.param("kernel", self.kernel_init, shape))
