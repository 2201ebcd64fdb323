"""Compare a published release with the files that an earlier gate verified (`--published-by`)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from containers import upstream_releases
from containers.progress import print_line
from containers.upstream_releases import IndexFile, NoSuchProject, UpstreamUnavailable
from verification.models.base import DataError, Model
from verification.models.cause import Cause, sorted_causes
from verification.models.errors import TestbedFailure, WrongUse
from verification.models.report import PublishedPart
from verification.models.run import PublishedSummary
from verification.models.subject import Subject
from verification.models.verdict import Verdict
from verification.pipeline import publishers
from verification.pipeline.workflow_causes import cause
from verification.report import results_json
from verification.session.live_index import check_live_publisher

_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 60.0
"""Seconds between two requests. Each pause is twice the one before."""


class VerifiedFiles(Model):
    """The files that an earlier gate verified."""

    report: str
    """The folder of its report."""
    project: str
    version: str
    digests: Mapping[str, str]
    """The sha256 of each file, by name."""
    is_built: bool
    """True if that gate built the files itself."""


class Comparison(Model):
    """The published release, compared with the verified files."""

    part: PublishedPart
    summary: PublishedSummary


def verified_files(folder: Path, project: str, version: str) -> VerifiedFiles:
    """Return the files that the gate with the report in a folder verified.

    Raises:
        WrongUse: the folder has no report of a gate that verified this version, or the report has
            no wheels.
    """
    option = f"--published-by {folder}"
    try:
        report = results_json.read(folder / results_json.NAME)
        is_same = Version(report.version) == Version(version) if report.version else False
    except DataError as error:
        raise WrongUse(f"{option}: {error}; name the folder of the report of a gate") from None
    except InvalidVersion as error:
        raise WrongUse(f"{option}: {error}; compare a report with a version") from None
    name = report.selection.subject
    if canonicalize_name(name) != canonicalize_name(project) or not is_same:
        described = f"{name} {report.version}".strip()
        raise WrongUse(
            f"{option}: this report is about {described}, not {project} {version}; name the report "
            "of the gate that verified this release"
        )
    if report.verdict is not Verdict.VERIFIED or report.reproduction:
        kind = "a reproduction" if report.reproduction else report.verdict
        raise WrongUse(
            f"{option}: the verdict of this report is {kind}, so it verified no release; name the "
            "report of a gate with the verdict verified"
        )
    if not report.wheels:
        raise WrongUse(f"{option}: this report has no wheels; name the report of a whole gate")
    uploaded = report.pipeline.index if report.pipeline else {}
    return VerifiedFiles(
        report=str(folder),
        project=project,
        version=report.version,
        digests={**uploaded, **report.wheels},
        is_built=report.selection.source is not None,
    )


def compare(
    verified: VerifiedFiles, subject: Subject, minutes: float, *, url: str | None = None
) -> Comparison:
    """Wait until the upstream index serves every verified file, and compare the release with them.

    The function waits at most ``minutes``. ``url`` names another index than the configured one.

    Raises:
        TestbedFailure: ``index-unreachable``: the index does not answer until the end of this time.
    """
    url = url or upstream_releases.index_url()
    served = _wait(verified, minutes * 60, url)
    differences = _differences(verified, served, subject.name)
    live = None
    if subject.publishers and served:
        (registered, *_) = publishers.load(subject.publishers)
        base = url.rstrip("/").removesuffix("/simple")
        live = check_live_publisher(registered, index=base, version=verified.version)
    return Comparison(
        part=PublishedPart(
            report=verified.report,
            files={file.name: file.sha256 for file in served.values()},
            live=live,
        ),
        summary=PublishedSummary(
            causes=sorted_causes((*differences, *(live.causes if live else ()))),
            not_compared=tuple(
                f"{name}: the index reports no sha256"
                for name, file in served.items()
                if name in verified.digests and not file.sha256
            ),
        ),
    )


def _wait(verified: VerifiedFiles, seconds: float, url: str) -> dict[str, IndexFile]:
    """Return the files of the release on the index, by name, as soon as it serves all of them."""
    deadline = time.monotonic() + seconds
    pause = _FIRST_PAUSE
    while True:
        served, error = _served(verified, url)
        missing = [name for name in verified.digests if name not in served]
        remaining = deadline - time.monotonic()
        if not missing or remaining <= 0:
            break
        reason = error or f"it does not serve {missing[0]}" + (
            f" and {len(missing) - 1} more files" if len(missing) > 1 else ""
        )
        print_line(f"waiting for the index ({remaining / 60:.0f} minutes left): {reason}")
        time.sleep(min(pause, remaining))
        pause = min(2 * pause, _LONGEST_PAUSE)
    if error:
        raise TestbedFailure("index-unreachable", "upstream index", error)
    return served


def _served(verified: VerifiedFiles, url: str) -> tuple[dict[str, IndexFile], str]:
    """Return the files of the release on the index, and why they are not known; empty if known."""
    try:
        files = upstream_releases.current_listing(verified.project, url=url)
    except NoSuchProject:
        return {}, ""
    except UpstreamUnavailable as reason:
        return {}, str(reason)
    version = Version(verified.version)
    return {file.name: file for file in files if Version(file.version) == version}, ""


def _differences(
    verified: VerifiedFiles, served: Mapping[str, IndexFile], project: str
) -> Iterator[Cause]:
    for name, digest in verified.digests.items():
        file = served.get(name)
        if file is None:
            message = f"the index does not serve it, but the gate of {project} verified it"
            yield cause("incomplete-release", name, message)
        elif file.sha256 and file.sha256 != digest:
            message = f"its sha256 on the index begins with {file.sha256:.16}, but that of the "
            message += f"verified file with {digest:.16}"
            if verified.is_built:
                message += ", which the gate built itself; another build has other bytes"
            yield cause("hash-mismatch", name, message, served=file.sha256, built=digest)
    for name in served:
        if name not in verified.digests:
            message = "the index serves it, but the gate did not verify it"
            yield cause("unverified-file", name, message)
