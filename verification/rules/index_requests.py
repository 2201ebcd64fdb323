"""Check the requests to the index and its answers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from verification.models.cause import Cause, FactValue
from verification.models.evidence import CellEvidence
from verification.models.expectation import Expectation
from verification.models.index_log import IndexRequest
from verification.rules.finding import Finding, finding


def failed_requests(evidence: CellEvidence) -> Iterator[Cause]:
    """Yield a cause for each request of an installer that the index did not answer correctly."""
    for line in installer_requests(evidence):
        if fault := _fault(line):
            yield fault.at(evidence, "index")
        if line.tls_refused:
            return  # the installer repeats the request


def _fault(line: IndexRequest) -> Finding | None:
    name = "index-unreachable"
    facts: dict[str, FactValue] = {"path": line.path, "status": line.status or 0}
    if line.tls_refused:
        return finding(name, "certificate", **facts, reason=line.tls_refused)
    if line.failure:
        return finding(name, "failure", **facts, failure=line.failure)
    if (line.status or 0) >= 400 and line.path.startswith("/packages/"):
        return finding(name, "status", **facts)
    return None


def installer_requests(evidence: CellEvidence) -> list[IndexRequest]:
    """Return the requests that the package itself did not make."""
    return [line for line in evidence.requests if not _is_in_use(line, evidence)]


def _is_in_use(line: IndexRequest, evidence: CellEvidence) -> bool:
    """Return whether the package made the request while it was imported or used."""
    if evidence.import_run is None or evidence.exercise is None:
        return False
    # `uv run` starts Python and requests the files of the environment itself.
    if line.user_agent.startswith(("uv/", "pip/")):
        return False
    request_time = datetime.fromisoformat(line.time).timestamp()
    return (
        evidence.import_run.began
        <= request_time
        <= evidence.exercise.began + evidence.exercise.seconds
    )


def network_used(evidence: CellEvidence) -> Iterator[Cause]:
    """Yield a cause for the first request that the package itself made."""
    for line in evidence.requests:
        if not _is_in_use(line, evidence):
            continue
        facts: dict[str, FactValue] = {"path": line.path, "host": line.host}
        if line.path:
            fault = finding("network-used", "request", **facts)
        else:
            fault = finding("network-used", "connection", **facts, reason=line.tls_refused)
        yield fault.at(evidence, "import and use")
        return  # the package repeats the request


def other_content(evidence: CellEvidence, expectation: Expectation) -> Iterator[Cause]:
    """Yield a cause for each wheel of the release that the index served with another content."""
    for line in evidence.requests:
        built = expectation.digests.get(line.file, "")
        if built and line.is_served and line.sha256 not in ("", built):
            fault = finding("hash-mismatch", "served", served=line.sha256, built=built)
            yield fault.at(evidence, line.file)


def not_served(evidence: CellEvidence, expectation: Expectation) -> Iterator[Cause]:
    """Yield a cause if the release is installed and the index served none of its wheels."""
    served = {line.file for line in evidence.requests if line.is_served}
    if not expectation.conditions.offline and not served & expectation.digests.keys():
        yield finding("index-unreachable", "not-served").at(evidence, "index")
