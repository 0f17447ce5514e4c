"""Errors that a caller may want to tell apart, and the checks that most functions share."""

import sys
import warnings
from collections.abc import Collection, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


class DataError(ValueError):
    """The data cannot be found, read or trusted; the message says which part and what to do."""


class NetworkOutputError(ValueError):
    """What a network gave for good input cannot be used: not finite, or dark everywhere."""


def warn(message: str) -> None:
    """Warn at the line of the caller outside of this package, which is theirs to change."""
    frame, level = sys._getframe(), 1
    while frame.f_back and frame.f_globals.get("__name__", "").split(".")[0] == "magan_jax":
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=level)


def cause(error: Exception) -> str:
    """What another library raised, on one line, to stand in a sentence of ours."""
    reason = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {reason}"


def check_positive(name: str, value: int) -> int:
    """A size as an int, whatever its type (1e6 is a whole number, too); refuses one below 1."""
    return check_whole(name, value, 1)


def check_whole(name: str, value: int, least: int) -> int:
    """A whole number as an int, whatever its type; refuses one below `least`, and what is none."""
    if not is_whole(value, least):
        shown = repr(value) if isinstance(value, str) else value
        raise ValueError(f"{name} is {shown}; it must be a whole number, at least {least}.")
    return int(value)


def is_whole(value: Any, least: int) -> bool:
    """Whether this is one finite whole number, no bool, that is not below `least`."""
    try:
        return (
            not isinstance(value, bool)
            and np.ndim(value) == 0
            and least <= value < np.inf
            and (int(value) == value)
        )
    except (TypeError, ValueError):  # a text, a list of two lengths
        return False


def check_real(name: str, value: float) -> float:
    """One number as a float, whichever; refuses text, None, bools and arrays."""
    real = isinstance(value, int | float | np.integer | np.floating) or (
        np.shape(value) == () and hasattr(value, "dtype") and value.dtype.kind in "iuf"
    )
    if not real or isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}; it must be a number.")
    return float(value)


_PRNG = "threefry2x32"
"""The PRNG implementation whose draws under `vmap` are those of each key by itself."""


def check_key(key: Any) -> None:
    """Refuse what is no single key, such as a seed, and keys of another PRNG than JAX's usual one:
    what `rbg` draws for many keys at once is not what it draws for each."""
    dtype = getattr(key, "dtype", None)
    typed = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)
    raw = dtype == np.uint32
    if not (typed and np.ndim(key) == 0) and not (raw and np.shape(key) == (2,)):
        raise ValueError(
            f"key is {key!r}; one key is needed, such as jax.random.key(0), not a seed."
        )
    check_prng_of_keys(key)


def check_prng_of_keys(key: Any) -> None:
    """Refuse keys of another PRNG implementation than threefry; see `check_key`."""
    typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    name = str(jax.random.key_impl(key)) if typed else _default_prng()
    if name != _PRNG:
        raise ValueError(
            f"key is of the PRNG {name}, whose draws depend on how many are made at once; "
            f'pass jax.random.key(0, impl="{_PRNG}").'
        )


def check_default_prng() -> None:
    """Refuse a setting of JAX by which `jax.random.key(0)` is of another PRNG."""
    name = _default_prng()
    if name != _PRNG:
        raise ValueError(
            f"JAX_DEFAULT_PRNG_IMPL is {name}, whose draws depend on how many are made at once; "
            f"leave it at {_PRNG}."
        )


def _default_prng() -> str:
    return str(jax.random.key_impl(jax.random.key(0)))


def check_names(flag: str, names: Sequence[str], known: Collection[str]) -> None:
    """Refuse names that a flag does not know, and none at all."""
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise ValueError(
            f"{flag} names {', '.join(unknown) or 'none'}; choose among {', '.join(known)}."
        )
