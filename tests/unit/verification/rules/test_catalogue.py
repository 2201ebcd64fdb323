from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from verification.rules.catalogue import Catalogue, CatalogueError, catalogue, load

ENTRY = """
severity = "broken"
title = "A title"
expected = "{wanted} in {where}"
remedy = "Put {wanted} there."
doc = "A sentence."
"""
DESIGN = """
missing-bundled-library missing-runtime-library symbol-not-found glibc-floor libstdcxx-floor
wrong-architecture tag-mismatch unsupported-platform unsupported-python sdist-fallback
missing-dependency record-mismatch hash-mismatch stray-top-level duplicate-library
metadata-incomplete wrong-library-loaded shadowed-import silent-fallback symbol-interposition
runtime-too-old version-mismatch round-trip-failed crash hang path-not-supported permission
uninstall-leftover upgrade-broken incomplete-release workflow-not-triggered job-order
release-missing publisher-mismatch engine-unreachable image-build-failed index-unreachable
machine-lost egress-open disk-full unclassified
"""
UNCLASSIFIED = """
[unclassified]
severity = "broken"
title = "t"
expected = "e"
remedy = "r"
doc = "d"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "causes.toml"
    path.write_text(text + UNCLASSIFIED)
    return path


def test_the_catalogue_names_every_cause_of_the_design() -> None:
    assert set(catalogue()) >= set(DESIGN.split())


@pytest.mark.parametrize("name", catalogue())
def test_every_cause_can_be_made_from_what_was_seen_alone(name: str) -> None:
    made = catalogue().cause(name, where="a place", observed="was seen")
    assert made.message.startswith("was seen; expected ")
    assert made.remedy.endswith(".")


@pytest.mark.parametrize("name", catalogue())
def test_names_are_lower_case_words_joined_by_hyphens(name: str) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", name)


def test_a_cause_says_what_was_seen_and_what_was_expected_in_one_line(tmp_path: Path) -> None:
    causes = load(write(tmp_path, f"[some-fault]{ENTRY}"))
    made = causes.cause("some-fault", where="a.whl", observed="has\n  nothing", wanted="a {b}")
    assert made.message == "has nothing; expected a {b} in a.whl"
    assert made.remedy == "Put a {b} there."
    assert str(made) == f"some-fault: a.whl: {made.message}. {made.remedy}"


def test_what_a_terminal_would_obey_is_written_out() -> None:
    cause = catalogue().cause("crash", where="\x1b[31mred.py", observed="a\x00b\x07, José 日本 🦊")
    assert cause.where == "\\x1b[31mred.py"
    assert cause.message.startswith("a\\x00b\\x07, José 日本 🦊; expected ")


def test_a_cause_has_the_facts_that_it_is_made_from() -> None:
    made = catalogue().cause("crash", where="a", observed="b", code=-11, frame="x.py:1")
    assert made.facts == {"code": -11, "frame": "x.py:1"}


@pytest.mark.parametrize("facts", [{}, {"other": 1}])
def test_a_placeholder_without_a_fact_is_refused(tmp_path: Path, facts: dict[str, Any]) -> None:
    causes = load(write(tmp_path, f"[some-fault]{ENTRY}"))
    with pytest.raises(CatalogueError, match="'some-fault' needs the facts \\['wanted'\\]"):
        causes.cause("some-fault", where="a", observed="b", **facts)


def test_an_unknown_name_is_answered_with_the_names_there_are() -> None:
    with pytest.raises(CatalogueError, match=r"no cause 'crush'; .*crash.*hang"):
        catalogue().cause("crush", where="a", observed="b")


def test_a_risk_has_the_lesser_severity() -> None:
    proven = catalogue().cause("symbol-interposition", where="a", observed="b")
    possible = catalogue().cause("symbol-interposition", where="a", observed="b", risk=True)
    assert (proven.severity, possible.severity) == ("flawed", "note")


def test_a_risk_of_a_cause_that_knows_none_is_refused() -> None:
    with pytest.raises(CatalogueError, match="has no `risk`"):
        catalogue().cause("crash", where="a", observed="b", risk=True)


def test_all_faults_of_a_catalogue_are_told_at_once(tmp_path: Path) -> None:
    entry = ENTRY.replace('"broken"', '"grave"').replace("title", "tittle")
    with pytest.raises(CatalogueError) as raised:
        load(write(tmp_path, f"[some-fault]{entry}\n[empty]"))
    message = str(raised.value)
    assert "some-fault.tittle: Extra inputs are not permitted" in message
    assert "some-fault.title: Field required" in message
    assert "some-fault.severity: Input should be 'testbed', 'broken', 'flawed' or 'note'" in message
    assert "empty.severity: Field required" in message


@pytest.mark.parametrize("line", ["title = 3", 'title = " "'])
def test_a_value_that_is_no_text_is_refused(tmp_path: Path, line: str) -> None:
    entry = ENTRY.replace('title = "A title"', line)
    with pytest.raises(
        CatalogueError,
        match=r"some-fault\.title: (String should match|Input should be a valid string)",
    ):
        load(write(tmp_path, f"[some-fault]{entry}"))


def test_a_catalogue_without_unclassified_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "causes.toml"
    path.write_text(f"[some-fault]{ENTRY}")
    with pytest.raises(CatalogueError, match="no 'unclassified' entry"):
        load(path)


@pytest.mark.parametrize(
    ("text", "fault"),
    [("name = 1\n", "name is not a table"), ("not toml", r"causes\.toml is not TOML: ")],
)
def test_a_catalogue_that_is_no_table_of_tables_is_refused(
    tmp_path: Path, text: str, fault: str
) -> None:
    path = tmp_path / "causes.toml"
    path.write_text(text)
    with pytest.raises(CatalogueError, match=fault):
        load(path)


def test_a_catalogue_is_a_mapping_of_its_entries() -> None:
    causes = Catalogue([catalogue()["crash"]])
    assert list(causes) == ["crash"]
    assert "crash" in causes
    assert "hang" not in causes
    assert len(causes) == 1
