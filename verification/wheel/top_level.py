"""Find files that a wheel installs in addition to the package."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from packaging.utils import NormalizedName, canonicalize_name

from verification.models.cause import Cause
from verification.models.subject import Subject
from verification.rules.catalogue import catalogue
from verification.wheel.archive import Archive
from verification.wheel.identity import WheelIdentity
from verification.wheel.wording import byte_size, listing


def causes(
    archive: Archive,
    identity: WheelIdentity,
    subject: Subject,
    modules: Mapping[NormalizedName, frozenset[str]],
) -> Iterator[Cause]:
    """Yield one cause for each top-level file or folder that does not belong to the package.

    ``modules`` are the top-level modules of the other distributions. A file or folder with the
    same name overwrites them.
    """
    owners = {
        module: distribution
        for distribution, names in modules.items()
        if distribution != canonicalize_name(identity.name)
        for module in names
    }
    for top, names in _names_by_top_level(archive).items():
        if _is_expected(top, identity, subject):
            continue
        size = byte_size(sum(len(archive.files.get(name, b"")) for name in names))
        files = f"{len(names)} file{'s' * (len(names) > 1)}, {size} ({listing(names, 2)})"
        where = top if top in names else f"{top}/"
        if owner := owners.get(top.partition(".")[0]):
            message = f"overwrites a module of {owner}, which is also installed: {files}"
            yield catalogue().cause(
                "dependency-overwritten",
                where,
                message,
                files=len(names),
                distribution=owner,
            )
        else:
            message = f"is installed next to the package: {files}"
            yield catalogue().cause("stray-top-level", where, message, files=len(names))


def _names_by_top_level(archive: Archive) -> Mapping[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for name, path in archive.install_paths.items():
        parts = PurePosixPath(path).parts or (name,)
        top = parts[0]
        if top.endswith(".data") and len(parts) > 2:
            top = f"{top}/{parts[1]}"  # headers, scripts and data have other install paths
        groups[top].append(name)
    return groups


def _is_expected(top: str, identity: WheelIdentity, subject: Subject) -> bool:
    if top == subject.import_package or top.endswith(".dist-info"):
        return True
    # The folder where auditwheel and delvewheel put the libraries that they bundle.
    return top.endswith(".libs") and canonicalize_name(top.removesuffix(".libs")) in {
        canonicalize_name(identity.name),
        canonicalize_name(subject.name),
    }
