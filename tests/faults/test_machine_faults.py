"""Faults of the machine, the index and the network: the package's and the testbed's kept apart."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from containers import images
from containers.engine import Engine, Run
from containers.index import IndexFault, read_log
from tests.faults.conftest import Judge
from tests.faults.place import Start, diagnosed, job_on, planted_release
from tests.faults.things import act_when_running
from tests.helpers import wheel_builder as wheels
from verification.models.cell import Cell
from verification.models.errors import TestbedFailure
from verification.models.machine import MachineSpec
from verification.models.scenario import SYSTEM_FOLDERS
from verification.models.testbed import NetworkObservation
from verification.models.verdict import Outcome, Verdict
from verification.scenarios.machines import load
from verification.session.run_cell import PlantedFault
from verification.verdict import of_causes

pytestmark = pytest.mark.recorded

PAGE = "/simple/quiverdb/"
WHEEL = r"/packages/quiverdb-.*\.whl$"


def test_a_folder_in_the_working_directory_that_shadows_the_package(
    judge: Judge, good_wheel: Path
) -> None:
    shadow = {"/home/user/project/quiverdb/__init__.py": b"def version():\n    return '0.5.0'\n"}
    seen = judge(good_wheel, PlantedFault(files=shadow))

    assert "shadowed-import" in seen.names
    assert of_causes(seen.dynamic, strict=False) is Verdict.FAILED
    assert "/home/user/project/quiverdb/__init__.py" in " ".join(map(str, seen.dynamic))


@pytest.mark.parametrize(
    ("fault", "facts"),
    [
        (IndexFault(match=WHEEL, fault="truncate", after=4096), {}),  # 200, or 206 for uv
        (IndexFault(match=PAGE, fault="status", status=503), {"path": PAGE, "status": 503}),
        (IndexFault(match=WHEEL, fault="status", status=503), {"status": 503}),
        (IndexFault(match=PAGE, fault="status", status=404), {"answers": "404"}),
        (
            IndexFault(match="/simple/cffi/", fault="status", status=403),
            {"project": "cffi", "answers": "403"},
        ),
        (IndexFault(match=PAGE, fault="hang"), {"path": PAGE, "status": 0}),
        (IndexFault(match=WHEEL, fault="hang", after=1000), {"status": 0}),
    ],
    ids=[
        "truncated",
        "page-503",
        "wheel-503",
        "page-404",
        "other-403",
        "page-hangs",
        "wheel-hangs",
    ],
)
@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_an_index_that_fails_is_the_testbeds_failure(
    judge: Judge,
    good_wheel: Path,
    fault: IndexFault,
    facts: dict[str, str | int],
    installer: str,
) -> None:
    seen = judge(good_wheel, faults=[fault], installer=installer, install=10)

    assert seen.names == {"index-unreachable"}
    observed = seen.dynamic[0].facts
    assert facts.items() <= observed.items()
    assert re.search(fault.match, str(observed.get("path", fault.match)))
    assert of_causes(seen.dynamic, strict=False) is Verdict.TESTBED


def test_an_index_that_serves_other_bytes_is_a_hash_mismatch(
    judge: Judge, good_wheel: Path
) -> None:
    seen = judge(good_wheel, faults=[IndexFault(match=WHEEL, fault="corrupt")])

    assert seen.names == {"hash-mismatch"}


def test_a_cell_killed_midway_is_the_testbeds_failure(
    found: Engine, run: Run, start: Start, good_wheel: Path, the_cell: Cell
) -> None:
    image = images.ensure(found, the_cell.machine.image)
    client = found.client()
    killed: list[bool] = []

    def wait() -> None:
        killed.append(
            act_when_running(client, run.id, image.tag, "probe.py", lambda machine: machine.kill())
        )

    with start([good_wheel]) as bed:
        killer = threading.Thread(target=wait)
        killer.start()
        shown = diagnosed(job_on(found, bed, the_cell, planted_release(good_wheel)))
        killer.join()
    client.close()

    assert killed == [True], "the cell was over before it could be killed"
    assert shown.names == {"machine-lost"}
    assert shown.diagnosis.outcome is Outcome.TESTBED


def test_many_read_the_log_of_the_index_at_once_and_each_has_all_of_it(
    found: Engine, start: Start, good_wheel: Path
) -> None:
    client = found.client()
    with start([good_wheel]) as bed, ThreadPoolExecutor(8) as pool:
        logs = list(pool.map(lambda _: read_log(client, bed.index), range(40)))
    client.close()

    assert [line.upload.file for line in logs[0] if line.upload] == [good_wheel.name]
    assert all(log == logs[0] for log in logs)


def test_an_open_network_is_noticed_by_the_canary(start: Start) -> None:
    with (
        pytest.raises(TestbedFailure, match="it reached the beacon outside") as failure,
        start([], internal=False, prove=True),
    ):
        pytest.fail("the testbed came up on an open network")

    assert failure.value.cause == "egress-open"


def test_a_closed_network_is_proved_closed_and_the_canary_awake(start: Start) -> None:
    with start([], prove=True) as bed:
        proof = bed.egress

    assert proof is not None
    assert proof.open.reached is True
    assert proof.machines == NetworkObservation(reached=False, resolver="closed")


# Machines that the gate has; the others are made first, which takes minutes.
MACHINES = [
    pytest.param(spec, marks=() if "gate" in spec.profiles else pytest.mark.long, id=spec.name)
    for spec in load().values()
    if spec.runs_on == "linux" and "full" in spec.profiles
]
# What the user may write to below these folders, link or socket or file or folder.
WRITABLE = """
import os, sys
for top in sys.argv[1:]:
    for folder, folders, files in os.walk(top):
        for name in ("", *files):
            path = os.path.join(folder, name)
            if os.access(path, os.W_OK) and not os.path.islink(path):
                print(path)
"""


@pytest.mark.parametrize("spec", MACHINES)
def test_what_is_not_looked_at_on_a_machine_its_user_cannot_change(
    found: Engine, run: Run, spec: MachineSpec
) -> None:
    image = images.ensure(found, spec.image).tag
    folders = [*SYSTEM_FOLDERS, "/home"]
    client = found.client()
    said = client.containers.run(
        image, ["python3", "-c", WRITABLE, *folders], remove=True, labels=run.labels(), user="user"
    )
    client.close()
    writable = said.decode().splitlines()

    assert [path for path in writable if not path.startswith("/home/user")] == []
    assert writable, "where the user may write, it is seen"


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_a_package_that_leaves_a_file_behind_when_it_was_used(
    judge: Judge, good_wheel: Path, tmp_path: Path, installer: str
) -> None:
    # The first native call keeps something in the user's home, which no installer knows of.
    code = (
        b"\nimport os\n_version = version\ndef version():\n"
        b"    os.makedirs(os.path.expanduser('~/.cache/quiverdb'), exist_ok=True)\n"
        b"    open(os.path.expanduser('~/.cache/quiverdb/seen'), 'w').close()\n"
        b"    return _version()\n"
    )
    edit = {"quiverdb/__init__.py": lambda data: data + code}
    seen = judge(wheels.mutate(good_wheel, tmp_path, edit=edit), installer=installer)

    assert seen.static_names == set()
    assert seen.names == {"uninstall-leftover"}
    assert "/home/user/.cache/quiverdb/seen" in " ".join(map(str, seen.dynamic))
