"""What devices send one another, read off a compiled program."""

import math
import re

_COLLECTIVE = re.compile(
    r"= (?P<shapes>.*?) (?:all-reduce|all-gather|reduce-scatter|collective-permute|all-to-all)"
    r"(?:-start)?\("
)
_BYTES = {"pred": 1, "bf16": 2, "f16": 2, "f32": 4, "s32": 4, "u32": 4}


def collective_bytes(compiled: str) -> list[int]:
    """Bytes that one device hands to each collective of a compiled program, in program order.

    A collective inside a loop counts once, so of a chunk of training steps these are one step's.

    Args:
        compiled: the program's text, `.lower(...).compile().as_text()`.
    """
    return [
        sum(
            _BYTES[kind] * math.prod(int(size) for size in sizes.split(",") if size)
            for kind, sizes in re.findall(r"(\w+)\[([\d,]*)\]", found["shapes"])
        )
        for found in _COLLECTIVE.finditer(compiled)
    ]
