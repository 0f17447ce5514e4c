"""What may go wrong through no fault of the caller's."""


class NetworkOutputError(ValueError):
    """What a network gave for good input cannot be used: not finite, or dark everywhere."""
