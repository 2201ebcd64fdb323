"""Check the requests to the index and its answers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from verification.models.cause import Cause, FactValue
from verification.models.evidence import CellEvidence, Contact
from verification.models.expectation import Expectation
from verification.models.index_log import IndexRequest
from verification.rules import install_paths as paths
from verification.rules.finding import Finding, finding

_CONTACT_FORMS = {
    "lookup": "host-lookup",
    "connection": "host-connection",
    "datagram": "host-datagram",
}
"""The message about each kind of contact."""


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
    """Return whether the package made the request while it was imported, used or observed."""
    if evidence.import_run is None or evidence.exercise is None:
        return False
    last = evidence.observation or evidence.exercise
    # `uv run` starts Python and requests the files of the environment itself.
    if line.user_agent.startswith(("uv/", "pip/")):
        return False
    request_time = datetime.fromisoformat(line.time).timestamp()
    return evidence.import_run.began <= request_time <= last.began + last.seconds


def network_used(evidence: CellEvidence) -> Iterator[Cause]:
    """Yield causes for the contacts of the package with the index and with other hosts."""
    requests = [line for line in evidence.requests if _is_in_use(line, evidence)]
    if requests:  # the package repeats the request
        yield _request(requests[0]).at(evidence, _location(requests[0], evidence))
    if contacts := _foreign_contacts(evidence):
        first = contacts[0]
        hosts = tuple(dict.fromkeys(contact.host for contact in contacts))
        facts: dict[str, FactValue] = {"host": first.host, "hosts": hosts, "port": first.port}
        fault = finding("network-used", _CONTACT_FORMS[first.how], **facts)
        yield fault.at(evidence, first.step)
    elif not requests:
        yield from _counted(evidence)


def _counted(evidence: CellEvidence) -> Iterator[Cause]:
    """Yield a cause if only counters of the kernel show that the package used the network."""
    runs = (("import", evidence.import_run), ("native-call", evidence.observation))
    for where, run in runs:
        # Another program, such as `uv run`, can have started Python and used the network itself.
        if run and run.sent and paths.path_type(evidence)(run.command[0]).name.startswith("python"):
            counters = ", ".join(f"{name} {number}" for name, number in run.sent.items())
            fault = finding("network-used", "counters", counters=counters)
            yield fault.as_risk().at(evidence, where)
            return


def _request(line: IndexRequest) -> Finding:
    facts: dict[str, FactValue] = {"path": line.path, "host": line.host}
    if line.path:
        return finding("network-used", "request", **facts)
    return finding("network-used", "connection", **facts, reason=line.tls_refused)


def _location(line: IndexRequest, evidence: CellEvidence) -> str:
    """Return the location of a request: the import or the exercise."""
    run = evidence.import_run
    request_time = datetime.fromisoformat(line.time).timestamp()
    return "import" if run and request_time <= run.began + run.seconds else "exercise"


def _foreign_contacts(evidence: CellEvidence) -> list[Contact]:
    """Return the contacts of the package with hosts other than the index.

    If there are lookups, only they are returned, because a connection follows the lookup of its
    host. Contacts during the steps that the scenario or the failing calls of the smoke test add
    are left out.
    """
    step = evidence.steps.contacts
    index_hosts = {line.host for line in evidence.requests}
    left_out = ("prelude", "failing-calls", *evidence.steps.uses)
    contacts = [c for c in (step.value if step else None) or () if c.step not in left_out]
    lookups = [contact for contact in contacts if contact.how == "lookup"]
    return [contact for contact in lookups or contacts if contact.host not in index_hosts]


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
