"""The one training loop: chunks of many steps in one compiled call, on every device.

A step is `step(state, batch, key) -> (state, info)`: `state` is what must be carried, `info` a
dict of scalars that may be logged. The data set is an argument of the compiled call and lives on
the device as uint8; an epoch is a permutation; the host sees stacked scalars once per chunk.

Step s draws everything from `fold_in(key, s)`, and epoch e its permutation from
`fold_in(key, e)` of another stream, so the result depends neither on how the steps are cut into
chunks, nor on where a run was resumed, nor (beyond the order of sums) on the number of devices.
Keys `[S]` train S stacked states at once, each as it would be trained alone.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from magan_jax.errors import check_prng_of_keys
from magan_jax.parallel import check_num_devices, device_count, everywhere, local_part, on_devices
from magan_jax.runtime import environment
from magan_jax.training.ensemble import for_each_seed
from magan_jax.training.progress import Info, Log, Pending, Progress, State, check_state_finite


class Batch(NamedTuple):
    """A part of the data set, as it is stored.

    Attributes:
        images: uint8 `[N, H, W, C]`.
        labels: int32 `[N]`.
    """

    images: jax.Array | np.ndarray
    labels: jax.Array | np.ndarray


Step = Callable[[State, Batch, jax.Array], tuple[State, Info]]


def train(
    key: jax.Array,
    step: Step,
    state: State,
    data: Batch,
    *,
    num_epochs: int,
    batch_size: int,
    chunk_steps: int = 128,
    num_devices: int | None = None,
    resume: Progress | None = None,
    evaluate: Callable[[State], dict[str, Any]] | None = None,
    after_epoch: Callable[[Progress], None] | None = None,
    title: str = "training",
    quiet: bool | None = None,
) -> Progress:
    """Run `step` over the data for `num_epochs` epochs.

    An epoch has ⌊N / batch_size⌋ steps; what a permutation leaves over is not seen in that epoch.

    Args:
        key: of the whole training; `[S]` for S trainings at once.
        step: the pure step; gradients in it are averaged with `lax.pmean(..., DEVICES)`.
        state: what to start from; with S keys, S states stacked (`training.ensemble.stacked`).
        data: the training set.
        num_epochs: epochs in all, those already in `resume` included.
        batch_size: of all devices together.
        chunk_steps: at most so many steps in one compiled call.
        num_devices: see `on_devices`.
        resume: go on from here (`state` is then ignored).
        evaluate: called after each epoch; its numbers (with S keys, arrays `[S]`) join the
            history.
        after_epoch: called after each epoch, to store a checkpoint for example.
        title: in front of the progress bar.
        quiet: no progress bar; None: quiet when stderr is not a terminal.

    Raises:
        ValueError: for sizes that cannot work, before anything is compiled.
        FloatingPointError: when a logged scalar is not finite, naming the step, or a state that an
            epoch leaves, or that is gone on from.
    """
    num_examples = data.images.shape[0]
    _check_keys(key)
    _check_sizes(num_examples, num_epochs, batch_size, chunk_steps, num_devices)
    steps_per_epoch = num_examples // batch_size
    total_steps = num_epochs * steps_per_epoch
    start = resume or Progress(state, 0, steps_per_epoch, {}, 0.0, float("nan"), environment())
    if start.steps_per_epoch != steps_per_epoch:
        raise ValueError(
            f"the run to go on from has {start.steps_per_epoch} steps per epoch, this one "
            f"{steps_per_epoch}; use the same data and batch_size."
        )
    longest = _chunk_length(steps_per_epoch, chunk_steps)
    images_per_step = batch_size * key.size

    chunks: dict[int, Callable[..., tuple[State, Info]]] = {}  # by their length

    if start.steps:
        check_state_finite(start.state, key.ndim, title, start.steps)
    # A copy: the first chunk takes the memory of its argument, which is the caller's.
    state = _copied(start.state)
    data = everywhere(data, num_devices)
    log, done = Log(start, images_per_step, title), start.steps

    with tqdm(
        total=total_steps * images_per_step,
        initial=done * images_per_step,
        desc=title,
        unit=" images",
        unit_scale=True,
        disable=quiet,
        dynamic_ncols=True,
    ) as bar:
        while done < total_steps:
            length = min(longest, steps_per_epoch - done % steps_per_epoch)
            is_new = length not in chunks
            if is_new:  # it is compiled now, which no other chunk's time is to hold
                bar.update(log.look_at_pending())
                chunk = chunk_function(step, num_examples, batch_size, length)
                chunk = for_each_seed(chunk) if key.ndim else chunk
                chunks[length] = on_devices(chunk, num_devices=num_devices, donate_first=True)
            state, infos = chunks[length](state, data, key, np.uint32(done))
            # The devices are at this chunk while the host looks at the one before.
            bar.update(log.look_at_pending())
            log.pending = Pending(infos, done, length, timed=not is_new)
            done += length
            if done % steps_per_epoch == 0:
                bar.update(log.look_at_pending())
                # An epoch's last loss was that of the parameters before: these may be kept now.
                check_state_finite(state, key.ndim, title, done)
                log.add_evaluated(evaluate(state) if evaluate else {})
                bar.set_postfix(log.latest())
                if after_epoch is not None:
                    after_epoch(log.progress(state, done))
                log.restart_clock()
    return log.progress(state, done)


@jax.jit
def _copied(state: State) -> State:
    """In one program: a copy of each array by itself would be one for each shape."""
    return jax.tree.map(jnp.copy, state)


def _check_keys(key: jax.Array) -> None:
    if not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        raise ValueError(
            f"key is {key!r}; a typed key, or several, is needed, such as jax.random.key(0)."
        )
    check_prng_of_keys(key)


def _check_sizes(
    num_examples: int, num_epochs: int, batch_size: int, chunk_steps: int, num_devices: int | None
) -> None:
    check_num_devices(num_devices)
    check_batch_size(batch_size, num_examples, device_count(num_devices))
    if num_epochs < 1:
        raise ValueError(f"num_epochs is {num_epochs}; it must be at least 1.")
    if chunk_steps < 1:
        raise ValueError(f"chunk_steps is {chunk_steps}; it must be at least 1.")


def chunk_function(
    step: Step, num_examples: int, batch_size: int, length: int
) -> Callable[[State, Batch, jax.Array, jax.Array], tuple[State, Info]]:
    """The function that is compiled: `length` steps from step number `first`, within one epoch.

    Returns:
        `chunk(state, data, key, first) -> (state, info)` with each scalar stacked to `[length]`;
        to be called under an axis named `DEVICES`.
    """
    steps_per_epoch = num_examples // batch_size

    def chunk(state: State, data: Batch, key: jax.Array, first: jax.Array) -> tuple[State, Info]:
        step_key, order_key = jax.random.split(key)
        order = jax.random.permutation(
            jax.random.fold_in(order_key, first // steps_per_epoch), num_examples
        )

        names: list[str] = []

        def one_step(state: State, number: jax.Array) -> tuple[State, jax.Array]:
            offset = (number % steps_per_epoch).astype(jnp.int32) * batch_size
            indices = local_part(jax.lax.dynamic_slice_in_dim(order, offset, batch_size))
            batch = jax.tree.map(lambda rows: rows[indices], data)
            state, info = step(state, batch, jax.random.fold_in(step_key, number))
            names[:] = info
            # As one array: each would be stored by a kernel of its own.
            return state, jnp.stack([jnp.asarray(x, jnp.float32) for x in info.values()])

        state, infos = jax.lax.scan(one_step, state, first + jnp.arange(length, dtype=jnp.uint32))
        return state, dict(zip(names, infos.T, strict=True))

    return chunk


def check_batch_size(
    batch_size: int, num_examples: int, num_devices: int, name: str = "batch_size"
) -> None:
    """Refuse a batch that is empty, larger than the data or not divisible by the devices."""
    if not 1 <= batch_size <= num_examples:
        raise ValueError(
            f"{name} is {batch_size}; it must be between 1 and the {num_examples} examples."
        )
    if batch_size % num_devices:
        raise ValueError(
            f"{name} is {batch_size}, which {num_devices} devices cannot share equally; "
            f"use a multiple, such as {-(-batch_size // num_devices) * num_devices}."
        )


def _chunk_length(steps_per_epoch: int, at_most: int) -> int:
    """The largest divisor of an epoch up to `at_most`, so that one length is compiled.

    Where all divisors are small (937 steps are a prime), `at_most` itself: the last chunk of each
    epoch is then shorter, and a second length is compiled.
    """
    longest = min(at_most, steps_per_epoch)
    divisor = max(n for n in range(1, longest + 1) if steps_per_epoch % n == 0)
    return divisor if 4 * divisor >= longest else longest
