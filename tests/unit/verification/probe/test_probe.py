from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from verification.probe import probe
from verification.probe.probe import Look


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with the system's files and the user's, who is not this test's."""
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    for name in ("system/bin/tool", "system/lib/deep/library", "home/notes", "home/empty/.keep"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        path.chmod(0o666 if name.startswith("home") else 0o644)
    (tmp_path / "system/link").symlink_to("bin/tool")
    return tmp_path


CHANGES = {
    "nothing": "true",
    "a file of the user's is changed": "echo other >home/notes",
    "its mode is changed": "chmod 600 home/notes",
    "a file is added": "touch system/lib/deep/new",
    "a file is removed": "rm system/bin/tool",
    "a file is replaced": "mv system/lib/deep/library system/bin/tool",
    "a link is replaced": "ln -sf lib/deep/library system/link",
    "a folder is added": "mkdir -p home/empty/folder/below",
    "a folder gets another mode": "chmod 700 system/lib",
    "a folder is renamed": "mv system/lib system/other",
    "a folder becomes a file": "rm -r home/empty; touch home/empty",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_second_look_sees_what_a_first_would(
    machine: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "_TICK", 0)
    time.sleep(0.02)
    before = Look([str(machine)], [])
    time.sleep(0.02)
    subprocess.run(["sh", "-ec", CHANGES[change]], cwd=machine, check=True)
    fresh = Look([str(machine)], [])

    assert Look([str(machine)], [], before).tree == fresh.tree
    assert (fresh.tree == before.tree) == (change == "nothing")


def test_a_change_in_the_tick_of_the_look_is_seen(machine: Path) -> None:
    # What was made a moment ago is looked at in full the next time, whatever its time of change.
    for number in range(50):
        before = Look([str(machine)], [])
        (machine / f"system/bin/{number}").touch()
        assert str(machine / f"system/bin/{number}") in Look([str(machine)], [], before).tree


def test_what_has_not_changed_is_not_asked_for_again(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "_TICK", 0)
    time.sleep(0.02)
    before = Look([str(machine)], [])
    asked: list[str] = []
    lstat = os.lstat

    def noted(path: str) -> os.stat_result:
        asked.append(path)
        return lstat(path)

    monkeypatch.setattr(os, "lstat", noted)
    Look([str(machine)], [], before)

    assert str(machine / "home/notes") in asked
    assert str(machine / "system/bin/tool") not in asked


def test_a_folder_left_out_is_left_out_both_times(machine: Path) -> None:
    skipped = [str(machine / "home")]
    first = Look([str(machine)], skipped)
    again = Look([str(machine)], skipped, first)
    assert first.tree == again.tree
    assert not [path for path in first.tree if path.startswith(skipped[0])]


# ---- a command ----


def _run(tmp_path: Path, script: str, seconds: float = 20) -> dict[str, Any]:
    return probe.run(["sh", "-c", script], os.environ, str(tmp_path), seconds)


def test_a_command_tells_how_it_ended_and_what_it_said(tmp_path: Path) -> None:
    told = _run(tmp_path, "echo out; echo err >&2; exit 3")
    assert (told["code"], told["stdout"], told["stderr"]) == (3, "out\n", "err\n")
    assert not told["timed_out"]


def test_a_command_that_does_not_end_is_ended_with_all_it_started(tmp_path: Path) -> None:
    told = _run(tmp_path, "sleep 50 & echo $! >child; wait", 0.3)
    assert told["timed_out"]
    assert told["code"] == -9
    child = int((tmp_path / "child").read_text())
    for _ in range(100):  # whoever inherits it has to take notice of its end first
        state = Path(f"/proc/{child}/stat")
        if not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.05)
    pytest.fail("what it had started still runs")


def test_a_command_that_leaves_a_process_behind_holds_nobody_up(tmp_path: Path) -> None:
    told = _run(tmp_path, "sleep 50 & echo $!")
    os.kill(int(told["stdout"]), 9)
    assert (told["code"], told["timed_out"]) == (0, False)
