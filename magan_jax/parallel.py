"""Every device of every host, through one call of `jax.pmap`.

Each device runs the same function on the same (replicated) arguments and takes its part of the
work by its index on the axis `DEVICES`; results leave as one replicated copy. With one device
this is `jit`.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

DEVICES = "devices"
"""Name of the mapped axis, for `lax.psum`, `lax.pmean` and `lax.axis_index`."""


def on_devices(
    function: Callable[..., Any],
    *,
    num_devices: int | None = None,
    donate_first: bool = False,
    donate_last: bool = False,
) -> Callable[..., Any]:
    """Compile `function(*arrays)` to run on every device with replicated inputs and outputs.

    Args:
        function: pure; may use collectives over `DEVICES`. What it returns must be equal on all
            devices (a sum, a mean, a gather): only one copy is kept.
        num_devices: use the first `num_devices` local devices, default all. One process only.
        donate_first: give the first argument's memory to the result (a training state).
        donate_last: give the last argument's (a running sum).

    Returns:
        A compiled function of the same arguments.
    """
    check_num_devices(num_devices)
    count = jax.local_device_count() if num_devices is None else num_devices

    def replicated(_: jax.Array, *arguments: Any) -> Any:
        return function(*arguments)

    compiled: dict[int, Callable[..., Any]] = {}
    # Once, and as no program of JAX's: a call has no time for them.
    sharding, indices = _replicated(num_devices), np.arange(count)

    def call(*arguments: Any) -> Any:
        # Placed as results are: otherwise a state's second call would be traced and compiled anew.
        arguments = jax.device_put(arguments, sharding)
        # One pmap per number of arguments: `in_axes` has an entry for each.
        if len(arguments) not in compiled:
            donated = [1] * donate_first + [len(arguments)] * donate_last
            compiled[len(arguments)] = jax.pmap(
                replicated,
                axis_name=DEVICES,
                in_axes=(0, *(None,) * len(arguments)),
                out_axes=None,
                donate_argnums=donated,
            )
        return compiled[len(arguments)](indices, *arguments)

    return call


def everywhere(arrays: Any, num_devices: int | None = None) -> Any:
    """A pytree with a copy of every array on each device that `on_devices` uses.

    What many calls are given is to be placed once: the calls would copy it anew.
    """
    return jax.device_put(arrays, _replicated(num_devices))


def _replicated(num_devices: int | None) -> NamedSharding:
    count = jax.local_device_count() if num_devices is None else num_devices
    mesh = Mesh(np.array(jax.local_devices()[:count]), (DEVICES,))
    return NamedSharding(mesh, PartitionSpec())


def check_num_devices(num_devices: int | None) -> None:
    """Refuse a number of devices that this process does not have, or any on several hosts."""
    if num_devices is not None and jax.process_count() > 1:
        raise ValueError(
            f"num_devices is {num_devices}, but {jax.process_count()} hosts always use all their "
            "devices; leave it out."
        )
    local = jax.local_device_count()
    whole = isinstance(num_devices, int | np.integer) and not isinstance(num_devices, bool)
    if num_devices is not None and not (whole and 1 <= num_devices <= local):
        raise ValueError(
            f"num_devices is {num_devices!r}, but this process has {local} {jax.default_backend()} "
            f"device(s); choose 1 to {local}, or None for all."
        )


def device_count(num_devices: int | None = None) -> int:
    """How many devices `on_devices` uses: all of all hosts, or the first `num_devices`."""
    check_num_devices(num_devices)
    return jax.device_count() if num_devices is None else num_devices


def local_part(rows: jax.Array) -> jax.Array:
    """This device's equal share of `rows [N, ...]`: N/D consecutive rows, in device order.

    Drawing the whole batch everywhere and taking a part makes the numbers drawn independent of
    the number of devices.
    """
    size = rows.shape[0] // jax.lax.axis_size(DEVICES)
    return jax.lax.dynamic_slice_in_dim(rows, jax.lax.axis_index(DEVICES) * size, size)
