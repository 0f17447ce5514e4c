"""The slicing adversarial network (Takida et al., ICLR 2024).

The last layer is f = ⟨ω, r·h⟩ with a direction ω = w/|w| and a scale r, without bias. D trains h
and r through one view of f and ω through the other, by losses of their own.

r is a parameter of its own here, as in the layer that the authors publish, and not |w|: w is made
a unit vector again after each update, which would hold r = |w| at 1 for ever.
"""

from typing import Any

import jax
import jax.numpy as jnp

from magan_jax.objectives.constants import Constants
from magan_jax.objectives.objective import Discriminate, Discriminated, LastLayer, Made, Objective


def init_sliced(key: jax.Array, num_features: int) -> Any:
    """A direction w `[F]`, uniform on the unit sphere, and a scale r `[]` of 1."""
    # A key apart from those of the trunk, see `LastLayer`.
    direction = jax.random.normal(jax.random.fold_in(key, num_features), (num_features,))
    return {"direction": direction / jnp.linalg.norm(direction), "scale": jnp.ones(())}


def sliced_logits(last: Any, features: jax.Array) -> jax.Array:
    """f = ⟨w/|w|, r·h⟩ for features h `[N, F]`."""
    return _along(_unit(last), last["scale"], features)


def function_view(last: Any, features: jax.Array) -> jax.Array:
    """*fun* = ⟨stop(ω), r·h⟩ `[N]`, equal to f: it trains h and r."""
    return _along(jax.lax.stop_gradient(_unit(last)), last["scale"], features)


def direction_view(last: Any, features: jax.Array) -> jax.Array:
    """*dir* = ⟨ω, stop(r·h)⟩ `[N]`, equal to f: it trains ω."""
    scale, features = jax.lax.stop_gradient((last["scale"], features))
    return _along(_unit(last), scale, features)


def _unit(last: Any) -> jax.Array:
    return last["direction"] / jnp.linalg.norm(last["direction"])


def _along(direction: jax.Array, scale: jax.Array, features: jax.Array) -> jax.Array:
    """The product in the number format of the features, its scale in float32."""
    return scale * jnp.matmul(features, direction.astype(features.dtype)).astype(jnp.float32)


def _renormalise(parameters: Any) -> Any:
    last = parameters["last"]
    return parameters | {"last": last | {"direction": _unit(last)}}


def _generator(made: Made) -> jax.Array:
    return -jnp.mean(made.fake.logits)


def san(constants: Constants) -> Objective:
    """D: E relu(1 − fun(x)) + E relu(1 + fun(G)) + λ (E dir(G) − E dir(x)); G: −E f(G).

    The hinge on *fun*, Wasserstein on *dir* (SAN report, Section 3.3, without truncation, as the
    report has it; Takida et al., 2024).
    """

    def discriminator(
        key: jax.Array, discriminate: Discriminate, real: Discriminated, fake: Discriminated
    ) -> jax.Array:
        fun_real, fun_fake = (function_view(x.last, x.features) for x in (real, fake))
        dir_real, dir_fake = (direction_view(x.last, x.features) for x in (real, fake))
        hinge = jnp.mean(jax.nn.relu(1 - fun_real)) + jnp.mean(jax.nn.relu(1 + fun_fake))
        return hinge + constants.direction * (jnp.mean(dir_fake) - jnp.mean(dir_real))

    sliced = LastLayer(init_sliced, sliced_logits)
    return Objective(discriminator, _generator, last=sliced, constrain=_renormalise)
