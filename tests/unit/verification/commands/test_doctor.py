from __future__ import annotations

import argparse
import shutil
from typing import NamedTuple

import pytest

from containers import engine
from verification.commands import doctor
from verification.models.errors import ExitCode, TestbedFailure


class Usage(NamedTuple):
    free: float


@pytest.fixture(autouse=True)
def _no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command `doctor` find no engine, all programs, and free disk space."""
    monkeypatch.setattr(engine, "find", lambda: (None, ["unix:///x: no answer"]))
    monkeypatch.setattr(engine, "start_obstacle", lambda: None)
    monkeypatch.setattr(engine, "provision_obstacle", lambda: "not root")
    monkeypatch.setattr(shutil, "which", lambda program: f"/usr/bin/{program}")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(9e10))


def _doctor(capsys: pytest.CaptureFixture[str]) -> tuple[int, list[tuple[str, str]]]:
    """Run `doctor`. Return its exit code, and each line as word ("ok", "missing") and text."""
    code = doctor.run(argparse.Namespace())
    lines = capsys.readouterr().out.splitlines()
    return code, [(line[:8].strip(), line[9:]) for line in lines]


def _text(lines: list[tuple[str, str]], word: str, start: str) -> str:
    """Return the text of the only line with this word whose text begins with `start`."""
    (text,) = [text for line_word, text in lines if line_word == word and text.startswith(start)]
    return text


def test_engine_that_the_gate_can_start_needs_no_fix(capsys: pytest.CaptureFixture[str]) -> None:
    code, lines = _doctor(capsys)
    assert code == ExitCode.VERIFIED
    assert "no answer" in _text(lines, "missing", "unix:///x")
    assert "./e2e gate" in _text(lines, "", "fix: ")
    assert "/usr/bin/mmdebstrap" in _text(lines, "ok", "mmdebstrap")
    assert "90 GB" in _text(lines, "ok", "disk")


def test_engine_that_cannot_be_started_has_a_fix(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    obstacle = engine.Obstacle(reason="not root", fix="ask somebody")
    monkeypatch.setattr(engine, "start_obstacle", lambda: obstacle)
    code, lines = _doctor(capsys)
    assert code == ExitCode.TESTBED_FAILED
    assert any("not root" in text for _, text in lines)
    assert _text(lines, "", "fix: ") == "fix: ask somebody"


def test_doctor_and_the_refusal_of_a_gate_have_the_same_fix(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    obstacle = engine.Obstacle(reason="the engine refuses", fix="join the group")
    monkeypatch.setattr(engine, "start_obstacle", lambda **_: obstacle)
    _, lines = _doctor(capsys)
    with pytest.raises(TestbedFailure) as raised:
        engine.ensure()
    for text in (obstacle.reason, obstacle.fix):
        assert text in raised.value.message
        assert any(text in line for _, line in lines)


def test_missing_program_is_named_with_its_package(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(engine, "is_debian", lambda: True)
    monkeypatch.setattr(engine, "client_package", lambda: "docker-cli")
    code, lines = _doctor(capsys)
    assert code == ExitCode.TESTBED_FAILED
    assert _text(lines, "missing", "mmdebstrap")
    assert _text(lines, "", "fix: as root run: apt-get install docker-cli")
    assert _text(lines, "", "fix: as root run: apt-get install mmdebstrap")
    monkeypatch.setattr(engine, "provision_obstacle", lambda: None)
    code, lines = _doctor(capsys)
    assert code == ExitCode.VERIFIED
    assert "./e2e gate" in _text(lines, "missing", "docker")


def test_too_little_disk_space_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1e9))
    code, lines = _doctor(capsys)
    assert code == ExitCode.TESTBED_FAILED
    assert "1 GB" in _text(lines, "missing", "disk")
