"""Layer normalisation (Ba et al., 2016), forward and backward in the form that suits the platform.

On a CPU XLA sums along the last axis one number after another: there a row's mean is a product
with a column of ones. And automatic differentiation would go through memory for each factor of
the chain; the gradient below needs the normalised activations alone (measured in a training step
of the classifier of the paper's width: the layers in 0.45 of the time).
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

_LEAST_VARIANCE = 1e-6


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
