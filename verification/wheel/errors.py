"""The errors of wheels and binaries that cannot be inspected."""


class BadWheel(ValueError):
    """The input is no wheel at all: nothing in it can be inspected."""


class UnreadableBinary(ValueError):
    """The bytes cannot be loaded as the format that they begin like: the file is damaged."""

    cause = "damaged-library"
    risk = False
    """Whether a loader may load it all the same."""


class CutOffSections(UnreadableBinary):
    """The end of the file is missing, and no loader reads it."""

    risk = True


class ObjectFile(UnreadableBinary):
    """A file for the linker, whole as it is."""

    cause = "missing-bundled-library"


class DebugFile(UnreadableBinary):
    """The debug information of another file, whole as it is."""
