"""Convolutions of stride 2, each pass in the form that is fastest on the platform at hand.

Inside `lax.scan`, XLA's CPU backend sends the backward pass of a convolution down its slow path,
and on GPU convolutions are not captured in CUDA graphs. The same layers written as a matrix
product of 4×4 patches are fast on both, and become batched products under `vmap`. Without
gradients a CPU is faster still with plain convolutions (measured with G and C of the paper's
width: labels in two thirds of the time), so those are chosen there, in this file alone.
Parameters keep the ordinary `[4, 4, in, out]` kernel, so a layer equals
`lax.conv_general_dilated` or `lax.conv_transpose` with the same kernel.

A convolution, its transpose and the gradient of its kernel are three bilinear maps, each the
derivative of the others. Stated so, every pass takes its fast form (automatic differentiation of
the first would scatter into patches, and would contract over the longest dimension the slow way
round), and gradients of gradients need nothing more.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

KERNEL_SIZE = 4

_BYTES_IN_CACHE, _BYTES_AT_ONCE = 2**24, 2**22
"""Of overlapping patches, on a CPU: more than the first are written to memory and read again where
they are summed, so they are made and summed in groups of images that have the second (measured on
two cores with slow memory: 256 images of 200 kB each in 0.76 of the time, a step of the paper's GAN
in 0.85 to 0.95; with patches that a cache holds, groups take longer)."""
_LAYOUT = ("NHWC", "HWIO", "NHWC")


@jax.custom_vjp
def strided_conv(images: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolution with a 4×4 kernel, stride 2 and one pixel of zero padding.

    Args:
        images: `[N, H, W, in]`, H and W even.
        kernel: `[4, 4, in, out]`.

    Returns:
        `[N, H/2, W/2, out]`, equal to `lax.conv_general_dilated(images, kernel, (2, 2),
        ((1, 1), (1, 1)))` in NHWC/HWIO.
    """
    # Without gradients, that is; with them, the kernel's gradient needs the patches anyway.
    if images.shape[-1] == 1:  # patches of 16 numbers cost nothing
        return _convolve(images, kernel)
    return jax.lax.platform_dependent(images, kernel, cpu=_convolve_directly, default=_convolve)


@jax.custom_vjp
def _transposed(y: jax.Array, kernel: jax.Array) -> jax.Array:
    """`_convolve_adjoint`, without gradients."""
    if kernel.shape[2] == 1:
        return _convolve_adjoint(y, kernel)
    return jax.lax.platform_dependent(y, kernel, cpu=_adjoint_by_rows, default=_convolve_adjoint)


def strided_conv_transpose(images: jax.Array, kernel: jax.Array) -> jax.Array:
    """Transposed convolution with a 4×4 kernel and stride 2 that doubles height and width.

    Args:
        images: `[N, H, W, in]`.
        kernel: `[4, 4, in, out]`.

    Returns:
        `[N, 2H, 2W, out]`, equal to `lax.conv_transpose(images, kernel, (2, 2),
        ((2, 2), (2, 2)))` in NHWC/HWIO.
    """
    # `lax.conv_transpose` slides the kernel unflipped over the dilated input; the adjoint of a
    # convolution scatters it, which is the flipped view of the same sum.
    return _transposed(images, kernel[::-1, ::-1].swapaxes(2, 3))


@jax.custom_vjp
def _convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """`[N, 2h, 2w, in], [4, 4, in, out] -> [N, h, w, out]`."""
    patches = _patches(x)
    return _product(patches, kernel.reshape(patches.shape[-1], -1))


def _convolve_directly(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return _convolution(x, kernel, stride=2)


@jax.custom_vjp
def _convolve_adjoint(y: jax.Array, kernel: jax.Array) -> jax.Array:
    """`[N, h, w, out], [4, 4, in, out] -> [N, 2h, 2w, in]`: adjoint of `_convolve` in x."""
    groups = _num_groups(y, kernel)
    if groups == 1:
        return _scatter_patches(y, kernel)

    def in_groups(y: jax.Array, kernel: jax.Array) -> jax.Array:
        parts = y.reshape(groups, -1, *y.shape[1:])
        images = jax.lax.map(lambda part: _scatter_patches(part, kernel), parts)
        return images.reshape(-1, *images.shape[2:])

    return jax.lax.platform_dependent(y, kernel, cpu=in_groups, default=_scatter_patches)


def _scatter_patches(y: jax.Array, kernel: jax.Array) -> jax.Array:
    """`[N, h, w, out], [4, 4, in, out] -> [N, 2h, 2w, in]`: the patches of all N images at once."""
    return _assemble(_product(y, kernel.reshape(-1, y.shape[-1]).T))


def _num_groups(y: jax.Array, kernel: jax.Array) -> int:
    """Into how many equal parts `y [N, h, w, out]` is cut; 1, where N has no suitable divisor."""
    n, height, width, _ = y.shape
    each = height * width * math.prod(kernel.shape[:3]) * y.dtype.itemsize
    if n * each <= _BYTES_IN_CACHE:
        return 1
    most = max(1, _BYTES_AT_ONCE // each)
    size = max(size for size in range(1, most + 1) if n % size == 0)
    return n // size if 2 * size > most else 1


def _adjoint_by_rows(y: jax.Array, kernel: jax.Array) -> jax.Array:
    """Every second row of the result is a 2×2 convolution of y with stride 1, two columns a time.

    Nothing overlaps, so nothing has to be summed afterwards. Of the columns one at either end is
    computed in vain; with the rows two at a time as well, in one convolution, so would be a row at
    either end (measured with G and C of the paper's width, 125 latents at once: labels in 1.12 to
    1.14 of the time; at widths of 16 and 32 in 0.96 to 1.00).
    """
    n, rows, columns, features = y.shape
    channels = kernel.shape[2]
    taps = kernel.reshape(2, 2, 2, 2, channels, features)  # down, row of two, right, column of two
    taps = taps.transpose(1, 0, 2, 5, 3, 4)[::-1, ::-1, ::-1]

    def rows_of(parity: int) -> jax.Array:
        pairs = _convolution(
            y,
            taps[parity].reshape(2, 2, features, 2 * channels),
            stride=1,
            padding=((1 - parity, parity), (1, 1)),
        )
        return pairs.reshape(n, rows, 2 * columns + 2, channels)[:, :, 1:-1]

    image = jnp.stack([rows_of(0), rows_of(1)], axis=2)
    return image.reshape(n, 2 * rows, 2 * columns, channels)


@jax.custom_vjp
def _kernel_gradient(x: jax.Array, y: jax.Array) -> jax.Array:
    """`[N, 2h, 2w, in], [N, h, w, out] -> [4, 4, in, out]`: adjoint of `_convolve` in kernel."""
    patches = _patches(x)
    # yᵀ·patches, not patchesᵀ·y: a third faster on CPU, where the left factor is the one packed.
    product = _product(y.reshape(-1, y.shape[-1]).T, patches.reshape(-1, patches.shape[-1]))
    # There XLA would swap the factors again, to save turning their product, but for a barrier.
    product = jax.lax.platform_dependent(
        product, cpu=jax.lax.optimization_barrier, default=_as_it_is
    )
    return product.T.reshape(KERNEL_SIZE, KERNEL_SIZE, x.shape[-1], y.shape[-1])


for _function in (_convolve, strided_conv):
    _function.defvjp(
        lambda x, kernel: (_convolve(x, kernel), (x, kernel)),
        lambda saved, y: (_convolve_adjoint(y, saved[1]), _kernel_gradient(saved[0], y)),
    )
for _function in (_convolve_adjoint, _transposed):
    _function.defvjp(
        lambda y, kernel: (_convolve_adjoint(y, kernel), (y, kernel)),
        lambda saved, x: (_convolve(x, saved[1]), _kernel_gradient(x, saved[0])),
    )
_kernel_gradient.defvjp(
    lambda x, y: (_kernel_gradient(x, y), (x, y)),
    lambda saved, kernel: (_convolve_adjoint(saved[1], kernel), _convolve(saved[0], kernel)),
)


def _as_it_is(x: jax.Array) -> jax.Array:
    return x


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    """a·b in the number format of a, but summed in float32 at least.

    A sum over a batch in bfloat16 would stand still as soon as it is 256 times its terms.
    """
    exact = jnp.promote_types(a.dtype, jnp.float32)
    return jnp.matmul(a, b, preferred_element_type=exact).astype(a.dtype)


def _convolution(
    x: jax.Array,
    kernel: jax.Array,
    stride: int,
    padding: tuple[tuple[int, int], tuple[int, int]] = ((1, 1), (1, 1)),
) -> jax.Array:
    """A plain convolution, summed as `_product` is."""
    exact = jnp.promote_types(x.dtype, jnp.float32)
    result = jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        padding,
        dimension_numbers=_LAYOUT,
        preferred_element_type=exact,
    )
    return result.astype(x.dtype)


def _patches(x: jax.Array) -> jax.Array:
    """`[N, 2h, 2w, C] -> [N, h, w, 16·C]`: the 4×4 patch under each output, kernel order.

    Two neighbouring columns lie side by side in memory, so that a patch is eight contiguous
    pieces and nothing is transposed.
    """
    n, height, width, channels = x.shape
    rows, columns = height // 2, width // 2
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    pairs = padded.reshape(n, height + 2, columns + 1, 2 * channels)
    return jnp.concatenate(
        [
            pairs[:, row : row + 2 * rows - 1 : 2, pair : pair + columns]
            for row in range(KERNEL_SIZE)
            for pair in (0, 1)
        ],
        axis=-1,
    )


def _assemble(patches: jax.Array) -> jax.Array:
    """`[N, h, w, 16·C] -> [N, 2h, 2w, C]`: adjoint of `_patches`, overlapping patches summed."""
    n, height, width, size = patches.shape
    pieces = jnp.split(patches, 8, axis=-1)  # piece 2·row + pair of `_patches`

    def rows_of(parity: int) -> jax.Array:
        """Every second padded row of the image, `[N, h + 1, w + 1, 2·C]`."""
        first, *others = (
            jnp.pad(
                pieces[2 * (2 * down + parity) + pair],
                ((0, 0), (down, 1 - down), (pair, 1 - pair), (0, 0)),
            )
            for down in (0, 1)
            for pair in (0, 1)
        )
        return sum(others, start=first)

    rows = jnp.stack([rows_of(0), rows_of(1)], axis=2)  # [N, h + 1, 2, w + 1, 2·C]
    image = rows.reshape(n, 2 * height + 2, 2 * width + 2, size // 16)
    return image[:, 1:-1, 1:-1]


class StridedConv(nn.Module):
    """`strided_conv` with a learned kernel and no bias: halves height and width.

    Attributes:
        features: channels of the result.
        kernel_init: of the kernel, which is float32, and so is its gradient.
        dtype: in which images and kernel are multiplied, and of the result.
    """

    features: int
    kernel_init: nn.initializers.Initializer = nn.initializers.he_normal()
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """`[N, H, W, in] -> [N, H/2, W/2, features]`."""
        shape = (KERNEL_SIZE, KERNEL_SIZE, images.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        return strided_conv(images.astype(self.dtype), kernel.astype(self.dtype))


class StridedConvTranspose(nn.Module):
    """`strided_conv_transpose` with a learned kernel and no bias: doubles height and width.

    Attributes: see `StridedConv`.
    """

    features: int
    kernel_init: nn.initializers.Initializer = nn.initializers.he_normal()
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """`[N, H, W, in] -> [N, 2H, 2W, features]`."""
        shape = (KERNEL_SIZE, KERNEL_SIZE, images.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        return strided_conv_transpose(images.astype(self.dtype), kernel.astype(self.dtype))
