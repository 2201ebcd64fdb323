"""The libraries of one wheel together, with its platform tag and what is declared of them."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from functools import cached_property

from verification.models.inspection import Library, LibraryFormat
from verification.models.subject import Target

_FORMATS: dict[str, LibraryFormat] = {
    "linux": "elf",
    "musl": "elf",
    "windows": "pe",
    "macos": "mach-o",
}


@dataclass(frozen=True)
class NativeCode:
    """The libraries of a wheel for one platform."""

    libraries: tuple[Library, ...]
    tag: str
    """The wheel's platform tag."""
    declared: tuple[str, ...]
    """The paths of the libraries that the package loads by itself, in this order."""

    @property
    def target(self) -> Target:
        """The system and processor of the tag."""
        return Target.of(self.tag)

    @property
    def format(self) -> LibraryFormat | None:
        """The format of native code on that system; None where it is not known."""
        return _FORMATS.get(self.target.system)

    @cached_property
    def matching(self) -> tuple[Library, ...]:
        """The libraries that the system can load."""
        expected = (self.format, self.target.machine)
        return tuple(
            library for library in self.libraries if (library.format, library.machine) == expected
        )

    @cached_property
    def absent(self) -> frozenset[str]:
        """The file names of the declared libraries that the wheel does not have."""
        paths = {path for library in self.libraries for path in library.paths}
        present = {fold_case(path, self.target) for path in paths}
        return frozenset(
            posixpath.basename(path)
            for path in self.declared
            if fold_case(path, self.target) not in present
        )


def fold_case(path: str, target: Target) -> str:
    """Return a path as its system compares it: Windows ignores the case."""
    return path.lower() if target.system == "windows" else path
