"""The tasks of a swarm, their reports, and the end of the command."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from shard import run_shard

from containers import engine as engines
from containers import swarm
from containers.engine import Engine
from containers.swarm import Outcome, Task, main, unpack
from verification.models.errors import ExitCode

ENGINE = Engine(url="unix:///nowhere", origin="a test", version="1", os="linux")
COMPLETE = Task("t1", 1, "complete", "", "node-1", "ready")


def log_of(folder: Path, code: int = 0) -> str:
    """Return the log of a task."""
    return "\n".join(run_shard.lines_of(folder, code))


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """Return the folder of a small report."""
    folder = tmp_path / "report"
    (folder / "evidence").mkdir(parents=True)
    (folder / "results.json").write_text("{}", "utf-8")
    (folder / "evidence" / "a.json").write_text("evidence", "utf-8")
    return folder


def files(folder: Path) -> dict[str, str]:
    """Return the files of a folder with their texts."""
    return {
        str(path.relative_to(folder)): path.read_text("utf-8")
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_report_in_a_log_is_unpacked(report: Path, tmp_path: Path) -> None:
    assert unpack(log_of(report, 1), tmp_path / "new") == 1
    assert files(tmp_path / "new") == files(report)


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: "",
        lambda log: "no json\n" + log,
        lambda log: log.partition("\n")[0],
        lambda log: log[:-8],
        lambda log: log.partition("\n")[2],
        lambda log: log.replace("A", "B"),
    ],
    ids=["empty", "other output", "head only", "truncated", "no head", "changed"],
)
def test_damaged_log_is_no_report(report: Path, tmp_path: Path, damage: object) -> None:
    assert callable(damage)
    with pytest.raises(ValueError, match="report"):
        unpack(damage(log_of(report)), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_report_cannot_write_outside_its_folder(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("../outside"))
    archive = buffer.getvalue()
    head = json.dumps({"exit_code": 0, "sha256": hashlib.sha256(archive).hexdigest()})
    with contextlib.suppress(tarfile.TarError):
        unpack(f"{head}\n{base64.b64encode(archive).decode()}", tmp_path / "folder")
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize(
    ("state", "node_state", "has_ended", "is_lost"),
    [
        ("running", "ready", False, False),
        ("pending", "", False, False),
        ("complete", "ready", True, False),
        ("complete", "down", True, False),
        ("failed", "ready", True, False),
        ("rejected", "ready", True, False),
        ("running", "down", True, True),
        ("running", "unknown", True, True),
        ("preparing", "removed", True, True),
    ],
)
def test_end_of_a_task(state: str, node_state: str, has_ended: bool, is_lost: bool) -> None:
    task = COMPLETE._replace(state=state, node_state=node_state)
    assert (task.has_ended, task.is_lost) == (has_ended, is_lost)


class Log:
    """Replaces `swarm._log`. The last output is returned again and again."""

    def __init__(self, *outputs: str, errors: str = "") -> None:
        self.outputs = list(outputs)
        self.errors = errors

    def __call__(self, _engine: Engine, _task: Task) -> subprocess.CompletedProcess[bytes]:
        output = self.outputs.pop(0) if len(self.outputs) > 1 else self.outputs[0]
        return subprocess.CompletedProcess((), 0, output.encode(), self.errors.encode())


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read a log again at once."""
    monkeypatch.setattr(swarm, "_LOG_PAUSES", (0.0, 0.0))


def test_log_that_arrives_late_is_read_again(
    report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = log_of(report)
    monkeypatch.setattr(swarm, "_log", Log("", log[:-8], log))
    outcome = swarm._collect(ENGINE, COMPLETE, tmp_path)
    assert outcome == Outcome(1, tmp_path / "shard-1", "")
    assert files(tmp_path / "shard-1") == files(report)


def test_incomplete_log_is_named(
    report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(swarm, "_log", Log(log_of(report)[:-8]))
    outcome = swarm._collect(ENGINE, COMPLETE, tmp_path)
    assert outcome.folder is None
    assert "node-1" in outcome.reason


def test_gate_without_report_is_named_with_its_last_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = log_of(tmp_path / "none", ExitCode.WRONG_USE)
    monkeypatch.setattr(swarm, "_log", Log(log, errors="first\nthe last line\n"))
    outcome = swarm._collect(ENGINE, COMPLETE, tmp_path)
    assert outcome.folder is None
    assert outcome.is_wrong_use
    assert outcome.reason.endswith("the last line")


def test_log_of_a_node_that_does_not_answer_is_not_awaited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait(_engine: Engine, _task: Task) -> subprocess.CompletedProcess[bytes]:
        raise subprocess.TimeoutExpired("docker", 60)

    monkeypatch.setattr(swarm, "_log", wait)
    outcome = swarm._collect(ENGINE, COMPLETE, tmp_path)
    assert outcome.folder is None
    lost = swarm._collect(ENGINE, COMPLETE._replace(state="running", node_state="down"), tmp_path)
    assert lost.folder is None
    assert {"node-1", "down"} <= set(lost.reason.replace(",", "").split())


# ---- the command ----


@pytest.mark.parametrize(
    "words",
    [
        ["--reports=new"],
        ["--shards=x", "--reports=new"],
        ["--shards=0", "--reports=new"],
        ["--shards=2", "--reports=."],
        ["--shards=2", "--reports=new", "--registry=host"],
        ["--shards=2", "--reports=new", "--unknown"],
    ],
)
def test_wrong_use(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    assert main(words) == ExitCode.WRONG_USE


@pytest.mark.parametrize(
    ("missing", "code"),
    [
        ([Outcome(2, None, "lost")], ExitCode.TESTBED_FAILED),
        ([Outcome(1, None, "no", is_wrong_use=True)], ExitCode.WRONG_USE),
        (
            [Outcome(1, None, "no", is_wrong_use=True), Outcome(2, None, "")],
            ExitCode.TESTBED_FAILED,
        ),
    ],
)
def test_run_with_a_missing_report_is_not_merged(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    missing: Sequence[Outcome],
    code: ExitCode,
) -> None:
    outcomes = {number: Outcome(number, tmp_path, "") for number in (1, 2, 3)}
    outcomes |= {outcome.number: outcome for outcome in missing}
    monkeypatch.setattr(engines, "ensure", lambda **_: ENGINE)
    monkeypatch.setattr(swarm, "check_manager", lambda _: None)
    monkeypatch.setattr(swarm, "image_reference", lambda *_: "sha256:1")
    monkeypatch.setattr(swarm, "run", lambda *_: list(outcomes.values()))
    assert main(["--shards=3", f"--reports={tmp_path / 'new'}"]) == code
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == len(missing)
    for outcome, line in zip(missing, errors, strict=True):
        assert f"{outcome.number}/3" in line
    assert not (tmp_path / "new" / "merged").exists()


def test_reports_that_cannot_be_merged_are_not_verified(
    tmp_path: Path, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "ensure", lambda **_: ENGINE)
    monkeypatch.setattr(swarm, "check_manager", lambda _: None)
    monkeypatch.setattr(swarm, "image_reference", lambda *_: "sha256:1")
    monkeypatch.setattr(swarm, "run", lambda *_: [Outcome(1, report, "")])
    assert main(["--shards=1", f"--reports={tmp_path / 'new'}"]) == ExitCode.WRONG_USE


def test_interrupted_command_is_unverified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(**_: object) -> Engine:
        raise KeyboardInterrupt

    monkeypatch.setattr(engines, "ensure", interrupt)
    assert main(["--shards=1", f"--reports={tmp_path / 'new'}"]) == ExitCode.UNVERIFIED
