"""What makes a wheel or a binary impossible to inspect."""


class BadWheel(ValueError):
    """The input is no wheel at all: nothing in it can be inspected."""


class UnreadableBinary(ValueError):
    """The bytes cannot be loaded as the format that they begin like."""
