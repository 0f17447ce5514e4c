"""The dense layer of all networks."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike


def dense(features: int, dtype: DTypeLike, **settings: Any) -> nn.Dense:
    """`nn.Dense` that multiplies in `dtype` and adds its bias in float32.

    The gradient of the bias, a sum over the batch, is then one of float32, and so is what a layer
    with a bias returns: logits are float32 whatever `dtype` is.
    """
    if features == 1:
        settings = {"dot_general": _with_column, **settings}
    return nn.Dense(features, dtype=dtype, promote_dtype=_all_but_bias, **settings)


def _with_column(
    x: jax.Array, kernel: jax.Array, dimension_numbers: Any, precision: Any = None, **_: Any
) -> jax.Array:
    """`[N, F], [F, 1] -> [N, 1]`; on accelerators as a sum, in float32.

    There XLA makes a sum of such a product anyway, but turns x first, and all that it is made of.
    (Without the barrier it would see through to the kernel's second axis and do so all the same.)
    """

    def product(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return jax.lax.dot_general(x, kernel, dimension_numbers, precision)

    def summed(x: jax.Array, kernel: jax.Array) -> jax.Array:
        exact = jnp.promote_types(x.dtype, jnp.float32)
        column = jax.lax.optimization_barrier(kernel[:, 0].astype(exact))
        return jnp.sum(x.astype(exact) * column[None], axis=-1, keepdims=True).astype(x.dtype)

    return jax.lax.platform_dependent(x, kernel, cpu=product, default=summed)


def _all_but_bias(
    *arrays: jax.Array | None, dtype: Any = None, inexact: bool = True
) -> list[jax.Array | None]:
    """Inputs, kernel and bias, as `nn.Dense` hands them over and wants them back."""
    inputs, kernel, bias = arrays
    return [jnp.asarray(inputs, dtype), jnp.asarray(kernel, dtype), bias]
