"""The request for existing files, with a fake host."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from containers.runner.build_queue import BuildAnswer, BuildRequest
from tests.helpers.stand_ins import RUNNER

SDIST = "a-1.tar.gz"


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    monkeypatch.setattr(sys, "path", [*sys.path, str(RUNNER)])
    monkeypatch.setenv("RUNNER_TEMP", str(tmp_path))
    module = importlib.import_module("stand_ins.builds")
    monkeypatch.setattr(module.socket, "gethostname", lambda: "0123456789ab")
    return module


def answer(folder: Path, **values: object) -> None:
    """Answer the request as the host does."""
    (results,) = folder.glob("e2e-build-*")
    (results / SDIST).write_bytes(b"sdist")
    (results / "build.log").touch()
    text = BuildAnswer.model_validate({"reused": True, **values}).model_dump_json()
    (results / "done.json").write_text(text)


def test_existing_files_are_copied_into_the_folder_of_the_step(
    builds: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(builds.time, "sleep", lambda _: answer(tmp_path))
    monkeypatch.setattr(sys, "argv", ["builds", str(tmp_path / "dist"), "wheel", "sdist"])
    builds.main()
    assert [path.name for path in (tmp_path / "dist").iterdir()] == [SDIST]
    marker, _, text = capsys.readouterr().out.splitlines()[0].partition(" ")
    request = BuildRequest.model_validate(json.loads(text))
    assert marker == "e2e-build"
    assert (request.kinds, request.source) == (("wheel", "sdist"), "")


def test_missing_files_end_the_step_as_unsupported(
    builds: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(builds.time, "sleep", lambda _: answer(tmp_path, unsupported="no wheel"))
    with pytest.raises(SystemExit):
        builds.request_files(tmp_path / "dist", kinds=["wheel"])
    assert 'e2e-unsupported {"why": "no wheel"}' in capsys.readouterr().out
