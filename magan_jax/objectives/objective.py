"""What an adversarial objective is: two losses, and what they ask of the networks.

The discriminator is a trunk h, images to features `[N, F]`, and a last layer that makes one logit
f(x) of them, positive for real; an objective brings its last layer with it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from magan_jax.models.dense import dense


class LastLayer(NamedTuple):
    """From the features of the discriminator's trunk to its logits.

    Attributes:
        init: `(key, F) -> parameters`. The trunk is initialised with the same key, from which
            Linen derives each parameter's by its name.
        logits: `(parameters, features [N, F]) -> f [N]`, float32.
    """

    init: Callable[[jax.Array, int], Any]
    logits: Callable[[Any, jax.Array], jax.Array]


class Discriminated(NamedTuple):
    """A batch of images and what the discriminator makes of it.

    Attributes:
        images: x `[N, H, W, C]` in [-1, 1].
        features: h(x) `[N, F]`.
        last: parameters of the last layer.
        logits: f(x) `[N]`.
    """

    images: jax.Array
    features: jax.Array
    last: Any
    logits: jax.Array


Discriminate = Callable[[jax.Array], Discriminated]


class Made(NamedTuple):
    """All that a generator's loss may look at.

    Attributes:
        fake: the generated images G(z), discriminated.
        real: as many real images `[N, H, W, C]`, in no relation to the generated ones.
        latents: z `[N, d]`.
        split: z to its parts `(z_n [N, d_n], cluster [N])`; None where the prior has no clusters.
        encode: the encoder E, images to `(z_n [N, d_n], logits [N, K])`; None where the objective
            does not ask for it.
        features: a frozen network, images to a tuple of arrays `[N, ...]`, one per layer; None
            where the objective does not ask for it.
    """

    fake: Discriminated
    real: jax.Array
    latents: jax.Array
    split: Any = None
    encode: Any = None
    features: Any = None


class _Linear(nn.Module):
    """⟨w, h⟩ + b, w from N(0, 0.02²) (DCGAN)."""

    @nn.compact
    def __call__(self, features: jax.Array) -> jax.Array:
        layer = dense(1, features.dtype, kernel_init=nn.initializers.normal(0.02))
        return layer(features)[:, 0]


def _init_linear(key: jax.Array, num_features: int) -> Any:
    return _Linear().init(key, jnp.zeros((1, num_features)))["params"]


def _linear_logits(parameters: Any, features: jax.Array) -> jax.Array:
    logits = _Linear().apply({"params": parameters}, features)
    assert isinstance(logits, jax.Array)
    return logits


LINEAR = LastLayer(_init_linear, _linear_logits)
"""The ordinary last layer: linear with a bias."""


class Objective(NamedTuple):
    """A pair of losses, both to be minimised, and what training with them needs.

    Attributes:
        discriminator: `(key, discriminate, real, fake) -> []`: the loss of D on real and generated
            images, discriminated; `discriminate` is D for others, and `key` for what it draws.
        generator: `(made) -> []`: the loss of G, and of the encoder where there is one.
        last: D's last layer.
        constrain: D's parameters `{"trunk", "last"}` after each update, to those it goes on with.
        batch_norm: whether D may have BatchNorm; an objective that differentiates f(x) in each
            image says no.
        encodes: whether `generator` looks at `made.split` and `made.encode`.
        needs_features: whether `generator` looks at `made.features`.
        equilibrium: losses of D and G where generated images are as good as real ones and D is the
            best it can be; None where that leaves them open (any f between −1 and 1
            will do for a hinge).
    """

    discriminator: Callable[[jax.Array, Discriminate, Discriminated, Discriminated], jax.Array]
    generator: Callable[[Made], jax.Array]
    last: LastLayer = LINEAR
    constrain: Callable[[Any], Any] = lambda parameters: parameters
    batch_norm: bool = True
    encodes: bool = False
    needs_features: bool = False
    equilibrium: tuple[float, float] | None = None
