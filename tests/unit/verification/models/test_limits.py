"""Which limits of a container are in force, and which ones it met."""

from __future__ import annotations

import pytest

from tests.helpers.sample_testbed import LIMITS
from verification.models.limits import LimitRecord, LimitsInForce, LimitUsage


def record(in_force: LimitsInForce = LIMITS.in_force, **usage: int) -> LimitRecord:
    return LimitRecord(in_force=in_force, usage=LimitUsage.model_validate(usage))


@pytest.mark.parametrize("name", ["memory", "processes", "cpus", "disk"])
def test_limit_without_a_value_is_missing(name: str) -> None:
    field = name if name in LimitsInForce.model_fields else f"{name}_mib"
    assert LIMITS.in_force.model_copy(update={field: None}).missing == (name,)


def test_memory_without_swap_is_missing() -> None:
    assert LIMITS.in_force.missing == ()
    assert LIMITS.in_force.model_copy(update={"swap": False}).missing == ("swap",)


def test_killed_process_met_the_memory_limit_only_near_its_peak() -> None:
    limit = LIMITS.in_force.memory_mib or 0
    assert limit
    assert record(memory_kills=1, memory_peak_mib=limit).memory_met
    assert record(memory_kills=1).memory_met
    assert not record(memory_kills=1, memory_peak_mib=limit // 2).memory_met
    assert not record(memory_peak_mib=limit).memory_met


def test_refused_process_met_the_limit_of_processes() -> None:
    assert record(refused_processes=1).processes_met
    assert not record().processes_met
    unlimited = LIMITS.in_force.model_copy(update={"processes": None})
    assert not record(unlimited, refused_processes=1).processes_met


@pytest.mark.parametrize(
    ("by", "used", "met"),
    [
        ("watchdog", 99, False),
        ("watchdog", 100, True),
        ("storage driver", 96, True),
        ("storage driver", 90, False),
    ],
)
def test_disk_limit_is_met_earlier_with_a_quota(by: str, used: int, met: bool) -> None:
    in_force = LIMITS.in_force.model_copy(update={"disk_mib": 100, "disk_by": by})
    assert record(in_force, disk_mib=used).disk_met is met


def test_disk_that_was_not_measured_met_no_limit() -> None:
    assert not record().disk_met
