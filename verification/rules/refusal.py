"""What a refusal must be: clear words, and nothing fetched, compiled or installed meanwhile."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version

from verification.models.cause import Cause
from verification.rules import install_paths as paths
from verification.rules.catalogue import catalogue

Evidence = Mapping[str, Any]

# What pip and uv say when they begin to build a source distribution.
_COMPILING = re.compile(
    r"Building wheel|Preparing metadata|Getting requirements to build|subprocess-exited-with-error|"
    r"Installing build dependencies|Failed to build|Building source distribution"
)
# Of a virtual environment, and in the folder for temporary files of any other.
_LOCK = re.compile(r"\.lock|uv-[0-9a-f]+\.lock")
# What an installer says that began to build a dependency, or that found none.
_KEPT_OUT = ("missing-dependency", "unclassified", "unsupported-python", "unsupported-platform")
_TOLD = re.compile(r"^(?:ERROR:|error:|\s*cause:|hint:).*", re.MULTILINE)


def words(evidence: Evidence) -> list[str]:
    """Return the installer's own words of refusal, line by line."""
    ran = evidence["install"]
    return [found[0].strip() for found in _TOLD.finditer(ran["stdout"] + ran["stderr"])]


def judge(
    evidence: Evidence,
    wanted: str,
    found: Cause | None,
    project: str,
    version: str = "",
) -> Iterator[Cause]:
    """Yield what is wrong with the refusal of ``version`` where ``wanted`` is its proper cause.

    ``found`` is what an ordinary cell would be told; None if the installation passed.
    """
    cell = evidence["cell"]["id"]
    ran = evidence["install"]
    output = ran["stdout"] + ran["stderr"]
    if found and (lacking := _lacking(evidence, found, project, version)):
        yield _cause("dependency-not-fitting", cell, lacking)
        return
    sources = [line["file"] for line in evidence["requests"] if _is_source(line, project)]
    told = _COMPILING.search(output)
    if told and not sources and (older := _tried(evidence, project, version)):
        seen = f"no wheel fits ({wanted}), and the installer tried {older} and began to build what "
        seen += f"that one needs ({told[0]})"
        yield _fallback(f"{cell}: refused", seen)
        return
    if sources or told:
        seen = f"{ran['command'][-1]}: the installer took {', '.join(sources) or 'a source'}"
        if told:
            seen += f" and began to build it ({told[0]})"
        yield _cause("sdist-fallback", cell, seen)
        return
    if found is None:
        other = _installed(evidence, project)
        if not other or other == f"{project} {version}":
            yield _cause("unclean-refusal", cell, f"it was installed, and {wanted} was to be said")
            return
        own = _asked(evidence, project, version)
        seen = f"{own} fits and was passed over" if own else f"no wheel fits ({wanted})"
        yield _fallback(f"{cell}: installed", f"{seen}, and the installer took {other}")
        return
    if found.name == "missing-dependency" and (older := _tried(evidence, project, version)):
        # The live index has the dependency's source as well, and the installer would build that.
        seen = f"no wheel fits ({wanted}), and the installer tried {older}, which needs what has "
        seen += f"none that fits either: {found.message.partition(';')[0]}"
        yield _fallback(f"{cell}: refused", seen)
        return
    # Of a release with many wheels an installer may find either the reason.
    if found.name not in ("unsupported-platform", "unsupported-python"):
        yield found
        return
    if not words(evidence):
        yield _cause("unclean-refusal", cell, f"it ended with {ran['code']} and said nothing")
    kind = paths.flavour(evidence)
    for change, every in evidence["installed"].items():
        if touched := [path for path in every if not _is_installers(kind(path))]:
            verb = "left" if change == "added" else change
            seen = f"it refused and {verb} {len(touched)} paths, first {touched[0]}"
            yield _cause("unclean-refusal", cell, seen)


def _is_installers(path: PurePath) -> bool:
    """Return whether an installer leaves this of its own: caches, bytecode, uv's locks."""
    lock = _LOCK.fullmatch(path.name)
    return bool(lock) or "__pycache__" in path.parts or paths.is_cache(path)


def is_page(line: Evidence, project: str) -> bool:
    """Return whether the index gave its list of the project's files (PyPA: simple repository)."""
    page = f"/simple/{canonicalize_name(project)}/"
    return line["path"] == page and line["status"] in (200, 304)


def _is_source(line: Evidence, project: str) -> bool:
    try:
        name, _ = parse_sdist_filename(line.get("file", ""))
    except InvalidSdistFilename:
        return False
    # The metadata beside a file are no source.
    own = name == canonicalize_name(project)
    return own and line["status"] == 200 and not line["path"].endswith(".metadata")


def _lacking(evidence: Evidence, found: Cause, project: str, version: str) -> str:
    """Return what keeps out a wheel of the release that fits: a dependency that has none."""
    own = _asked(evidence, project, version)
    if not own or found.name not in _KEPT_OUT:
        return ""
    for line in evidence["requests"]:
        file = line.get("file", "")
        with contextlib.suppress(InvalidSdistFilename):
            name, _ = parse_sdist_filename(file)
            if name != canonicalize_name(project) and line["status"] == 200:
                return f"{own} fits, and of what it needs the installer took the source, {file}"
    needed = re.match(r"needs ([\w.-]+)", found.message)
    # What the index does not know at all is a fault of the release.
    if needed and any(is_page(line, needed[1]) for line in evidence["requests"]):
        return f"{own} fits, and {found.message.partition(';')[0]}"
    return ""


def _asked(evidence: Evidence, project: str, version: str) -> str:
    """Return the file of the release that was asked for, or whose metadata were: it fits."""
    every = _looked_into(evidence, project)
    return next((file for release, file in every if str(release) == version), "")


def _tried(evidence: Evidence, project: str, version: str) -> str:
    """Return the older releases that the installer looked into, if it found this one unfit."""
    found = {release for release, _ in _looked_into(evidence, project)}
    if not found or str(max(found)) == version:
        return ""
    return ", ".join(f"{project} {release}" for release in sorted(found))


def _looked_into(evidence: Evidence, project: str) -> Iterator[tuple[Version, str]]:
    """Yield version and name of each wheel of the project that the index was asked for."""
    for line in evidence["requests"]:
        file = line.get("file", "").removesuffix(".metadata")
        with contextlib.suppress(InvalidWheelFilename):
            name, release, *_ = parse_wheel_filename(file)
            if name == canonicalize_name(project):
                yield release, file


def _installed(evidence: Evidence, project: str) -> str:
    """Return name and version of the release that is there."""
    told = paths.distributions(evidence).get(canonicalize_name(project))
    return f"{project} {told['version']}" if told else ""


def _fallback(where: str, seen: str) -> Cause:
    # Where the release promises nothing, what is taken is the older release's fault.
    return catalogue().cause("silent-fallback", where=where, seen=seen, risk=True)


def _cause(name: str, where: str, seen: str) -> Cause:
    return catalogue().cause(name, where=where, seen=seen)
