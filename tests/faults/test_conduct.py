"""What a package does to others: to their files, the network, the terminal, all users of Windows.

It installs, works and is removed all the same.
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
from tests.faults.conftest import Judge
from tests.faults.place import Start, diagnosed, job_on, planted_release
from tests.faults.things import act_when_running
from tests.helpers import wheel_builder as wheels
from verification.models.cell import Cell
from verification.scenarios.instructions import TIME_LIMITS

pytestmark = pytest.mark.recorded


def _at_first_use(wheel: Path, folder: Path, code: bytes) -> Path:
    return wheels.mutate(wheel, folder, **edits.at_first_use(code))


def test_a_package_that_changes_files_of_others(
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
    seen = judge(_at_first_use(good_wheel, tmp_path, code))

    found = {cause.name: cause for cause in seen.dynamic}
    assert set(found) == {"dependency-damaged", "machine-changed"}
    assert "2 files of other distributions" in found["dependency-damaged"].message
    assert "/cffi/lock.py" in found["dependency-damaged"].message
    assert "/venv/bin/activate" in found["machine-changed"].message
    assert {cause.severity for cause in seen.dynamic} == {"broken"}


def test_a_package_without_manners(judge: Judge, good_wheel: Path, tmp_path: Path) -> None:
    code = (
        b"import atexit, urllib.request\n"
        b"from pip._internal.models.index import PyPI\n"
        b"print('Welcome to it')\n"
        b"for path in ('quiver.cache', '/dev/shm/quiver'): open(path, 'w').close()\n"
        b"atexit.register(lambda: 1 / 0)\n"
        b"urllib.request.urlopen(PyPI.simple_url + '/quiverdb/').close()\n"
        b"__version__ = '0.4.9'\n"
    )
    told = "[console_scripts]\nx = quiverdb:__all__\n"
    commands = {f"{edits.dist_info(good_wheel)}entry_points.txt": told}
    wheel = wheels.mutate(good_wheel, tmp_path, add=commands, **edits.added(code))
    seen = judge(wheel)

    found = {cause.name: cause.message for cause in seen.dynamic}
    assert set(found) == {
        "output-at-import", "unhandled-exception", "network-used", "version-mismatch",
        "entry-point-broken", "files-at-import", "uninstall-leftover",
    }  # fmt: skip
    assert "'Welcome to it'" in found["output-at-import"]
    assert "makes quiver.cache in the current folder" in found["files-at-import"]
    assert "1 paths are left, first /dev/shm/quiver" in found["uninstall-leftover"]
    assert "ZeroDivisionError" in found["unhandled-exception"]
    assert "/simple/quiverdb/ of " in found["network-used"]
    assert "__version__ is 0.4.9" in found["version-mismatch"]
    assert "is no function to call" in found["entry-point-broken"]
    assert {cause.severity for cause in seen.dynamic} == {"flawed"}


def test_a_client_of_the_packages_own_that_trusts_nobody(
    judge: Judge, good_wheel: Path, tmp_path: Path
) -> None:
    code = (
        b"    import ssl, urllib.request\n"
        b"    from pip._internal.models.index import PyPI\n"
        b"    nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)\n"
        b"    try: urllib.request.urlopen(PyPI.simple_url, context=nobody)\n"
        b"    except OSError: pass\n"
    )
    seen = judge(_at_first_use(good_wheel, tmp_path, code))

    assert [(cause.name, cause.severity) for cause in seen.dynamic] == [("network-used", "flawed")]


def test_pythons_own_helper_that_ends_a_moment_later(
    judge: Judge, good_wheel: Path, tmp_path: Path
) -> None:
    code = (
        b"    import multiprocessing\n"
        b"    context = multiprocessing.get_context('forkserver')\n"
        b"    child = context.Process(target=print)\n"
        b"    child.start(); child.join()\n"
    )
    assert judge(_at_first_use(good_wheel, tmp_path, code)).names == set()


def test_a_package_that_writes_where_all_users_of_windows_read(
    windows_judge: Judge, good_windows_wheel: Path, tmp_path: Path
) -> None:
    code = (
        b"    import winreg\n"
        b"    winreg.CloseKey(winreg.CreateKey(winreg.HKEY_CLASSES_ROOT, '.qdb'))\n"
        b"    open('C:/windows/system32/quiver.ini', 'w').close()\n"
    )
    seen = windows_judge(_at_first_use(good_windows_wheel, tmp_path, code))

    assert seen.names == {"permission", "uninstall-leftover"}
    told = " ".join(cause.message for cause in seen.dynamic if cause.name == "permission")
    assert "HKLM\\Software\\Classes was changed" in told
    assert "quiver.ini, which an ordinary user of Windows may not do" in told


def test_certificates_that_windows_keeps_are_not_the_packages(
    windows_judge: Judge, good_windows_wheel: Path, tmp_path: Path
) -> None:
    code = b"    import ssl\n    ssl.create_default_context()\n"
    seen = windows_judge(_at_first_use(good_windows_wheel, tmp_path, code))
    assert [str(cause) for cause in seen.dynamic] == []


def test_a_machine_that_stands_still_is_the_testbeds(
    found: Engine,
    run: Run,
    start: Start,
    good_wheel: Path,
    the_cell: Cell,
    tmp_path: Path,
) -> None:
    wheel = wheels.mutate(good_wheel, tmp_path, **edits.added(b"import time; time.sleep(4)"))
    image = images.ensure(found, the_cell.machine.image)
    client = found.client()
    paused: list[bool] = []

    def pause(container: Container) -> None:
        container.pause()
        time.sleep(12)
        container.unpause()

    def wait() -> None:
        paused.append(act_when_running(client, run.id, image.tag, "import quiverdb", pause))

    with start([wheel]) as bed:
        thread = threading.Thread(target=wait)
        thread.start()
        job = job_on(found, bed, the_cell, planted_release(wheel))
        shown = diagnosed(job._replace(seconds={**TIME_LIMITS, "import": 8}))
        thread.join()
    client.close()
    causes = shown.diagnosis.causes

    assert paused == [True], "the import was over before the machine could be stopped"
    assert [cause.name for cause in causes] == ["machine-lost"]
    assert "the machine itself stood still for" in causes[0].message
