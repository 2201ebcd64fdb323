"""Get the files of a release, and of earlier releases, as the upstream index lists them."""

from __future__ import annotations

from packaging.version import Version

from containers import upstream_releases
from containers.upstream_releases import IndexFile, UpstreamUnavailable
from verification.models.inspection import ReleaseInspection
from verification.models.release import Release
from verification.reproduction.release_files import IndexedFile, ReleaseFiles


def published_files(
    release: Release, inspection: ReleaseInspection, project: str, *, earlier: bool
) -> ReleaseFiles:
    """Return the files of a release and, if `earlier`, of the releases before it.

    A published release consists of all files that the upstream index lists, including wheels that
    no machine can run. Any other release consists of its wheels.
    """
    listed, error = _listed(project) if earlier or release.origin == "release" else ((), "")
    files = [_published(file) for file in listed if _is_of(file, release)]
    if release.origin != "release" or error:
        files = _wheels(release, inspection)
    return ReleaseFiles(
        project=project,
        version=release.version,
        files=tuple(files),
        earlier=tuple(_published(file) for file in listed if earlier and _is_before(file, release)),
        unknown=error if release.origin == "release" else "",
    )


def _listed(project: str) -> tuple[tuple[IndexFile, ...], str]:
    """Return the project's files on the upstream index, and why they are unknown, or empty."""
    try:
        return upstream_releases.listing(project), ""
    except UpstreamUnavailable as reason:
        return (), str(reason)


def _wheels(release: Release, inspection: ReleaseInspection) -> list[IndexedFile]:
    requires = {wheel.file: wheel.requires_python or "" for wheel in inspection.wheels}
    return [
        IndexedFile(
            name=file.name, version=release.version, requires_python=requires.get(file.name, "")
        )
        for file in release.wheels
    ]


def _published(file: IndexFile) -> IndexedFile:
    return IndexedFile(name=file.name, version=file.version, requires_python=file.requires_python)


def _is_of(file: IndexFile, release: Release) -> bool:
    return Version(file.version) == Version(release.version)


def _is_before(file: IndexFile, release: Release) -> bool:
    """Return True if a file belongs to an earlier final release and is not yanked."""
    version = Version(file.version)
    return version < Version(release.version) and not version.is_prerelease and file.yanked is None
