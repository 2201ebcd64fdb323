from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.helpers.sample_evidence import CELL, WHEEL, Change, Fields, evidence, request
from tests.helpers.sample_expectation import EXPECTATION, names, only_cause, with_conditions
from verification.models.expectation import Conditions
from verification.rules import index_requests

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC).timestamp()
BEFORE, AT_IMPORT, AT_USE, AT_END, AFTER = (
    f"2026-01-02T{at}+00:00" for at in ("11:59:59", "12:00:00", "12:00:02", "12:00:03", "12:00:04")
)


def requested(*lines: Fields) -> Change:
    """Return a change after which these are the only requests."""
    return lambda fields: fields.update(requests=list(lines))


def used(*lines: Fields) -> Change:
    """Return a change to these requests, and an import at noon.

    The exercise ends 3 s later, and the observation 3.5 s later.
    """

    def change(fields: Fields) -> None:
        fields["import"] |= {"began": NOON}
        fields["exercise"] |= {"began": NOON + 1, "seconds": 2.0}
        fields["observation"] |= {"began": NOON + 3, "seconds": 0.5}
        fields["requests"] = list(lines)

    return change


def of_package(path: str = "/pypi/quiverdb/json", time: str = AT_USE, **changes: object) -> Fields:
    """Return an index request by the package itself, not by the installer."""
    return request(path, time=time, user_agent="Python-urllib/3.13") | changes


# ---- faults of the index ----


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"status": 503}, 503),
        ({"status": 500, "complete": False}, 500),
        ({"complete": False, "bytes": 17}, 200),
        ({"status": None, "complete": False}, 0),
        ({"status": None, "open": True}, 0),
    ],
)
def test_failed_answer_is_a_failure_of_the_index(changes: Fields, status: int) -> None:
    observed = evidence(requested(request("/x") | changes))
    assert only_cause(index_requests.failed_requests(observed)) == (
        "index-unreachable",
        f"{CELL}: index",
        {"path": "/x", "status": status, "failure": observed.requests[0].failure},
    )


@pytest.mark.parametrize("status", [400, 403, 404])
def test_listed_file_that_is_refused_is_a_failure_of_the_index(status: int) -> None:
    path = "/packages/aa/x.whl"
    observed = evidence(requested(request(path, status=status)))
    cause = only_cause(index_requests.failed_requests(observed))
    assert cause[::2] == ("index-unreachable", {"path": path, "status": status})
    page = evidence(requested(request("/simple/x/", status=status)))
    assert list(index_requests.failed_requests(page)) == []


@pytest.mark.parametrize("status", [200, 206, 304, 399])
def test_other_answers_are_no_failure(status: int) -> None:
    observed = evidence(requested(request("/packages/x", status=status)))
    assert list(index_requests.failed_requests(observed)) == []


def test_every_failed_answer_is_reported() -> None:
    lines = [request("/a", status=503), request("/b"), request("/c", status=500)]
    causes = index_requests.failed_requests(evidence(requested(*lines)))
    assert [cause.facts["path"] for cause in causes] == ["/a", "/c"]


@pytest.mark.parametrize("time", [BEFORE, AFTER])
def test_untrusted_certificate_is_reported_once(time: str) -> None:
    line = {"time": time, "client": "10.0.0.2", "tls_refused": "UNKNOWN_CA"}
    assert only_cause(index_requests.failed_requests(evidence(used(line, line)))) == (
        "index-unreachable",
        f"{CELL}: index",
        {"path": "", "status": 0, "reason": "UNKNOWN_CA"},
    )


# ---- requests of the package itself ----


@pytest.mark.parametrize(
    ("time", "location"), [(AT_IMPORT, "import"), (AT_USE, "exercise"), (AT_END, "exercise")]
)
def test_request_during_use_is_of_the_package(time: str, location: str) -> None:
    observed = evidence(used(of_package(time=time, host="index", status=404)))
    assert only_cause(index_requests.network_used(observed)) == (
        "network-used",
        f"{CELL}: {location}",
        {"path": "/pypi/quiverdb/json", "host": "index"},
    )
    assert index_requests.installer_requests(observed) == []


@pytest.mark.parametrize("time", [BEFORE, AFTER])
def test_request_outside_the_use_is_of_the_installer(time: str) -> None:
    observed = evidence(used(of_package(time=time)))
    assert list(index_requests.network_used(observed)) == []
    assert len(index_requests.installer_requests(observed)) == 1


@pytest.mark.parametrize("agent", ["uv/0.13.9", "pip/26.0"])
def test_request_with_the_agent_of_an_installer_is_of_the_installer(agent: str) -> None:
    observed = evidence(used(of_package(user_agent=agent, status=503)))
    assert list(index_requests.network_used(observed)) == []
    assert names(index_requests.failed_requests(observed)) == ["index-unreachable"]


def test_failed_answer_to_the_package_is_no_failure_of_the_index() -> None:
    assert list(index_requests.failed_requests(evidence(used(of_package(status=503))))) == []


@pytest.mark.parametrize("missing", ["import", "exercise"])
def test_without_a_use_every_request_is_of_the_installer(missing: str) -> None:
    observed = evidence(used(of_package()), lambda fields: fields.pop(missing))
    assert list(index_requests.network_used(observed)) == []


def test_refused_connection_during_use_is_of_the_package() -> None:
    line = {"tls_refused": "unknown ca", "client": "c", "time": AT_USE}
    cause = only_cause(index_requests.network_used(evidence(used(line, line))))
    assert cause[::2] == ("network-used", {"path": "", "host": "", "reason": "unknown ca"})


def contact(step: str, how: str, host: str, port: str = "443") -> Fields:
    """Return a contact of the package with a host."""
    return {"step": step, "how": how, "host": host, "port": port}


def contacted(*contacts: Fields) -> Change:
    """Return a change after which Python code contacted these hosts only."""
    return lambda fields: fields["exercise"]["steps"]["contacts"].update(value=list(contacts))


@pytest.mark.parametrize("how", ["lookup", "connection", "datagram"])
def test_contact_with_another_host_is_reported_with_its_step(how: str) -> None:
    observed = evidence(contacted(contact("import", how, "updates.example")))
    assert only_cause(index_requests.network_used(observed)) == (
        "network-used",
        f"{CELL}: import",
        {"host": "updates.example", "hosts": ("updates.example",), "port": "443"},
    )


def test_connection_after_a_lookup_is_no_further_host() -> None:
    contacts = [
        contact("import", "lookup", "a.example"),
        contact("import", "connection", "192.0.2.7"),
        contact("round-trip", "lookup", "b.example"),
    ]
    (cause,) = index_requests.network_used(evidence(contacted(*contacts)))
    assert cause.facts["hosts"] == ("a.example", "b.example")


def test_index_and_another_host_are_reported() -> None:
    lookups = [contact("import", "lookup", host) for host in ("index.example", "a.example")]
    observed = evidence(used(of_package()), contacted(*lookups))
    causes = list(index_requests.network_used(observed))
    assert [cause.facts["host"] for cause in causes] == ["index.example", "a.example"]


@pytest.mark.parametrize("step", ["failing-calls", "prelude"])
def test_contact_that_the_subject_asks_for_is_no_fault(step: str) -> None:
    observed = evidence(contacted(contact(step, "lookup", "a.example")))
    assert list(index_requests.network_used(observed)) == []


def sent(**counters: int) -> Change:
    """Return a change after which these counters have grown during the import."""
    numbers = {name.replace("_", ":"): number for name, number in counters.items()}
    return lambda fields: fields["import"].update(sent=numbers)


def test_network_use_of_native_code_at_import_is_a_note() -> None:
    (cause,) = index_requests.network_used(evidence(sent(Udp_OutDatagrams=2)))
    assert (cause.name, cause.severity, cause.where) == ("network-used", "note", f"{CELL}: import")
    assert cause.facts["counters"] == "Udp:OutDatagrams 2"


def sent_by_call(fields: Fields) -> None:
    """Change the observation: a packet had no route."""
    fields["observation"] |= {"sent": {"Ip:OutNoRoutes": 1}}


def test_network_use_of_native_code_at_the_first_call_is_a_note() -> None:
    (cause,) = index_requests.network_used(evidence(sent_by_call))
    assert (cause.name, cause.severity) == ("network-used", "note")
    assert cause.where == f"{CELL}: native-call"
    assert cause.facts["counters"] == "Ip:OutNoRoutes 1"
    # The observation imports the package again.
    (cause,) = index_requests.network_used(evidence(sent(Udp_OutDatagrams=2), sent_by_call))
    assert cause.where == f"{CELL}: import"


def test_network_use_of_the_program_that_starts_python_is_no_fault() -> None:
    command = ["/usr/local/bin/uv", "run", "python"]

    def change(fields: Fields) -> None:
        for run in ("import", "observation"):
            fields[run] |= {"command": command, "sent": {"Tcp:ActiveOpens": 1}}

    assert list(index_requests.network_used(evidence(change))) == []


def test_network_use_that_is_not_recorded_has_no_cause() -> None:
    observed = evidence(
        lambda fields: fields["exercise"]["steps"].pop("contacts"),
        lambda fields: fields["import"].update(sent=None),
    )
    assert list(index_requests.network_used(observed)) == []


# ---- the release's files ----


def test_file_with_another_content_is_a_hash_mismatch() -> None:
    line = request(f"/packages/{WHEEL}", WHEEL, "b" * 64)
    assert only_cause(index_requests.other_content(evidence(requested(line)), EXPECTATION)) == (
        "hash-mismatch",
        f"{CELL}: {WHEEL}",
        {"served": "b" * 64, "built": "a" * 64},
    )


@pytest.mark.parametrize(
    "line",
    [
        request(f"/packages/{WHEEL}", WHEEL, "a" * 64),
        request(f"/packages/{WHEEL}", WHEEL, ""),
        request(f"/packages/{WHEEL}", WHEEL, "b" * 64, status=206),
        request("/packages/cffi.whl", "cffi-2.0.0-cp313-cp313-any.whl", "c" * 64),
    ],
    ids=["same", "without digest", "in part", "of another project"],
)
def test_other_files_are_not_compared(line: Fields) -> None:
    assert list(index_requests.other_content(evidence(requested(line)), EXPECTATION)) == []


def test_installed_release_that_was_not_served_is_a_failure_of_the_index() -> None:
    lines = [request("/simple/quiverdb/"), request(f"/packages/{WHEEL}", WHEEL, status=304)]
    assert only_cause(index_requests.not_served(evidence(requested(*lines)), EXPECTATION)) == (
        "index-unreachable",
        f"{CELL}: index",
        {},
    )


def test_served_or_offline_release_has_no_cause() -> None:
    assert list(index_requests.not_served(evidence(), EXPECTATION)) == []
    offline = with_conditions(Conditions(offline=True))
    assert list(index_requests.not_served(evidence(requested()), offline)) == []


def test_refused_connection_of_the_observation_is_no_fault_of_the_index() -> None:
    refused = of_package("", time="2026-01-02T12:00:03.400000+00:00", tls_refused="unknown ca")
    observed = evidence(used(refused))
    assert list(index_requests.failed_requests(observed)) == []
    assert names(index_requests.network_used(observed)) == ["network-used"]
