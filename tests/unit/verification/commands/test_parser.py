from __future__ import annotations

import argparse
import re

import pytest

from containers.limits import default_limits
from tests.helpers.sample_run import report
from verification.commands import common, parser
from verification.models.errors import WrongUse
from verification.models.verdict import Verdict
from verification.report import card
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
    assert choices["machine"] == tuple(machines.load())
    assert choices["profile"] == tuple(profiles.load())
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
        subject=None, source=None, wheels=None, release=None, history=None, no_provision=False,
        memory=None, processes=None, cpus=None, disk=None,
        report="",
    )  # fmt: skip


def test_unknown_option_is_wrong_use() -> None:
    with pytest.raises(WrongUse, match=r"^bundle: unrecognized arguments: --bad$"):
        parser.parse(["bundle", "--bad"])


# ---- help ----


@pytest.mark.parametrize("name", parser.COMMANDS)
def test_each_option_of_a_command_has_a_help_text_with_its_default(name: str) -> None:
    _, commands = parser.build_parsers()
    for action in commands[name]._actions:
        assert action.help, action.dest
        is_required = not action.option_strings and action.nargs != "*"
        if "--help" in action.option_strings or is_required:
            continue
        assert re.search(r"\(default: .+\)|needed without", action.help), action.option_strings
    assert commands[name].description


@pytest.mark.parametrize("name", parser.PYTEST_COMMANDS)
def test_help_explains_the_useful_options_of_pytest(name: str) -> None:
    text = parser.build_parsers()[1][name].format_help()
    for option in ("-k", "-n", "-v", "-x"):
        (line,) = re.findall(rf"^  {option} .*", text, re.MULTILINE)
        assert len(line.split()) > 4


@pytest.mark.parametrize("name", ["gate", "shell"])
def test_help_lists_the_machines_once(name: str) -> None:
    words = parser.build_parsers()[1][name].format_help().replace(",", " ").split()
    assert {machine: words.count(machine) for machine in machines.load()} == dict.fromkeys(
        machines.load(), 1
    )


@pytest.mark.parametrize("name", parser.COMMANDS)
def test_help_text_of_an_option_does_not_repeat_its_choices(name: str) -> None:
    for action in parser.build_parsers()[1][name]._actions:
        words = set((action.help or "").replace(",", " ").split())
        assert not action.choices or not words.issuperset(action.choices), action.dest


def test_exit_codes_have_the_meanings_of_the_release_card() -> None:
    for verdict in (Verdict.FAILED, Verdict.TESTBED, Verdict.UNVERIFIED):
        text = card.card(report().model_copy(update={"verdict": verdict})).exit_meaning
        code, meaning = text.removeprefix("exit code ").split(": ")
        assert f"  {code} {meaning}" in parser.EXIT_CODES.splitlines()


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_help_has_the_width_of_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    for words in ([], *([name, "--help"] for name in parser.COMMANDS)):
        with pytest.raises(SystemExit):
            parser.parse(words)
        lines = capsys.readouterr().out.splitlines()
        assert max(map(len, lines)) <= columns, words


# ---- similar names ----


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("gaet", "gate"),
        ("gate --machine debian-31", "debian-13"),
        ("shell windows", "windows-wine"),
        ("gate --profile ful", "full"),
        ("bundle --form x", "--from"),
        ("reproduce --pyhton=3.13", "--python"),
        ("completion zhs", "zsh"),
    ],
)
def test_wrong_name_is_answered_with_the_similar_one(typed: str, name: str) -> None:
    with pytest.raises(WrongUse) as raised:
        parser.parse(typed.split())
    line = str(raised.value)
    assert f"did you mean {name}?" in line
    assert "\n" not in line


def test_name_without_a_similar_one_is_answered_with_all_names() -> None:
    with pytest.raises(WrongUse) as raised:
        parser.parse(["gate", "--profile", "nightly"])
    assert "did you mean" not in str(raised.value)
    assert [name for name in profiles.load() if name not in str(raised.value)] == []


@pytest.mark.parametrize("command", ["gate", "survey list.txt", "shell debian-13", "reproduce"])
def test_limits_are_options_with_the_defaults_of_the_machines(command: str) -> None:
    options, _ = parser.parse([*command.split(), "--memory=256", "--disk=64"])
    assert common.limit_words(vars(options)) == {"memory_mib": "256", "disk_mib": "64"}
    _, parsers = parser.build_parsers()
    text = " ".join(parsers[command.split()[0]].format_help().split())
    assert f"default: {default_limits('machine').memory_mib}" in text
