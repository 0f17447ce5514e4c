"""Where a training stands: its state, what is known of it, and whether all of that is finite."""

import time
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from magan_jax.runtime import environment
from magan_jax.training.ensemble import member

State = Any
Info = Mapping[str, jax.Array]


class Progress(NamedTuple):
    """Where a training stands, and all that is needed to go on from there.

    Attributes:
        state: the training state after `steps` steps; of S trainings at once, stacked.
        steps: how many steps were done.
        steps_per_epoch: steps in one pass over the data.
        history: each logged scalar, `[steps]` (once per step) or, for what `evaluate` returns,
            `[epochs]` (once per epoch); with S trainings `[S, steps]` and `[S, epochs]`.
        seconds: spent in training, compilation included.
        images_per_second: of all trainings together, without chunks that were compiled (the first
            of each length in a run); NaN if there was no other.
        trained_with: the machine and versions (`magan_jax.runtime.environment`) of the run that
            finished it.
    """

    state: State
    steps: int
    steps_per_epoch: int
    history: dict[str, np.ndarray]
    seconds: float
    images_per_second: float
    trained_with: dict[str, Any]

    @property
    def epochs(self) -> int:
        """Complete passes over the data."""
        return self.steps // self.steps_per_epoch

    def member(self, index: int) -> "Progress":
        """One of the S trainings; its clocks are those of all together."""
        history = {name: values[index] for name, values in self.history.items()}
        return self._replace(state=member(self.state, index), history=history)


class Pending(NamedTuple):
    """A chunk's scalars, perhaps still being computed, with its first step and its length, and
    whether its time says how fast the training is."""

    infos: Info
    first: int
    length: int
    timed: bool


class Log:
    """What the host learns of a training under way: its scalars, and its speed.

    Attributes:
        pending: the chunk that has not been looked at.
    """

    def __init__(self, start: Progress, images_per_step: int, title: str) -> None:
        self.pending: Pending | None = None
        self._start, self._images_per_step, self._title = start, images_per_step, title
        self._history = {name: [values] for name, values in start.history.items()}
        self._machine = environment()
        self._began = self._since = time.perf_counter()
        self._timed_steps, self._timed_seconds = 0, 0.0

    def look_at_pending(self) -> int:
        """Wait for the pending chunk, check and keep its scalars; how many images it saw."""
        if self.pending is None:
            return 0
        (infos, first, length, timed), self.pending = self.pending, None
        infos = jax.device_get(infos)
        now = time.perf_counter()
        if timed:
            self._timed_steps += length
            self._timed_seconds += now - self._since
        self._since = now
        _check_finite(infos, first, self._title)
        for name, values in infos.items():
            self._history.setdefault(name, []).append(values)
        return length * self._images_per_step

    def add_evaluated(self, numbers: Mapping[str, Any]) -> None:
        """Once an epoch."""
        for name, value in numbers.items():
            self._history.setdefault(name, []).append(np.asarray(value)[..., None])

    def restart_clock(self) -> None:
        """What came between two chunks is no training."""
        self._since = time.perf_counter()

    def latest(self) -> dict[str, str]:
        """Of each scalar the mean over the last chunk, or the last value, for the eye."""
        return {name: f"{np.mean(parts[-1]):.3f}" for name, parts in self._history.items()}

    def progress(self, state: State, done: int) -> Progress:
        """Where the training stands after `done` steps."""
        rate = self._start.images_per_second
        if self._timed_steps:
            rate = self._timed_steps * self._images_per_step / self._timed_seconds
        return Progress(
            state,
            done,
            self._start.steps_per_epoch,
            {name: np.concatenate(parts, axis=-1) for name, parts in self._history.items()},
            self._start.seconds + time.perf_counter() - self._began,
            rate,
            trained_with=self._machine,
        )


def _check_finite(infos: Info, first: int, title: str) -> None:
    """Of a chunk's scalars `[length]` or `[S, length]`, whose first step is number `first`."""
    for name, values in infos.items():
        bad = np.argwhere(~np.isfinite(values))
        if len(bad):
            *which, step = bad[np.argmin(bad[:, -1])]
            of_seeds = f" (training {which[0] + 1} of {len(values)})" if which else ""
            raise FloatingPointError(
                f"{title}: {name} became {values[(*which, step)]} at step {first + int(step)}"
                f"{of_seeds}; try a lower learning rate or another seed."
            )


def check_state_finite(state: State, num_leading: int, title: str, step: int) -> None:
    """Of one training, or of S along the first axis of every array (`num_leading` 1)."""
    finite = np.asarray(_finite(state, num_leading))
    if not finite.all():
        bad = int(np.argmin(finite))
        of_seeds = f" of training {bad + 1} of {finite.size}" if num_leading else ""
        raise FloatingPointError(
            f"{title}: the training state{of_seeds} is not finite after step {step - 1}; try a "
            "lower learning rate or another seed."
        )


@partial(jax.jit, static_argnums=1)
def _finite(state: State, num_leading: int) -> jax.Array:
    arrays: list[Any] = [x for x in jax.tree.leaves(state) if jnp.issubdtype(x.dtype, jnp.inexact)]
    each = [jnp.isfinite(x).all(range(num_leading, x.ndim)) for x in arrays]
    return jnp.all(jnp.stack(each), axis=0) if each else jnp.array(True)
