"""Get the files of a release, and of the releases before it, as the index lists them."""

from __future__ import annotations

from packaging.version import Version

from containers import upstream_releases
from containers.images import ImageUnavailable
from containers.upstream_releases import IndexFile
from verification.models.inspection import ReleaseInspection
from verification.models.release import Release
from verification.scenarios.release_files import PublishedFile, ReleaseFiles


def published_files(
    release: Release, inspection: ReleaseInspection, project: str, *, earlier: bool
) -> ReleaseFiles:
    """Return the files of a release and, if `earlier`, of the releases before it.

    A published release has all files that the upstream index lists, also wheels that no machine
    runs. Any other release has its wheels.
    """
    listed, unknown = _listed(project) if earlier or release.origin == "release" else ((), "")
    files = [_published(file) for file in listed if _is_of(file, release)]
    if release.origin != "release" or unknown:
        files = _wheels(release, inspection)
    return ReleaseFiles(
        project=project,
        version=release.version,
        files=tuple(files),
        earlier=tuple(_published(file) for file in listed if earlier and _is_before(file, release)),
        unknown=unknown if release.origin == "release" else "",
    )


def _listed(project: str) -> tuple[tuple[IndexFile, ...], str]:
    """Return the files on the upstream index, or none and why they are not known."""
    try:
        return upstream_releases.listing(project), ""
    except ImageUnavailable as reason:
        return (), str(reason)


def _wheels(release: Release, inspection: ReleaseInspection) -> list[PublishedFile]:
    requires = {wheel.file: wheel.requires_python or "" for wheel in inspection.wheels}
    return [
        PublishedFile(
            name=file.name, version=release.version, requires_python=requires.get(file.name, "")
        )
        for file in release.wheels
    ]


def _published(file: IndexFile) -> PublishedFile:
    return PublishedFile(name=file.name, version=file.version, requires_python=file.requires_python)


def _is_of(file: IndexFile, release: Release) -> bool:
    return Version(file.version) == Version(release.version)


def _is_before(file: IndexFile, release: Release) -> bool:
    """Return True for an earlier file that is neither a prerelease nor yanked."""
    version = Version(file.version)
    return version < Version(release.version) and not version.is_prerelease and file.yanked is None
