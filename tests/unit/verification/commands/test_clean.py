from __future__ import annotations

import argparse
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
    """Return what is asked of an engine on which there are some things of this project."""
    made: Calls = []

    def note(call: str, result: int) -> int:
        made.append(call)
        return result

    def client(_engine: Engine) -> SimpleNamespace:
        return SimpleNamespace(close=lambda: made.append("close"))

    def sweep(_client: object, *, everything: bool) -> int:
        return note("sweep everything" if everything else "sweep", 7)

    monkeypatch.setattr(engines, "find", lambda: (ENGINE, []))
    monkeypatch.setattr(Engine, "client", client)
    monkeypatch.setattr(engines, "sweep", sweep)
    monkeypatch.setattr(engines, "remove_images", lambda _: note("images", 3))
    monkeypatch.setattr(engines, "remove_kept", lambda _: note("kept", 5))
    monkeypatch.setattr(engines, "stop_provided", lambda: bool(note("stop", 0)))
    return made


@pytest.fixture
def no_engine(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> Calls:
    monkeypatch.setattr(engines, "find", lambda: (None, ["unix:///none: no engine answers"]))
    return calls


@pytest.fixture
def state(isolated: Path) -> Path:
    """Return a state folder with files and folders in it."""
    for name in ("wheels/a.whl", "tox/bin/tox", "tox-1/x", "locks/engine.lock", "dockerd.log"):
        path = isolated / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return isolated


def run(*, kept: bool = False) -> int:
    return clean.run(argparse.Namespace(kept=kept))


def remaining(state: Path) -> set[str]:
    return {path.name for path in state.iterdir()}


def test_everything_on_the_engine_is_removed(
    calls: Calls, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run() == ExitCode.VERIFIED
    assert calls == ["sweep everything", "images", "close", "stop"]
    output = capsys.readouterr().out
    assert "removed 7 containers" in output
    assert "3 images" in output
    assert remaining(state) == {"tox", "tox-1"}


@pytest.mark.usefixtures("no_engine")
def test_without_an_engine_the_files_are_removed_all_the_same(state: Path) -> None:
    assert run() == ExitCode.VERIFIED
    assert remaining(state) == {"tox", "tox-1"}
    assert (state / "tox" / "bin" / "tox").is_file()


def test_without_an_engine_nothing_is_asked_of_it(no_engine: Calls) -> None:
    run()
    assert no_engine == []


def test_a_state_folder_that_does_not_exist_is_no_error(calls: Calls, isolated: Path) -> None:
    assert run() == ExitCode.VERIFIED
    assert "sweep everything" in calls
    assert remaining(isolated) == set()


@pytest.mark.parametrize("stopped", [True, False])
@pytest.mark.usefixtures("calls")
def test_an_engine_of_this_project_is_stopped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stopped: bool
) -> None:
    monkeypatch.setattr(engines, "stop_provided", lambda: stopped)
    run()
    assert ("stopped the engine" in capsys.readouterr().out) is stopped


def test_only_kept_machines_are_removed_on_request(
    calls: Calls, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = remaining(state)
    assert run(kept=True) == ExitCode.VERIFIED
    assert calls == ["kept", "close"]
    assert "removed 5 " in capsys.readouterr().out
    assert remaining(state) == before


@pytest.mark.usefixtures("no_engine")
def test_kept_machines_need_an_engine() -> None:
    with pytest.raises(TestbedFailure) as failure:
        run(kept=True)
    assert failure.value.cause == "engine-unreachable"
    assert "unix:///none" in failure.value.observed
