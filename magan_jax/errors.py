"""Errors that a caller may want to tell apart, and the checks that most functions share."""

from collections.abc import Collection, Sequence


class DataError(ValueError):
    """The data cannot be found, read or trusted; the message says which part and what to do."""


class NetworkOutputError(ValueError):
    """What a network gave for good input cannot be used: not finite, or dark everywhere."""


def check_positive(name: str, value: int) -> int:
    """A size as an int, whatever its type (1e6 is a whole number, too); refuses one below 1."""
    if isinstance(value, bool) or not 1 <= value < float("inf") or int(value) != value:
        raise ValueError(f"{name} is {value}; it must be a whole number, at least 1.")
    return int(value)


def check_names(flag: str, names: Sequence[str], known: Collection[str]) -> None:
    """Refuse names that a flag does not know, and none at all."""
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise ValueError(
            f"{flag} names {', '.join(unknown) or 'none'}; choose among {', '.join(known)}."
        )
