"""The generated pages of docs/reference."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.helpers import documents, reference
from tests.helpers.reference import MissingText, Option
from verification.commands.parser import COMMANDS
from verification.models.base import Model
from verification.models.evidence import CellEvidence
from verification.models.report import Report
from verification.rules import catalogue as causes

GENERATE = "run: python -m tests.helpers.reference"


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    """Return the text of each page that the generator writes, by file name."""
    return reference.pages()


def test_the_pages_and_the_schema_are_up_to_date(pages: dict[str, str]) -> None:
    files = reference.generated_files()
    names = pages.keys() | files.keys()
    assert [name for name in names if pages.get(name) != files.get(name)] == [], GENERATE
    assert reference.results_schema() == reference.SCHEMA.read_text("utf-8"), GENERATE


def test_all_commands_and_options_are_on_the_page(pages: dict[str, str]) -> None:
    page = pages["options.md"]
    names = {name for option in reference.command_options("gate") for name in option.names}

    assert {"--release", "--machine", "--profile"} <= names
    assert all(name in page for name in names)
    assert all(f"./e2e {name}" in page for name in COMMANDS)
    assert "`--list`" in page


def test_an_option_has_its_value_and_its_choices() -> None:
    options = {option.names[0]: option for option in reference.command_options("gate")}

    assert options["--history"].choices == ("none", "all")
    assert options["--no-pipeline"].value == ""
    assert options["--machine"].repeatable
    assert options["--machine"].usage == "--machine NAME"


def test_the_options_of_a_command_are_those_of_its_parser() -> None:
    assert [option.names for option in reference.command_options("clean")] == [("--kept",)]
    usages = [option.usage for option in reference.command_options("compare")]
    assert usages == ["RUN", "--list", "--prune N", "--subject FILE"]


def test_all_causes_are_on_the_page(pages: dict[str, str]) -> None:
    for entry in causes.catalogue().values():
        assert f"### {entry.name}\n" in pages["causes.md"]
        assert entry.doc in pages["causes.md"]


@pytest.mark.parametrize(
    ("old", "new", "location"),
    [
        ("WRONG_USE = ", "WRONG_USED = ", r"\[exit_codes\].* WRONG_USE\b"),
        ("QUIVERDB_E2E_STATE = ", "QUIVERDB_E2E_STATES = ", r"\[environment\].*_STATE\b"),
        ('broken = "', 'bad = "', r"\[severities\].* broken\b"),
    ],
)
def test_a_missing_text_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, location: str
) -> None:
    text = reference._WORDS.read_text("utf-8")
    assert old in text
    (tmp_path / "words.toml").write_text(text.replace(old, new, 1), "utf-8")
    monkeypatch.setattr(reference, "_WORDS", tmp_path / "words.toml")

    with pytest.raises(MissingText, match=location):
        reference.pages()


@pytest.mark.parametrize(("page", "model"), [("evidence", CellEvidence), ("results", Report)])
def test_all_fields_of_a_model_are_on_its_page(
    pages: dict[str, str], page: str, model: type[Model]
) -> None:
    for name, field in model.model_fields.items():
        assert f"| `{field.alias or name}` | " in pages[f"{page}.md"]


@pytest.mark.parametrize("page", ["evidence.md", "results.md"])
def test_a_page_describes_all_keys(pages: dict[str, str], page: str) -> None:
    rows = [line for line in pages[page].splitlines() if line.startswith("| `")]
    assert rows
    assert [row for row in rows if row.endswith("|  |")] == [], "add a docstring below the field"


def test_a_generic_model_has_one_section(pages: dict[str, str]) -> None:
    page = pages["evidence.md"]
    headings = re.findall("^## (.*)", page, re.MULTILINE)

    assert "ExerciseStep" in headings
    assert [heading for heading in headings if "_" in heading] == []
    step = "[ExerciseStep](#exercisestep) with the value list of [FailingCall](#failingcall)"
    assert f"| `failing-calls` | {step} or null | " in page


@pytest.mark.parametrize("page", ["evidence.md", "results.md"])
def test_links_within_a_page_lead_to_its_headings(pages: dict[str, str], page: str) -> None:
    links = set(re.findall(r"\]\(#([^)]+)\)", pages[page]))
    assert links
    assert links <= documents.anchors(pages[page])


def test_the_usage_of_an_option_has_all_its_names() -> None:
    assert Option(("-k", "--keyword"), "WORD").usage == "-k WORD, --keyword WORD"
    assert Option((), "RUN").usage == "RUN"
