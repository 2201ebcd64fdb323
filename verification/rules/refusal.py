"""Check a refusal: a clear message, and nothing downloaded, compiled or installed."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import PurePath

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version

from verification.models.cause import Cause
from verification.models.evidence import CellEvidence, CommandRun
from verification.models.expectation import Expectation
from verification.models.index_log import IndexRequest
from verification.rules import install_paths as paths
from verification.rules.finding import Finding, finding
from verification.rules.install_error import install_error, is_page

# What pip and uv print when they begin to build a source distribution.
_COMPILING = re.compile(
    r"Building wheel|Preparing metadata|Getting requirements to build|subprocess-exited-with-error|"
    r"Installing build dependencies|Failed to build|Building source distribution"
)
# Of a virtual environment, and in the folder for temporary files of any other.
_LOCK = re.compile(r"\.lock|uv-[0-9a-f]+\.lock")
# How an installer can end that began to build a dependency, or that found none.
_DEPENDENCY_CAUSES = (
    "missing-dependency", "unclassified", "unsupported-python", "unsupported-platform",
)  # fmt: skip
_PROPER = ("unsupported-platform", "unsupported-python")
_REASON = re.compile(r"^(?:ERROR:|error:|\s*cause:|hint:).*", re.MULTILINE)


def refusal_faults(
    evidence: CellEvidence, expectation: Expectation, run: CommandRun
) -> Iterator[Cause]:
    """Yield what is wrong with the refusal of a release that cannot work on the machine.

    ``run`` is the installation. If it passed, the installer took another release, or this one
    although it cannot work.
    """
    error = install_error(evidence, expectation, run) if run.code else None
    for rule in (_unfit_dependency, _building_of_older, _source_taken, _installed, _older_tried):
        if fault := rule(evidence, expectation, run, error):
            yield fault
            return
    # Of a release with many wheels an installer may find either reason.
    if error and error.name not in _PROPER:
        yield error
        return
    yield from _unclean(evidence, run)


def refusal_reasons(run: CommandRun) -> list[str]:
    """Return the installer's own reasons for the refusal, line by line."""
    return [match[0].strip() for match in _REASON.finditer(run.output)]


# ---- what stands in the place of a refusal ----


def _unfit_dependency(
    evidence: CellEvidence, expectation: Expectation, _run: CommandRun, error: Cause | None
) -> Cause | None:
    """Return the dependency that has no fitting wheel, where a wheel of the release fits."""
    own = _fitting_wheel(evidence, expectation)
    if error is None or not own or error.name not in _DEPENDENCY_CAUSES:
        return None
    for line in evidence.requests:
        project = _source_of(line)
        if project and project != canonicalize_name(expectation.project):
            observed = f"{own} fits, and of what it needs the installer took the source, "
            return finding(
                "dependency-not-fitting", observed + line.file, wheel=own, source=line.file
            ).at(evidence)
    requirement = str(error.facts.get("requirement", ""))
    needed = re.match(r"[\w.-]+", requirement)
    # What the index does not know at all is a fault of the release.
    if needed and any(is_page(line, needed[0]) for line in evidence.requests):
        observed = f"{own} fits, and {_observed(error)}"
        fault = finding("dependency-not-fitting", observed, wheel=own, requirement=requirement)
        return fault.at(evidence)
    return None


def _building_of_older(
    evidence: CellEvidence, expectation: Expectation, run: CommandRun, _error: Cause | None
) -> Cause | None:
    """Return that the installer began to build what an older release needs."""
    building = _COMPILING.search(run.output)
    older = _older_releases(evidence, expectation)
    if not building or not older or _own_sources(evidence, expectation):
        return None
    observed = f"no wheel fits ({expectation.refusal}), and the installer tried {older} and began "
    observed += f"to build what that one needs ({building[0]})"
    return _fallback(observed, older).at(evidence, "refused")


def _source_taken(
    evidence: CellEvidence, expectation: Expectation, run: CommandRun, _error: Cause | None
) -> Cause | None:
    """Return that the installer took or built a source distribution."""
    building = _COMPILING.search(run.output)
    sources = _own_sources(evidence, expectation)
    if not building and not sources:
        return None
    observed = f"{run.command[-1]}: the installer took {', '.join(sources) or 'a source'}"
    if building:
        observed += f" and began to build it ({building[0]})"
    return finding("sdist-fallback", observed, sources=tuple(sources)).at(evidence)


def _installed(
    evidence: CellEvidence, expectation: Expectation, run: CommandRun, _error: Cause | None
) -> Cause | None:
    """Return what the installer installed where it must refuse."""
    if run.code:
        return None
    project, refusal = expectation.project, expectation.refusal
    version = paths.installed_version(evidence, project)
    if version in ("", expectation.version):
        observed = f"it was installed, and {refusal} was to be said"
        return finding("unclean-refusal", observed, version=version).at(evidence)
    own = _fitting_wheel(evidence, expectation)
    reason = f"{own} fits and was passed over" if own else f"no wheel fits ({refusal})"
    observed = f"{reason}, and the installer took {project} {version}"
    return _fallback(observed, version).at(evidence, "installed")


def _older_tried(
    evidence: CellEvidence, expectation: Expectation, _run: CommandRun, error: Cause | None
) -> Cause | None:
    """Return that the installer tried an older release, and nothing fits what that one needs."""
    older = _older_releases(evidence, expectation)
    if error is None or error.name != "missing-dependency" or not older:
        return None
    # The live index has the dependency's source as well, and the installer would build that.
    observed = f"no wheel fits ({expectation.refusal}), and the installer tried {older}, which "
    observed += f"needs what has none that fits either: {_observed(error)}"
    return _fallback(observed, older).at(evidence, "refused")


def _fallback(observed: str, version: str) -> Finding:
    # The release promises this machine nothing: what is taken is the older release's fault.
    return finding("silent-fallback", observed, installed=version).as_risk()


def _observed(error: Cause) -> str:
    return error.message.partition(";")[0]


# ---- what makes a refusal unclean ----


def _unclean(evidence: CellEvidence, run: CommandRun) -> Iterator[Cause]:
    if not refusal_reasons(run):
        observed = f"it ended with {run.code} and said nothing"
        yield finding("unclean-refusal", observed, code=run.code).at(evidence)
    kind = paths.path_type(evidence)
    for change, names in evidence.installed.by_kind().items():
        if touched := [path for path in names if not _is_installers_own(kind(path))]:
            verb = "left" if change == "added" else change
            observed = f"it refused and {verb} {len(touched)} paths, first {touched[0]}"
            fault = finding("unclean-refusal", observed, count=len(touched), path=touched[0])
            yield fault.at(evidence)


def _is_installers_own(path: PurePath) -> bool:
    """Return whether an installer leaves this of its own: caches, bytecode, uv's locks."""
    is_lock = _LOCK.fullmatch(path.name) is not None
    return is_lock or "__pycache__" in path.parts or paths.is_cache(path)


# ---- what the index was asked ----


def _source_of(line: IndexRequest) -> str:
    """Return the project whose source distribution was served; empty if none was."""
    # The metadata of a file are no source.
    if not line.is_served or line.path.endswith(".metadata"):
        return ""
    with contextlib.suppress(InvalidSdistFilename):
        return parse_sdist_filename(line.file)[0]
    return ""


def _own_sources(evidence: CellEvidence, expectation: Expectation) -> list[str]:
    project = canonicalize_name(expectation.project)
    return [line.file for line in evidence.requests if _source_of(line) == project]


def _asked_wheels(
    evidence: CellEvidence, expectation: Expectation
) -> Iterator[tuple[Version, str]]:
    """Yield version and name of each wheel of the project that the index was asked for."""
    for line in evidence.requests:
        file = line.file.removesuffix(".metadata")
        with contextlib.suppress(InvalidWheelFilename):
            name, version, *_ = parse_wheel_filename(file)
            if name == canonicalize_name(expectation.project):
                yield version, file


def _fitting_wheel(evidence: CellEvidence, expectation: Expectation) -> str:
    """Return the wheel of the release that was asked for, itself or its metadata: it fits."""
    wheels = _asked_wheels(evidence, expectation)
    return next((file for version, file in wheels if str(version) == expectation.version), "")


def _older_releases(evidence: CellEvidence, expectation: Expectation) -> str:
    """Return the older releases that the installer tried, if no wheel of this one fits."""
    versions = {version for version, _ in _asked_wheels(evidence, expectation)}
    if not versions or str(max(versions)) == expectation.version:
        return ""
    return ", ".join(f"{expectation.project} {version}" for version in sorted(versions))
