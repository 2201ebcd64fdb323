from __future__ import annotations

import argparse

import pytest

from verification.commands import parser
from verification.models.errors import WrongUse
from verification.scenarios import machines, profiles


def _pytest_words(*words: str) -> list[str]:
    return parser.pytest_arguments(*parser.parse(["gate", *words]))


def test_each_command_has_a_parser_with_a_description() -> None:
    root, commands = parser.build_parsers()
    assert list(commands) == list(parser.COMMANDS)
    for name, command in commands.items():
        assert command.prog == f"./e2e {name}"
        assert command.description
        assert f"./e2e {name}" in root.format_usage()


def test_choices_are_the_names_of_the_machines_and_profiles() -> None:
    _, commands = parser.build_parsers()
    choices = {action.dest: action.choices for action in commands["gate"]._actions}
    assert choices["machine"] == list(machines.load())
    assert choices["profile"] == list(profiles.load())
    assert all(name in commands["gate"].format_help() for name in profiles.load())


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("--strict", ["--strict-verdict"]),
        ("--profile full", ["--profile=full"]),
        ("--machine debian-12 --machine=debian-13", ["--machine=debian-12", "--machine=debian-13"]),
        ("--no-pipeline --actions-from x", ["--no-pipeline", "--actions-from=x"]),
        ("-n 4 -k a --strict -v --lf", ["--strict-verdict", "-n", "4", "-k", "a", "-v", "--lf"]),
        ("--deselect a::b -rN", ["--deselect", "a::b", "-rN"]),
        ("--stric", ["--stric"]),
    ],
)
def test_options_of_the_gate_and_of_pytest_are_passed_on(typed: str, words: list[str]) -> None:
    assert _pytest_words(*typed.split()) == words


def test_keyword_of_several_words_stays_one_word() -> None:
    assert _pytest_words("-k", "pip and not venv") == ["-k", "pip and not venv"]


def test_missing_option_has_an_empty_value() -> None:
    options, _ = parser.parse(["reproduce"])
    assert options == argparse.Namespace(
        command="reproduce", python="", os="", arch="", glibc="", pip="", uv="", installer="",
        scenario="",
        source=None, wheels=None, release=None, history=None, no_provision=False, report="",
    )  # fmt: skip


def test_unknown_option_is_wrong_use() -> None:
    with pytest.raises(WrongUse, match=r"^bundle: unrecognized arguments: --bad$"):
        parser.parse(["bundle", "--bad"])
