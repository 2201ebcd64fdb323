"""The subject: the description of the package under test, and of what its releases contain."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field

from verification.models.base import Model
from verification.models.machine import OWN_ACTIONS, SMOKE_TEST, OperatingSystem

TargetSystem = Literal["linux", "musl", "windows", "macos", "any", "unknown"]
# PEP 600 gives the glibc version of the tags that came before it.
_LEGACY_MANYLINUX = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}
_LINUX = re.compile(r"(?P<libc>manylinux|musllinux)_(?P<major>\d+)_(?P<minor>\d+)_(?P<cpu>\w+)")
_WINDOWS_CPU = {"win32": "i686", "win_amd64": "x86_64", "win_arm64": "aarch64"}


def python_version(python: str) -> tuple[int, int]:
    """Return the minor version of Python that an interpreter tag names: (3, 13) for `cp313`."""
    digits = python.removeprefix("cp")
    return int(digits[0]), int(digits[1:])


class PlatformTarget(Model):
    """The meaning of a platform tag: a system, a processor and, on Linux, the oldest C library."""

    system: TargetSystem
    machine: str
    """The processor: x86_64, i686, aarch64 ..."""
    libc: tuple[int, int] | None = None
    """The oldest version of the C library that the tag allows; None if it names none."""

    @classmethod
    def of(cls, tag: str) -> Self:
        """Read a platform tag (PEP 425, 600 and 656). The system of an unknown tag is `unknown`."""
        if tag == "any":
            return cls(system="any", machine="any")
        if tag in _WINDOWS_CPU:
            return cls(system="windows", machine=_WINDOWS_CPU[tag])
        for legacy, libc in _LEGACY_MANYLINUX.items():
            if tag.startswith(f"{legacy}_"):
                return cls(system="linux", machine=tag.removeprefix(f"{legacy}_"), libc=libc)
        if match := _LINUX.fullmatch(tag):
            libc = (int(match["major"]), int(match["minor"]))
            system: TargetSystem = "linux" if match["libc"] == "manylinux" else "musl"
            return cls(system=system, machine=match["cpu"], libc=libc)
        if match := re.fullmatch(r"macosx_\d+_\d+_(\w+)", tag):
            return cls(system="macos", machine={"arm64": "aarch64"}.get(match[1], match[1]))
        return cls(system="unknown", machine=tag)

    @property
    def machine_system(self) -> OperatingSystem | None:
        """The operating system of the machines that can run its wheels; None if no machine can."""
        if self.machine != "x86_64":
            return None
        match self.system:
            case "linux" | "musl":
                return "linux"
            case "windows":
                return "windows"
            case _:
                return None


def _check_tag(tag: str) -> str:
    if PlatformTarget.of(tag).system in {"any", "unknown"}:
        raise ValueError(f"{tag!r} is not a platform tag with native code")
    return tag


class Platform(Model):
    """A platform of the subject: a platform tag, and what the wheel for it contains."""

    tag: Annotated[str, AfterValidator(_check_tag)]
    libraries: tuple[str, ...] = ()
    """The native libraries that its smoke test must load, in loading order. A name can have a
    folder."""
    required: bool = True
    """True if a release without a wheel for this platform is incomplete."""
    execute: bool = True
    """False if its wheel is only inspected, because no machine of this project runs it."""

    @property
    def target(self) -> PlatformTarget:
        """The meaning of the tag."""
        return PlatformTarget.of(self.tag)

    def fits(self, tag: str) -> bool:
        """Return True if a tag has the system, kind of C library and processor of this platform.

        The version of the C library does not matter."""
        target = PlatformTarget.of(tag)
        return (self.target.system, self.target.machine) == (target.system, target.machine)


class SizeBudget(Model):
    """The largest sizes of a wheel, in bytes."""

    wheel: int | None = Field(default=None, gt=0)
    """The size of the file."""
    installed: int | None = Field(default=None, gt=0)
    """The size of all files after the installation."""


Pattern = Annotated[str, Field(min_length=1)]
"""A shell pattern: for the name of a file, or with a slash for its install path."""


class ContentsDeclaration(Model):
    """What each wheel of the release must contain, and what it must not contain."""

    must_have: tuple[Pattern, ...] = ()
    """Patterns; at least one file fits each."""
    must_not_have: tuple[Pattern, ...] = ()
    """Patterns that no file fits."""
    size_budget: SizeBudget = SizeBudget()


class Subject(Model):
    """The description of the package under test, from `subject.toml`."""

    file: Path = Path("subject.toml")
    """The file of this description."""
    name: str
    import_package: str
    libs_dir: str = ""
    """The folder of the native libraries, inside the import package. If it is empty, the libraries
    can have any path in the wheel."""
    python: str = Field(pattern=r"^cp3\d+$")
    """The interpreter tag of the Python for which each release must have a wheel, such as cp313."""
    platforms: tuple[Platform, ...] = Field(min_length=1)
    embedded: tuple[str, ...] = ()
    """The symbol prefixes of third-party code in the libraries."""
    exercise: Path
    """The file with its smoke test: ``native_call``, ``round_trip`` and ``failing_calls``."""
    values: Path | None = None
    """The file with the tables that the smoke test writes. The host chooses their values."""
    actions: Path | None = None
    """The file with its own scenario actions, which extend or replace those of every package."""
    dependencies: Path | None = None
    """The lock file of its dependencies. The index serves these files."""
    older_dependencies: tuple[Path, ...] = ()
    """Lock files of older dependencies that the release does not accept."""
    publishers: Path | None = None
    """The file with its registered trusted publishers."""
    pipeline: Path | None = None
    """The file with the requirements for its release pipeline."""
    verification: Path | None = None
    """The file with the texts of its VERIFICATION.md; None for generic texts."""
    contents: ContentsDeclaration = ContentsDeclaration()
    """What each wheel must contain."""

    @property
    def locks(self) -> tuple[Path, ...]:
        """The lock files. The index serves the locked files. ``dependencies`` comes last."""
        return (*self.older_dependencies, *filter(None, (self.dependencies,)))

    @property
    def machine_files(self) -> Mapping[str, Path]:
        """The files that the probe needs on a machine, by their file names on the machine."""
        files = {SMOKE_TEST: self.exercise, OWN_ACTIONS: self.actions}
        return {name: path for name, path in files.items() if path}

    @property
    def libs_path(self) -> str:
        """The folder of the native libraries, as a path inside the wheel."""
        return f"{self.import_package}/{self.libs_dir}".rstrip("/")

    @property
    def python_version(self) -> tuple[int, int]:
        """The Python that the interpreter tag names: (3, 13) for `cp313`."""
        return python_version(self.python)

    def platform_for(self, tag: str) -> Platform | None:
        """Return the platform that a wheel's platform tag belongs to."""
        return next((platform for platform in self.platforms if platform.fits(tag)), None)
