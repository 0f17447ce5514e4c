"""The command line of an experiment: a frozen dataclass, its presets, and every field a flag."""

import argparse
import sys
from collections.abc import Callable, Mapping
from typing import TypeVar

import jax
import tyro

from magan_jax.runtime import join_hosts

Config = TypeVar("Config")


def parse(presets: Mapping[str, Config], description: str) -> tuple[str, Config]:
    """Read the command line: `--preset NAME` sets the defaults, any other flag changes one field.

    `auto` is `quick` on a CPU and `paper` on a GPU or TPU. With `--distributed`, the hosts join
    before any device is looked at.

    Args:
        presets: configurations by name, `quick` and `paper` among them.
        description: first words of the help.

    Returns:
        The name of the preset and the configuration.
    """
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    early.add_argument("--preset", default="auto")
    early.add_argument("--distributed", action="store_true")
    found, _ = early.parse_known_args()
    if found.preset not in ("auto", *presets):
        sys.exit(f"error: --preset is {found.preset!r}; choose one of auto, {', '.join(presets)}.")
    if found.distributed:
        one_sentence(join_hosts)
    name = found.preset
    if name == "auto":
        name = "quick" if jax.default_backend() == "cpu" else "paper"
    config = tyro.cli(type(presets[name]), default=presets[name], description=description)
    return name, config


def one_sentence(function: Callable[[], None]) -> None:
    """Run a main function; what the user can mend ends it with one sentence, not a traceback."""
    try:
        function()
    except (ValueError, FloatingPointError, OverflowError, OSError) as error:
        sys.exit(f"error: {error}")
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        reason = str(error).partition("\n")[0].rstrip(".") or type(error).__name__
        sys.exit(
            f"error: memory does not suffice ({reason}); finished stages and checkpoints are kept, "
            "call again with smaller sizes (batches, samples, directions, permutations)."
        )
    except KeyboardInterrupt:
        sys.exit("stopped; finished stages and checkpoints are kept, the same command goes on.")
