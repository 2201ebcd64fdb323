from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from verification.rules.catalogue import Catalogue, CatalogueError, Cause, catalogue, in_order, load

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


def cause(name: str, severity: str = "broken", where: str = "here") -> Cause:
    return Cause(name, severity, where, "seen; expected", "remedy")


def test_the_catalogue_names_every_cause_of_the_design() -> None:
    assert set(catalogue()) >= set(DESIGN.split())


@pytest.mark.parametrize("name", catalogue())
def test_every_cause_can_be_made_from_what_was_seen_alone(name: str) -> None:
    made = catalogue().cause(name, where="a place", seen="was seen")
    assert made.message.startswith("was seen; expected ")
    assert made.remedy.endswith(".")


@pytest.mark.parametrize("name", catalogue())
def test_names_are_lower_case_words_joined_by_hyphens(name: str) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", name)


def test_a_cause_says_what_was_seen_and_what_was_expected_in_one_line(tmp_path: Path) -> None:
    causes = load(write(tmp_path, f"[some-fault]{ENTRY}"))
    made = causes.cause("some-fault", where="a.whl", seen="has\n  nothing", wanted="a {b}")
    assert made.message == "has nothing; expected a {b} in a.whl"
    assert made.remedy == "Put a {b} there."
    assert str(made) == f"some-fault: a.whl: {made.message}. {made.remedy}"


def test_what_a_terminal_would_obey_is_written_out() -> None:
    cause = catalogue().cause("crash", where="\x1b[31mred.py", seen="a\x00b\x07, José 日本 🦊")
    assert cause.where == "\\x1b[31mred.py"
    assert cause.message.startswith("a\\x00b\\x07, José 日本 🦊; expected ")


def test_a_cause_as_data_has_exactly_the_agreed_keys() -> None:
    assert list(cause("crash").to_dict()) == ["name", "severity", "where", "message", "remedy"]


@pytest.mark.parametrize("fields", [{}, {"other": 1}, {"wanted": 1, "other": 2}])
def test_a_cause_with_wrong_fields_is_refused(tmp_path: Path, fields: dict[str, Any]) -> None:
    causes = load(write(tmp_path, f"[some-fault]{ENTRY}"))
    with pytest.raises(CatalogueError, match="takes the fields \\['wanted'\\]"):
        causes.cause("some-fault", where="a", seen="b", **fields)


def test_an_unknown_name_is_answered_with_the_names_there_are() -> None:
    with pytest.raises(CatalogueError, match=r"no cause 'crush'; .*crash.*hang"):
        catalogue().cause("crush", where="a", seen="b")


def test_a_risk_has_the_lesser_severity() -> None:
    proven = catalogue().cause("symbol-interposition", where="a", seen="b")
    possible = catalogue().cause("symbol-interposition", where="a", seen="b", risk=True)
    assert (proven.severity, possible.severity) == ("flawed", "note")


def test_a_risk_of_a_cause_that_knows_none_is_refused() -> None:
    with pytest.raises(CatalogueError, match="has no `risk`"):
        catalogue().cause("crash", where="a", seen="b", risk=True)


def test_all_faults_of_a_catalogue_are_told_at_once(tmp_path: Path) -> None:
    entry = ENTRY.replace('"broken"', '"grave"').replace("title", "tittle")
    with pytest.raises(CatalogueError) as raised:
        load(write(tmp_path, f"[some-fault]{entry}\n[empty]"))
    message = str(raised.value)
    assert "unknown key 'tittle'" in message
    assert "lacks the key 'title'" in message
    assert "unknown severity 'grave'" in message
    assert "'empty' lacks the key 'severity'" in message


@pytest.mark.parametrize("line", ["title = 3", 'title = " "'])
def test_a_value_that_is_no_text_is_refused(tmp_path: Path, line: str) -> None:
    entry = ENTRY.replace('title = "A title"', line)
    with pytest.raises(CatalogueError, match="'title' of 'some-fault' is not a text"):
        load(write(tmp_path, f"[some-fault]{entry}"))


def test_a_catalogue_without_unclassified_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "causes.toml"
    path.write_text(f"[some-fault]{ENTRY}")
    with pytest.raises(CatalogueError, match="no 'unclassified' entry"):
        load(path)


@pytest.mark.parametrize("text", ["name = 1\n", "not toml"])
def test_a_catalogue_that_is_no_table_of_tables_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "causes.toml"
    path.write_text(text)
    with pytest.raises(CatalogueError):
        load(path)


def test_unclassified_comes_first_and_the_rest_by_severity() -> None:
    names = [("stray-file", "note"), ("crash", "broken"), ("disk-full", "testbed")]
    names += [("stray-top-level", "flawed"), ("unclassified", "broken"), ("hang", "broken")]
    ordered = in_order(cause(name, severity) for name, severity in names)
    assert [one.name for one in ordered] == [
        "unclassified",
        "disk-full",
        "crash",
        "hang",
        "stray-top-level",
        "stray-file",
    ]


def test_a_repeated_cause_is_told_once() -> None:
    assert len(in_order([cause("crash"), cause("crash"), cause("crash", where="there")])) == 2


def test_a_catalogue_is_a_mapping_of_its_entries() -> None:
    causes = Catalogue([catalogue()["crash"]])
    assert list(causes) == ["crash"]
    assert "crash" in causes
    assert "hang" not in causes
    assert len(causes) == 1
