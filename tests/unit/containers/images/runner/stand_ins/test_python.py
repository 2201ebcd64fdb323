"""The stand-in for actions/setup-python."""

from __future__ import annotations

import importlib
import platform
from pathlib import Path

import pytest
from packaging.version import Version

from tests.helpers.stand_ins import Action

python = importlib.import_module("stand_ins.python")


@pytest.mark.parametrize(
    ("requested", "matches"),
    [
        ("3", True),
        ("3.13", True),
        ("3.13.x", True),
        ("3.13-dev", True),
        ("3.13.5", True),
        ("3.12", False),
        ("3.13.4", False),
        (">=3.11 <3.14", True),
        ("<3.13", False),
    ],
)
def test_requested_version_is_a_prefix_or_a_range(requested: str, matches: bool) -> None:
    assert python._matches(requested, Version("3.13.5")) is matches


def test_invalid_version_fails_the_step() -> None:
    with pytest.raises(python.Failure, match="new"):
        python._matches("new", Version("3.13.5"))


@pytest.fixture
def action(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Action:
    return Action("python", "actions-setup-python", tmp_path, monkeypatch)


def available_version() -> str:
    return platform.python_version()


@pytest.mark.parametrize(
    ("update", "variables"),
    [("true", ["pythonLocation", "Python_ROOT_DIR", "Python3_ROOT_DIR"]), ("False", [])],
)
def test_update_environment_sets_variables(
    action: Action, update: str, variables: list[str]
) -> None:
    action.run(python__version=available_version(), update__environment=update)

    file = action.folder / "github_env"
    lines = file.read_text("utf-8").splitlines() if file.exists() else []
    assert [line.partition("=")[0] for line in lines] == variables
    assert action.outputs["python-version"] == available_version()


@pytest.mark.parametrize("inputs", [{}, {"python__version__file": "other"}])
def test_version_can_be_in_a_file(action: Action, inputs: dict[str, str]) -> None:
    file = inputs.get("python__version__file", ".python-version")
    (action.folder / file).write_text(f"# comment\n{available_version()}\n", "utf-8")
    action.run(**inputs)
    assert action.outputs["python-version"] == available_version()


def test_nothing_is_set_up_without_a_version(action: Action) -> None:
    action.run()
    assert not (action.folder / "github_output").exists()


def test_missing_version_file_fails_the_step(action: Action) -> None:
    with pytest.raises(Exception, match="file at: none doesn't exist"):
        action.run(python__version__file="none")


@pytest.mark.parametrize(
    "inputs",
    [
        {"cache": "pip"},
        {"architecture": "x86"},
        {"freethreaded": "True"},
        {"pip__version": "26"},
        {"python__version__file": "pyproject.toml"},
    ],
)
def test_unsupported_input_ends_the_action(
    action: Action, capsys: pytest.CaptureFixture[str], inputs: dict[str, str]
) -> None:
    (action.folder / "pyproject.toml").touch()
    with pytest.raises(SystemExit):
        action.run(**inputs)
    assert "e2e-unsupported" in capsys.readouterr().out
