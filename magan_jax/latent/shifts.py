"""Shifts of a class mean: v = p · u ∘ σ_k with p up to an ε.

u is +1 or −1 (the paper's μ ± εσ, Equation 4), or random signs in each dimension.
"""

from typing import Any

import jax
import numpy as np


def checked_epsilon(epsilon: Any, num_classes: int) -> np.ndarray:
    """ε of each class in float64 `[K]`; refuses what is none."""
    if hasattr(epsilon, "_fields"):
        raise ValueError(
            f"epsilon is {type(epsilon).__name__}; pass its numbers [K], such as `measured` of "
            "what measure_invariance found."
        )
    array = np.asarray(epsilon, np.float64)
    if array.shape != (num_classes,) or (array < 0).any():
        raise ValueError(
            f"epsilon is {array}; one non-negative number for each of {num_classes} classes is "
            "needed (NaN leaves a class out)."
        )
    return array


def random_signs(key: jax.Array, n: int, latent_dim: int) -> np.ndarray:
    """`[n, d]` of independent, fair ±1."""
    # `rademacher`, but for its comparison, which would be one of float64 where JAX has that.
    heads = jax.random.bernoulli(key, np.float32(0.5), (n, latent_dim))
    return np.where(heads, 1, -1).astype(np.float32)


def shift_inside(
    key: jax.Array, mean: np.ndarray, std: np.ndarray, epsilon: float, n: int
) -> np.ndarray:
    """n latents `mean + p · u ∘ std` with p ~ U[0, ε] and u random signs: `[n, d]`."""
    position_key, sign_key = jax.random.split(key)
    p = epsilon * np.asarray(jax.random.uniform(position_key, (n, 1), np.float32))
    return mean + p * random_signs(sign_key, n, len(mean)) * std
