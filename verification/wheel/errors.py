"""The errors of wheels and binaries that cannot be inspected."""


class BadWheel(ValueError):
    """The input is no wheel at all: nothing in it can be inspected."""


class UnreadableBinary(ValueError):
    """The bytes cannot be loaded as the format that they begin like."""
