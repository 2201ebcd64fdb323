from __future__ import annotations

import argparse
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from containers import engine as engines
from containers.engine import Engine
from tests.helpers.sample_testbed import ENGINE
from verification.commands import clean
from verification.models.errors import ExitCode, TestbedFailure

Calls = list[str]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Replace the engine by a fake with resources of this project. Return the log of its calls."""
    log: Calls = []

    def note(call: str, result: int) -> int:
        log.append(call)
        return result

    def client(_engine: Engine) -> SimpleNamespace:
        return SimpleNamespace(close=lambda: log.append("close"))

    def sweep(_client: object, *, everything: bool) -> int:
        return note("sweep everything" if everything else "sweep", 7)

    monkeypatch.setattr(engines, "find", lambda: (ENGINE, []))
    monkeypatch.setattr(Engine, "client", client)
    monkeypatch.setattr(engines, "sweep", sweep)
    monkeypatch.setattr(engines, "remove_images", lambda _: note("images", 3))
    monkeypatch.setattr(engines, "remove_kept", lambda _: note("kept", 5))
    monkeypatch.setattr(engines, "stop_provided", lambda: bool(note("stop", 0)))
    return log


@pytest.fixture
def no_engine(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> Calls:
    monkeypatch.setattr(engines, "find", lambda: (None, ["unix:///none: no answer"]))
    return calls


@pytest.fixture
def state(isolated: Path) -> Path:
    """Return a state folder with files and folders."""
    for name in ("wheels/a.whl", "tox/bin/tox", "tox-1/x", "locks/engine.lock", "dockerd.log"):
        path = isolated / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return isolated


def run(*, kept: bool = False) -> int:
    return clean.run(argparse.Namespace(kept=kept))


def remaining(state: Path) -> set[str]:
    return {path.name for path in state.iterdir()}


def test_clean_removes_everything_from_the_engine_and_the_state_folder(
    calls: Calls, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run() == ExitCode.VERIFIED
    assert calls == ["sweep everything", "images", "close", "stop"]
    output = capsys.readouterr().out
    assert re.search(r"\b7 \w+.*\b3 \w+", output)
    assert remaining(state) == {"tox", "tox-1"}


@pytest.mark.usefixtures("no_engine")
def test_clean_without_an_engine_removes_the_files(state: Path) -> None:
    assert run() == ExitCode.VERIFIED
    assert remaining(state) == {"tox", "tox-1"}
    assert (state / "tox" / "bin" / "tox").is_file()


def test_clean_without_an_engine_makes_no_call(no_engine: Calls) -> None:
    run()
    assert no_engine == []


def test_missing_state_folder_is_no_error(calls: Calls, isolated: Path) -> None:
    assert run() == ExitCode.VERIFIED
    assert "sweep everything" in calls
    assert remaining(isolated) == set()


@pytest.mark.usefixtures("calls")
def test_stopping_the_engine_of_this_project_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = []
    for stopped in (False, True):
        monkeypatch.setattr(engines, "stop_provided", lambda stopped=stopped: stopped)
        run()
        outputs.append(capsys.readouterr().out.splitlines())
    assert len(outputs[1]) == len(outputs[0]) + 1


def test_option_kept_removes_only_the_kept_machines(
    calls: Calls, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = remaining(state)
    assert run(kept=True) == ExitCode.VERIFIED
    assert calls == ["kept", "close"]
    assert " 5 " in capsys.readouterr().out
    assert remaining(state) == before


@pytest.mark.usefixtures("no_engine")
def test_option_kept_without_an_engine_is_a_testbed_failure() -> None:
    with pytest.raises(TestbedFailure) as raised:
        run(kept=True)
    assert raised.value.cause == "engine-unreachable"
    assert "unix:///none" in raised.value.message
