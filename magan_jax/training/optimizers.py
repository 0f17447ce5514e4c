"""Optimisers by the name that a configuration uses."""

from collections.abc import Callable
from typing import Literal

import optax

OptimizerName = Literal["adam", "rmsprop"]


def _adam(learning_rate: float, beta1: float, beta2: float | None) -> optax.GradientTransformation:
    return optax.adam(learning_rate, b1=beta1, b2=0.999 if beta2 is None else beta2)


def _rmsprop(
    learning_rate: float, beta1: float, beta2: float | None
) -> optax.GradientTransformation:
    # PyTorch's, which the Wasserstein GAN was made with: decay 0.99 and ε outside of the root,
    # where it does not drown the small gradients that a clipped critic has.
    decay = 0.99 if beta2 is None else beta2
    return optax.rmsprop(learning_rate, decay=decay, eps=1e-8, eps_in_sqrt=False)


OPTIMIZERS: dict[
    OptimizerName, Callable[[float, float, float | None], optax.GradientTransformation]
] = {"adam": _adam, "rmsprop": _rmsprop}
"""`(learning_rate, beta1, beta2)` to an optimiser; a beta2 of None is its usual one."""


def adamw_cosine(
    learning_rate: float, weight_decay: float, num_steps: int
) -> optax.GradientTransformation:
    """AdamW whose step size falls from `learning_rate` to zero along a cosine."""
    schedule = optax.cosine_decay_schedule(learning_rate, num_steps)
    return optax.adamw(schedule, weight_decay=weight_decay)
