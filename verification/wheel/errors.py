"""The errors for wheels and binaries that cannot be inspected."""


class BadWheel(ValueError):
    """The file is not a wheel, so nothing in it can be inspected."""


class UnreadableBinary(ValueError):
    """A file that starts like a native format and cannot be loaded. The message says why."""

    cause = "damaged-library"
    """The name of the cause for such a file."""
    risk = False
    """True if a loader may still load the file."""


class CutOffSections(UnreadableBinary):
    """The end of the file is missing. No loader reads this part."""

    risk = True


class ObjectFile(UnreadableBinary):
    """A complete file for the linker."""

    cause = "missing-bundled-library"


class Program(UnreadableBinary):
    """A complete program. No process loads it as a library."""


class DebugFile(UnreadableBinary):
    """The complete debug information of another file."""
