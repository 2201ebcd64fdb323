from __future__ import annotations

import argparse
import sys
import tomllib
from pathlib import Path

import pytest

from tests.helpers import reference, sample_run
from tests.helpers.reference import NoWords, Option
from verification.rules import catalogue as causes

AGAIN = f"run: {sys.executable} -m tests.helpers.reference"


def test_the_pages_are_those_that_the_generator_writes() -> None:
    made = reference.pages()
    there = {path.name: path.read_text("utf-8") for path in reference.FOLDER.glob("*.md")}

    stale = sorted(name for name in made.keys() | there.keys() if made.get(name) != there.get(name))
    assert not stale, f"{', '.join(stale)} in docs/reference: {AGAIN}"


def test_every_option_and_command_is_on_a_page() -> None:
    page = reference.pages()["options.md"]
    options = reference.gate_options()

    assert {"--release", "--machine", "--profile"} <= {n for one in options for n in one.names}
    assert all(name in page for one in options for name in one.names)
    assert all(f"./e2e {name}" in page for name in reference.launcher().COMMANDS)
    assert "`--list`" in page


def test_an_option_of_conftest_has_its_value_and_its_choices() -> None:
    options = {one.names[0]: one for one in reference.gate_options()}

    assert options["--history"].choices == ("none", "all")
    assert options["--no-pipeline"].value == ""
    assert options["--machine"].many
    assert options["--machine"].typed == "--machine NAME"


def test_a_parser_is_asked_without_a_command_being_run() -> None:
    asked = argparse.ArgumentParser.parse_args
    found = reference.parser_of("verification.history.store")

    assert found.prog == "./e2e compare"
    assert argparse.ArgumentParser.parse_args is asked, "argparse is as it was"
    assert [one.names for one in reference.command_options("clean")] == [("--kept",)]


def test_a_command_without_a_parser_is_named() -> None:
    with pytest.raises(NoWords, match=r"install_paths"):
        reference.parser_of("verification.rules.install_paths")


def test_every_cause_and_its_remedy_are_on_a_page() -> None:
    page = reference.pages()["causes.md"]

    for entry in causes.catalogue().values():
        assert f"### {entry.name}\n" in page
        assert entry.doc in page


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("WRONG_USE = ", "WRONG_USED = "), "does not tell of WRONG_USE"),
        (("QUIVERDB_E2E_STATE = ", "QUIVERDB_E2E_STATES = "), "QUIVERDB_E2E_STATE"),
        (('broken = "', 'bad = "'), r"\[severities\] does not tell of broken"),
        (("[evidence]\n", '[evidence]\nEXTRA = "x"\n'), ""),
    ],
)
def test_words_that_are_missing_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: tuple[str, str], said: str
) -> None:
    text = reference._WORDS.read_text("utf-8")
    assert change[0] in text
    (tmp_path / "words.toml").write_text(text.replace(*change, 1), "utf-8")
    monkeypatch.setattr(reference, "_WORDS", tmp_path / "words.toml")

    if not said:
        assert "`EXTRA`" in reference.pages()["evidence.md"], "words of the evidence are free"
        return
    with pytest.raises(NoWords, match=said):
        reference.pages()


def test_a_field_of_evidence_without_words_is_named() -> None:
    evidence = sample_run.evidence()
    assert reference.unknown_fields(evidence) == []

    evidence["weather"] = "fair"
    evidence["install"]["mood"] = "good"
    evidence["exercise"]["steps"]["round-trip"]["luck"] = 1
    assert reference.unknown_fields(evidence) == [
        "weather",
        "install.mood",
        "exercise.steps.round-trip.luck",
    ]


def test_the_fields_of_evidence_are_those_that_the_cell_writes() -> None:
    words = tomllib.loads(reference._WORDS.read_text("utf-8"))
    code = "".join(
        (reference.ROOT / "verification" / name).read_text("utf-8")
        for name in ("session/cell.py", "probe/probe.py", "probe/exercise.py")
    )

    for key in ("evidence", "command", "step"):
        absent = [name for name in words[key] if f'"{name}"' not in code]
        assert not absent, f"reference.toml: [{key}] tells of {absent}: nothing writes it"


def test_a_table_keeps_bars_and_breaks_inside_its_cells() -> None:
    assert (
        reference.table(("a", "b"), [("x|y", "one\ntwo")]).splitlines()[2] == "| x\\|y | one two |"
    )


def test_an_option_is_shown_as_one_types_it() -> None:
    assert Option(("-k", "--keyword"), "WORD").typed == "-k WORD, --keyword WORD"
    assert Option((), "RUN").typed == "RUN"
