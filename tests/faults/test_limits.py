"""Packages that use up the memory, the processes or the disk of their machine."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from containers import limits
from containers.commands import execute
from containers.engine import Engine
from containers.machine import Machine
from tests.faults.cell_runs import StartTestbed, cell_request, observe_cell, planted_release
from tests.faults.edits import added
from tests.faults.recording import EvidenceSource, Observations
from tests.helpers import wheel_builder as wheels
from verification.models.cell import Cell
from verification.models.limits import LimitOptions, LimitRecord, Limits
from verification.models.verdict import Outcome
from verification.rules import diagnose

pytestmark = pytest.mark.recorded

LIMITS = Limits(memory_mib=256, processes=128, cpus=1.0, disk_mib=64)
FORKS = b"""
import os, time
for _ in range(1000):
    try:
        if os.fork() == 0:
            time.sleep(20)
            os._exit(0)
    except OSError:
        break
"""
MEMORY = b"""
block = bytearray(1 << 30)
"""
DISK = b"""
import os, time
with open(os.path.expanduser("~/data.bin"), "wb") as file:
    for _ in range(500):
        file.write(bytes(1000000))
"""
UNNAMED_FILE = b"""
import tempfile, time
file = tempfile.TemporaryFile()
for _ in range(500):
    file.write(bytes(1000000))
file.flush()
time.sleep(5)
"""
OUTPUT = b"""
import os, time
for _ in range(500):
    os.write(1, b"x" * 1000000)
time.sleep(5)
"""


def check_limits(machine: Machine) -> None:
    """Check that the low limits are in force before an attack begins."""
    records: list[LimitRecord] = []
    with machine.recorded_limits(records.append):
        pass
    in_force = records[0].in_force
    assert (in_force.memory_mib, in_force.swap) == (LIMITS.memory_mib, True)
    assert (in_force.processes, in_force.cpus) == (LIMITS.processes, LIMITS.cpus)
    assert in_force.disk_mib == LIMITS.disk_mib


@pytest.mark.parametrize(
    ("attack", "names"),
    [
        (b"", set()),
        (FORKS, {"process-limit"}),
        (MEMORY, {"memory-limit"}),
        (DISK, {"disk-limit"}),
        (UNNAMED_FILE, {"disk-limit"}),
        (OUTPUT, {"disk-limit"}),
    ],
    ids=["healthy", "forks", "memory", "disk", "unnamed-file", "output"],
)
def test_package_that_meets_a_limit_fails_with_its_name(
    attack: bytes,
    names: set[str],
    container_engine: Engine,
    start_testbed: StartTestbed,
    good_wheel: Path,
    linux_cell: Cell,
    evidence_source: EvidenceSource,
    tmp_path: Path,
) -> None:
    wheel = wheels.mutate(good_wheel, tmp_path, **added(attack))

    def run_cells() -> Observations:
        with start_testbed([wheel]) as started:
            run = started.run.model_copy(update={"limits": LimitOptions(**LIMITS.model_dump())})
            network = started.network.model_copy(update={"run": run})
            limited = started.model_copy(update={"network": network})
            request = cell_request(container_engine, limited, linux_cell, planted_release(wheel))
            with limited.machine(linux_cell.machine, request.image) as machine:
                check_limits(machine)
            return Observations({linux_cell.id: observe_cell(request)}, started.hosts)

    evidence, expectation = evidence_source.observe([linux_cell.id], run_cells)[linux_cell.id]
    diagnosis = diagnose(evidence, expectation)
    assert {cause.name for cause in diagnosis.causes if cause.severity != "note"} == names
    assert diagnosis.outcome is (Outcome.FAILS if names else Outcome.WORKS)
    assert evidence.limits is not None
    assert evidence.limits.in_force.missing == ()


@pytest.mark.long
def test_index_that_meets_a_limit_is_a_testbed_failure(
    container_engine: Engine, start_testbed: StartTestbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The index needs more than 128 threads.
    low = LIMITS.model_copy(update={"processes": 512})
    monkeypatch.setattr(limits, "default_limits", lambda _: low)
    with start_testbed(()) as started, contextlib.closing(container_engine.client()) as client:
        (in_force,) = started.limits
        assert (in_force.memory_mib, in_force.swap) == (LIMITS.memory_mib, True)
        index = client.containers.get(started.index)
        assert limits.checked_state(index).failure == ""
        assert execute(index, ["python3", "-c", MEMORY.decode()]).code != 0
        assert limits.checked_state(index).cause("index-unreachable") == "testbed-limit"
