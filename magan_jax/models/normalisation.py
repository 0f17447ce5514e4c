"""Layer normalisation (Ba et al., 2016) and batch normalisation (Ioffe and Szegedy, 2015).

Both have gradients of their own: automatic differentiation would go through memory for each factor
of the chain. On a CPU XLA sums along the last axis one number after another: there a row's mean is
a product with a column of ones, and layer normalisation takes 0.45 of the time (measured in a
training step of the classifier of the paper's width). On a GPU each sum over a batch is two
kernels, whose start is most of what they cost: batch normalisation takes its two sums at once,
forward and backward.
"""

import math
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

_LEAST_VARIANCE = 1e-6


def along_last_axis(vector: jax.Array, x: jax.Array) -> jax.Array:
    """`[F]` as `[1, ..., 1, F]`, for sums with `x [..., F]`.

    Left to NumPy's rules it would be the same, but who uses a network may have those forbidden
    (`jax_numpy_rank_promotion`).
    """
    return jnp.expand_dims(vector, tuple(range(x.ndim - 1)))


@jax.custom_vjp
def layer_norm(x: jax.Array, scale: jax.Array, bias: jax.Array) -> jax.Array:
    """`scale · (x − mean) / √(variance + 10⁻⁶) + bias`, over the last axis.

    The variance is that of the centred numbers, with n: E[x²] − E[x]² cancels in float32.

    Args:
        x: `[..., F]`.
        scale: `[F]`.
        bias: `[F]`.

    Returns:
        Of the shape of x.
    """
    return _forward(x, scale, bias)[0]


def _forward(x: jax.Array, scale: jax.Array, bias: jax.Array) -> tuple[jax.Array, tuple]:
    centred = x - _mean(x)
    inverse_deviation = jax.lax.rsqrt(_mean(centred**2) + _LEAST_VARIANCE)
    normal = centred * inverse_deviation
    scale, bias = along_last_axis(scale, x), along_last_axis(bias, x)
    return normal * scale + bias, (normal, inverse_deviation, scale)


def _backward(saved: tuple, gradient: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    normal, inverse_deviation, scale = saved
    of_normal = gradient * scale
    of_x = of_normal - _mean(of_normal) - normal * _mean(of_normal * normal)
    others = tuple(range(gradient.ndim - 1))
    return (
        of_x * inverse_deviation,
        jnp.sum(gradient * normal, axis=others),
        jnp.sum(gradient, axis=others),
    )


layer_norm.defvjp(_forward, _backward)


def _mean(x: jax.Array) -> jax.Array:
    """Over the last axis, which stays, `[..., 1]`."""

    def as_product(x: jax.Array) -> jax.Array:
        size = x.shape[-1]
        return (x.reshape(-1, size) @ jnp.full((size, 1), 1 / size, x.dtype)).reshape(
            *x.shape[:-1], 1
        )

    return jax.lax.platform_dependent(
        x, cpu=as_product, default=lambda x: jnp.mean(x, axis=-1, keepdims=True)
    )


class LayerNorm(nn.Module):
    """`layer_norm` with a learned scale, at first 1, and bias, at first 0.

    Attributes:
        dtype: of the result; parameters and what is computed are float32.
    """

    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """`[..., F] -> [..., F]`."""
        scale = self.param("scale", nn.initializers.ones, x.shape[-1:])
        bias = self.param("bias", nn.initializers.zeros, x.shape[-1:])
        exact = jnp.promote_types(x.dtype, jnp.float32)
        return layer_norm(x.astype(exact), scale, bias).astype(self.dtype)


_BATCH_EPSILON = 1e-5


@partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def batch_norm(
    x: jax.Array, scale: jax.Array, bias: jax.Array, batches: int = 1, axis_name: str | None = None
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """`scale · (x − mean) / √(variance + 10⁻⁵) + bias`, both over all axes but the last.

    The variance is that with n, of numbers less the first of each feature: of those themselves
    E[x²] − E[x]² would cancel in float32. Gradients do not pass through the mean and the variance
    that are returned.

    Args:
        x: `[N, ..., F]`.
        scale: `[F]`.
        bias: `[F]`.
        batches: x holds so many, one after another, each of which has statistics of its own.
        axis_name: of a mapped axis, all parts of which are one batch.

    Returns:
        Of the shape of x, float32; mean and variance `[batches, F]`.
    """
    return _batch_forward(x, scale, bias, batches, axis_name)[0]


def _batch_forward(
    x: jax.Array, scale: jax.Array, bias: jax.Array, batches: int, axis_name: str | None
) -> tuple[tuple[jax.Array, jax.Array, jax.Array], tuple]:
    parts = _in_batches(x, batches)
    first = parts[(slice(None), *(slice(1),) * (parts.ndim - 2))]
    shifted = parts - first
    shifted_mean, mean_square = _two_means(shifted, shifted**2)
    mean, variance = first + shifted_mean, jnp.maximum(mean_square - shifted_mean**2, 0)
    if axis_name is not None:
        own, mean = mean, jax.lax.pmean(mean, axis_name)
        variance = jax.lax.pmean(variance + (own - mean) ** 2, axis_name)
    inverse_deviation = jax.lax.rsqrt(variance + _BATCH_EPSILON)
    scale, bias = along_last_axis(scale, parts), along_last_axis(bias, parts)
    result = ((parts - mean) * (inverse_deviation * scale) + bias).reshape(x.shape)
    of_batches = mean.reshape(batches, -1), variance.reshape(batches, -1)
    return (result, *of_batches), (x, mean, inverse_deviation, scale)


def _batch_backward(
    batches: int, axis_name: str | None, saved: tuple, gradients: tuple
) -> tuple[jax.Array, jax.Array, jax.Array]:
    x, mean, inverse_deviation, scale = saved
    gradient = _in_batches(gradients[0], batches)
    normal = (_in_batches(x, batches) - mean) * inverse_deviation
    of_bias, of_scale = means = _two_means(gradient, gradient * normal)
    if axis_name is not None:
        means = jax.lax.pmean(means, axis_name)
    of_x = (gradient - means[0] - normal * means[1]) * (inverse_deviation * scale)
    count, others = gradient.size // mean.size, tuple(range(gradient.ndim - 1))
    return (
        of_x.reshape(x.shape).astype(x.dtype),
        count * jnp.sum(of_scale, axis=others),
        count * jnp.sum(of_bias, axis=others),
    )


batch_norm.defvjp(_batch_forward, _batch_backward)


def _in_batches(x: jax.Array, batches: int) -> jax.Array:
    """`[N, ..., F]` to `[batches, N / batches, ..., F]`, float32 at least.

    The axes between stay: over one long axis in their place a CPU sums half as fast.
    """
    exact = jnp.promote_types(x.dtype, jnp.float32)
    return x.astype(exact).reshape(batches, -1, *x.shape[1:])


@jax.custom_vjp
def _two_means(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Of two arrays `[batches, ..., F]`, over all axes but the first and the last, which stay."""
    axes = tuple(range(1, a.ndim - 1))

    def apart(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
        return jnp.sum(a, axis=axes), jnp.sum(b, axis=axes)

    def at_once(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
        zero = jnp.zeros((), a.dtype)
        sums = jax.lax.reduce((a, b), (zero, zero), lambda x, y: (x[0] + y[0], x[1] + y[1]), axes)
        return sums[0], sums[1]

    # Left to itself XLA joins the two in some places only.
    first, second = (
        jnp.expand_dims(x, axes)
        for x in jax.lax.platform_dependent(a, b, cpu=apart, default=at_once)
    )
    count = a.size // first.size
    return first / count, second / count


def _of_two_means(shape: tuple[int, ...], gradients: tuple[jax.Array, jax.Array]) -> tuple:
    return tuple(jnp.broadcast_to(x, shape) / (math.prod(shape) // x.size) for x in gradients)


_two_means.defvjp(lambda a, b: (_two_means(a, b), a.shape), _of_two_means)


class BatchNorm(nn.Module):
    """`batch_norm` with a learned scale, at first 1, and bias, at first 0.

    In training it normalises by the batch at hand and keeps running statistics; in use by those.

    Attributes:
        training: which of both.
        momentum: share of the old running statistics in the new ones.
        axis_name: see `batch_norm`.
        dtype: of the result; parameters, statistics and what is computed are float32.
    """

    training: bool
    momentum: float
    axis_name: str | None = None
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, batches: int = 1) -> jax.Array:
        """`[N, ..., F] -> [N, ..., F]`; running statistics are those of the last of the batches."""
        shape = x.shape[-1:]
        scale = self.param("scale", nn.initializers.ones, shape)
        bias = self.param("bias", nn.initializers.zeros, shape)
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape)
        variance = self.variable("batch_stats", "var", jnp.ones, shape)
        if not self.training:
            factor = jax.lax.rsqrt(variance.value + _BATCH_EPSILON) * scale
            mean_in_use, factor, bias = (
                along_last_axis(vector, x) for vector in (mean.value, factor, bias)
            )
            return ((x - mean_in_use) * factor + bias).astype(self.dtype)
        result, *of_batches = batch_norm(x, scale, bias, batches, self.axis_name)
        if not self.is_initializing():
            for kept, new in zip((mean, variance), of_batches, strict=True):
                kept.value = self.momentum * kept.value + (1 - self.momentum) * new[-1]
        return result.astype(self.dtype)
