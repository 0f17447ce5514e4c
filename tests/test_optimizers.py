from typing import get_args

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from magan_jax.training.optimizers import OPTIMIZERS, OptimizerName

GRADIENTS = np.array([[1.0, -1e-6], [0.5, 2e-6], [-2.0, 1e-6]])
RATE = 1e-2


def moved(name, beta1, beta2):
    """Where three steps from 0 lead."""
    optimizer = OPTIMIZERS[name](RATE, beta1, beta2)
    x = jnp.zeros(2)
    state = optimizer.init(x)
    for gradient in GRADIENTS:
        updates, state = optimizer.update(jnp.asarray(gradient, jnp.float32), state, x)
        x = optax.apply_updates(x, updates)
    return x


def adam(beta1, beta2):
    """Kingma and Ba (2015), Algorithm 1."""
    x = m = v = np.zeros(2)
    for t, g in enumerate(GRADIENTS, 1):
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
        x = x - RATE * m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + 1e-8)
    return x


def rmsprop(decay):
    """PyTorch's: no correction of the start, and ε beside the root."""
    x = v = np.zeros(2)
    for g in GRADIENTS:
        v = decay * v + (1 - decay) * g**2
        x = x - RATE * g / (np.sqrt(v) + 1e-8)
    return x


@pytest.mark.parametrize(
    ("name", "beta1", "beta2", "expected"),
    [
        ("adam", 0.5, None, adam(0.5, 0.999)),
        ("adam", 0.0, 0.99, adam(0.0, 0.99)),
        ("rmsprop", 0.5, None, rmsprop(0.99)),
        ("rmsprop", 0.5, 0.9, rmsprop(0.9)),
    ],
)
def test_optimisers_are_those_of_their_equations(name, beta1, beta2, expected):
    np.testing.assert_allclose(moved(name, beta1, beta2), expected, rtol=1e-4)


def test_the_names_of_a_configuration_are_those_of_the_table():
    assert get_args(OptimizerName) == tuple(OPTIMIZERS)
