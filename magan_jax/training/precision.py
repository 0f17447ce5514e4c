"""The number format of activations in training; all that is kept is float32."""

from typing import Literal, get_args

import jax.numpy as jnp

ActivationDtype = Literal["float32", "bfloat16"]


def check_dtype(name: str, value: str | None) -> None:
    """Refuse a number format that no training knows, naming the field; None is allowed."""
    if value is not None and value not in get_args(ActivationDtype):
        raise ValueError(
            f"{name} is {value!r}; choose one of {', '.join(get_args(ActivationDtype))}."
        )


def activation_dtype(value: ActivationDtype | None) -> jnp.dtype:
    """The number format called so; float32 where nothing was said."""
    return jnp.dtype(value or "float32")
