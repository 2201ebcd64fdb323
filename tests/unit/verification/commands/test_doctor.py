from __future__ import annotations

import argparse
import shutil
from typing import NamedTuple

import pytest

from containers import engine
from verification.commands import doctor
from verification.models.errors import ExitCode


class Usage(NamedTuple):
    free: float


@pytest.fixture(autouse=True)
def _no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no engine answer, all programs be there, and the disk be empty."""
    monkeypatch.setattr(engine, "find", lambda: (None, ["unix:///x: there is no such socket"]))
    monkeypatch.setattr(engine, "start_obstacle", lambda: None)
    monkeypatch.setattr(engine, "provision_obstacle", lambda: "only root can install one")
    monkeypatch.setattr(shutil, "which", lambda program: f"/usr/bin/{program}")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(9e10))


def _doctor(capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    return doctor.run(argparse.Namespace()), capsys.readouterr().out


def test_an_engine_that_the_gate_provides_is_no_obstacle(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, printed = _doctor(capsys)
    assert code == ExitCode.VERIFIED
    assert "missing  unix:///x: there is no such socket\n         fix: nothing to do" in printed
    assert "ok       mmdebstrap: /usr/bin/mmdebstrap" in printed
    assert "ok       disk: 90 GB free (5 GB are needed)" in printed


def test_an_engine_that_cannot_be_provided_is_missing_and_the_fix_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(engine, "start_obstacle", lambda: "only root can install one")
    code, printed = _doctor(capsys)
    assert code == ExitCode.TESTBED_FAILED
    assert "fix: only root can install one; as root on Debian: apt-get install docker.io" in printed


def test_a_program_that_is_missing_is_named_with_its_package(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    code, printed = _doctor(capsys)
    assert code == ExitCode.TESTBED_FAILED
    assert "missing  mmdebstrap (base images are made with it)" in printed
    assert "fix: apt-get install mmdebstrap" in printed
    monkeypatch.setattr(engine, "provision_obstacle", lambda: None)
    code, printed = _doctor(capsys)
    assert code == ExitCode.VERIFIED
    assert "missing  docker (cibuildwheel starts its containers with it); ./e2e gate" in printed


def test_a_full_disk_is_missing_space(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1e9))
    code, printed = _doctor(capsys)
    assert code == ExitCode.TESTBED_FAILED
    assert "missing  disk: 1 GB free" in printed
