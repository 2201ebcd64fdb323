"""Inputs, outputs and failures of the stand-in actions."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

toolkit = importlib.import_module("stand_ins.toolkit")


RULES = """
plain = { default = "one" }
token = { default = "${{ github.token }}" }
named = { default = "two", aliases = ["old_name"] }
to-do = { aliases = ["to_do"] }
loud = { switch = "unless-false" }
strict = { switch = "exact" }
deep = { switch = "yaml" }
any = { switch = "any-case" }
mode = { only = ["fast"] }
full = { switch = "yaml", only = ["true"] }
"""


@pytest.fixture(autouse=True)
def action(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Create the rules of a stand-in action `some-action` with inputs of all kinds."""
    (tmp_path / "some-action").mkdir()
    (tmp_path / "some-action" / "inputs.toml").write_text(RULES, "utf-8")
    monkeypatch.setattr(toolkit, "ACTIONS", tmp_path)


@pytest.mark.parametrize(
    ("variables", "value"),
    [
        ({}, ""),
        ({"INPUT_TO-DO": " a "}, "a"),
        ({"INPUT_TO_DO": "b"}, "b"),
        ({"INPUT_TO-DO": "a", "INPUT_TO_DO": "b"}, "a"),
        ({"INPUT_TO-DO": "", "INPUT_TO_DO": "b"}, "b"),
    ],
)
def test_input_is_read_by_all_its_names(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], value: str
) -> None:
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    assert toolkit.inputs("some-action")["to-do"] == value


@pytest.mark.parametrize(
    ("name", "variables", "value"),
    [
        ("plain", {}, "one"),
        ("plain", {"INPUT_PLAIN": ""}, ""),
        ("token", {}, ""),
        ("token", {"INPUT_TOKEN": "x"}, "x"),
        ("named", {}, "two"),
        ("named", {"INPUT_NAMED": ""}, "two"),
        ("named", {"INPUT_OLD_NAME": "a"}, "a"),
        ("named", {"INPUT_OLD_NAME": ""}, ""),
    ],
)
def test_default_is_the_value_of_an_input_that_the_step_does_not_set(
    monkeypatch: pytest.MonkeyPatch, name: str, variables: dict[str, str], value: str
) -> None:
    for key, text in variables.items():
        monkeypatch.setenv(key, text)
    assert toolkit.inputs("some-action")[name] == value


@pytest.fixture
def replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the stand-in replace version 4.2.1, which lacks one input."""
    entry = {"version": "v4.2.1", "absent": {"mode": "slow"}, "defaults": {"plain": "first"}}
    monkeypatch.setenv("E2E_ACTIONS", json.dumps({"a/b@v4": entry}))
    monkeypatch.setenv("GITHUB_ACTION_REPOSITORY", "a/b")
    monkeypatch.setenv("GITHUB_ACTION_REF", "v4")


@pytest.mark.usefixtures("replaced")
def test_inputs_are_those_of_the_replaced_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INPUT_MODE", "fast")
    inputs = toolkit.Inputs("some-action")
    assert (inputs["mode"], inputs["plain"]) == ("slow", "first")
    assert (inputs.since("4.2.1"), inputs.since("4.10.0")) == (True, False)


def test_stand_in_without_a_version_replaces_the_newest() -> None:
    assert toolkit.inputs("some-action").since("999.0.0")


@pytest.mark.usefixtures("replaced")
def test_report_of_an_unsupported_feature_has_the_version(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        toolkit.unsupported("submodules")
    assert 'e2e-unsupported {"why": "submodules (a/b v4.2.1)"}' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("loud", "no", True),
        ("loud", "False", False),
        ("strict", "True", False),
        ("strict", "true", True),
        ("deep", "TRUE", True),
        ("deep", "False", False),
        ("any", "tRue", True),
        ("any", "", False),
    ],
)
def test_boolean_is_converted_as_by_the_real_action(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, value: bool
) -> None:
    monkeypatch.setenv(f"INPUT_{name.upper()}", text)
    assert toolkit.inputs("some-action").switch(name) is value


def test_invalid_boolean_fails_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INPUT_DEEP", "yes")
    with pytest.raises(toolkit.Failure, match=r"deep.*'yes'"):
        toolkit.inputs("some-action").switch("deep")


@pytest.mark.parametrize(("name", "text"), [("mode", "slow\nly"), ("full", "False")])
def test_unsupported_value_ends_the_action(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, text: str
) -> None:
    monkeypatch.setenv(f"INPUT_{name.upper()}", text)
    with pytest.raises(SystemExit) as exit_info:
        toolkit.inputs("some-action")
    assert exit_info.value.code == 1
    report, _ = capsys.readouterr().out.splitlines()
    assert report.startswith('e2e-unsupported {"why": ')
    assert name in report


@pytest.mark.parametrize(("name", "text"), [("mode", "fast"), ("mode", ""), ("full", "TRUE")])
def test_supported_value_is_returned(monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    monkeypatch.setenv(f"INPUT_{name.upper()}", text)
    assert toolkit.inputs("some-action")[name] == text


def test_output_can_have_several_lines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    toolkit.output("a", "x\ny")
    first, *middle, last = (tmp_path / "output").read_text().splitlines()
    assert first == f"a<<{last}"
    assert middle == ["x", "y"]


@pytest.mark.parametrize("error", [toolkit.Failure("50%\nmore"), OSError("50%\nmore")])
def test_failure_becomes_an_error_command_of_one_line(
    capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(SystemExit) as exit_info:
        toolkit.run(fail, OSError)
    assert exit_info.value.code == 1
    assert capsys.readouterr().out == "::error::50%25%0Amore\n"


def test_successful_action_ends_with_code_0() -> None:
    with pytest.raises(SystemExit) as exit_info:
        toolkit.run(lambda: None)
    assert exit_info.value.code == 0


def test_unsupported_feature_is_reported_to_the_host(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        toolkit.unsupported("submodules")
    assert 'e2e-unsupported {"why": "submodules"}' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "cause"), [(OSError("gone"), "index-unreachable"), (KeyError("x"), "testbed-defect")]
)
def test_testbed_error_and_defect_are_reported_with_their_cause(
    capsys: pytest.CaptureFixture[str], error: Exception, cause: str
) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(SystemExit) as exit_info:
        toolkit.run(fail, testbed_errors={OSError: "index-unreachable"})
    assert exit_info.value.code == 1
    assert f'e2e-failure {{"cause": "{cause}"' in capsys.readouterr().out
