"""Check how an installer refuses a release: with a reason, and without any change.

The installer must not download sources, compile, or install.
"""

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

from verification.models.cause import Cause, FactValue
from verification.models.evidence import CellEvidence, CommandRun
from verification.models.expectation import Expectation
from verification.models.index_log import IndexRequest
from verification.rules import install_paths as paths
from verification.rules.finding import Finding, finding
from verification.rules.install_error import install_error, is_page

# What pip and uv print when they start to build a source distribution.
_COMPILING = re.compile(
    r"Building wheel|Preparing metadata|Getting requirements to build|subprocess-exited-with-error|"
    r"Installing build dependencies|Failed to build|Building source distribution"
)
# An installer that builds a dependency, or finds no fitting one, fails with one of these causes.
_DEPENDENCY_CAUSES = (
    "missing-dependency", "unclassified", "unsupported-python", "unsupported-platform",
)  # fmt: skip
_PROPER = ("unsupported-platform", "unsupported-python")
_REASON = re.compile(r"^(?:ERROR:|error:|\s*cause:|hint:).*", re.MULTILINE)


def refusal_causes(
    evidence: CellEvidence, expectation: Expectation, run: CommandRun
) -> Iterator[Cause]:
    """Yield the causes of the refusal of a release that cannot work on the machine.

    ``run`` is the installation. If it passed, the installer installed another release, or it
    installed this one, which cannot work.
    """
    error = install_error(evidence, expectation, run) if run.code else None
    for rule in (
        _unfit_dependency,
        _older_release_built,
        _source_downloaded,
        _installed,
        _older_release_unmet,
    ):
        if fault := rule(evidence, expectation, run, error):
            yield fault
            return
    # For a release with many wheels an installer may report either reason.
    if error and error.name not in _PROPER:
        yield error
        return
    yield from _unclean(evidence, run)


def refusal_reasons(run: CommandRun) -> list[str]:
    """Return the lines in which the installer gives its reasons for the refusal."""
    return [match[0].strip() for match in _REASON.finditer(run.output)]


# ---- what happens instead of a refusal ----


def _unfit_dependency(
    evidence: CellEvidence, expectation: Expectation, _run: CommandRun, error: Cause | None
) -> Cause | None:
    """Return a cause if a wheel of the release fits and a dependency has no wheel that fits."""
    wheel = _fitting_wheel(evidence, expectation)
    if error is None or not wheel or error.name not in _DEPENDENCY_CAUSES:
        return None
    for line in evidence.requests:
        project = _source_of(line)
        if project and project != canonicalize_name(expectation.project):
            fault = finding("dependency-not-fitting", "source", wheel=wheel, source=line.file)
            return fault.at(evidence)
    requirement = str(error.facts.get("requirement", ""))
    dependency = re.match(r"[\w.-]+", requirement)
    # A dependency without a page on the index is a fault of the release.
    if dependency and any(is_page(line, dependency[0]) for line in evidence.requests):
        facts = {"wheel": wheel, "requirement": requirement, "error": error.message}
        return finding("dependency-not-fitting", "requirement", **facts).at(evidence)
    return None


def _older_release_built(
    evidence: CellEvidence, expectation: Expectation, run: CommandRun, _error: Cause | None
) -> Cause | None:
    """Return a cause if the installer began to build a dependency of an older release."""
    building = _COMPILING.search(run.output)
    older = _older_releases(evidence, expectation)
    if not building or not older or _project_sources(evidence, expectation):
        return None
    facts = {"installed": older, "refusal": expectation.refusal, "step": building[0]}
    return _fallback("building", **facts).at(evidence, "refused")


def _source_downloaded(
    evidence: CellEvidence, expectation: Expectation, run: CommandRun, _error: Cause | None
) -> Cause | None:
    """Return a cause if the installer downloaded or built a source distribution."""
    building = _COMPILING.search(run.output)
    sources = tuple(_project_sources(evidence, expectation))
    if building:
        form = "building" if sources else "unknown"
        return finding("sdist-fallback", form, sources=sources, step=building[0]).at(evidence)
    if sources:
        return finding("sdist-fallback", "downloaded", sources=sources).at(evidence)
    return None


def _installed(
    evidence: CellEvidence, expectation: Expectation, run: CommandRun, _error: Cause | None
) -> Cause | None:
    """Return a cause if the installer installed something instead of refusing."""
    if run.code:
        return None
    project, refusal = expectation.project, expectation.refusal
    version = paths.installed_version(evidence, project)
    if version in ("", expectation.version):
        fault = finding("unclean-refusal", "installed", version=version, refusal=refusal)
        return fault.at(evidence)
    facts = {"installed": version, "project": project}
    if wheel := _fitting_wheel(evidence, expectation):
        fault = _fallback("passed-over", **facts, wheel=wheel)
    else:
        fault = _fallback("older", **facts, refusal=refusal)
    return fault.at(evidence, "installed")


def _older_release_unmet(
    evidence: CellEvidence, expectation: Expectation, _run: CommandRun, error: Cause | None
) -> Cause | None:
    """Return a cause if an older release was tried and no file fits one of its dependencies."""
    older = _older_releases(evidence, expectation)
    if error is None or error.name != "missing-dependency" or not older:
        return None
    # The live index also has the source of the dependency, and the installer would build it.
    facts = {"installed": older, "refusal": expectation.refusal, "error": error.message}
    return _fallback("unmet", **facts).at(evidence, "refused")


def _fallback(form: str, **facts: str) -> Finding:
    # The release does not declare this machine. The older release is at fault.
    return finding("silent-fallback", form, **facts).as_risk()


# ---- unclean refusals ----


def _unclean(evidence: CellEvidence, run: CommandRun) -> Iterator[Cause]:
    if not refusal_reasons(run):
        yield finding("unclean-refusal", "silent", code=run.code).at(evidence)
    kind = paths.path_type(evidence)
    for change, names in evidence.installed.by_kind().items():
        if changed := [path for path in names if not _is_installer_file(kind(path))]:
            facts: dict[str, FactValue] = {"count": len(changed), "path": changed[0]}
            yield finding("unclean-refusal", change, change=change, **facts).at(evidence)


def _is_installer_file(path: PurePath) -> bool:
    """Return whether every installation can leave this path: a cache, bytecode or a lock of uv."""
    return paths.is_lock(path) or "__pycache__" in path.parts or paths.is_cache(path)


# ---- requests to the index ----


def _source_of(line: IndexRequest) -> str:
    """Return the project whose source distribution was served; empty if none was."""
    # The metadata of a file is not its content.
    if not line.is_served or line.path.endswith(".metadata"):
        return ""
    with contextlib.suppress(InvalidSdistFilename):
        return parse_sdist_filename(line.file)[0]
    return ""


def _project_sources(evidence: CellEvidence, expectation: Expectation) -> list[str]:
    project = canonicalize_name(expectation.project)
    return [line.file for line in evidence.requests if _source_of(line) == project]


def _requested_wheels(
    evidence: CellEvidence, expectation: Expectation
) -> Iterator[tuple[Version, str]]:
    """Yield version and file name of each requested wheel of the project."""
    for line in evidence.requests:
        file = line.file.removesuffix(".metadata")
        with contextlib.suppress(InvalidWheelFilename):
            name, version, *_ = parse_wheel_filename(file)
            if name == canonicalize_name(expectation.project):
                yield version, file


def _fitting_wheel(evidence: CellEvidence, expectation: Expectation) -> str:
    """Return the fitting wheel of the release: the installer requested its content or metadata."""
    wheels = _requested_wheels(evidence, expectation)
    return next((file for version, file in wheels if str(version) == expectation.version), "")


def _older_releases(evidence: CellEvidence, expectation: Expectation) -> str:
    """Return a list of the tried older releases, if no wheel of the release under test fits."""
    versions = {version for version, _ in _requested_wheels(evidence, expectation)}
    if not versions or str(max(versions)) == expectation.version:
        return ""
    return ", ".join(f"{expectation.project} {version}" for version in sorted(versions))
