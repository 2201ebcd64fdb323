from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from verification.models.cause import FactValue
from verification.rules.catalogue import (
    Catalogue,
    CatalogueEntry,
    CatalogueError,
    Workaround,
    catalogue,
    load,
    placeholders,
)

ENTRY = """
severity = "broken"
title = "A title"
expected = "a {state}"
remedy = "Put {file} into {where}."
doc = "A sentence."
messages.lost = "{file} is not in {folders} ({size:.1f} kB)"
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


def test_catalogue_has_every_cause_of_the_design() -> None:
    assert set(catalogue()) >= set(DESIGN.split())


def remedy_facts(entry: CatalogueEntry) -> dict[str, Any]:
    """Return a fact for each placeholder of the remedy."""
    return dict.fromkeys(placeholders(entry.remedy), "x")


def test_every_cause_can_be_created_with_the_facts_of_its_remedy() -> None:
    for name, entry in catalogue().items():
        cause = catalogue().cause(name, "a.whl", "text", **remedy_facts(entry))
        assert (cause.name, cause.severity, cause.message) == (name, entry.severity, "text")
        assert cause.remedy.endswith("."), name
        assert re.fullmatch(r"[a-z]+3?(-[a-z]+)*", name)


def test_texts_have_no_unfilled_brace_and_messages_no_full_stop() -> None:
    for name, entry in catalogue().items():
        remedy = catalogue().cause(name, "a.whl", "text", **remedy_facts(entry)).remedy
        assert "{{" not in remedy
        assert not any(text.endswith(".") for text in entry.messages.values()), name


def test_message_and_remedy_are_filled_with_facts_in_one_line(tmp_path: Path) -> None:
    causes = load(write(tmp_path, f"[some-fault]{ENTRY}"))
    facts: dict[str, FactValue] = {"file": "{b}\n.so", "folders": ("x", "y"), "size": 1.25}
    message = causes["some-fault"].message("lost", facts)
    cause = causes.cause("some-fault", "a.whl", message, risk=False, **facts)
    assert cause.message == "{b} .so is not in x, y (1.2 kB)"
    assert cause.remedy == "Put {b} .so into a.whl."
    assert cause.facts == facts


def test_fact_can_have_the_name_of_a_parameter() -> None:
    cause = catalogue().cause("crash", "a.whl", "text", name="a", where="b", message="c")
    assert (cause.name, cause.where, cause.message) == ("crash", "a.whl", "text")
    assert cause.facts == {"name": "a", "where": "b", "message": "c"}


def test_message_shortens_a_long_list(tmp_path: Path) -> None:
    entry = load(write(tmp_path, f"[some-fault]{ENTRY}"))["some-fault"]
    message = entry.message("lost", {"file": "f", "folders": tuple("abcdef"), "size": 0.0})
    assert "a, b, c" in message
    assert "d, e, f" not in message
    assert "3" in message


def test_full_stop_at_the_end_of_a_message_is_removed() -> None:
    assert catalogue().cause("crash", "a", "It is. Yes.").message == "It is. Yes"


def test_control_characters_are_escaped() -> None:
    cause = catalogue().cause("crash", "\x1b[31mred.py", "a\x00b\x07, José 日本 🦊")
    assert cause.where == "\\x1b[31mred.py"
    assert cause.message == "a\\x00b\\x07, José 日本 🦊"


@pytest.mark.parametrize("facts", [{}, {"other": 1}])
def test_placeholder_without_a_fact_is_refused(tmp_path: Path, facts: dict[str, Any]) -> None:
    causes = load(write(tmp_path, f"[some-fault]{ENTRY}"))
    with pytest.raises(CatalogueError, match=r"'some-fault'.*\['file'\]"):
        causes.cause("some-fault", "a", "b", **facts)
    with pytest.raises(CatalogueError, match=r"'some-fault'.*\['file', 'folders', 'size'\]"):
        causes["some-fault"].message("lost", facts)


def test_unknown_form_of_a_message_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    entry = load(write(tmp_path, f"[some-fault]{ENTRY}"))["some-fault"]
    with pytest.raises(CatalogueError, match=r"'some-fault'.*'found'.*lost"):
        entry.message("found", {})


def test_unknown_cause_is_refused_with_the_known_ones() -> None:
    with pytest.raises(CatalogueError, match=r"'crush'.*crash.*hang"):
        catalogue().cause("crush", "a", "b")


def test_risk_has_the_lesser_severity() -> None:
    proven = catalogue().cause("symbol-interposition", "a", "b")
    possible = catalogue().cause("symbol-interposition", "a", "b", risk=True)
    assert (proven.severity, possible.severity) == ("flawed", "note")


def test_risk_of_a_cause_without_a_lesser_severity_is_refused() -> None:
    with pytest.raises(CatalogueError, match=r"'crash'.*risk"):
        catalogue().cause("crash", "a", "b", risk=True)


def test_all_faults_of_a_catalogue_are_reported_at_once(tmp_path: Path) -> None:
    entry = ENTRY.replace('"broken"', '"grave"').replace("title", "tittle")
    with pytest.raises(CatalogueError) as raised:
        load(write(tmp_path, f"[some-fault]{entry}\n[empty]"))
    message = str(raised.value)
    for key in ("some-fault.tittle", "some-fault.title", "some-fault.severity", "empty.severity"):
        assert f"{key}: " in message
    assert "'testbed', 'broken', 'flawed' or 'note'" in message


@pytest.mark.parametrize(
    ("line", "key"), [("title = 3", "title"), ('title = " "', "title"), ('doc = ""', "doc")]
)
def test_value_without_text_is_refused(tmp_path: Path, line: str, key: str) -> None:
    entry = re.sub(rf"{key} = .*", line, ENTRY)
    with pytest.raises(CatalogueError, match=rf"some-fault\.{key}: "):
        load(write(tmp_path, f"[some-fault]{entry}"))


def test_catalogue_without_unclassified_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "causes.toml"
    path.write_text(f"[some-fault]{ENTRY}")
    with pytest.raises(CatalogueError, match="unclassified"):
        load(path)


@pytest.mark.parametrize(("text", "data"), [("name = 1\n", "name "), ("not toml", "causes.toml")])
def test_file_that_is_not_a_table_of_tables_is_refused(
    tmp_path: Path, text: str, data: str
) -> None:
    path = tmp_path / "causes.toml"
    path.write_text(text)
    with pytest.raises(CatalogueError, match=data):
        load(path)


def test_catalogue_is_a_mapping_of_its_entries() -> None:
    causes = Catalogue([catalogue()["crash"]])
    assert list(causes) == ["crash"]
    assert "crash" in causes
    assert "hang" not in causes
    assert len(causes) == 1


# ---- workarounds for users ----


@pytest.mark.parametrize(
    ("name", "system", "facts", "word"),
    [
        ("missing-runtime-library", "windows", {"library": "MSVCP140.dll"}, "redistributable"),
        ("missing-runtime-library", "windows", {}, "redistributable"),
        ("missing-runtime-library", "windows", {"library": "foo.dll"}, ""),
        ("missing-runtime-library", "linux", {"library": "libstdc++.so.6"}, "libstdc++"),
        ("missing-runtime-library", "linux", {"library": "libfoo.so.1"}, "package"),
        ("runtime-too-old", "windows", {"library": ("MSVCP140.dll",)}, "redistributable"),
        ("runtime-too-old", "linux", {}, ""),
        ("unsupported-python", "linux", {}, "uv venv"),
        ("glibc-floor", "linux", {"library": "libquiver.so"}, "container"),
        ("crash", "linux", {}, ""),
    ],
)
def test_workaround_follows_from_the_system_and_the_library(
    name: str, system: str, facts: dict[str, FactValue], word: str
) -> None:
    workaround = catalogue()[name].workaround_for(system, facts)
    assert bool(workaround) == bool(word)
    assert word in workaround


@pytest.mark.parametrize("text", ["pip install {package}", "{project} {library}"])
def test_a_workaround_with_an_unknown_placeholder_is_an_error(text: str) -> None:
    Workaround(text="{project}=={version}")
    with pytest.raises(ValidationError, match="placeholder"):
        Workaround(text=text)


def test_causes_that_a_user_can_avoid_have_a_workaround() -> None:
    names = {name for name, entry in catalogue().items() if entry.workaround}
    assert names >= {
        "missing-runtime-library", "glibc-floor", "unsupported-platform", "unsupported-python",
        "sdist-fallback", "silent-fallback",
    }  # fmt: skip
    testbed = {name for name, entry in catalogue().items() if entry.severity == "testbed"}
    assert not names & testbed
