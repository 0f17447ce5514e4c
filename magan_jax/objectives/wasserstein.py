"""Wasserstein objectives: the critic f is kept Lipschitz by clipping or by a gradient penalty."""

from typing import Any

import jax
import jax.numpy as jnp

from magan_jax.objectives.constants import Constants
from magan_jax.objectives.objective import Discriminate, Discriminated, Made, Objective
from magan_jax.parallel import DEVICES, local_part

_INSIDE_THE_ROOT = 1e-12
"""The gradient of a norm is NaN at 0; this moves a norm of 1 by less than float32 resolves."""


def _critic(
    key: jax.Array, discriminate: Discriminate, real: Discriminated, fake: Discriminated
) -> jax.Array:
    return jnp.mean(fake.logits) - jnp.mean(real.logits)


def _generator(made: Made) -> jax.Array:
    return -jnp.mean(made.fake.logits)


def wasserstein(constants: Constants) -> Objective:
    """−E f(x) + E f(G) with clipped parameters (Arjovsky et al., 2017, Algorithm 1); G: −E f(G)."""

    def clip(parameters: Any) -> Any:
        return jax.tree.map(lambda x: jnp.clip(x, -constants.clip, constants.clip), parameters)

    return Objective(_critic, _generator, constrain=clip)


def wasserstein_gp(constants: Constants) -> Objective:
    """−E f(x) + E f(G) + λ E (‖∇f(x̂)‖ − 1)² (Gulrajani et al., 2017, Eq. 3); G: −E f(G).

    x̂ = α x + (1 − α) G with α ~ U(0, 1) for each pair; the norm is over all axes of an image. The
    critic has no BatchNorm (Section 4): ∇f would not be that of one image.
    """

    def critic(
        key: jax.Array, discriminate: Discriminate, real: Discriminated, fake: Discriminated
    ) -> jax.Array:
        # Drawn for the batch of all devices, so that their number does not change it.
        whole = real.images.shape[0] * jax.lax.axis_size(DEVICES)
        alpha = local_part(jax.random.uniform(key, (whole, 1, 1, 1)))
        between = alpha * real.images + (1 - alpha) * fake.images
        penalty = gradient_penalty(discriminate, between)
        return _critic(key, discriminate, real, fake) + constants.penalty * penalty

    return Objective(critic, _generator, batch_norm=False)


def gradient_penalty(discriminate: Discriminate, images: jax.Array) -> jax.Array:
    """E (‖∇f(x)‖ − 1)² over images `[N, H, W, C]`, each discriminated by itself."""
    # One sum: the logit of an image depends on no other image.
    gradient = jax.grad(lambda x: jnp.sum(discriminate(x).logits))(images)
    squares = jnp.sum(jnp.square(gradient), axis=tuple(range(1, gradient.ndim)))
    return jnp.mean(jnp.square(jnp.sqrt(squares + _INSIDE_THE_ROOT) - 1))
