"""The results of the static inspection: of a library, of a wheel and of the wheels of a release."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from verification.models.base import Model
from verification.models.cause import Cause, Severity, sorted_causes

LibraryFormat = Literal["elf", "pe", "mach-o"]


class Import(Model):
    """A symbol that a library takes from elsewhere."""

    symbol: str
    library: str | None = None
    """The file that the linker bound the symbol to, where the format has it."""
    version: str | None = None


class BinaryFacts(Model):
    """What the headers of native code say, whatever its format."""

    format: LibraryFormat
    machine: str = "unknown"
    soname: str | None = None
    needed: tuple[str, ...] = ()
    delayed: tuple[str, ...] = Field(default=(), description="Loaded on first use (Windows).")
    run_paths: tuple[str, ...] = ()
    versions: Mapping[str, tuple[str, ...]] = Field(
        default_factory=dict, description="The symbol versions that it needs, by library."
    )
    executable_stack: bool = False
    instruction_set: int = Field(default=1, description="The version of x86-64 that it needs.")
    unread: str | None = Field(default=None, description="What could not be read, and why.")


class Binary(BinaryFacts):
    """Native code with its symbols."""

    imports: tuple[Import, ...] = ()
    exports: frozenset[str] = frozenset()
    interposable: tuple[str, ...] = ()
    """The exports that it uses itself through the dynamic linker."""


class Library(Binary):
    """A native library in a wheel, under all the names that its bytes have there."""

    paths: tuple[str, ...]
    """Where it is installed, the declared path first."""
    sha256: str
    size: int
    """In bytes."""

    @property
    def path(self) -> str:
        """The path that messages use."""
        return self.paths[0]

    def summary(self) -> LibrarySummary:
        """Return the library with its symbols as counts: there are thousands."""
        counts = {
            "imports": len(self.imports),
            "exports": len(self.exports),
            "interposable": len(self.interposable),
        }
        return LibrarySummary(**{**dict(self), **counts})


class LibrarySummary(BinaryFacts):
    """A native library in a wheel, with its symbols as counts."""

    paths: tuple[str, ...]
    sha256: str
    size: int = Field(ge=0, description="In bytes.")
    imports: int
    exports: int
    interposable: int

    @property
    def path(self) -> str:
        """The path that messages use."""
        return self.paths[0]


class WheelInspection(Model):
    """What a wheel is, and everything that is wrong with it."""

    file: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=0, description="In bytes.")
    name: str
    version: str
    tags: tuple[str, ...]
    platform: str | None = Field(description="The subject's platform that it is for.")
    requires_python: str | None = None
    requires: tuple[str, ...] = Field(default=(), description="Its Requires-Dist.")
    extras: tuple[str, ...] = Field(default=(), description="Its Provides-Extra.")
    libraries: tuple[LibrarySummary, ...] = ()
    files: tuple[str, ...] = ()
    sources: Mapping[str, str] = Field(
        default_factory=dict,
        description="The sha256 of each module that all wheels of a release must have alike.",
    )
    additional: bool = Field(
        default=False,
        description="It is for more than the subject declares, alongside a declared wheel.",
    )
    unverified: tuple[str, ...] = Field(default=(), description="What was not checked, and why.")
    causes: tuple[Cause, ...] = ()

    @property
    def unread(self) -> tuple[str, ...]:
        """The native code that was not read, and why."""
        return tuple(
            f"{library.path}: {library.unread}" for library in self.libraries if library.unread
        )

    def cause_names(self, *severities: Severity) -> frozenset[str]:
        """Return the names of the causes, of these severities or of all."""
        return frozenset(
            cause.name for cause in self.causes if not severities or cause.severity in severities
        )


class ReleaseInspection(Model):
    """The wheels of one release, and what is wrong with them as a set."""

    wheels: tuple[WheelInspection, ...] = ()
    causes: tuple[Cause, ...] = Field(
        default=(), description="Of the wheels together, not of one of them."
    )

    @property
    def all_causes(self) -> tuple[Cause, ...]:
        """The causes of the set and of each of its wheels."""
        return sorted_causes(
            [*self.causes, *(cause for wheel in self.wheels for cause in wheel.causes)]
        )
