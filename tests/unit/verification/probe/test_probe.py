from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, cast

import pytest

from verification.probe import probe
from verification.probe.probe import CommandRun, FilesystemSnapshot, Instructions


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
def test_a_second_snapshot_equals_a_first_one(
    machine: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "_TICK", 0)
    time.sleep(0.02)
    before = FilesystemSnapshot([str(machine)], [])
    time.sleep(0.02)
    subprocess.run(["sh", "-ec", CHANGES[change]], cwd=machine, check=True)
    fresh = FilesystemSnapshot([str(machine)], [])

    assert FilesystemSnapshot([str(machine)], [], before).tree == fresh.tree
    assert (fresh.tree == before.tree) == (change == "nothing")


def test_a_change_in_the_tick_of_the_snapshot_is_recorded(machine: Path) -> None:
    # What was made a moment ago is looked at in full the next time, whatever its time of change.
    for number in range(50):
        before = FilesystemSnapshot([str(machine)], [])
        (machine / f"system/bin/{number}").touch()
        assert (
            str(machine / f"system/bin/{number}")
            in FilesystemSnapshot([str(machine)], [], before).tree
        )


def test_unchanged_system_files_are_not_read_again(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "_TICK", 0)
    time.sleep(0.02)
    before = FilesystemSnapshot([str(machine)], [])
    asked: list[str] = []
    lstat = os.lstat

    def noted(path: str) -> os.stat_result:
        asked.append(path)
        return lstat(path)

    monkeypatch.setattr(os, "lstat", noted)
    FilesystemSnapshot([str(machine)], [], before)

    assert str(machine / "home/notes") in asked
    assert str(machine / "system/bin/tool") not in asked


def test_a_folder_left_out_is_left_out_both_times(machine: Path) -> None:
    skipped = [str(machine / "home")]
    first = FilesystemSnapshot([str(machine)], skipped)
    again = FilesystemSnapshot([str(machine)], skipped, first)
    assert first.tree == again.tree
    assert not [path for path in first.tree if path.startswith(skipped[0])]


# ---- a command ----


def _run(tmp_path: Path, script: str, seconds: float = 20) -> CommandRun:
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


# ---- a cell ----


@pytest.fixture
def spec(tmp_path: Path) -> Instructions:
    """Return the instructions of a cell in which a file is installed and removed again."""
    (tmp_path / "suite").mkdir()
    (tmp_path / "suite" / "exercise.py").write_text(
        "import os\nopen(os.environ['E2E_STEPS'], 'w').write('{\"step\": \"end\"}\\nnoise\\n')\n"
        "open(os.environ['E2E_TRACE'], 'w').write('trace')\nopen('data.db', 'w').write('x')\n"
    )
    return {
        "folder": str(tmp_path / "suite"),
        "cwd": str(tmp_path / "project"),
        "env": {"E2E_HIDDEN": "1", "SHOWN": "2"},
        "exercise_env": {},
        "python": [sys.executable],
        "setup": [["true"], ["sh", "-c", "exit 4"], ["true"]],
        "first": [],
        "install": ["touch", str(tmp_path / "installed")],
        "reinstall": False,
        "umask": -1,
        "after_install": [],
        "before_uninstall": [],
        "prelude": "",
        "uses": [],
        "subject": "packaging",
        "package": "packaging",
        "import_statement": "open('made', 'w')",
        "uninstall": ["rm", str(tmp_path / "installed")],
        "roots": [str(tmp_path)],
        "skipped": [str(tmp_path / "suite")],
        "skipped_keys": [],
        "seconds": {"install": 20, "import": 20, "exercise": 20, "tests": 20},
    }


def _evidence(spec: Instructions, **changes: Any) -> dict[str, Any]:
    cell = probe.ProbeRun(cast(Instructions, {**spec, **changes}))
    cell.run()
    made: dict[str, Any] = json.loads(json.dumps(cell.evidence))
    return made


def test_a_cell_records_what_each_of_its_commands_did(spec: Instructions, tmp_path: Path) -> None:
    evidence = _evidence(spec)
    installed = str(tmp_path / "installed")
    assert evidence["installed"] == {"added": [installed], "removed": [], "changed": []}
    assert evidence["since_installed"] == {"added": [], "removed": [installed], "changed": []}
    assert evidence["left"] == {"added": [], "removed": [], "changed": []}
    assert evidence["registry"] == {"added": [], "removed": [], "changed": []}
    assert [run["code"] for run in evidence["setup"]] == [0, 4], "up to the one that fails"
    assert evidence["import"]["made"] == ["made"]
    assert evidence["exercise"]["trace"] == "trace"
    assert list(evidence["exercise"]["steps"]) == ["end", "garbled"]
    assert evidence["on_disk"] == {"data.db": "eA=="}
    assert (evidence["install"]["code"], evidence["uninstall"]["code"]) == (0, 0)
    assert evidence["env"]["SHOWN"] == "2"
    assert "E2E_HIDDEN" not in evidence["env"]
    assert set(evidence["seconds"]) == {"first-look", "all"}
    assert "again" not in evidence
    assert "tests" not in evidence


def test_a_cell_whose_installation_fails_has_no_use(spec: Instructions) -> None:
    evidence = _evidence(spec, install=["sh", "-c", "echo no >&2; exit 1"], reinstall=True)
    assert (evidence["install"]["code"], evidence["install"]["stderr"]) == (1, "no\n")
    assert not {"again", "import", "exercise", "on_disk", "uninstall"} & set(evidence)
    assert evidence["left"]["added"] == []


def test_an_installation_can_be_repeated(spec: Instructions, tmp_path: Path) -> None:
    command = ["sh", "-c", f"date +%N >> {tmp_path / 'installed'}"]
    evidence = _evidence(spec, install=command, reinstall=True)
    assert evidence["again"]["code"] == 0
    assert evidence["again"]["difference"]["changed"] == [str(tmp_path / "installed")]


def test_the_packages_own_tests_run_after_the_exercise(spec: Instructions, tmp_path: Path) -> None:
    (tmp_path / "suite" / "tests").mkdir()
    told = {
        "source": str(tmp_path / "suite" / "tests"),
        "folder": str(tmp_path / "project" / "own-tests"),
        "scratch": str(tmp_path / "project" / "scratch"),
        "ledger": str(tmp_path / "suite" / "ledger"),
        "trace": str(tmp_path / "suite" / "own-trace"),
        "subject": "packaging",
        "tool": ["true"],
        "command": ["sh", "-c", "ls; echo line > $E2E_LEDGER; echo stack > $E2E_TRACE; exit 3"],
        "env": {},
    }
    tests = _evidence(spec, tests=told)["tests"]
    assert (tests["code"], tests["stdout"], tests["tool"]["code"]) == (3, "tests\n", 0)
    assert (tests["ledger"], tests["trace"]) == ("line\n", "stack\n")
    failed = _evidence(spec, tests=told | {"tool": ["false"]})["tests"]
    assert (failed["tool"]["code"], failed["ledger"], "code" in failed) == (1, "", False)
    crashed = {**spec, "python": ["sh", "-c", "exit 3"]}
    assert "tests" not in _evidence(cast(Instructions, crashed), tests=told)
