"""The subject: the package under test, and what a release of it promises (`subject.toml`)."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

_SUBJECT_FILE = Path(__file__).with_name("quiverdb") / "subject.toml"

# PEP 600 gives the glibc version of the tags that came before it.
_LEGACY_MANYLINUX = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}
_LINUX = re.compile(r"(?P<libc>manylinux|musllinux)_(?P<major>\d+)_(?P<minor>\d+)_(?P<cpu>\w+)")
_WINDOWS_CPU = {"win32": "i686", "win_amd64": "x86_64", "win_arm64": "aarch64"}


class SubjectError(ValueError):
    """The description of the subject cannot be used."""


@dataclass(frozen=True)
class Target:
    """What a platform tag means: a system, a processor and, on Linux, the oldest C library."""

    system: str  # linux, musl, windows, macos, any or unknown
    machine: str  # x86_64, i686, aarch64 ...
    libc: tuple[int, int] | None = None

    @classmethod
    def of(cls, tag: str) -> Target:
        """Read a platform tag (PEP 425, 600 and 656); an unknown one gives the system `unknown`."""
        if tag == "any":
            return cls("any", "any")
        if tag in _WINDOWS_CPU:
            return cls("windows", _WINDOWS_CPU[tag])
        for legacy, libc in _LEGACY_MANYLINUX.items():
            if tag.startswith(f"{legacy}_"):
                return cls("linux", tag.removeprefix(f"{legacy}_"), libc)
        if match := _LINUX.fullmatch(tag):
            system = "linux" if match["libc"] == "manylinux" else "musl"
            return cls(system, match["cpu"], (int(match["major"]), int(match["minor"])))
        if match := re.fullmatch(r"macosx_\d+_\d+_(\w+)", tag):
            return cls("macos", {"arm64": "aarch64"}.get(match[1], match[1]))
        return cls("unknown", tag)


@dataclass(frozen=True)
class Platform:
    """A platform of a release, with its libraries in the order they are loaded."""

    tag: str
    libraries: tuple[str, ...]
    required: bool = True  # a release without a wheel for it is incomplete

    @property
    def target(self) -> Target:
        """What the tag means."""
        return Target.of(self.tag)

    def fits(self, tag: str) -> bool:
        """Whether a wheel with this platform tag is this platform's, whatever its glibc."""
        mine, other = self.target, Target.of(tag)
        return (mine.system, mine.machine) == (other.system, other.machine)


@dataclass(frozen=True)
class Subject:
    """The package under test."""

    name: str
    import_package: str
    libs_dir: str
    python: str
    platforms: tuple[Platform, ...]
    embedded: tuple[str, ...] = ()
    exercise: str = ""
    """A file with functions of its own for the exercise; empty for the suite's, of quiverdb."""

    @property
    def libs_path(self) -> str:
        """The folder of the native libraries, as a path inside the wheel."""
        return f"{self.import_package}/{self.libs_dir}".rstrip("/")

    @property
    def python_version(self) -> tuple[int, int]:
        """The Python that the interpreter tag names: (3, 13) for `cp313`."""
        digits = self.python.removeprefix("cp")
        return int(digits[0]), int(digits[1:])

    def platform_for(self, tag: str) -> Platform | None:
        """Return the platform that a wheel's platform tag belongs to."""
        return next((platform for platform in self.platforms if platform.fits(tag)), None)


def load(path: Path = _SUBJECT_FILE) -> Subject:
    """Read the description of the subject.

    Raises:
        SubjectError: if the file is not there or not TOML, or a key is missing, unknown or of a
            wrong kind.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SubjectError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SubjectError(f"{path.name} is not TOML: {error}") from error
    tables = data.pop("platforms", None)
    if not isinstance(tables, list) or not tables:
        raise SubjectError(f"{path.name} has no [[platforms]]; name at least one")
    platforms = tuple(_platform(path.name, table) for table in tables)
    _check_keys(path.name, data, Subject, given={"platforms"}, optional={"embedded", "exercise"})
    if not re.fullmatch(r"cp3\d+", data["python"]):
        raise SubjectError(f"{path.name}: python is {data['python']!r}; write a tag such as cp313")
    embedded = tuple(data.pop("embedded", ()))
    own = data.pop("exercise", "")
    if own and not (path.parent / own).is_file():
        raise SubjectError(
            f"{path.name}: exercise names {own}, and there is no such file beside it"
        )
    exercise = str((path.parent / own).resolve()) if own else ""
    return Subject(**data, platforms=platforms, embedded=embedded, exercise=exercise)


def _platform(source: str, table: dict[str, Any]) -> Platform:
    _check_keys(f"{source}: [[platforms]]", table, Platform, optional={"required"})
    if Target.of(table["tag"]).system in {"any", "unknown"}:
        raise SubjectError(f"{source}: {table['tag']!r} is not a platform tag with native code")
    return Platform(**{**table, "libraries": tuple(table["libraries"])})


def _check_keys(
    source: str,
    table: dict[str, Any],
    kind: type,
    *,
    given: frozenset[str] | set[str] = frozenset(),
    optional: frozenset[str] | set[str] = frozenset(),
) -> None:
    known = {field.name for field in fields(kind)} - given
    if unknown := sorted(table.keys() - known):
        raise SubjectError(f"{source} has unknown keys {unknown}; the keys are {sorted(known)}")
    if missing := sorted(known - optional - table.keys()):
        raise SubjectError(f"{source} lacks the keys {missing}")
