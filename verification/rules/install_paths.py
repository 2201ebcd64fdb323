"""What is installed, and where. Paths are compared by the rules of their machine."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import PurePath, PurePosixPath, PureWindowsPath
from typing import NamedTuple

from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from verification.models.evidence import CellEvidence
from verification.models.expectation import Expectation

# Where pip and uv keep what they download: ~/.cache/pip, %LocalAppData%\\pip.
_CACHE_HOMES = (".cache", "Local")
_INSTALLERS = ("pip", "uv")


class Distribution(NamedTuple):
    """A distribution as the interpreter under test reports it."""

    name: str
    version: str
    folder: str


def path_type(evidence: CellEvidence) -> type[PurePath]:
    """Return the kind of the machine's paths; on Windows, upper and lower case are the same."""
    return PureWindowsPath if evidence.os == "windows" else PurePosixPath


def added_paths(evidence: CellEvidence) -> frozenset[PurePath]:
    """Return what the installation added to the machine."""
    return frozenset(map(path_type(evidence), evidence.installed.added))


def mapped_files(evidence: CellEvidence) -> tuple[str, ...]:
    """Return the installed files that the process mapped, each with `/` in its path."""
    step, kind = evidence.steps.mapped, path_type(evidence)
    mapped = frozenset(map(kind, step.value if step and step.value else ()))
    return tuple(sorted(path.as_posix() for path in mapped & added_paths(evidence)))


def distributions(evidence: CellEvidence) -> Mapping[NormalizedName, Distribution]:
    """Return the installed distributions by normalised name (PyPA: name normalization)."""
    step = evidence.steps.distributions
    values = step.value if step and step.value else {}
    return {
        canonicalize_name(name): Distribution(name, one.version or "", one.folder)
        for name, one in values.items()
    }


def installed_version(evidence: CellEvidence, project: str) -> str:
    """Return the version of the project that is installed; empty if none is known."""
    distribution = distributions(evidence).get(canonicalize_name(project))
    return distribution.version if distribution else ""


def chose_release(evidence: CellEvidence, expectation: Expectation) -> bool:
    """Return whether the installer chose a wheel of the release itself.

    The interpreter reports what is installed. Where it died before that, the index knows which
    files it served.
    """
    if evidence.install is None or evidence.install.code:
        return False
    if version := installed_version(evidence, expectation.project):
        return not is_other_version(version, expectation.version)
    return any(line.is_served and line.file in expectation.digests for line in evidence.requests)


def is_other_version(first: str, second: str) -> bool:
    """Return whether two versions differ; the same version can be written in several ways."""
    try:
        return Version(first) != Version(second)
    except ValueError:
        return first != second


def is_cache(path: PurePath) -> bool:
    """Return whether ``path`` is in an installer's own cache, or is the folder of caches."""
    if path.name == ".cache":
        return True
    pairs = itertools.pairwise(path.parts)
    return any(home in _CACHE_HOMES and name in _INSTALLERS for home, name in pairs)


def is_within(path: PurePath, package: str) -> bool:
    """Return whether ``path`` is a folder or file of the import package of this name."""
    return package in path.parts


def is_bundled(name: str, libraries: tuple[str, ...]) -> bool:
    """Return whether ``name`` is one of these libraries, under any version."""
    # A loader may ask for a library by its versioned name: libx.so.0 is libx.so.
    name = name.lower()
    return any(name == own.lower() or name.startswith(f"{own.lower()}.") for own in libraries)
