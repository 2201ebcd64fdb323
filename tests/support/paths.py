"""Paths in evidence, read by the rules of the machine that they come from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath, PurePosixPath, PureWindowsPath
from typing import Any


def flavour(evidence: Mapping[str, Any]) -> type[PurePath]:
    """Return the kind of the machine's paths; on Windows, two that differ in case are one."""
    return PureWindowsPath if evidence.get("os") == "windows" else PurePosixPath


def installed(evidence: Mapping[str, Any]) -> set[PurePath]:
    """Return what the installation added to the machine."""
    kind = flavour(evidence)
    return {kind(path) for path in evidence["installed"]["added"]}


def within(path: PurePath, project: str) -> bool:
    """Return whether ``path`` is a folder or file of ``project``'s own import package."""
    return project in path.parts


def is_bundled(name: str, libraries: tuple[str, ...]) -> bool:
    """Return whether ``name`` is one of the package's own libraries, under whatever version."""
    # 0.13.5 asks for libquiver.so.0, which is libquiver.so under the name its linker wrote.
    name = name.lower()
    return any(name == own.lower() or name.startswith(f"{own.lower()}.") for own in libraries)
