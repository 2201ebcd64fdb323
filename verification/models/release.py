"""The files of one release of the subject, and the files that the index serves with them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import parse_sdist_filename, parse_wheel_filename
from packaging.version import Version
from pydantic import Field

from verification.models.base import Model

Origin = Literal["source", "wheels", "release"]
PATCHES = range(100)
"""The possible patch releases of a Python minor version. A wheel must support all of them."""


class ReleaseFile(Model):
    """A file of the release, with its hash."""

    path: Path
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the file at ``path``.

        Raises:
            OSError: the file cannot be read.
        """
        return cls(path=path, sha256=file_sha256(path))

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name


class Release(Model):
    """One release of the subject, and the files that the index serves with it."""

    origin: Origin
    location: str
    """The folder of the source or of the wheels, or the version of the published release."""
    version: str
    wheels: tuple[ReleaseFile, ...]
    dependencies: tuple[Path, ...] = ()
    earlier: tuple[Path, ...] = ()
    """Files of earlier releases, the oldest first."""
    yanked: Mapping[str, str] = Field(default_factory=dict)
    """The earlier files that are yanked: the reason by file name."""
    tools: tuple[Path, ...] = ()
    """Files of pytest and its dependencies, for the package's own tests."""
    additional: tuple[Path, ...] = ()
    """Other files in the folder of the wheels. They are not verified."""
    undeclared: tuple[str, ...] = ()
    """Wheels on the upstream index for platforms that the subject does not declare, or for another
    Python on a platform without a machine. They are not fetched."""
    unpublished: tuple[str, ...] = ()
    """The dependencies that the release declares and that no index has, by normalised name."""
    without_wheel: Mapping[str, str] = Field(default_factory=dict)
    """The machines for which a dependency exists only as a source: the reason by machine."""
    compilers: tuple[str, ...] = ()
    """The compilers that built the wheels in this run, one for each system."""
    not_fetched: Mapping[str, str] = Field(default_factory=dict)
    """Wheels of the release that could not be downloaded: the reason by file name."""

    @property
    def wheel_paths(self) -> tuple[Path, ...]:
        """The paths of the wheels."""
        return tuple(file.path for file in self.wheels)

    @property
    def stored(self) -> tuple[Path, ...]:
        """The files that are on the index from the beginning.

        The wheels of a published release are among them. The upstream index accepted them by the
        rules of their day and serves them, so the rules of today must not keep them away."""
        published = self.wheel_paths if self.origin == "release" else ()
        return (*self.dependencies, *self.earlier, *self.tools, *published)

    @property
    def uploads(self) -> tuple[Path, ...]:
        """The wheels that are uploaded to the index: those that are not published."""
        return () if self.origin == "release" else self.wheel_paths

    @property
    def previous(self) -> str:
        """The newest earlier release with a wheel on the index; empty if there is none."""
        versions = {project_and_version(path)[1] for path in self.earlier if path.suffix == ".whl"}
        return str(max(versions)) if versions else ""

    def digests(self) -> dict[str, str]:
        """Return the sha256 of each wheel of the release, by file name."""
        return {file.name: file.sha256 for file in self.wheels}

    def locked(self) -> dict[str, str]:
        """Return the newest version of each dependency on the index, by normalised name."""
        versions = sorted(map(project_and_version, self.dependencies))
        return {name: str(version) for name, version in versions}

    def with_dependencies(self, *files: Path) -> Self:
        """Return a copy with additional files of dependencies."""
        by_name = {path.name: path for path in (*files, *self.dependencies)}
        return self.model_copy(update={"dependencies": tuple(by_name.values())})


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def project_and_version(path: Path) -> tuple[str, Version]:
    """Return the normalised name and the version from the file name of a wheel or sdist.

    Raises:
        InvalidWheelFilename: the name is not that of a wheel.
        InvalidSdistFilename: the name is not that of an sdist.
    """
    if path.suffix == ".whl":
        name, version, _, _ = parse_wheel_filename(path.name)
    else:
        name, version = parse_sdist_filename(path.name)
    return str(name), version


def allows_python(requires_python: str, python: str, full: str = "") -> bool:
    """Return whether Requires-Python allows a minor version of Python, such as 3.13.

    ``full`` is the full version, such as 3.13.2. Without it, one allowed patch release is enough.
    Installers ignore an invalid value, and so does this function.
    """
    try:
        specifiers = SpecifierSet(requires_python)
    except InvalidSpecifier:
        return True
    if full:
        return specifiers.contains(full, prereleases=True)
    return any(specifiers.contains(f"{python}.{patch}") for patch in PATCHES)
