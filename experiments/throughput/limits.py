"""What the machine reaches with a plain product and a plain copy, and a program beside that."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from throughput.turns import Reachable, take_turns


class MachineLimit(NamedTuple):
    """What a machine was seen to reach.

    Attributes:
        operations_per_second: of a product as networks in training have it (TF32 on a GPU).
        exact_operations_per_second: of one in full float32, as labels are computed.
        bytes_per_second: of a copy, read and written.
    """

    operations_per_second: float
    exact_operations_per_second: float
    bytes_per_second: float


def machine_limit() -> MachineLimit:
    """Operations and bytes per second that this machine reaches: two products, a copy."""
    on_cpu = jax.default_backend() == "cpu"
    size, numbers = (2048, 2**25) if on_cpu else (8192, 2**28)
    a, big = jax.random.normal(jax.random.key(0), (size, size)), jnp.ones(numbers)
    product = jax.jit(lambda x: x @ x)
    exact = jax.jit(lambda x: jnp.matmul(x, x, precision="highest"))
    copy = jax.jit(lambda x: x + 1)
    works = {"product": lambda: product(a), "exact": lambda: exact(a), "copy": lambda: copy(big)}
    seconds = {name: float(times.min()) for name, times in take_turns(works, 5).items()}
    operations = 2 * size**3
    return MachineLimit(
        operations / seconds["product"],
        operations / seconds["exact"],
        2 * big.nbytes / seconds["copy"],
    )


def reachable(traced: Any, units: float, limits: MachineLimit, *, exact: bool) -> Reachable:
    """The rates at which a program would reach the machine's limits.

    Args:
        traced: the program.
        units: of the rates, in one run of it.
        limits: of the machine.
        exact: whether its products are in full float32.
    """
    operations = limits.exact_operations_per_second if exact else limits.operations_per_second
    return Reachable(
        units * operations / operations_of(traced),
        units * limits.bytes_per_second / bytes_of(traced),
    )


def bytes_of(traced: Any) -> float:
    """Bytes that the operations of the compiled program read and write, by XLA's own count.

    What an operation finds in a cache is counted as well, so this is no traffic of the memory.
    """
    return float(traced.lower().compile().cost_analysis()["bytes accessed"])


def operations_of(traced: Any) -> float:
    """Operations of a traced program by XLA's own count, before optimisation.

    The accelerators' form is counted everywhere: a CPU's has products with zeros in it.
    """
    cost = traced.lower(lowering_platforms=("tpu",)).cost_analysis()
    if cost is None:  # a GPU counts its own programs only, and they have that form too
        cost = traced.lower().cost_analysis()
    return float(cost["flops"])
