"""Side effects on other files, the network, the terminal and other users.

The packages of these tests can be installed, used and removed.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from docker.models.containers import Container

from containers import images
from containers.engine import Engine, Run
from tests.faults import edits
from tests.faults.cell_runs import (
    StartTestbed,
    cell_request,
    diagnose_cell,
    has_facts,
    planted_release,
)
from tests.faults.conftest import Judge
from tests.faults.engine_objects import call_when_running
from tests.helpers import wheel_builder as wheels
from verification.models.cause import FactValue
from verification.models.cell import Cell
from verification.scenarios.instructions import TIME_LIMITS

pytestmark = pytest.mark.recorded


def _at_first_use(wheel: Path, folder: Path, code: bytes) -> Path:
    return wheels.mutate(wheel, folder, **edits.at_first_use(code))


def test_changed_files_of_other_packages_are_reported(
    judge: Judge, good_wheel: Path, tmp_path: Path
) -> None:
    code = (
        b"    import cffi, os\n"
        b"    home = os.path.dirname(cffi.__file__)\n"
        b"    with open(os.path.join(home, 'lock.py'), 'a') as file: file.write('# ours now')\n"
        b"    os.remove(os.path.join(home, 'recompiler.py'))\n"
        b"    start = os.path.join(os.environ['VIRTUAL_ENV'], 'bin', 'activate')\n"
        b"    with open(start, 'a') as file: file.write('alias python=true')\n"
    )
    judged = judge(_at_first_use(good_wheel, tmp_path, code))

    facts = {cause.name: cause.facts for cause in judged.dynamic}
    assert set(facts) == {"dependency-damaged", "machine-changed"}
    assert facts["dependency-damaged"]["count"] == 2
    assert str(facts["dependency-damaged"]["path"]).endswith("/cffi/lock.py")
    assert str(facts["machine-changed"]["path"]).endswith("/venv/bin/activate")
    assert {cause.severity for cause in judged.dynamic} == {"broken"}


def test_side_effects_of_the_import_are_reported(
    judge: Judge, good_wheel: Path, tmp_path: Path
) -> None:
    code = (
        b"import atexit, urllib.request\n"
        b"from pip._internal.models.index import PyPI\n"
        b"print('Welcome to it')\n"
        b"for path in ('quiver.cache', '/dev/shm/quiver'): open(path, 'w').close()\n"
        b"atexit.register(lambda: 1 / 0)\n"
        b"urllib.request.urlopen(PyPI.simple_url + '/quiverdb/').close()\n"
        b"__version__ = '0.4.9'\n"
    )
    entry_points = "[console_scripts]\nx = quiverdb:__all__\n"
    added = {f"{edits.dist_info(good_wheel)}entry_points.txt": entry_points}
    wheel = wheels.mutate(good_wheel, tmp_path, add=added, **edits.added(code))
    judged = judge(wheel)

    expected: dict[str, dict[str, FactValue]] = {
        "output-at-import": {"line": "Welcome to it"},
        "files-at-import": {"files": ("quiver.cache",)},
        "uninstall-leftover": {"count": 1, "paths": ("/dev/shm/quiver",)},  # noqa: S108
        "unhandled-exception": {"error": "ZeroDivisionError: division by zero"},
        "network-used": {"path": "/simple/quiverdb/"},
        "version-mismatch": {"version": "0.4.9", "release": "0.5.0"},
        "entry-point-broken": {"entry_point": "x"},
    }
    assert {cause.name for cause in judged.dynamic} == set(expected)
    for cause in judged.dynamic:
        assert has_facts(cause, **expected[cause.name]), cause
    assert {cause.severity for cause in judged.dynamic} == {"flawed"}


def test_connection_with_failed_tls_is_network_use(
    judge: Judge, good_wheel: Path, tmp_path: Path
) -> None:
    code = (
        b"    import ssl, urllib.request\n"
        b"    from pip._internal.models.index import PyPI\n"
        b"    nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)\n"
        b"    try: urllib.request.urlopen(PyPI.simple_url, context=nobody)\n"
        b"    except OSError: pass\n"
    )
    judged = judge(_at_first_use(good_wheel, tmp_path, code))

    assert [(cause.name, cause.severity) for cause in judged.dynamic] == [
        ("network-used", "flawed")
    ]


def test_fork_server_of_multiprocessing_is_no_fault(
    judge: Judge, good_wheel: Path, tmp_path: Path
) -> None:
    code = (
        b"    import multiprocessing\n"
        b"    context = multiprocessing.get_context('forkserver')\n"
        b"    child = context.Process(target=print)\n"
        b"    child.start(); child.join()\n"
    )
    assert judge(_at_first_use(good_wheel, tmp_path, code)).names == set()


def test_writing_to_system_locations_of_windows_is_reported(
    windows_judge: Judge, good_windows_wheel: Path, tmp_path: Path
) -> None:
    code = (
        b"    import winreg\n"
        b"    winreg.CloseKey(winreg.CreateKey(winreg.HKEY_CLASSES_ROOT, '.qdb'))\n"
        b"    open('C:/windows/system32/quiver.ini', 'w').close()\n"
    )
    judged = windows_judge(_at_first_use(good_windows_wheel, tmp_path, code))

    assert judged.names == {"permission", "uninstall-leftover"}
    causes = [cause for cause in judged.dynamic if cause.name == "permission"]
    assert any(has_facts(cause, key="HKLM\\Software\\Classes") for cause in causes)
    path = "C:\\windows\\system32\\quiver.ini"
    assert any(has_facts(cause, path=path) for cause in causes)


def test_certificates_that_windows_stores_are_no_fault(
    windows_judge: Judge, good_windows_wheel: Path, tmp_path: Path
) -> None:
    code = b"    import ssl\n    ssl.create_default_context()\n"
    judged = windows_judge(_at_first_use(good_windows_wheel, tmp_path, code))
    assert [str(cause) for cause in judged.dynamic] == []


def test_paused_machine_is_a_testbed_failure(
    container_engine: Engine,
    run: Run,
    start_testbed: StartTestbed,
    good_wheel: Path,
    linux_cell: Cell,
    tmp_path: Path,
) -> None:
    wheel = wheels.mutate(good_wheel, tmp_path, **edits.added(b"import time; time.sleep(4)"))
    image = images.ensure(container_engine, linux_cell.machine.image)
    client = container_engine.client()
    paused: list[bool] = []

    def pause(container: Container) -> None:
        container.pause()
        time.sleep(12)
        container.unpause()

    def wait() -> None:
        paused.append(call_when_running(client, run.id, image.tag, "import quiverdb", pause))

    with start_testbed([wheel]) as testbed:
        thread = threading.Thread(target=wait)
        thread.start()
        request = cell_request(container_engine, testbed, linux_cell, planted_release(wheel))
        cell = diagnose_cell(request._replace(seconds={**TIME_LIMITS, "import": 8}))
        thread.join()
    client.close()
    causes = cell.diagnosis.causes

    assert paused == [True], "the import ended before the machine was paused"
    assert [cause.name for cause in causes] == ["machine-lost"]
    assert causes[0].facts["stalled"]
