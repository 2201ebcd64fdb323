from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from containers import temporary
from containers.owner import identity
from verification.models.errors import WrongUse

ROOT = Path(__file__).parents[3]
KILLED = """
import os, signal, tempfile
from containers import temporary
with temporary.process_folder():
    folder = tempfile.mkdtemp()
    open(folder + "/key.pem", "w").close()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def _shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUIVERDB_E2E_TMPDIR", "")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)


def _folders(path: Path) -> list[Path]:
    return list(path.glob("quiverdb-e2e-*/*"))


def test_temporary_files_of_a_process_and_its_children_are_in_its_private_folder(
    tmp_path: Path,
) -> None:
    with temporary.process_folder() as folder:
        assert folder.parent.parent == tmp_path
        assert {path.stat().st_mode & 0o777 for path in (folder, folder.parent)} == {0o700}
        assert Path(tempfile.mkdtemp()).parent == folder
        program = "import tempfile; print(tempfile.gettempdir())"
        child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        assert child.stdout.strip() == str(folder)
        assert temporary.shared_folder() == tmp_path, "all processes share this folder"
    assert _folders(tmp_path) == []
    assert tempfile.gettempdir() == os.environ["TMPDIR"] == str(tmp_path)


def test_next_command_removes_the_key_of_a_killed_one(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED], cwd=ROOT, check=False)
    (left,) = _folders(tmp_path)
    assert list(left.glob("*/key.pem"))
    with temporary.process_folder() as folder:
        assert _folders(tmp_path) == [folder]


def test_sweep_leaves_the_folders_of_running_processes(tmp_path: Path) -> None:
    user = temporary.user_folder()
    user.mkdir()
    running = user / identity(os.getppid()).replace(":", "_")
    running.mkdir()
    assert temporary.sweep() == 0
    assert _folders(tmp_path) == [running]


def _make_link(path: Path) -> None:
    path.symlink_to(path.parent)


@pytest.mark.parametrize("make", [Path.touch, _make_link])
def test_folder_that_the_user_did_not_make_is_refused(
    make: Callable[[Path], None],
) -> None:
    make(temporary.user_folder())
    with pytest.raises(WrongUse, match="TMPDIR"), temporary.process_folder():
        pass
