"""The errors for wheels and binaries that cannot be inspected."""

from collections.abc import Mapping

from verification.models.cause import FactValue


class BadWheel(ValueError):
    """The file is not a wheel, so nothing in it can be inspected."""


class WheelTooLarge(BadWheel):
    """The wheel unpacks to more than a limit. The message says which one."""

    def __init__(self, file: str, message: str, facts: Mapping[str, FactValue]) -> None:
        super().__init__(message)
        self.file = file
        """The file name of the wheel."""
        self.facts = facts
        """The name of the limit, its value for the wheel and the maximum."""


class NoStorage(Exception):
    """The host has no space to unpack a file of a wheel."""


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
