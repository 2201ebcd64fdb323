"""Download releases of a project from the upstream index: one complete release, or earlier ones.

If a release has no matching file, an installer selects the newest older release that has one. The
result for the user therefore depends on the earlier releases as well. Only releases that an
installer could select are downloaded: for the same Pythons and platforms, the newest one.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import re
import subprocess
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Literal

import pypi_simple
import requests
from packaging.requirements import Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version
from pydantic import Field

from containers import cache, wheelhouse
from containers.progress import print_line, step
from containers.state import state_folder
from verification.models.base import DataError, Model, read_json
from verification.models.release import Release, ReleaseFile, allows_python, project_and_version
from verification.models.subject import Platform, python_version

_LISTING_ERRORS = (requests.RequestException, ValueError, pypi_simple.UnsupportedRepoVersionError)
"""The errors of an index that does not answer, or answers in an unknown format."""
_MACHINE_PLATFORM = re.compile(r"(?:many|musl)?linux\w*_x86_64|win_amd64|any")
"""The platform tags of the machines of machines.toml."""
_TIMEOUT_SECONDS = 20
FileKind = Literal["wheel", "source"]
_LISTING_FILE = "files.json"
_DEFAULT_INDEX = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"


class UpstreamUnavailable(Exception):
    """The upstream index has no usable list or file. The message is the reason, one line."""


class NoSuchProject(UpstreamUnavailable):
    """The upstream index answers that it does not have the project."""


class IndexFile(Model):
    """A file of a project on the upstream index."""

    name: str
    version: str
    url: str
    sha256: str
    """Empty if the index does not report it."""
    fits: tuple[str, ...]
    """Its tags, or ``sdist``, followed by its Requires-Python."""
    yanked: str | None
    """The reason why its maintainer yanked it. None for a file that is not yanked."""

    @property
    def requires_python(self) -> str:
        """Its Requires-Python. Empty if the index does not report one."""
        return self.fits[-1] if len(self.fits) > 1 else ""

    @property
    def has_machine(self) -> bool:
        """True for a source distribution, and for a wheel for a machine of machines.toml."""
        return not self.name.endswith(".whl") or any(
            _MACHINE_PLATFORM.fullmatch(tag.rpartition("-")[2]) for tag in self.fits[:-1]
        )


class IndexListing(Model):
    """The files of a project on the upstream index."""

    files: tuple[IndexFile, ...]


class EarlierReleases(Model):
    """The files of the earlier releases, oldest first."""

    files: tuple[Path, ...] = ()
    yanked: Mapping[str, str] = Field(default_factory=dict)
    """The reason of each yanked file, by file name."""

    @property
    def versions(self) -> tuple[str, ...]:
        """The versions that have wheels, oldest first."""
        wheels = [path for path in self.files if path.suffix == ".whl"]
        return tuple(
            str(version) for version in sorted({project_and_version(path)[1] for path in wheels})
        )


def earlier_releases(project: str, version: str, *, url: str | None = None) -> EarlierReleases:
    """Return the releases of ``project`` before ``version`` on the configured upstream index.

    Each run requests the list of files. If the index does not answer, the cached list is used. Each
    file is downloaded once and checked against the sha256 that the index reports. ``url`` names
    another index.

    Raises:
        UpstreamUnavailable: the index does not answer and no list is cached, or a file cannot be
            downloaded.
        TestbedFailure: ``cache-damaged``.
    """
    folder = state_folder() / "releases" / f"{project}-earlier"
    files = eligible(
        (file for file in listing(project, url=url) if file.has_machine), Version(version)
    )
    missing = [file for file in files if not (folder / file.name).exists()]
    with contextlib.ExitStack() as stack:
        if missing:
            stack.enter_context(step(f"earlier releases: fetching {len(missing)} files"))
        for file in files:
            _cached(file, folder)
    return EarlierReleases(
        files=tuple(folder / file.name for file in files),
        yanked={file.name: file.yanked for file in files if file.yanked is not None},
    )


def release(
    version: str,
    project: str,
    platforms: Sequence[Platform],
    *,
    python: str = wheelhouse.DEFAULT_PYTHON,
    url: str | None = None,
) -> Release:
    """Download the published wheels of one release, also those for other Pythons and C libraries.

    ``python`` is an interpreter tag. The wheels of `wheelhouse.from_release` for it must be
    available. Other wheels that cannot be downloaded are in ``not_fetched`` of the release. A wheel
    that is neither for a machine of machines.toml nor for ``python`` on one of the ``platforms`` of
    the subject is not downloaded and is in ``undeclared`` of the release. ``url`` names another
    index for the other wheels.

    Raises:
        WrongUse: the version is not valid, or the index has no such release.
        TestbedFailure: ``cache-damaged``, or ``index-unreachable``: the upstream index does not
            answer.
    """
    declared = wheelhouse.from_release(version, project, python)
    folder = state_folder() / "releases" / project / f"{declared.version}-others"
    wheels = list(declared.wheels)
    declared_names = set(declared.digests())
    additional: list[Path] = []
    not_fetched: dict[str, str] = {}
    undeclared: list[str] = []
    try:
        files = listing(project, url=url)
    except UpstreamUnavailable as reason:
        print_line(f"release {declared.version}: wheels for other machines are unknown: {reason}")
        return declared.model_copy(update={"not_fetched": {"other wheels": str(reason)}})
    for file in files:
        if file.name in declared_names or Version(file.version) != Version(declared.version):
            continue
        if not file.name.endswith(".whl"):
            additional.append(Path(file.name))
            continue
        if not (file.has_machine or _is_declared(file, platforms, python)):
            undeclared.append(file.name)
            continue
        try:
            wheels.append(ReleaseFile.read(_cached(file, folder)))
        except UpstreamUnavailable as reason:
            not_fetched[file.name] = str(reason)
    return declared.model_copy(
        update={
            "wheels": tuple(sorted(wheels, key=lambda file: file.name)),
            "not_fetched": not_fetched,
            "undeclared": tuple(undeclared),
            "additional": (*declared.additional, *additional),
        }
    )


def sources(versions: Iterable[tuple[str, str]], *, url: str | None = None) -> tuple[Path, ...]:
    """Return the source distribution of each version (the project and its version).

    A project without a source distribution is omitted. Published files do not change, so each is
    downloaded once and the index is not asked again. ``url`` names another index.

    Raises:
        UpstreamUnavailable: the index does not answer and no list is cached, or a file cannot be
            downloaded.
        TestbedFailure: ``cache-damaged``.
    """
    paths: list[Path] = []
    for project, version in versions:
        folder = state_folder() / "releases" / "sources" / f"{project}-{version}"
        with contextlib.suppress(_NoSource):
            cache.cached_folder(folder, functools.partial(_fetch_source, project, version, url))
            paths += folder.glob("[!.]*")
    return tuple(paths)


class _NoSource(Exception):
    """A version has no source distribution."""


def _fetch_source(project: str, version: str, url: str | None, folder: Path) -> None:
    files = [
        file
        for file in listing(project, url=url)
        if Version(file.version) == Version(version) and file.fits[0] == "sdist"
    ]
    if not files:
        raise _NoSource(f"the index has no source distribution of {project} {version}")
    for file in files:
        (folder / file.name).write_bytes(_fetch(file))


def file_kinds(
    requirement: Requirement, tags: Set[Tag], python: str, *, url: str | None = None
) -> frozenset[FileKind]:
    """Return the kinds of the files that the upstream index has for a requirement on a machine.

    ``tags`` are the tags of the machine and ``python`` is the version of its Python, such as 3.13.
    A yanked file does not count, nor does a file whose Requires-Python excludes this Python.
    ``url`` names another index.

    Raises:
        UpstreamUnavailable: the index does not answer.
    """
    versions: dict[FileKind, set[Version]] = {"wheel": set(), "source": set()}
    try:
        packages = _project_page(requirement.name, url or index_url())
    except pypi_simple.NoSuchProjectError:
        return frozenset()
    except _LISTING_ERRORS as error:
        raise _not_listed(requirement.name, error) from error
    fitting = {"sdist", *map(str, tags)}
    for file in _index_files(packages):
        is_usable = file.yanked is None and allows_python(file.requires_python, python)
        if is_usable and not fitting.isdisjoint(file.fits):
            kind: FileKind = "source" if "sdist" in file.fits else "wheel"
            versions[kind].add(Version(file.version))
    return frozenset(
        kind for kind, found in versions.items() if any(requirement.specifier.filter(found))
    )


def eligible(files: Iterable[IndexFile], before: Version) -> list[IndexFile]:
    """Return the files that an installer could select, oldest release first.

    A file is omitted if a newer release has a file for the same Pythons and platforms.
    """
    selected: list[IndexFile] = []
    covered: set[tuple[tuple[str, ...], bool]] = set()
    versions = {file: Version(file.version) for file in files}
    older = [file for file, v in versions.items() if v < before and not v.is_prerelease]
    for file in sorted(older, key=lambda file: (versions[file], file.name), reverse=True):
        key = (file.fits, file.yanked is None)
        if key not in covered or any(newer.version == file.version for newer in selected):
            selected.append(file)
        covered.add(key)
    return selected[::-1]


def _is_declared(file: IndexFile, platforms: Iterable[Platform], python: str) -> bool:
    """Return whether a wheel is for an interpreter tag on one of the platforms."""
    version = python_version(python)
    tags = parse_wheel_filename(file.name)[3]
    names = sorted(tag.platform for tag in tags if any(p.fits(tag.platform) for p in platforms))
    return not tags.isdisjoint(
        (*cpython_tags(version, [python], names), *compatible_tags(version, python, names))
    )


def listing(project: str, *, url: str | None = None) -> tuple[IndexFile, ...]:
    """Return all files of a project on the upstream index.

    If the index does not answer, the cached list is used. ``url`` names another index.

    Raises:
        NoSuchProject: the index does not have the project, and no list is cached.
        UpstreamUnavailable: the index does not answer and no list is cached.
    """
    folder = state_folder() / "releases" / "listings" / canonicalize_name(project)
    try:
        files = current_listing(project, url=url)
    except UpstreamUnavailable:
        # A damaged list is not used. Only the index could replace it.
        with contextlib.suppress(DataError):
            if cache.is_intact(folder):
                return read_json(IndexListing, folder / _LISTING_FILE).files
        raise
    cache.replace_folder(folder, functools.partial(_write_listing, IndexListing(files=files)))
    return files


def current_listing(project: str, *, url: str | None = None) -> tuple[IndexFile, ...]:
    """Return all files of a project as the upstream index lists them now.

    ``url`` names another index.

    Raises:
        NoSuchProject: the index does not have the project.
        UpstreamUnavailable: the index does not answer.
    """
    try:
        return tuple(_index_files(_project_page(project, url or index_url())))
    except (*_LISTING_ERRORS, pypi_simple.NoSuchProjectError) as error:
        raise _not_listed(project, error) from error


def _not_listed(project: str, error: Exception) -> UpstreamUnavailable:
    if isinstance(error, pypi_simple.NoSuchProjectError):
        return NoSuchProject(f"the upstream index has no project {project}")
    reason = " ".join(str(error).split())[:200]
    return UpstreamUnavailable(f"the upstream index does not list the files of {project}: {reason}")


def _write_listing(index_listing: IndexListing, folder: Path) -> None:
    (folder / _LISTING_FILE).write_text(index_listing.model_dump_json(), "utf-8")


def _project_page(project: str, endpoint: str) -> list[pypi_simple.DistributionPackage]:
    # A newer minor version of the API is compatible.
    with (
        warnings.catch_warnings(action="ignore", category=pypi_simple.UnexpectedRepoVersionWarning),
        pypi_simple.PyPISimple(endpoint, accept=pypi_simple.ACCEPT_JSON_PREFERRED) as client,
    ):
        page = client.get_project_page(project, timeout=_TIMEOUT_SECONDS)
    if page.repository_version is None and not page.packages:
        raise ValueError("its response is not a list of files")  # for example an error page
    return page.packages


def _index_files(packages: Iterable[pypi_simple.DistributionPackage]) -> Iterator[IndexFile]:
    for package in packages:
        try:
            if package.filename.endswith(".whl"):
                _, version, _, tags = parse_wheel_filename(package.filename)
                fits = sorted(map(str, tags))
            else:
                _, version = parse_sdist_filename(package.filename)
                fits = ["sdist"]
        except (InvalidWheelFilename, InvalidSdistFilename):
            continue  # installers ignore such a file as well
        yield IndexFile(
            name=package.filename,
            version=str(version),
            url=package.url,
            sha256=package.digests.get("sha256", ""),
            fits=(*fits, package.requires_python or ""),
            yanked=(package.yanked_reason or "") if package.is_yanked else None,
        )


def pip_setting(name: str) -> str:
    """Return a setting of pip on this host, such as ``find-links``; empty if it has none."""
    settings = _pip_settings()
    return settings.get(f":env:.{name}") or settings.get(f"global.{name}", "")


@functools.cache
def _pip_settings() -> Mapping[str, str]:
    pip = [sys.executable, "-m", "pip", "config", "list"]
    result = subprocess.run(pip, capture_output=True, text=True, check=False)
    settings = (line.partition("=")[::2] for line in result.stdout.splitlines())
    return {name: str(ast.literal_eval(value)) for name, value in settings}


def index_url() -> str:
    """Return the URL of the index that pip uses on this host: from its settings, or the default."""
    return pip_setting("index-url") or _default_index()


@functools.cache
def _default_index() -> str:
    default = subprocess.run(
        [sys.executable, "-c", _DEFAULT_INDEX], capture_output=True, text=True, check=True
    )
    return default.stdout.strip()


def _cached(file: IndexFile, folder: Path) -> Path:
    """Return the file from ``folder``. Download it if it is missing or damaged.

    Raises:
        UpstreamUnavailable: the file cannot be downloaded.
        TestbedFailure: ``cache-damaged``.
    """
    return cache.cached_file(folder / file.name, file.sha256, functools.partial(_fetch, file))


def _fetch(file: IndexFile) -> bytes:
    """Download a file, and check it against the sha256 on its page.

    Raises:
        UpstreamUnavailable: the file cannot be downloaded, or its sha256 is missing or different.
    """
    try:
        response = requests.get(file.url, timeout=_TIMEOUT_SECONDS)
        response.raise_for_status()
    except requests.RequestException as error:
        raise UpstreamUnavailable(
            f"{file.name} cannot be downloaded: {' '.join(str(error).split())[:200]}"
        ) from error
    if not file.sha256:
        raise UpstreamUnavailable(f"{file.name}: the page of the index has no sha256 of it")
    digest = hashlib.sha256(response.content).hexdigest()
    if digest != file.sha256:
        raise UpstreamUnavailable(
            f"{file.name} has the sha256 {digest[:16]}..., but the page of the index has "
            f"{file.sha256[:16]}..."
        )
    return response.content
