"""Many trainings at once: the same steps from other seeds, in one compiled call.

Trainings of an ensemble share nothing but the data set. Each has its own key and so draws what it
would draw alone; its states are stacked along a first axis.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

State = Any


# Both in one program: array by array they would be one for each shape, compiled before the first
# training step.
@jax.jit
def stacked(states: Sequence[State]) -> State:
    """S states of one structure as one, every array `[S, ...]`."""
    return jax.tree.map(lambda *arrays: jnp.stack(arrays), *states)


def member(states: State, index: int) -> State:
    """One state out of stacked ones; of arrays on the host, on the host."""
    if any(isinstance(array, jax.Array) for array in jax.tree.leaves(states)):
        return _member(states, index)
    return jax.tree.map(lambda array: array[index], states)


@jax.jit
def _member(states: State, index: int | jax.Array) -> State:
    return jax.tree.map(lambda array: array[index], states)


def for_each_seed(chunk: Callable[..., Any]) -> Callable[..., Any]:
    """`chunk(state, data, key, first)` for stacked states and keys `[S]`, its results stacked.

    An accelerator takes all seeds at once (`vmap`: products become batched products); a CPU, which
    one training fills, takes one after another in the same call (`lax.map`; measured at width 16
    and four seeds, in units of single trainings: 1.09 against 0.94).
    """

    def of_all(states: State, data: Any, keys: jax.Array, first: jax.Array) -> Any:
        def of_one(state: State, key: jax.Array) -> Any:
            return chunk(state, data, key, first)

        if keys.shape[0] == 1:
            result = of_one(member(states, 0), keys[0])
            return jax.tree.map(lambda array: array[None], result)
        return jax.lax.platform_dependent(
            states,
            keys,
            cpu=lambda s, k: jax.lax.map(lambda pair: of_one(*pair), (s, k)),
            default=jax.vmap(of_one),
        )

    return of_all
