"""The results of the static inspection: of a library, of a wheel and of the wheels of a release."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from verification.models.base import Model
from verification.models.cause import Cause, Severity, sorted_causes
from verification.models.machine import OperatingSystem

LibraryFormat = Literal["elf", "pe", "mach-o"]
BundledLibraries = Mapping[OperatingSystem, tuple[str, ...]]
"""The file names of native libraries that are no extension modules, by operating system."""


class Import(Model):
    """A symbol that a library imports."""

    symbol: str
    library: str | None = None
    """The file that the linker bound the symbol to; None if the format does not record it."""
    version: str | None = None


class BinaryHeaders(Model):
    """The headers of native code, in any format."""

    format: LibraryFormat
    """The format of the file."""
    machine: str = "unknown"
    """The processor architecture."""
    soname: str | None = None
    """The name that other libraries use for it; null if it has none."""
    needed: tuple[str, ...] = ()
    """The libraries that it needs."""
    delayed: tuple[str, ...] = Field(
        default=(), description="The libraries that Windows loads on first use."
    )
    assemblies: tuple[str, ...] = Field(
        default=(), description="The side-by-side assemblies that its manifest requires (Windows)."
    )
    rpath: tuple[str, ...] = Field(
        default=(), description="The folders of DT_RPATH. They also apply to what it loads."
    )
    runpath: tuple[str, ...] = Field(
        default=(), description="The folders of DT_RUNPATH. It disables DT_RPATH."
    )
    versions: Mapping[str, tuple[str, ...]] = Field(
        default_factory=dict, description="The symbol versions that it needs, by library."
    )
    executable_stack: bool = False
    """True if it asks for an executable stack."""
    text_relocations: bool = Field(
        default=False, description="True if the loader must change its code (ELF, DT_TEXTREL)."
    )
    instruction_set: int = Field(default=1, description="The x86-64 level that it needs, 1 to 4.")
    unread: str | None = Field(default=None, description="What could not be read, and why.")


class Binary(BinaryHeaders):
    """Native code with its symbols."""

    imports: tuple[Import, ...] = ()
    exports: frozenset[str] = frozenset()
    interposable: tuple[str, ...] = ()
    """Its exports that it also calls through the dynamic linker."""


class Library(Binary):
    """A native library in a wheel, with the paths of all copies."""

    paths: tuple[str, ...]
    """Its paths in the wheel, the declared path first."""
    sha256: str
    size: int
    """In bytes."""

    @property
    def path(self) -> str:
        """The path that messages use."""
        return self.paths[0]

    def summary(self) -> LibrarySummary:
        """Return the library with the number of its symbols, which can be thousands."""
        counts = {
            "imports": len(self.imports),
            "exports": len(self.exports),
            "interposable": len(self.interposable),
        }
        return LibrarySummary(**{**dict(self), **counts})


class LibrarySummary(BinaryHeaders):
    """A native library in a wheel, with the number of its symbols."""

    paths: tuple[str, ...]
    """Its paths in the wheel, the declared path first."""
    sha256: str
    """The sha256 of the content."""
    size: int = Field(ge=0, description="In bytes.")
    imports: int
    """The number of imported symbols."""
    exports: int
    """The number of exported symbols."""
    interposable: int
    """The number of exports that it also calls through the dynamic linker."""

    @property
    def path(self) -> str:
        """The path that messages use."""
        return self.paths[0]


class FileContent(Model):
    """The content of a file of a wheel."""

    size: int
    """In bytes."""
    sha256: str


class WheelContents(Model):
    """Everything that a wheel contains."""

    wheel: str
    """The file name."""
    size: int
    """In bytes."""
    sha256: str
    files: Mapping[str, FileContent]
    """The readable files, by install path."""
    exports: Mapping[str, tuple[str, ...]]
    """The exported symbols of each native library, by its first path."""
    requires: tuple[str, ...]
    """The values of Requires-Dist."""


class ReleaseContents(Model):
    """Everything that the wheels of a release contain: the content of ``contents.json``."""

    wheels: tuple[WheelContents, ...]


class WheelInspection(Model):
    """The metadata of a wheel, its native libraries and its causes."""

    file: str
    """The file name."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """The sha256 of the content."""
    size: int = Field(ge=0, description="In bytes.")
    name: str
    """The name of the project."""
    version: str
    """The version of the release."""
    tags: tuple[str, ...]
    """The tags, each with Python, ABI and platform."""
    platform: str | None = Field(
        description="The tag of its platform of the subject; null for another platform."
    )
    requires_python: str | None = None
    """The value of Requires-Python; null if there is none."""
    requires: tuple[str, ...] = Field(default=(), description="The values of Requires-Dist.")
    extras: tuple[str, ...] = Field(default=(), description="The values of Provides-Extra.")
    libraries: tuple[LibrarySummary, ...] = ()
    """The native libraries."""
    files: tuple[str, ...] = ()
    """The paths of all files in the wheel."""
    contents: WheelContents | None = Field(default=None, exclude=True)
    """Its contents. The report has them in ``contents.json``, because they can be large."""
    sources: Mapping[str, str] = Field(
        default_factory=dict,
        description="The sha256 of each module that must be equal in all wheels of a release.",
    )
    additional: bool = Field(
        default=False,
        description="True if the subject does not declare it, and the release has the declared "
        "wheel too.",
    )
    unverified: tuple[str, ...] = Field(default=(), description="What was not checked, and why.")
    causes: tuple[Cause, ...] = ()
    """The causes of this wheel."""

    @property
    def unread(self) -> tuple[str, ...]:
        """The native code that was not read, and why."""
        return tuple(
            f"{library.path}: {library.unread}" for library in self.libraries if library.unread
        )

    def cause_names(self, *severities: Severity) -> frozenset[str]:
        """Return the names of the causes of these severities, or of all causes."""
        return frozenset(
            cause.name for cause in self.causes if not severities or cause.severity in severities
        )


class ReleaseInspection(Model):
    """The inspections of the wheels of one release, and the causes of the set."""

    wheels: tuple[WheelInspection, ...] = ()
    """The inspection of each wheel."""
    causes: tuple[Cause, ...] = Field(
        default=(), description="The causes of the set of wheels, not of a single wheel."
    )

    @property
    def contents(self) -> ReleaseContents:
        """The contents of the wheels."""
        return ReleaseContents(wheels=tuple(filter(None, (w.contents for w in self.wheels))))

    @property
    def all_causes(self) -> tuple[Cause, ...]:
        """The causes of the set and of each of its wheels."""
        return sorted_causes(
            [*self.causes, *(cause for wheel in self.wheels for cause in wheel.causes)]
        )
