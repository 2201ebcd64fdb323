from __future__ import annotations

import subprocess

import pytest

from containers.engine import Run
from containers.owner import is_dead


def _owner(**changes: str) -> str:
    names = ("boot", "namespace", "pid", "started")
    parts = dict(zip(names, Run.new().owner.split(":"), strict=True))
    return ":".join((parts | changes).values())


def test_running_process_is_not_dead() -> None:
    assert not is_dead(_owner(), age_hours=1000)


def test_ended_process_is_dead() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    assert is_dead(_owner(pid=str(process.pid)), age_hours=0)


def test_owner_with_a_reused_process_number_is_dead() -> None:
    assert is_dead(_owner(started="1"), age_hours=0)


@pytest.mark.parametrize("part", ["boot", "namespace"])
def test_owner_of_another_boot_or_namespace_is_dead_after_twelve_hours(part: str) -> None:
    owner = _owner(**{part: "other"})
    assert not is_dead(owner, age_hours=11.9)
    assert is_dead(owner, age_hours=12.1)


@pytest.mark.parametrize(
    "owner",
    ["", "nobody", "a:b:c", _owner(pid="x")],
    ids=["empty", "one part", "three parts", "process number"],
)
def test_malformed_owner_is_dead(owner: str) -> None:
    assert is_dead(owner, age_hours=0)
