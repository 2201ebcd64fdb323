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
        (">=3.11,<3.14", True),
        ("3.11 - 3.13", True),
        ("3.11 - 3.12", False),
        ("3.13 - 3.13.5", True),
        ("3.13t", False),
        ("pypy3.11", False),
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


VARIABLES = [
    "pythonLocation",
    "Python_ROOT_DIR",
    "Python2_ROOT_DIR",
    "Python3_ROOT_DIR",
    "PKG_CONFIG_PATH",
]


def available_version() -> str:
    return platform.python_version()


@pytest.mark.parametrize(
    ("update", "variables"),
    [("true", VARIABLES), ("False", [])],
)
def test_update_environment_sets_variables(
    action: Action, update: str, variables: list[str]
) -> None:
    action.run(python__version=available_version(), update__environment=update)

    file = action.folder / "github_env"
    lines = file.read_text("utf-8").splitlines() if file.exists() else []
    assert [line.partition("=")[0] for line in lines] == variables
    assert action.outputs["python-version"] == available_version()


@pytest.mark.parametrize(
    ("version", "file", "text", "is_read"),
    [
        ("v7.0.0", ".python-version", "# comment\nVERSION/envs/x\n", True),
        ("v5.6.0", ".python-version", "# comment\nVERSION\n", False),
        ("v5.6.0", ".python-version", "VERSION\n", True),
        ("v7.0.0", "other", "VERSION\n", True),
        ("v5.0.0", "pyproject.toml", '[project]\nrequires-python = ">=3.9,<4"', True),
    ],
)
def test_version_can_be_in_a_file(
    action: Action, version: str, file: str, text: str, is_read: bool
) -> None:
    (action.folder / file).write_text(text.replace("VERSION", available_version()), "utf-8")
    inputs = {} if file == ".python-version" else {"python__version__file": file}
    if not is_read:
        with pytest.raises(Exception, match="is not a version"):
            action.run(version, **inputs)
        return
    action.run(version, **inputs)
    assert action.outputs["python-version"] == available_version()


@pytest.mark.parametrize(
    ("file", "path", "fails"),
    [
        ("sub/requirements.txt", "", False),
        ("pyproject.toml", "", False),
        ("other.txt", "", True),
        ("other.txt", "other.txt", False),
    ],
)
def test_cache_needs_a_file_for_its_key(action: Action, file: str, path: str, fails: bool) -> None:
    (action.folder / file).parent.mkdir(exist_ok=True)
    (action.folder / file).touch()
    inputs = {
        "python__version": available_version(),
        "cache": "pip",
        "cache__dependency__path": path,
    }
    if fails:
        with pytest.raises(Exception, match=r"No file in .* matched"):
            action.run(**inputs)
        return
    action.run(**inputs)
    assert action.outputs["cache-hit"] == "false"


def test_nothing_is_set_up_without_a_version(action: Action) -> None:
    action.run()
    assert not (action.folder / "github_output").exists()


def test_missing_version_file_fails_the_step(action: Action) -> None:
    with pytest.raises(Exception, match="file at: none doesn't exist"):
        action.run(python__version__file="none")


@pytest.mark.parametrize(
    ("version", "inputs", "feature"),
    [
        ("v7.0.0", {"cache": "poetry"}, "cache"),
        ("v7.0.0", {"architecture": "x86"}, "architecture"),
        ("v7.0.0", {"freethreaded": "True"}, "freethreaded"),
        ("v7.0.0", {"pip__version": "26"}, "pip-version"),
        ("v6.1.0", {"pip__install": "build"}, "pip-install"),
        ("v7.0.0", {"python__version": "3.1"}, "3.1"),
        ("v7.0.0", {"python__version": "pypy3.11"}, "pypy3.11"),
        ("v7.0.0", {"python__version__file": "pyproject.toml"}, "pyproject.toml"),
    ],
)
def test_unsupported_input_is_named_with_the_version(
    action: Action,
    capsys: pytest.CaptureFixture[str],
    version: str,
    inputs: dict[str, str],
    feature: str,
) -> None:
    (action.folder / "pyproject.toml").touch()
    with pytest.raises(SystemExit):
        action.run(version, **inputs)
    reported = capsys.readouterr().out
    assert "e2e-unsupported" in reported
    assert feature in reported
    assert version in reported


@pytest.mark.parametrize(
    ("version", "inputs"),
    [
        ("v7.0.0", {"pip__install": "build"}),
        ("v6.0.0", {"pip__install": "build"}),
        ("v5.6.0", {"pip__version": "26"}),
        ("v5.4.0", {"freethreaded": "true"}),
    ],
)
def test_input_that_the_version_lacks_is_ignored(
    action: Action, version: str, inputs: dict[str, str]
) -> None:
    action.run(version, python__version=available_version(), **inputs)
    assert action.outputs["python-version"] == available_version()
