from __future__ import annotations

from typing import Any

import pytest

from tests.helpers.sample_evidence import WHEEL, Change, Fields, evidence, request
from tests.helpers.sample_expectation import EXPECTATION, names
from verification.models.verdict import Outcome
from verification.rules import diagnose

IN_FORCE = {
    "kind": "machine",
    "memory_mib": 256,
    "swap": True,
    "processes": 128,
    "cpus": 1.0,
    "disk_mib": 64,
    "disk_by": "watchdog",
}
LOST = {"cause": "machine-lost", "where": "debian-13", "observed": "the machine ended"}


def limited(in_force: dict[str, Any] | None = None, **usage: Any) -> Change:
    """Return a change after which the machine had limits and used this."""
    record = {"in_force": IN_FORCE | (in_force or {}), "usage": usage}
    return lambda fields: fields.update(limits=record)


def lost(fields: Fields) -> None:
    """Remove what the probe recorded, because the machine ended."""
    for name in ("python", "install", "import", "exercise", "observation", "uninstall"):
        fields.pop(name, None)
    fields["testbed"] = LOST


@pytest.mark.parametrize(
    ("usage", "name", "facts"),
    [
        ({"refused_processes": 6}, "process-limit", {"limit": 128, "refused": 6}),
        (
            {"memory_kills": 2, "memory_peak_mib": 256},
            "memory-limit",
            {"limit": 256, "killed": 2},
        ),
        ({"memory_kills": 1}, "memory-limit", {"limit": 256, "killed": 1}),
        ({"disk_mib": 482, "stopped": True}, "disk-limit", {"limit": 64, "used": 482}),
        ({"disk_mib": 64}, "disk-limit", {"limit": 64, "used": 64}),
    ],
)
@pytest.mark.parametrize("changes", [(), (lost,)], ids=["evidence", "lost machine"])
def test_package_that_met_a_limit_fails(
    usage: dict[str, Any], name: str, facts: dict[str, int], changes: tuple[Change, ...]
) -> None:
    diagnosis = diagnose(evidence(*changes, limited(**usage)), EXPECTATION)
    assert diagnosis.outcome is Outcome.FAILS
    assert [(cause.name, cause.facts) for cause in diagnosis.causes] == [(name, facts)]


def test_machine_below_its_limits_has_no_cause() -> None:
    usage = limited(memory_peak_mib=255, disk_mib=63)
    assert diagnose(evidence(usage), EXPECTATION).outcome is Outcome.WORKS


def test_full_quota_of_the_storage_driver_is_a_met_limit() -> None:
    usage = limited({"disk_by": "storage driver"}, disk_mib=62)
    assert names(diagnose(evidence(usage), EXPECTATION).causes) == ["disk-limit"]


@pytest.mark.parametrize("in_force", [{"memory_mib": None, "swap": False}, {}])
def test_memory_of_the_host_is_not_a_limit_of_the_package(in_force: dict[str, Any]) -> None:
    usage = limited(in_force, memory_kills=1, memory_peak_mib=100)
    diagnosis = diagnose(evidence(usage), EXPECTATION)
    assert diagnosis.outcome is Outcome.TESTBED
    assert names(diagnosis.causes) == ["machine-lost"]


def test_limit_that_is_met_before_the_installation_is_the_testbeds() -> None:
    def without_installation(fields: Fields) -> None:
        for name in ("install", "import", "exercise", "observation", "uninstall"):
            fields.pop(name, None)

    usage = limited(refused_processes=1)
    diagnosis = diagnose(evidence(without_installation, usage), EXPECTATION)
    assert diagnosis.outcome is Outcome.TESTBED
    assert [(cause.name, cause.facts["limit"]) for cause in diagnosis.causes] == [
        ("testbed-limit", "process-limit")
    ]


@pytest.mark.parametrize(
    ("files", "name"),
    [
        ((), "testbed-limit"),
        (("pip-26.3-py3-none-any.whl",), "testbed-limit"),
        (("quiverdb-1.1.0-cp313-cp313-manylinux_2_28_x86_64.whl",), "testbed-limit"),
        ((WHEEL,), "disk-limit"),
        ((f"{WHEEL}.metadata",), "disk-limit"),
        (None, "disk-limit"),
    ],
    ids=["no request", "installer", "earlier release", "wheel", "metadata", "no log"],
)
def test_limit_of_a_lost_machine_is_the_testbeds_until_it_requests_the_release(
    files: tuple[str, ...] | None, name: str
) -> None:
    def requested(fields: Fields) -> None:
        del fields["requests"]
        if files is not None:
            fields["requests"] = [request(f"/packages/{file}", file, "a" * 64) for file in files]

    usage = limited(disk_mib=482, stopped=True)
    diagnosis = diagnose(evidence(lost, requested, usage), EXPECTATION)
    assert names(diagnosis.causes) == [name]
    is_testbed = name == "testbed-limit"
    assert diagnosis.outcome is (Outcome.TESTBED if is_testbed else Outcome.FAILS)


def test_failure_of_the_index_outranks_a_limit() -> None:
    def failed(fields: Fields) -> None:
        fields["testbed"] = LOST | {"cause": "index-unreachable"}

    diagnosis = diagnose(evidence(failed, limited(refused_processes=1)), EXPECTATION)
    assert names(diagnosis.causes) == ["index-unreachable"]
