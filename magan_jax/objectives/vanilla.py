"""The objective of Goodfellow et al. (2014) on D = sigmoid(f)."""

import math

import jax
import jax.numpy as jnp

from magan_jax.objectives.constants import Constants
from magan_jax.objectives.objective import Discriminate, Discriminated, Made, Objective


def _discriminator(
    key: jax.Array, discriminate: Discriminate, real: Discriminated, fake: Discriminated
) -> jax.Array:
    return jnp.mean(jax.nn.softplus(-real.logits)) + jnp.mean(jax.nn.softplus(fake.logits))


def _generator(made: Made) -> jax.Array:
    return jnp.mean(jax.nn.softplus(-made.fake.logits))


def vanilla(constants: Constants) -> Objective:
    """D's loss is the negative of Eq. 1 of the MAGAN paper: E softplus(−f(x)) + E softplus(f(G)).

    G's is the non-saturating E softplus(−f(G)) (Goodfellow et al., 2014, Section 3) in place of
    Eq. 1's E log(1 − D(G)).
    """
    return Objective(_discriminator, _generator, equilibrium=(2 * math.log(2), math.log(2)))
