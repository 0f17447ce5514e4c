"""Priors: functions `(key, n) -> z [n, d]` with independent rows."""

from collections.abc import Callable
from functools import lru_cache

import jax

Prior = Callable[[jax.Array, int], jax.Array]


@lru_cache  # one function per dimension: compiled programs are found again by their functions
def standard_normal(latent_dim: int) -> Prior:
    """N(0, I) in `latent_dim` dimensions, the prior of the MAGAN paper (Section 3)."""

    def prior(key: jax.Array, n: int) -> jax.Array:
        return jax.random.normal(key, (n, latent_dim))

    return prior
