"""Check the requests to the index and its answers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from verification.models.cause import Cause
from verification.models.evidence import CellEvidence
from verification.models.expectation import Expectation
from verification.models.index_log import IndexRequest
from verification.rules.finding import Finding, finding


def failed_requests(evidence: CellEvidence) -> Iterator[Cause]:
    """Yield the failures of the index itself, as far as installers noticed them."""
    for line in installer_requests(evidence):
        if fault := _fault(line):
            yield fault.at(evidence, "index")
        if line.tls_refused:
            return  # the installer tries again and again


def _fault(line: IndexRequest) -> Finding | None:
    path, status = line.path, line.status
    observed = line.failure
    if line.tls_refused:
        observed = f"the installer does not trust the run's CA certificate ({line.tls_refused})"
    elif not observed and (status or 0) >= 400 and path.startswith("/packages/"):
        observed = f"{path} is on its page, and was answered with {status}"
    if not observed:
        return None
    return finding("index-unreachable", observed, path=path, status=status or 0)


def installer_requests(evidence: CellEvidence) -> list[IndexRequest]:
    """Return the requests that the package itself did not make."""
    return [line for line in evidence.requests if not _is_in_use(line, evidence)]


def _is_in_use(line: IndexRequest, evidence: CellEvidence) -> bool:
    """Return whether the package made the request, while it was imported or used."""
    if evidence.import_run is None or evidence.exercise is None:
        return False
    # `uv run` starts Python, and asks the index for the environment itself.
    if line.user_agent.startswith(("uv/", "pip/")):
        return False
    at = datetime.fromisoformat(line.time).timestamp()
    return evidence.import_run.began <= at <= evidence.exercise.began + evidence.exercise.seconds


def network_used(evidence: CellEvidence) -> Iterator[Cause]:
    """Yield the first request that the package itself made."""
    for line in evidence.requests:
        if not _is_in_use(line, evidence):
            continue
        observed = f"{line.path} of {line.host} was asked for"
        if not line.path:
            observed = f"a connection was begun and given up ({line.tls_refused})"
        found = finding("network-used", observed, path=line.path, host=line.host)
        yield found.at(evidence, "import and use")
        return  # it tries again and again


def other_content(evidence: CellEvidence, expectation: Expectation) -> Iterator[Cause]:
    """Yield the wheels of the release that the index served with other content."""
    for line in evidence.requests:
        built = expectation.digests.get(line.file, "")
        if built and line.is_served and line.sha256 not in ("", built):
            observed = f"the index served sha256 {line.sha256[:16]}..., built was {built[:16]}..."
            facts = finding("hash-mismatch", observed, served=line.sha256, built=built)
            yield facts.at(evidence, line.file)


def not_served(evidence: CellEvidence, expectation: Expectation) -> Iterator[Cause]:
    """Yield that the index served no wheel of the release, though it is installed."""
    served = {line.file for line in evidence.requests if line.is_served}
    if not expectation.conditions.offline and not served & expectation.digests.keys():
        observed = (
            "it was installed, and the index served none of the release's wheels to this machine"
        )
        yield finding("index-unreachable", observed).at(evidence, "index")
