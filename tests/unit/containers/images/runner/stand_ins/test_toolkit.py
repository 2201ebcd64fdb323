from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

toolkit = importlib.import_module("stand_ins.toolkit")


def test_an_input_that_is_not_given_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INPUTS", json.dumps({"a": None, "b": 1, "c": "x"}))
    assert toolkit.inputs() == {"a": "", "b": "1", "c": "x"}


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("TRUE", True), ("False", False), ("", False)]
)
def test_a_yes_or_no_input_has_the_words_of_yaml(text: str, value: bool) -> None:
    assert toolkit.boolean("x", text) is value


def test_another_word_is_refused() -> None:
    with pytest.raises(toolkit.Failure, match="the input x is 'yes'"):
        toolkit.boolean("x", "yes")


def test_an_output_may_have_several_lines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    toolkit.output("a", "x\ny")
    first, *middle, last = (tmp_path / "output").read_text().splitlines()
    assert first == f"a<<{last}"
    assert middle == ["x", "y"]


@pytest.mark.parametrize("error", [toolkit.Failure("50%\nmore"), OSError("50%\nmore")])
def test_a_failure_is_a_command_of_one_line(
    capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        toolkit.run(fail, OSError)
    assert ended.value.code == 1
    assert capsys.readouterr().out == "::error::50%25%0Amore\n"


def test_an_action_that_passes_ends_well() -> None:
    with pytest.raises(SystemExit) as ended:
        toolkit.run(lambda: None)
    assert ended.value.code == 0


def test_what_a_stand_in_cannot_do_is_reported_to_the_host(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        toolkit.unsupported("submodules")
    assert 'e2e-unsupported {"why": "submodules"}' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "cause"), [(OSError("gone"), "index-unreachable"), (KeyError("x"), "testbed-defect")]
)
def test_an_error_that_is_not_the_workflows_is_reported_to_the_host(
    capsys: pytest.CaptureFixture[str], error: Exception, cause: str
) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        toolkit.run(fail, lost={OSError: "index-unreachable"})
    assert ended.value.code == 1
    assert f'e2e-failure {{"cause": "{cause}"' in capsys.readouterr().out
