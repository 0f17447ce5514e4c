"""Errors that a caller may want to tell apart, and the check that most functions share."""

import numpy as np


class DataError(ValueError):
    """The data cannot be found, read or trusted; the message says which part and what to do."""


class NetworkOutputError(ValueError):
    """What a network gave for good input cannot be used: not finite, or dark everywhere."""


def check_positive(name: str, value: int) -> None:
    """Refuse a size below one, and a float, which no array can be as long as."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{name} is {value!r}; it must be a whole number (int), at least 1.")
