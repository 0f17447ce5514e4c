"""Dropout with a key for each row, so that it does not depend on how a batch is shared."""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = np.uint32(0x1BD11BDA)


def drop(keys: jax.Array | None, layer: int, rate: float, x: jax.Array) -> jax.Array:
    """Inverted dropout (Srivastava et al., 2014): each number is 0, or divided by 1 - `rate`.

    Args:
        keys: `[N]`, one for each row; None for no dropout.
        layer: of the network; each draws from a stream of its own.
        rate: share of the numbers that are dropped, in [0, 1).
        x: `[N, F]`.
    """
    if keys is None or rate == 0:
        return x
    own = jax.vmap(jax.random.fold_in, (0, None))(keys, layer)
    return jnp.where(bernoulli(own, 1 - rate, x.shape[1]), x / (1 - rate), 0)


def bernoulli(keys: jax.Array, p: float, count: int) -> jax.Array:
    """`jax.random.bernoulli(key, p, (count,))` of each key `[N]`, to the bit: `[N, count]`.

    On a CPU in a quarter of the time. There JAX compiles the rounds of its generator as a loop over
    the whole array, which goes through memory after each; here they are one expression.

    Args:
        keys: typed keys `[N]`.
        p: in [0, 1], as a number and not as a traced array.
        count: numbers of each key, below 2³².
    """

    def ordinary(keys: jax.Array) -> jax.Array:
        return jax.vmap(lambda key: jax.random.bernoulli(key, p, (count,)))(keys)

    # The same bits are drawn here only where JAX draws them so itself.
    settings: Any = jax.config
    usual = settings.jax_threefry_partitionable and not settings.jax_enable_x64
    if jax.random.key_impl(keys) != "threefry2x32" or not usual:
        return ordinary(keys)

    def at_once(keys: jax.Array) -> jax.Array:
        # In two halves, a loop: within what else is done to the numbers the compiler would neither
        # draw many of them at once nor keep them for the gradient.
        own = partial(_bernoulli, p=p, count=count)
        return jax.lax.map(own, jax.random.key_data(keys), batch_size=-(-len(keys) // 2))

    return jax.lax.platform_dependent(keys, cpu=at_once, default=ordinary)


def _bernoulli(key: jax.Array, p: float, count: int) -> jax.Array:
    # JAX's uniform number is the upper 23 bits by 2²³.
    below = math.ceil(float(np.float32(p)) * 2**23)
    return _threefry(key, jnp.arange(count, dtype=jnp.uint32)) >> 9 < below


def _threefry(key: jax.Array, numbers: jax.Array) -> jax.Array:
    """Threefry-2x32 (Salmon et al., 2011) of the pairs (0, number), both halves in one."""
    schedule = (key[0], key[1], key[0] ^ key[1] ^ _PARITY)
    x, y = jnp.broadcast_to(key[0], numbers.shape), numbers + key[1]
    for i in range(5):
        for turn in _ROTATIONS[i % 2]:
            x = x + y
            y = (y << turn | y >> 32 - turn) ^ x
        x = x + schedule[(i + 1) % 3]
        y = y + schedule[(i + 2) % 3] + np.uint32(i + 1)
    return x ^ y
