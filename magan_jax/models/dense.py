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
    return nn.Dense(features, dtype=dtype, promote_dtype=_all_but_bias, **settings)


def _all_but_bias(
    *arrays: jax.Array | None, dtype: Any = None, inexact: bool = True
) -> list[jax.Array | None]:
    """Inputs, kernel and bias, as `nn.Dense` hands them over and wants them back."""
    inputs, kernel, bias = arrays
    return [jnp.asarray(inputs, dtype), jnp.asarray(kernel, dtype), bias]
