"""The stand-in for pypa/cibuildwheel, with a fake builder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from containers.runner.build_queue import BuildRequest
from tests.helpers.stand_ins import Action, version_variables

WHEEL = "a-1-py3-none-any.whl"
BUILT = {"reused": False, "seconds": 2.0, "error": "", "unsupported": ""}
Captured = pytest.CaptureFixture[str]


class Builder:
    """A fake builder. It answers the build request of the stand-in action."""

    def __init__(self, folder: Path, captured: Captured) -> None:
        self.files: dict[str, bytes] = {WHEEL: b"wheel", "build.log": b"the log\n"}
        self.answer: dict[str, object] = dict(BUILT)
        self.request: dict[str, Any] = {}
        self.output = ""
        self._folder = folder
        self._captured = captured

    def wait(self, _seconds: float) -> None:
        """Answer the request. The stand-in action calls this instead of `time.sleep`."""
        self.output += self._captured.readouterr().out
        word, _, text = self.output.splitlines()[-1].partition(" ")
        assert word == "e2e-build"
        self.request = json.loads(text)
        results = Path(self.request["results_folder"])
        assert results.parent == self._folder
        for name, content in self.files.items():
            (results / name).write_bytes(content)
        (results / "done.json").write_text(json.dumps(self.answer), "utf-8")


@pytest.fixture
def action(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Action:
    for name in [name for name in os.environ if name.startswith("CIBW_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("RUNNER_TEMP", str(tmp_path / "temporary"))
    wheels = Action("wheels", "pypa-cibuildwheel", tmp_path, monkeypatch)
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "pyproject.toml").touch()
    return wheels


@pytest.fixture
def builder(
    action: Action, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Captured
) -> Builder:
    fake = Builder(tmp_path / "temporary", capsys)
    identifiers = {"linux": ["cp313-linux"], "windows": ["cp313-windows"]}
    monkeypatch.setattr(action.module, "_identifiers", lambda _, platform: identifiers[platform])
    builds = sys.modules["stand_ins.builds"]
    monkeypatch.setattr(builds.time, "sleep", fake.wait)
    monkeypatch.setattr(builds.socket, "gethostname", lambda: "0123456789ab")
    return fake


@pytest.mark.usefixtures("builder")
def test_built_wheel_is_copied_to_the_output_folder(
    action: Action, tmp_path: Path, capsys: Captured
) -> None:
    action.run(package__dir="package", output__dir="dist/wheels")
    assert [path.name for path in (tmp_path / "dist/wheels").iterdir()] == [WHEEL]
    assert (tmp_path / "dist/wheels" / WHEEL).read_bytes() == b"wheel"
    assert capsys.readouterr().out.startswith("the log\n")


def test_request_has_the_source_and_the_build_identifiers(
    action: Action, builder: Builder, tmp_path: Path
) -> None:
    action.run(package__dir="package")
    assert builder.request.keys() | {"kinds"} == BuildRequest.model_fields.keys()
    assert builder.request["container"] == "0123456789ab"
    assert builder.request["source"] == str(tmp_path / "package")
    assert builder.request["selected"] == {"linux": ["cp313-linux"], "windows": ["cp313-windows"]}


def test_reused_wheel_is_printed_in_another_way_than_a_new_one(
    action: Action, builder: Builder, capsys: Captured
) -> None:
    printed = set()
    for reused in (True, False):
        builder.answer["reused"] = reused
        action.run(package__dir="package")
        (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith(WHEEL)]
        printed.add(line)
    assert len(printed) == 2


def test_failed_build_fails_the_step_without_a_wheel(
    action: Action, builder: Builder, tmp_path: Path
) -> None:
    builder.answer["error"] = "cibuildwheel: the compiler failed"
    with pytest.raises(Exception, match=r"^cibuildwheel: the compiler failed$"):
        action.run(package__dir="package")
    assert not (tmp_path / "wheelhouse").exists()


def test_build_that_the_builder_does_not_support_is_unsupported(
    action: Action, builder: Builder, tmp_path: Path, capsys: Captured
) -> None:
    builder.answer["unsupported"] = "another Python"
    assert unsupported(action, capsys, package__dir="package") == "another Python"
    assert not (tmp_path / "wheelhouse").exists()


def unsupported(action: Action, captured: Captured, **inputs: str) -> str:
    """Run the stand-in action, which must report an unsupported feature. Return the feature."""
    with pytest.raises(SystemExit) as exit_info:
        action.run(**inputs)
    assert exit_info.value.code == 1
    (line,) = [
        line.removeprefix("e2e-unsupported ")
        for line in captured.readouterr().out.splitlines()
        if line.startswith("e2e-unsupported ")
    ]
    return str(json.loads(line)["why"])


@pytest.mark.parametrize("name", ["config-file", "extras"])
def test_unsupported_input_ends_the_action(action: Action, capsys: Captured, name: str) -> None:
    assert name in unsupported(action, capsys, **{name.replace("-", "__"): "x"})


@pytest.mark.parametrize(
    "name",
    [
        *("CIBW_TEST_COMMAND", "CIBW_ENVIRONMENT_LINUX", "CIBW_BEFORE_ALL", "CIBW_PLATFORM"),
        *("CIBW_MANYLINUX_X86_64_IMAGE", "CIBW_BUILD_FRONTEND", "CIBW_TEST_SKIP"),
    ],
)
def test_setting_that_changes_the_build_is_unsupported(
    action: Action, monkeypatch: pytest.MonkeyPatch, capsys: Captured, name: str
) -> None:
    monkeypatch.setenv(name, "x")
    monkeypatch.setenv("CIBW_BUILD", "cp313-*")
    reason = unsupported(action, capsys, package__dir="package")
    assert name in reason
    assert "CIBW_BUILD," not in f"{reason},".replace("CIBW_BUILD_FRONTEND", "")


@pytest.mark.parametrize(
    "name",
    [
        *("CIBW_BUILD", "CIBW_SKIP", "CIBW_ARCHS", "CIBW_ARCHS_LINUX", "CIBW_BUILD_WINDOWS"),
        *("CIBW_ENABLE", "CIBW_BUILD_VERBOSITY", "CIBW_BEFORE_ALL_MACOS", "CIBW_ARCHS_MACOS"),
    ],
)
def test_setting_that_only_selects_builds_is_supported(
    action: Action, builder: Builder, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "x")
    monkeypatch.setattr(action.module, "_of_version", lambda names, *_: names)
    action.run(package__dir="package")
    assert builder.request["selected"] == {"linux": ["cp313-linux"], "windows": ["cp313-windows"]}


@pytest.mark.parametrize(
    ("only", "selected"),
    [
        ("cp313-manylinux_x86_64", {"linux": ["cp313-manylinux_x86_64"], "windows": []}),
        ("cp313-win_amd64", {"linux": [], "windows": ["cp313-win_amd64"]}),
        ("cp313-macosx_arm64", {"linux": [], "windows": []}),
    ],
)
def test_input_only_replaces_the_selection(
    action: Action, builder: Builder, only: str, selected: dict[str, list[str]]
) -> None:
    action.run(package__dir="package", only=only)
    assert builder.request["selected"] == selected


def test_setting_that_is_wrong_for_one_platform_fails_only_there(
    action: Action, builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def list_identifiers(_: Path, platform: str) -> list[str]:
        if platform == "windows":
            raise action.module.Failure("cibuildwheel: invalid archs")
        return ["cp313-linux"]

    monkeypatch.setattr(action.module, "_identifiers", list_identifiers)
    action.run(package__dir="package")
    assert builder.request["selected"] == {"linux": ["cp313-linux"]}
    assert builder.request["refused"] == {"windows": "cibuildwheel: invalid archs"}


@pytest.mark.parametrize(
    ("variables", "selected"),
    [
        ({"CIBW_BUILD": "cp313-*"}, ["cp313-manylinux_x86_64", "cp313-musllinux_x86_64"]),
        ({"CIBW_BUILD": "cp313-*", "CIBW_SKIP": "*musl*"}, ["cp313-manylinux_x86_64"]),
        (
            {"CIBW_BUILD": "cp313-many*", "CIBW_ARCHS_LINUX": "x86_64 aarch64"},
            ["cp313-manylinux_aarch64", "cp313-manylinux_x86_64"],
        ),
    ],
)
def test_variables_select_the_build_identifiers(
    action: Action,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    variables: dict[str, str],
    selected: list[str],
) -> None:
    for name, text in (variables | version_variables("pypa-cibuildwheel", "v3.4.1")).items():
        monkeypatch.setenv(name, text)
    values = action.module.Inputs("pypa-cibuildwheel")
    assert action.module._selected(tmp_path / "package", "linux", values) == selected


def test_folder_without_a_project_fails_with_the_words_of_cibuildwheel(action: Action) -> None:
    with pytest.raises(Exception, match="Could not find any of") as failure:
        action.run()
    assert isinstance(failure.value, action.module.Failure)


@pytest.mark.parametrize("name", ["pyproject.toml", "setup.py", "setup.cfg"])
@pytest.mark.usefixtures("builder")
def test_project_has_one_of_three_files(action: Action, tmp_path: Path, name: str) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / name).touch()
    action.run(package__dir="other")
    assert (tmp_path / "wheelhouse" / WHEEL).is_file()


@pytest.mark.usefixtures("builder")
def test_builder_without_an_answer_is_a_failure_of_the_testbed(
    action: Action, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.modules["stand_ins.builds"], "_SECONDS", -1)
    with pytest.raises(SystemExit):
        action.run(package__dir="package")
    assert 'e2e-failure {"cause": "machine-lost"' in capsys.readouterr().out


def identifiers(
    action: Action, monkeypatch: pytest.MonkeyPatch, code: int
) -> tuple[list[str], list[str]]:
    """Let a fake cibuildwheel end with `code`. Return its build identifiers and its command."""
    commands: list[list[str]] = []

    def run(command: tuple[str, ...], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(list(command))
        return subprocess.CompletedProcess(command, code, "cp313-win_amd64\ncp314-win32\n", "")

    monkeypatch.setattr(action.module.subprocess, "run", run)
    return action.module._identifiers(Path("/package"), "windows"), commands[0]


def test_cibuildwheel_lists_the_build_identifiers(
    action: Action, monkeypatch: pytest.MonkeyPatch
) -> None:
    names, command = identifiers(action, monkeypatch, 0)
    assert names == ["cp313-win_amd64", "cp314-win32"]
    assert command[1:4] == ["-m", "cibuildwheel", "--print-build-identifiers"]
    assert command[4:] == ["--platform", "windows", "/package"]


def test_settings_that_cibuildwheel_refuses_fail_the_step(
    action: Action, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Exception, match="exit code 2") as failure:
        identifiers(action, monkeypatch, 2)
    assert isinstance(failure.value, action.module.Failure)


@pytest.mark.parametrize(
    ("version", "settings", "platform", "selected"),
    [
        ("v4.2.0", 'build = "cp313-manylinux*"', "linux", ["cp313-manylinux_x86_64"]),
        ("v3.4.1", 'build = "cp313-manylinux*"', "linux", ["cp313-manylinux_x86_64"]),
        (
            "v2.23.3",
            'build = "cp313-manylinux*"',
            "linux",
            ["cp313-manylinux_x86_64", "cp313-manylinux_i686"],
        ),
        (
            "v2.23.3",
            'build = "cp313-manylinux*"\narchs = ["auto64"]',
            "linux",
            ["cp313-manylinux_x86_64"],
        ),
        ("v4.2.0", 'build = "{cp38,cp39}-win_amd64"', "windows", ["cp39-win_amd64"]),
        (
            "v3.4.1",
            'build = "{cp38,cp39}-win_amd64"',
            "windows",
            ["cp38-win_amd64", "cp39-win_amd64"],
        ),
        ("v3.4.1", 'build = "{pp311,cp315}-win_amd64"', "windows", []),
        ("v2.23.3", 'build = "{pp311,cp315}-win_amd64"', "windows", ["pp311-win_amd64"]),
        ("v4.2.0", 'build = "cp315-win_amd64"', "windows", ["cp315-win_amd64"]),
    ],
)
def test_identifiers_are_those_of_the_major_version(
    action: Action,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    version: str,
    settings: str,
    platform: str,
    selected: list[str],
) -> None:
    project = tmp_path / "package"
    (project / "pyproject.toml").write_text(f"[tool.cibuildwheel]\n{settings}\n", "utf-8")
    for name, text in version_variables("pypa-cibuildwheel", version).items():
        monkeypatch.setenv(name, text)
    module = action.module
    names = module._identifiers(project, platform)
    values = module.Inputs("pypa-cibuildwheel")
    assert module._of_version(names, project, platform, values) == selected


@pytest.mark.parametrize(("version", "ignored"), [("v2.23.3", True), ("v4.2.0", False)])
@pytest.mark.usefixtures("builder")
def test_input_of_a_later_version_is_ignored(
    action: Action, capsys: Captured, monkeypatch: pytest.MonkeyPatch, version: str, ignored: bool
) -> None:
    monkeypatch.setattr(action.module, "_of_version", lambda names, *_: names)
    if ignored:
        action.run(version, package__dir="package", extras="uv")
    else:
        with pytest.raises(SystemExit):
            action.run(version, package__dir="package", extras="uv")
        assert "extras" in capsys.readouterr().out
