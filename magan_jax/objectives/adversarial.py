"""Adversarial objectives on the discriminator's logits f."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Adversarial(NamedTuple):
    """A pair of losses, both to be minimised.

    Attributes:
        discriminator: `(f(x) [N], f(G(z)) [M]) -> []`.
        generator: `f(G(z)) [M] -> []`.
    """

    discriminator: Callable[[jax.Array, jax.Array], jax.Array]
    generator: Callable[[jax.Array], jax.Array]


def _vanilla_discriminator(real: jax.Array, fake: jax.Array) -> jax.Array:
    return jnp.mean(jax.nn.softplus(-real)) + jnp.mean(jax.nn.softplus(fake))


def _vanilla_generator(fake: jax.Array) -> jax.Array:
    return jnp.mean(jax.nn.softplus(-fake))


VANILLA = Adversarial(_vanilla_discriminator, _vanilla_generator)
"""D's loss is the negative of Eq. 1 of the MAGAN paper with D = sigmoid(f):
E softplus(−f(x)) + E softplus(f(G(z))). G's is the non-saturating E softplus(−f(G(z)))
(Goodfellow et al., 2014, Section 3) in place of Eq. 1's E log(1 − D(G(z)))."""

ADVERSARIAL: dict[str, Adversarial] = {"vanilla": VANILLA}
"""Objectives by the name that a configuration uses."""
