"""The hinge objective (Lim and Ye, 2017; Miyato et al., 2018, Eqs. 16 and 17)."""

import jax
import jax.numpy as jnp

from magan_jax.objectives.constants import Constants
from magan_jax.objectives.objective import Discriminate, Discriminated, Made, Objective


def _discriminator(
    key: jax.Array, discriminate: Discriminate, real: Discriminated, fake: Discriminated
) -> jax.Array:
    return jnp.mean(jax.nn.relu(1 - real.logits)) + jnp.mean(jax.nn.relu(1 + fake.logits))


def _generator(made: Made) -> jax.Array:
    return -jnp.mean(made.fake.logits)


def hinge(constants: Constants) -> Objective:
    """D: E relu(1 − f(x)) + E relu(1 + f(G)); G: −E f(G).

    The SAN report writes D's with the sign of f turned over.
    """
    return Objective(_discriminator, _generator)
