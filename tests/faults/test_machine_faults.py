"""Faults of the machine, the index and the network. Only some are faults of the package."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from containers import images
from containers.canary import prove_closed
from containers.engine import Engine, Run
from containers.index import IndexFault, read_log
from containers.network import closed_network, gateways
from tests.faults.cell_runs import (
    StartTestbed,
    cell_request,
    diagnose_cell,
    planted_release,
)
from tests.faults.conftest import Judge
from tests.faults.engine_objects import call_when_running
from tests.helpers import wheel_builder as wheels
from verification.models.cell import Cell
from verification.models.errors import TestbedFailure
from verification.models.machine import PROBE, MachineSpec
from verification.models.scenario import SYSTEM_FOLDERS
from verification.models.verdict import Outcome, Verdict
from verification.scenarios.machines import load
from verification.session.run_cell import PlantedFault
from verification.verdict import verdict_of_causes

pytestmark = pytest.mark.recorded

PAGE = "/simple/quiverdb/"
WHEEL = r"/packages/quiverdb-.*\.whl$"


def test_folder_that_shadows_the_package_is_reported(judge: Judge, good_wheel: Path) -> None:
    shadow = {"/home/user/project/quiverdb/__init__.py": b"def version():\n    return '0.5.0'\n"}
    judged = judge(good_wheel, PlantedFault(files=shadow))

    facts = {cause.name: cause.facts for cause in judged.dynamic}
    assert facts["shadowed-import"]["imported"] == "/home/user/project/quiverdb/__init__.py"
    assert verdict_of_causes(judged.dynamic, strict=False) is Verdict.FAILED


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
        "dependency-403",
        "page-hangs",
        "wheel-hangs",
    ],
)
@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_failing_index_is_a_testbed_failure(
    judge: Judge,
    good_wheel: Path,
    fault: IndexFault,
    facts: dict[str, str | int],
    installer: str,
) -> None:
    judged = judge(good_wheel, faults=[fault], installer=installer, install=10)

    assert judged.names == {"index-unreachable"}
    cause_facts = judged.dynamic[0].facts
    assert facts.items() <= cause_facts.items()
    assert re.search(fault.match, str(cause_facts.get("path", fault.match)))
    assert verdict_of_causes(judged.dynamic, strict=False) is Verdict.TESTBED


def test_wheel_with_changed_bytes_is_a_hash_mismatch(judge: Judge, good_wheel: Path) -> None:
    judged = judge(good_wheel, faults=[IndexFault(match=WHEEL, fault="corrupt")])

    assert judged.names == {"hash-mismatch"}


def test_killed_machine_is_a_testbed_failure(
    container_engine: Engine,
    run: Run,
    start_testbed: StartTestbed,
    good_wheel: Path,
    linux_cell: Cell,
) -> None:
    image = images.ensure(container_engine, linux_cell.machine.image)
    client = container_engine.client()
    killed: list[bool] = []

    def wait() -> None:
        killed.append(
            call_when_running(client, run.id, image.tag, PROBE, lambda machine: machine.kill())
        )

    with start_testbed([good_wheel]) as testbed:
        killer = threading.Thread(target=wait)
        killer.start()
        release = planted_release(good_wheel)
        cell = diagnose_cell(cell_request(container_engine, testbed, linux_cell, release))
        killer.join()
    client.close()

    assert killed == [True], "the cell ended before the machine was killed"
    assert cell.cause_names == {"machine-lost"}
    assert cell.diagnosis.outcome is Outcome.TESTBED


def test_concurrent_readers_get_the_complete_index_log(
    container_engine: Engine, start_testbed: StartTestbed, good_wheel: Path
) -> None:
    client = container_engine.client()
    with start_testbed([good_wheel]) as testbed, ThreadPoolExecutor(8) as pool:
        logs = list(pool.map(lambda _: read_log(client, testbed.index), range(40)))
    client.close()

    assert [line.upload.file for line in logs[0] if line.upload] == [good_wheel.name]
    assert all(log == logs[0] for log in logs)


@pytest.mark.parametrize("planted", [{"internal": False}, {"hide_host": False}])
def test_canary_reports_the_addresses_that_a_network_reaches(
    container_engine: Engine, run: Run, planted: dict[str, bool]
) -> None:
    image = images.ensure(container_engine, "publisher")
    with closed_network(container_engine, run, **planted) as network:
        with pytest.raises(TestbedFailure) as failure:
            prove_closed(network, image)
        (gateway,) = gateways(network.network)

    assert failure.value.cause == "egress-open"
    addresses = failure.value.facts["addresses"]
    assert gateway in addresses
    assert len(addresses) > 1, "the host has more than one address"


def test_canary_proves_a_closed_network(start_testbed: StartTestbed) -> None:
    with start_testbed([], prove=True) as testbed:
        proof = testbed.egress

    assert proof is not None
    assert proof.open is not None
    assert proof.open.reached
    assert proof.machines is not None
    assert not proof.machines.egress
    assert (proof.not_proved, proof.reachable) == ("", ())


# The images of the machines outside the profile gate take minutes to build.
MACHINES = [
    pytest.param(spec, marks=() if "gate" in spec.profiles else pytest.mark.long, id=spec.name)
    for spec in load().values()
    if spec.runs_on == "linux" and "full" in spec.profiles
]
# Print the files and folders below the arguments to which the user can write.
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
def test_user_cannot_write_outside_the_snapshots(
    container_engine: Engine, run: Run, spec: MachineSpec
) -> None:
    image = images.ensure(container_engine, spec.image).tag
    folders = [*SYSTEM_FOLDERS, "/home"]
    client = container_engine.client()
    output = client.containers.run(
        image, ["python3", "-c", WRITABLE, *folders], remove=True, labels=run.labels(), user="user"
    )
    client.close()
    writable = output.decode().splitlines()

    assert [path for path in writable if not path.startswith("/home/user")] == []
    assert writable, "the user can write to the home folder"


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_file_that_use_leaves_in_the_home_is_reported(
    judge: Judge, good_wheel: Path, tmp_path: Path, installer: str
) -> None:
    # The first native call writes a file to the home folder. No installer removes it.
    code = (
        b"\nimport os\n_version = version\ndef version():\n"
        b"    os.makedirs(os.path.expanduser('~/.cache/quiverdb'), exist_ok=True)\n"
        b"    open(os.path.expanduser('~/.cache/quiverdb/seen'), 'w').close()\n"
        b"    return _version()\n"
    )
    edit = {"quiverdb/__init__.py": lambda data: data + code}
    judged = judge(wheels.mutate(good_wheel, tmp_path, edit=edit), installer=installer)

    assert judged.static_names == set()
    assert judged.names == {"uninstall-leftover"}
    paths = judged.dynamic[0].facts["paths"]
    assert paths == ("/home/user/.cache/quiverdb", "/home/user/.cache/quiverdb/seen")
