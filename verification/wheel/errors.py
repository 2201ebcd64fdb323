"""The errors of wheels and binaries that cannot be inspected."""


class BadWheel(ValueError):
    """The input is no wheel at all: nothing in it can be inspected."""


class UnreadableBinary(ValueError):
    """The file starts like a native format and cannot be loaded: it is damaged."""

    cause = "damaged-library"
    risk = False
    """Whether a loader may still load it."""


class CutOffSections(UnreadableBinary):
    """The end of the file, which no loader reads, is missing."""

    risk = True


class ObjectFile(UnreadableBinary):
    """A complete file for the linker."""

    cause = "missing-bundled-library"


class Program(UnreadableBinary):
    """A complete program, which no process loads as a library."""


class DebugFile(UnreadableBinary):
    """The complete debug information of another file."""
