"""Check whether a machine met one of its limits."""

from __future__ import annotations

from collections.abc import Iterator

from verification.models.cause import Cause
from verification.models.evidence import CellEvidence
from verification.models.expectation import Expectation
from verification.models.limits import LimitRecord
from verification.rules.finding import Finding, finding


def limit_causes(evidence: CellEvidence, expectation: Expectation) -> Iterator[Cause]:
    """Yield a cause for each limit that the machine met. It explains all other failures.

    The package met the limit, unless the installation of the release had not begun, or the memory
    of the host ran out.
    """
    if evidence.limits is None:
        return
    is_setup = not _installation_began(evidence, expectation)
    for limit in _met(evidence.limits):
        fault = limit
        if is_setup:
            fault = finding("testbed-limit", "setup", limit=limit.name, message=limit.message)
        yield fault.at(evidence)
    if evidence.limits.usage.memory_kills and not evidence.limits.memory_met:
        yield finding("machine-lost", "memory").at(evidence)


def _installation_began(evidence: CellEvidence, expectation: Expectation) -> bool:
    """Return whether the evidence shows that the installation of the release began.

    A lost machine has no record of its commands, but the index has one of its requests.
    """
    if evidence.install is not None:
        return True
    if evidence.python:  # the probe ended and did not reach the installation
        return False
    if not evidence.has_requests:  # only recordings that lack the log of a lost machine
        return True
    files = (line.file.removesuffix(".metadata") for line in evidence.requests)
    return any(file in expectation.digests for file in files)


def _met(record: LimitRecord) -> Iterator[Finding]:
    limits, usage = record.in_force, record.usage
    if record.processes_met:
        yield finding(
            "process-limit",
            "refused",
            limit=limits.processes or 0,
            refused=usage.refused_processes,
        )
    if record.memory_met:
        yield finding(
            "memory-limit", "killed", limit=limits.memory_mib or 0, killed=usage.memory_kills
        )
    if record.disk_met:
        form = "stopped" if usage.stopped else "written"
        facts = {"limit": limits.disk_mib or 0, "used": usage.disk_mib or 0}
        yield finding("disk-limit", form, **facts)
