from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.helpers import documents, reference
from tests.helpers.reference import MissingWords, Option
from verification.commands.parser import COMMANDS
from verification.models.base import Model
from verification.models.evidence import CellEvidence
from verification.models.report import Report
from verification.rules import catalogue as causes

AGAIN = f"run: {sys.executable} -m tests.helpers.reference"


def test_the_pages_are_those_that_the_generator_writes() -> None:
    made = reference.pages()
    there = reference.generated_files()

    stale = sorted(name for name in made.keys() | there.keys() if made.get(name) != there.get(name))
    assert not stale, f"{', '.join(stale)} in docs/reference: {AGAIN}"
    assert reference.results_schema() == reference.SCHEMA.read_text("utf-8"), AGAIN


def test_every_option_and_command_is_on_a_page() -> None:
    page = reference.pages()["options.md"]
    options = reference.command_options("gate")

    assert {"--release", "--machine", "--profile"} <= {n for one in options for n in one.names}
    assert all(name in page for one in options for name in one.names)
    assert all(f"./e2e {name}" in page for name in COMMANDS)
    assert "`--list`" in page


def test_an_option_of_the_gate_has_its_value_and_its_choices() -> None:
    options = {one.names[0]: one for one in reference.command_options("gate")}

    assert options["--history"].choices == ("none", "all")
    assert options["--no-pipeline"].value == ""
    assert options["--machine"].many
    assert options["--machine"].usage == "--machine NAME"


def test_the_options_of_a_command_are_those_of_its_parser() -> None:
    assert [one.names for one in reference.command_options("clean")] == [("--kept",)]
    assert [one.usage for one in reference.command_options("compare")] == ["RUN", "--list"]


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
    ],
)
def test_words_that_are_missing_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: tuple[str, str], said: str
) -> None:
    text = reference._WORDS.read_text("utf-8")
    assert change[0] in text
    (tmp_path / "words.toml").write_text(text.replace(*change, 1), "utf-8")
    monkeypatch.setattr(reference, "_WORDS", tmp_path / "words.toml")

    with pytest.raises(MissingWords, match=said):
        reference.pages()


@pytest.mark.parametrize(("page", "model"), [("evidence", CellEvidence), ("results", Report)])
def test_every_field_of_a_model_is_on_its_page(page: str, model: type[Model]) -> None:
    text = reference.pages()[f"{page}.md"]

    for name, field in model.model_fields.items():
        assert f"| `{field.alias or name}` | " in text


def test_every_model_within_a_page_has_a_heading_that_its_links_lead_to() -> None:
    for name in ("evidence.md", "results.md"):
        text = reference.pages()[name]
        links = set(re.findall(r"\]\(#([^)]+)\)", text))
        assert links
        assert links <= documents.anchors(text)


def test_an_option_is_shown_as_one_types_it() -> None:
    assert Option(("-k", "--keyword"), "WORD").usage == "-k WORD, --keyword WORD"
    assert Option((), "RUN").usage == "RUN"
