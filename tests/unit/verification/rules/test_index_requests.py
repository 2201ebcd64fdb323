from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.helpers.sample_evidence import CELL, WHEEL, Change, Fields, evidence, request
from tests.helpers.sample_expectation import EXPECTATION, names, only, under
from verification.models.expectation import Conditions
from verification.rules import index_requests

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC).timestamp()
BEFORE, AT_IMPORT, AT_USE, AT_END, AFTER = (
    f"2026-01-02T{at}+00:00" for at in ("11:59:59", "12:00:00", "12:00:02", "12:00:03", "12:00:04")
)


def asked(*lines: Fields) -> Change:
    """Return the change by which these are the only requests."""
    return lambda fields: fields.update(requests=list(lines))


def used(*lines: Fields) -> Change:
    """Return the change by which the import began at noon, and the exercise ended 3 s later."""

    def change(fields: Fields) -> None:
        fields["import"] |= {"began": NOON}
        fields["exercise"] |= {"began": NOON + 1, "seconds": 2.0}
        fields["requests"] = list(lines)

    return change


def of_package(path: str = "/pypi/quiverdb/json", time: str = AT_USE, **changes: object) -> Fields:
    """Return a request that the package itself makes."""
    return request(path, time=time, user_agent="Python-urllib/3.13") | changes


# ---- faults of the index ----


@pytest.mark.parametrize(
    ("changes", "observed", "status"),
    [
        ({"status": 503}, "/x answered 503", 503),
        ({"status": 500, "complete": False}, "/x answered 500", 500),
        (
            {"complete": False, "bytes": 17},
            "/x broke off after 17 bytes (truncated download)",
            200,
        ),
        ({"status": None, "complete": False}, "/x was not answered", 0),
        ({"status": None, "open": True}, "/x was requested, and its answer did not end", 0),
    ],
)
def test_a_failed_answer_is_a_fault_of_the_index(
    changes: Fields, observed: str, status: int
) -> None:
    line = request("/x") | changes
    expected = ("index-unreachable", f"{CELL}: index", observed, {"path": "/x", "status": status})
    assert only(index_requests.failed_requests(evidence(asked(line)))) == expected


@pytest.mark.parametrize("status", [400, 403, 404])
def test_a_file_that_is_listed_and_not_served_is_a_fault_of_the_index(status: int) -> None:
    path = "/packages/aa/x.whl"
    found = only(index_requests.failed_requests(evidence(asked(request(path, status=status)))))
    assert found[2] == f"{path} is on its page, and was answered with {status}"
    assert (
        list(index_requests.failed_requests(evidence(asked(request("/simple/x/", status=status)))))
        == []
    )


@pytest.mark.parametrize("status", [200, 206, 304, 399])
def test_other_answers_are_no_fault(status: int) -> None:
    assert (
        list(index_requests.failed_requests(evidence(asked(request("/packages/x", status=status)))))
        == []
    )


def test_every_failed_answer_is_reported() -> None:
    lines = [request("/a", status=503), request("/b"), request("/c", status=500)]
    found = [
        cause.facts["path"] for cause in index_requests.failed_requests(evidence(asked(*lines)))
    ]
    assert found == ["/a", "/c"]


@pytest.mark.parametrize("time", [BEFORE, AFTER])
def test_an_index_that_the_installer_does_not_trust_is_reported_once(time: str) -> None:
    line = {"time": time, "client": "10.0.0.2", "tls_refused": "UNKNOWN_CA"}
    assert only(index_requests.failed_requests(evidence(used(line, line)))) == (
        "index-unreachable",
        f"{CELL}: index",
        "the installer does not trust the run's CA certificate (UNKNOWN_CA)",
        {"path": "", "status": 0},
    )


# ---- requests of the package itself ----


@pytest.mark.parametrize("time", [AT_IMPORT, AT_USE, AT_END])
def test_a_request_while_the_package_is_used_is_its_own(time: str) -> None:
    observed = evidence(used(of_package(time=time, host="index", status=404)))
    assert only(index_requests.network_used(observed)) == (
        "network-used",
        f"{CELL}: import and use",
        "/pypi/quiverdb/json of index was asked for",
        {"path": "/pypi/quiverdb/json", "host": "index"},
    )
    assert index_requests.installer_requests(observed) == []


@pytest.mark.parametrize("time", [BEFORE, AFTER])
def test_a_request_before_or_after_the_use_is_the_installers(time: str) -> None:
    observed = evidence(used(of_package(time=time)))
    assert list(index_requests.network_used(observed)) == []
    assert len(index_requests.installer_requests(observed)) == 1


@pytest.mark.parametrize("agent", ["uv/0.13.9", "pip/26.0"])
def test_an_installer_that_starts_python_asks_for_itself(agent: str) -> None:
    observed = evidence(used(of_package(user_agent=agent, status=503)))
    assert list(index_requests.network_used(observed)) == []
    assert names(index_requests.failed_requests(observed)) == ["index-unreachable"]


def test_a_failed_answer_to_the_package_is_no_fault_of_the_index() -> None:
    assert list(index_requests.failed_requests(evidence(used(of_package(status=503))))) == []


@pytest.mark.parametrize("missing", ["import", "exercise"])
def test_without_a_use_every_request_is_the_installers(missing: str) -> None:
    observed = evidence(used(of_package()), lambda fields: fields.pop(missing))
    assert list(index_requests.network_used(observed)) == []


def test_a_connection_that_the_package_gives_up_is_its_own() -> None:
    line = {"tls_refused": "unknown ca", "client": "c", "time": AT_USE}
    found = only(index_requests.network_used(evidence(used(line, line))))
    assert found[2] == "a connection was begun and given up (unknown ca)"


# ---- the release's files ----


def test_a_file_with_other_content_is_a_hash_mismatch() -> None:
    line = request(f"/packages/{WHEEL}", WHEEL, "b" * 64)
    assert only(index_requests.other_content(evidence(asked(line)), EXPECTATION)) == (
        "hash-mismatch",
        f"{CELL}: {WHEEL}",
        f"the index served sha256 {'b' * 16}..., built was {'a' * 16}...",
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
    assert list(index_requests.other_content(evidence(asked(line)), EXPECTATION)) == []


def test_an_installed_release_that_was_not_served_proves_nothing() -> None:
    lines = [request("/simple/quiverdb/"), request(f"/packages/{WHEEL}", WHEEL, status=304)]
    assert only(index_requests.not_served(evidence(asked(*lines)), EXPECTATION)) == (
        "index-unreachable",
        f"{CELL}: index",
        "it was installed, and the index served none of the release's wheels to this machine",
        {},
    )


def test_a_release_that_was_served_or_needs_no_index_is_known() -> None:
    assert list(index_requests.not_served(evidence(), EXPECTATION)) == []
    offline = under(Conditions(offline=True))
    assert list(index_requests.not_served(evidence(asked()), offline)) == []
