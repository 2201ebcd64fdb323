"""From the evidence of a cell to its causes: what broke, by name, and nothing that only follows."""

from __future__ import annotations

from collections.abc import Iterator

from verification.models.cause import Cause, in_order
from verification.rules import refusal
from verification.rules.expectation import Evidence, Expected, cause_of, last_error
from verification.rules.index import index_faults, not_served, other_content
from verification.rules.install import (
    asked_offline,
    failed_commands,
    installed_again,
    other_release,
    taken,
    why_refused,
)
from verification.rules.process_exit import unless_emulated
from verification.rules.uninstall import faults_at_removal, leftovers, registry_changes
from verification.rules.use import failed_own_tests, faults_in_use

__all__ = ["Expected", "diagnose", "leftovers", "taken"]


def diagnose(evidence: Evidence, expected: Expected) -> tuple[Cause, ...]:
    """Return the causes that the evidence shows, the most pressing first; none if all is well."""
    causes = _causes(evidence, expected)
    if evidence["cell"].get("processor"):
        causes = (unless_emulated(cause, evidence) for cause in causes)
    return in_order(causes)


def _causes(evidence: Evidence, expected: Expected) -> Iterator[Cause]:
    cell = evidence["cell"]["id"]
    if failure := evidence.get("testbed"):
        yield cause_of(failure["cause"], where=f"{cell}: {failure['where']}", seen=failure["seen"])
        return
    if faults := list(index_faults(evidence, cell)):
        yield from faults
        return
    if failed := next((ran for ran in evidence.get("setup", ()) if ran["code"]), None):
        seen = f"{' '.join(failed['command'])} ended with {failed['code']}: "
        seen += last_error(failed["stdout"] + failed["stderr"])
        yield cause_of("machine-lost", where=f"{cell}: set-up", seen=seen)
        return
    refused = evidence["install"]["code"] != 0
    if (wanted := evidence["cell"].get("refuses")) and not taken(evidence, expected):
        if expected.refused and not refused:
            yield from other_release(evidence, expected, cell)  # a wheel for it may have been there
            return
        found = why_refused(evidence, expected, cell) if refused else None
        yield from refusal.judge(evidence, wanted, found, expected.project, expected.version)
        yield from registry_changes(evidence, cell)
        return
    yield from other_content(evidence, expected, cell)
    if typed := list(failed_commands(evidence, expected, cell)):
        yield from typed
        return
    if refused:
        yield why_refused(evidence, expected, cell)
        return
    yield from asked_offline(evidence, cell)
    yield from installed_again(evidence, cell)
    if fallback := list(other_release(evidence, expected, cell)):
        yield from fallback  # whatever else was seen is the other release's
        return
    yield from not_served(evidence, expected, cell)
    used = list(faults_in_use(evidence, expected, cell))
    yield from used
    if not any(cause.severity in ("broken", "testbed") for cause in used):
        yield from failed_own_tests(evidence, expected, cell)  # else they only follow
    yield from faults_at_removal(evidence, expected, cell)
