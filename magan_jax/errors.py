"""Errors that a caller may want to tell apart, and the check that most functions share."""


class DataError(ValueError):
    """The data cannot be found, read or trusted; the message says which part and what to do."""


class NetworkOutputError(ValueError):
    """What a network gave for good input cannot be used: not finite, or dark everywhere."""


def check_positive(name: str, value: int) -> int:
    """A size as an int, whatever its type (1e6 is a whole number, too); refuses one below 1."""
    if isinstance(value, bool) or not 1 <= value < float("inf") or int(value) != value:
        raise ValueError(f"{name} is {value}; it must be a whole number, at least 1.")
    return int(value)
