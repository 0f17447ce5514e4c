"""Families of networks by the name that a configuration uses."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import flax.linen as nn
from jax.typing import DTypeLike

from magan_jax.models import dcgan, mlp

NetworkName = Literal["dcgan", "mlp"]


class Size(NamedTuple):
    """How large a network is; a family looks at what it knows.

    Attributes:
        width: channels (DCGAN).
        layers: features of each hidden layer (MLP).
    """

    width: int
    layers: tuple[int, ...]


class Family(NamedTuple):
    """A generator and a trunk that fit each other.

    Attributes:
        generator: `(size, image_shape, axis_name, dtype)` to a module that takes latents `[N, d]`
            and `training` to images `[N, H, W, C]` in (-1, 1).
        trunk: `(size, axis_name, dtype, batch_norm)` to a module that takes images and `training`
            to features `[N, F]`; with `batch_norm=False` each image by itself.
        divisor: H and W must be divisible by it.
    """

    generator: Callable[[Size, tuple[int, int, int], str | None, DTypeLike], nn.Module]
    trunk: Callable[[Size, str | None, DTypeLike, bool], nn.Module]
    divisor: int


NETWORKS: dict[NetworkName, Family] = {
    "dcgan": Family(
        lambda size, shape, axis, dtype: dcgan.Generator(size.width, shape, axis, dtype),
        lambda size, axis, dtype, batch_norm: dcgan.Trunk(size.width, axis, dtype, batch_norm),
        divisor=4,
    ),
    "mlp": Family(
        lambda size, shape, axis, dtype: mlp.Generator(size.layers, shape, dtype),
        lambda size, axis, dtype, batch_norm: mlp.Trunk(size.layers, dtype),
        divisor=1,
    ),
}
"""dcgan: `models/dcgan.py`; mlp: `models/mlp.py`."""
