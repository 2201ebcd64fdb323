from __future__ import annotations

import importlib
from pathlib import Path

import pytest

toolkit = importlib.import_module("stand_ins.toolkit")


RULES = """
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
    """The action `some-action`, which has inputs of every kind."""
    (tmp_path / "some-action").mkdir()
    (tmp_path / "some-action" / "inputs.toml").write_text(RULES, "utf-8")
    monkeypatch.setattr(toolkit, "ACTIONS", tmp_path)


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ({}, ""),
        ({"INPUT_TO-DO": " a "}, "a"),
        ({"INPUT_TO_DO": "b"}, "b"),
        ({"INPUT_TO-DO": "a", "INPUT_TO_DO": "b"}, "a"),
        ({"INPUT_TO-DO": "", "INPUT_TO_DO": "b"}, "b"),
    ],
)
def test_an_input_is_read_by_each_of_its_names(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], value: str
) -> None:
    for name, text in given.items():
        monkeypatch.setenv(name, text)
    assert toolkit.inputs("some-action")["to-do"] == value


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
def test_yes_and_no_are_read_as_the_action_does(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, value: bool
) -> None:
    monkeypatch.setenv(f"INPUT_{name.upper()}", text)
    assert toolkit.inputs("some-action").switch(name) is value


def test_a_word_that_the_action_refuses_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INPUT_DEEP", "yes")
    with pytest.raises(toolkit.Failure, match="the input deep is 'yes'"):
        toolkit.inputs("some-action").switch("deep")


@pytest.mark.parametrize(("name", "text"), [("mode", "slow\nly"), ("full", "False")])
def test_a_value_that_the_stand_in_cannot_do_ends_the_action(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, text: str
) -> None:
    monkeypatch.setenv(f"INPUT_{name.upper()}", text)
    with pytest.raises(SystemExit) as ended:
        toolkit.inputs("some-action")
    assert ended.value.code == 1
    assert f'e2e-unsupported {{"why": "the input {name}: ' in capsys.readouterr().out


@pytest.mark.parametrize(("name", "text"), [("mode", "fast"), ("mode", ""), ("full", "TRUE")])
def test_a_value_that_the_stand_in_can_do_is_let_through(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    monkeypatch.setenv(f"INPUT_{name.upper()}", text)
    assert toolkit.inputs("some-action")[name] == text


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
