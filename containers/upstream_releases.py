"""Download releases of a project from the upstream index: one whole release, or the earlier ones.

If a release has no matching file, an installer selects the newest older release that has one. The
result for the user therefore depends on the earlier releases as well. Only those that an installer
could select are kept: the newest of all releases with files for the same Pythons and platforms.
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

import pypi_simple
import requests
from packaging.requirements import Requirement
from packaging.tags import Tag
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version
from pydantic import Field

from containers import cache, wheelhouse
from containers.images import ImageUnavailable
from containers.progress import print_line, step
from containers.state import state_folder
from verification.models.base import DataError, Model, read_json
from verification.models.release import Release, ReleaseFile, project_and_version
from verification.models.subject import Platform

_NO_LISTING = (requests.RequestException, ValueError, pypi_simple.UnsupportedRepoVersionError)
"""The errors of an index that does not answer, or not in a known form."""
_MACHINE_PLATFORM = re.compile(r"(?:many|musl)?linux\w*_x86_64|win_amd64|any")
"""The platform tags that fit a machine of machines.toml."""
_SECONDS = 20
_LISTING = "files.json"
_DEFAULT_INDEX = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"


class IndexFile(Model):
    """A file of a project on the upstream index."""

    name: str
    version: str
    url: str
    sha256: str
    """Empty if the index does not report it."""
    fits: tuple[str, ...]
    """For whom it is: its tags, or ``sdist``, and the Pythons it requires."""
    yanked: str | None
    """Why its maintainer withdrew it; None for a file that counts."""

    @property
    def requires_python(self) -> str:
        """Its Requires-Python; empty if the index does not report one."""
        return self.fits[-1] if len(self.fits) > 1 else ""

    @property
    def has_machine(self) -> bool:
        """True for a source, and for a wheel that a machine of machines.toml can use."""
        return not self.name.endswith(".whl") or any(
            _MACHINE_PLATFORM.fullmatch(tag.rpartition("-")[2]) for tag in self.fits[:-1]
        )


class IndexListing(Model):
    """The files of a project on the upstream index."""

    files: tuple[IndexFile, ...]


class EarlierReleases(Model):
    """The files of the earlier releases, oldest first, and those of them that are yanked."""

    files: tuple[Path, ...] = ()
    yanked: Mapping[str, str] = Field(default_factory=dict)
    """The reason, by file name."""

    @property
    def versions(self) -> tuple[str, ...]:
        """The versions that have wheels, oldest first."""
        wheels = [path for path in self.files if path.suffix == ".whl"]
        return tuple(
            str(version) for version in sorted({project_and_version(path)[1] for path in wheels})
        )


def earlier(project: str, version: str, *, url: str | None = None) -> EarlierReleases:
    """Return what the configured upstream index has of ``project`` before ``version``.

    The index is asked in every run. Where it does not answer, its last answer is used. Each file is
    fetched once and checked against the sha256 that the index reports. ``url`` names another index.

    Raises:
        ImageUnavailable: the index does not answer and never did, or does not give a file.
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
    locks: Sequence[Path],
    platforms: Sequence[Platform],
    *,
    url: str | None = None,
) -> Release:
    """Fetch the published wheels of one release, those for other Pythons and C libraries included.

    A wheel for a declared machine must be available. The others that cannot be fetched are in
    ``not_fetched``. A wheel that is neither for a machine of machines.toml nor for one of the
    ``platforms`` of the subject is not fetched and is in ``undeclared``. ``url`` names another
    index for these.

    Raises:
        WrongUse: the version is not one, or the index has no such release.
        TestbedFailure: ``index-unreachable``: the upstream index does not answer; or
            ``cache-damaged``.
    """
    found = wheelhouse.from_release(version, project, locks)
    folder = state_folder() / "releases" / project / f"{found.version}-others"
    wheels = list(found.wheels)
    known = set(found.digests())
    additional: list[Path] = []
    not_fetched: dict[str, str] = {}
    undeclared: list[str] = []
    try:
        listed = listing(project, url=url)
    except ImageUnavailable as reason:
        print_line(
            f"release {found.version}: its wheels for other machines are not known: {reason}"
        )
        return found.model_copy(update={"not_fetched": {"its other wheels": str(reason)}})
    for file in listed:
        if file.name in known or Version(file.version) != Version(found.version):
            continue
        if not file.name.endswith(".whl"):
            additional.append(Path(file.name))
            continue
        if not (file.has_machine or _fits_platform(file, platforms)):
            undeclared.append(file.name)
            continue
        try:
            wheels.append(ReleaseFile.read(_cached(file, folder)))
        except ImageUnavailable as reason:
            not_fetched[file.name] = str(reason)
    return found.model_copy(
        update={
            "wheels": tuple(sorted(wheels, key=lambda file: file.name)),
            "not_fetched": not_fetched,
            "undeclared": tuple(undeclared),
            "additional": (*found.additional, *additional),
        }
    )


def sources(versions: Mapping[str, str], *, url: str | None = None) -> tuple[Path, ...]:
    """Return the source distribution of each project in its version, as the upstream index has it.

    ``versions`` is by project; one without a source distribution is left out. Each is fetched once,
    and the index is not asked again: what is published does not change. ``url`` names another index
    than the configured one.

    Raises:
        ImageUnavailable: the index does not answer and never did, or does not give a file.
        TestbedFailure: ``cache-damaged``.
    """
    found: list[Path] = []
    for project, version in versions.items():
        folder = state_folder() / "releases" / "sources" / f"{project}-{version}"
        with contextlib.suppress(_NoSource):
            cache.cached_folder(folder, functools.partial(_fetch_source, project, version, url))
            found += folder.glob("[!.]*")
    return tuple(found)


class _NoSource(Exception):
    """A version has no source distribution."""


def _fetch_source(project: str, version: str, url: str | None, into: Path) -> None:
    files = [
        file
        for file in listing(project, url=url)
        if Version(file.version) == Version(version) and file.fits[0] == "sdist"
    ]
    if not files:
        raise _NoSource(f"the index has no source distribution of {project} {version}")
    for file in files:
        (into / file.name).write_bytes(_fetch(file))


def has_file(requirement: Requirement, tags: Set[Tag], *, url: str | None = None) -> bool:
    """Return whether the upstream index has a file of a required project for these tags.

    A source distribution fits all tags. ``url`` names another index than the configured one.

    Raises:
        ImageUnavailable: the index does not answer.
    """
    versions: set[Version] = set()
    try:
        for package in _ask(requirement.name, url or _index_url()):
            with contextlib.suppress(InvalidWheelFilename, InvalidSdistFilename, InvalidVersion):
                if package.filename.endswith(".whl"):
                    _, version, _, file_tags = parse_wheel_filename(package.filename)
                    versions |= {version} if file_tags & tags else set()
                else:
                    versions.add(parse_sdist_filename(package.filename)[1])
    except pypi_simple.NoSuchProjectError:
        return False
    except _NO_LISTING as error:
        raise _not_listed(requirement.name, error) from error
    return any(requirement.specifier.filter(versions))


def eligible(files: Iterable[IndexFile], before: Version) -> list[IndexFile]:
    """Return the files that some installer could take, oldest release first.

    A file is left out where a newer release has one for the same Pythons and platforms.
    """
    found: list[IndexFile] = []
    covered: set[tuple[tuple[str, ...], bool]] = set()
    versions = {file: Version(file.version) for file in files}
    older = [file for file, v in versions.items() if v < before and not v.is_prerelease]
    for file in sorted(older, key=lambda file: (versions[file], file.name), reverse=True):
        key = (file.fits, file.yanked is None)
        if key not in covered or any(other.version == file.version for other in found):
            found.append(file)
        covered.add(key)
    return found[::-1]


def _fits_platform(file: IndexFile, platforms: Iterable[Platform]) -> bool:
    tags = parse_wheel_filename(file.name)[3]
    return any(platform.fits(tag.platform) for platform in platforms for tag in tags)


def listing(project: str, *, url: str | None = None) -> tuple[IndexFile, ...]:
    """Return every file of a project on the upstream index.

    If the index does not answer, its last answer is used. ``url`` names another index.

    Raises:
        ImageUnavailable: the index does not answer and never did.
    """
    kept = state_folder() / "releases" / "listings" / canonicalize_name(project)
    try:
        files = tuple(_index_files(_ask(project, url or _index_url())))
    except (*_NO_LISTING, pypi_simple.NoSuchProjectError) as error:
        # A damaged copy counts as none: only the index could replace it.
        with contextlib.suppress(DataError):
            if cache.is_intact(kept):
                return read_json(IndexListing, kept / _LISTING).files
        raise _not_listed(project, error) from error
    cache.replace_folder(kept, functools.partial(_write_listing, IndexListing(files=files)))
    return files


def _not_listed(project: str, error: Exception) -> ImageUnavailable:
    reason = " ".join(str(error).split())[:200]
    return ImageUnavailable(f"the upstream index does not list the files of {project}: {reason}")


def _write_listing(answer: IndexListing, into: Path) -> None:
    (into / _LISTING).write_text(answer.model_dump_json(), "utf-8")


def _ask(project: str, endpoint: str) -> list[pypi_simple.DistributionPackage]:
    # A newer minor version of the index's answers is no reason to stop.
    with (
        warnings.catch_warnings(action="ignore", category=pypi_simple.UnexpectedRepoVersionWarning),
        pypi_simple.PyPISimple(endpoint, accept=pypi_simple.ACCEPT_JSON_PREFERRED) as client,
    ):
        page = client.get_project_page(project, timeout=_SECONDS)
    if page.repository_version is None and not page.packages:
        raise ValueError("its answer is no list of files")  # such as an error page in HTML
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
            continue  # no installer uses it either
        yield IndexFile(
            name=package.filename,
            version=str(version),
            url=package.url,
            sha256=package.digests.get("sha256", ""),
            fits=(*fits, package.requires_python or ""),
            yanked=(package.yanked_reason or "") if package.is_yanked else None,
        )


@functools.cache
def _index_url() -> str:
    """Return the index that this host's own pip asks: as it is set up, else pip's default."""
    pip = [sys.executable, "-m", "pip", "config", "list"]
    ran = subprocess.run(pip, capture_output=True, text=True, check=False)
    settings = dict(line.partition("=")[::2] for line in ran.stdout.splitlines())
    for name in (":env:.index-url", "global.index-url"):
        if name in settings:
            return str(ast.literal_eval(settings[name]))
    default = subprocess.run(
        [sys.executable, "-c", _DEFAULT_INDEX], capture_output=True, text=True, check=True
    )
    return default.stdout.strip()


def _cached(file: IndexFile, folder: Path) -> Path:
    """Return the file from the cache.

    Raises:
        ImageUnavailable: the index does not give it.
        TestbedFailure: ``cache-damaged``.
    """
    return cache.cached_file(folder / file.name, file.sha256, functools.partial(_fetch, file))


def _fetch(file: IndexFile) -> bytes:
    """Return the content of a file, which has the sha256 of its page.

    Raises:
        ImageUnavailable: the index does not give it.
    """
    try:
        answer = requests.get(file.url, timeout=_SECONDS)
        answer.raise_for_status()
    except requests.RequestException as error:
        raise ImageUnavailable(
            f"{file.name} cannot be fetched: {' '.join(str(error).split())[:200]}"
        ) from error
    if not file.sha256:
        raise ImageUnavailable(f"{file.name}: its page has no sha256 of it")
    digest = hashlib.sha256(answer.content).hexdigest()
    if digest != file.sha256:
        raise ImageUnavailable(
            f"{file.name} has sha256 {digest[:16]}..., its page says {file.sha256[:16]}..."
        )
    return answer.content
