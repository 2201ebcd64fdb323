"""What is installed, and where. Paths compare by the rules of their operating system."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from pathlib import PurePath, PurePosixPath, PureWindowsPath
from typing import NamedTuple

from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from verification.models.evidence import CellEvidence
from verification.models.expectation import Expectation

# The caches of pip and uv: ~/.cache/pip, %LocalAppData%\\pip.
_CACHE_HOMES = (".cache", "Local")
INSTALLERS = ("pip", "uv")
# Debian's Python uses the second name (Debian Python Policy).
_PACKAGE_FOLDERS = ("site-packages", "dist-packages")
# The lock files of uv: in a virtual environment, or in the folder for temporary files.
_LOCK = re.compile(r"\.lock|uv-[0-9a-f]+\.lock")


class Distribution(NamedTuple):
    """A distribution as the interpreter under test reports it."""

    name: str
    version: str
    folder: str


def path_type(evidence: CellEvidence) -> type[PurePath]:
    """Return the class of the machine's paths. Windows paths ignore upper and lower case."""
    return PureWindowsPath if evidence.os == "windows" else PurePosixPath


def added_paths(evidence: CellEvidence) -> frozenset[PurePath]:
    """Return the paths that the installation added to the machine."""
    return frozenset(map(path_type(evidence), evidence.installed.added))


def mapped_files(evidence: CellEvidence) -> tuple[str, ...]:
    """Return the installed files that the process mapped, each with `/` in its path."""
    mapped = frozenset(map(path_type(evidence), evidence.mapped or ()))
    return tuple(sorted(path.as_posix() for path in mapped & added_paths(evidence)))


def distributions(evidence: CellEvidence) -> Mapping[NormalizedName, Distribution]:
    """Return the installed distributions by normalised name (PyPA: name normalization)."""
    step = evidence.steps.distributions
    values = step.value if step and step.value else {}
    return {
        canonicalize_name(name): Distribution(name, value.version or "", value.folder)
        for name, value in values.items()
    }


def installed_version(evidence: CellEvidence, project: str) -> str:
    """Return the installed version of the project; empty if it is unknown."""
    distribution = distributions(evidence).get(canonicalize_name(project))
    return distribution.version if distribution else ""


def chose_release(evidence: CellEvidence, expectation: Expectation) -> bool:
    """Return whether the installer chose a wheel of the release itself.

    The interpreter reports what is installed. If it died before that, the log of the index shows
    which files it served.
    """
    if evidence.install is None or evidence.install.code:
        return False
    if version := installed_version(evidence, expectation.project):
        return not is_other_version(version, expectation.version)
    return any(line.is_served and line.file in expectation.digests for line in evidence.requests)


def is_other_version(first: str, second: str) -> bool:
    """Return whether two versions differ. One version can be written in several ways (PEP 440)."""
    try:
        return Version(first) != Version(second)
    except ValueError:
        return first != second


def is_cache(path: PurePath) -> bool:
    """Return whether ``path`` is in the cache of an installer, or is the folder of caches."""
    if path.name == ".cache":
        return True
    pairs = itertools.pairwise(path.parts)
    return any(home in _CACHE_HOMES and name in INSTALLERS for home, name in pairs)


def is_lock(path: PurePath) -> bool:
    """Return whether ``path`` is a file with which uv locks an environment."""
    return _LOCK.fullmatch(path.name) is not None


def is_within(path: PurePath, package: str) -> bool:
    """Return whether ``path`` belongs to the import package of this name."""
    return package in path.parts


def top_level_name(path: PurePath) -> str | None:
    """Return the first part of a path in a folder of packages; None if it is in no such folder."""
    pairs = itertools.pairwise(path.parts)
    return next((name for folder, name in pairs if folder in _PACKAGE_FOLDERS), None)


def is_module_file(path: PurePath, module: str) -> bool:
    """Return whether the import of a top-level module can load this file.

    The file is the `__init__` of a package, or the module itself: Python code or native code.
    """
    if path.suffix not in (".py", ".pyc", ".so", ".pyd"):
        return False
    stem = path.name.partition(".")[0]
    return stem == module or (stem == "__init__" and path.parent.name == module)


def package_files(evidence: CellEvidence, expectation: Expectation) -> frozenset[PurePath]:
    """Return the installed files of the release: those of RECORD, or those of the package."""
    record = evidence.steps.record
    if record and record.value:
        return frozenset(map(path_type(evidence), record.value.files))
    module = expectation.module
    added = added_paths(evidence)
    return frozenset(
        path for path in added if is_within(path, module) or is_module_file(path, module)
    )


def overwritten_files(evidence: CellEvidence) -> Mapping[PurePath, str]:
    """Return the files of RECORD that the installation changed, with the name of their owner.

    The owner is the top-level folder or module among the packages. For a command it is the command.
    """
    record = evidence.steps.record
    recorded = record.value.files if record and record.value else ()
    kind = path_type(evidence)
    paths = frozenset(map(kind, recorded)) & frozenset(map(kind, evidence.installed.changed))
    return {path: (top_level_name(path) or path.name).partition(".")[0] for path in sorted(paths)}


def is_bundled(name: str, libraries: tuple[str, ...]) -> bool:
    """Return whether ``name`` is the file name of one of these libraries, with any version."""
    # A loader may request a library by its versioned name: libx.so.0 is libx.so.
    name = name.lower()
    bundled = tuple(PurePosixPath(library).name.lower() for library in libraries)
    return name in bundled or name.startswith(tuple(f"{library}." for library in bundled))
