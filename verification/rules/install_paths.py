"""What was installed, and where: evidence read by the rules of the machine that it comes from."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import PurePath, PurePosixPath, PureWindowsPath
from typing import Any

from packaging.utils import NormalizedName, canonicalize_name

# Where pip and uv keep what they download: ~/.cache/pip, %LocalAppData%\\pip.
_CACHE_HOMES = (".cache", "Local")
_INSTALLERS = ("pip", "uv")


def flavour(evidence: Mapping[str, Any]) -> type[PurePath]:
    """Return the kind of the machine's paths; on Windows, two that differ in case are one."""
    return PureWindowsPath if evidence.get("os") == "windows" else PurePosixPath


def installed(evidence: Mapping[str, Any]) -> set[PurePath]:
    """Return what the installation added to the machine."""
    kind = flavour(evidence)
    return {kind(path) for path in evidence["installed"]["added"]}


def distributions(evidence: Mapping[str, Any]) -> dict[NormalizedName, dict[str, str]]:
    """Return what the interpreter saw of each distribution: its name as written, version, folder.

    They are by normalised name (PyPA: name normalization).
    """
    steps = evidence.get("exercise", {}).get("steps", {})
    told = steps.get("distributions", {}).get("value") or {}
    return {canonicalize_name(name): {"name": name, **one} for name, one in told.items()}


def is_cache(path: PurePath) -> bool:
    """Return whether ``path`` is in an installer's own cache, or the folder that has it."""
    if path.name == ".cache":
        return True
    pairs = itertools.pairwise(path.parts)
    return any(home in _CACHE_HOMES and name in _INSTALLERS for home, name in pairs)


def within(path: PurePath, package: str) -> bool:
    """Return whether ``path`` is a folder or file of the import package of this name."""
    return package in path.parts


def is_bundled(name: str, libraries: tuple[str, ...]) -> bool:
    """Return whether ``name`` is one of the package's own libraries, under whatever version."""
    # 0.13.5 asks for libquiver.so.0, which is libquiver.so under the name its linker wrote.
    name = name.lower()
    return any(name == own.lower() or name.startswith(f"{own.lower()}.") for own in libraries)
