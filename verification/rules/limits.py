"""Check whether a machine met one of its limits."""

from __future__ import annotations

from collections.abc import Iterator

from verification.models.cause import Cause
from verification.models.evidence import CellEvidence
from verification.models.limits import LimitRecord
from verification.rules.finding import Finding, finding


def limit_causes(evidence: CellEvidence) -> Iterator[Cause]:
    """Yield a cause for each limit that the machine met. It explains all other failures.

    The package met the limit, unless the machine met it before the installation, or the memory of
    the host ran out.
    """
    if evidence.limits is None:
        return
    is_setup = bool(evidence.python) and evidence.install is None
    for found in _met(evidence.limits):
        if is_setup:
            found = finding("testbed-limit", "setup", limit=found.name, message=found.message)
        yield found.at(evidence)
    if evidence.limits.usage.memory_kills and not evidence.limits.memory_met:
        yield finding("machine-lost", "memory").at(evidence)


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
