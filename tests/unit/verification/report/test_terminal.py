from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.helpers import sample_run
from tests.helpers.sample_run import WINDOWS, cell, item, report
from verification.models.cause import Cause, Severity
from verification.models.report import Report
from verification.models.results import ItemResult
from verification.models.verdict import Outcome, Verdict
from verification.report import signs, terminal


def _cause(name: str, severity: Severity, **changes: str) -> Cause:
    values = {"where": f"location of {name}", "message": f"message of {name}"}
    values |= {"remedy": f"Remedy of {name}."} | changes
    return Cause.model_validate({"name": name, "severity": severity, **values})


CRASH = _cause("crash", Severity.BROKEN, where="debian-pip-venv: import")
STRAY = _cause("stray-top-level", Severity.FLAWED)
NOTE = _cause("metadata-incomplete", Severity.NOTE)


def _item(*causes: Cause, verdict: Verdict = Verdict.FAILED, reason: str = "") -> ItemResult:
    title = "pip install works on Linux"
    return item("linux-install", *causes, title=title, verdict=verdict, reason=reason)


def _report(*items: ItemResult, notes: Sequence[Cause] = ()) -> Report:
    run = report(cell(WINDOWS), items=items)
    return run.model_copy(update={"notes": tuple(notes), "cells": ()})


def _text(
    run: Report, remarks: Sequence[str] = (), *, width: int = 110, colour: bool = False
) -> str:
    return terminal.render(run, remarks, width=width, colour=colour)


def _words(text: str) -> str:
    return " ".join(text.split())


def test_each_cause_is_shown_with_place_message_and_remedy() -> None:
    text = _words(_text(_report(_item(CRASH, STRAY))))
    for cause in (CRASH, STRAY):
        lines = f"{cause.name} ({cause.severity}) - {cause.where}: {cause.message} {cause.remedy}"
        assert text.count(lines) == 1


def test_a_cause_of_several_items_is_shown_once_and_the_heaviest_comes_first() -> None:
    text = _words(_text(_report(_item(STRAY), _item(STRAY, CRASH))))
    assert text.count(STRAY.remedy) == text.count(CRASH.remedy) == 1
    assert text.index(CRASH.remedy) < text.index(STRAY.remedy)


def test_a_consequence_is_under_its_cause_and_does_not_count() -> None:
    follows = _cause("leftovers", Severity.BROKEN, where="debian-pip-venv: end", follows="crash")
    text = _text(_report(_item(follows, CRASH)))
    (row,) = (line for line in text.splitlines() if line.startswith("pip install works"))
    assert "leftovers" not in row
    assert text.index(CRASH.message) < text.index(follows.message) < text.index(CRASH.remedy)
    assert follows.remedy not in text


def test_long_causes_are_wrapped_between_words() -> None:
    remedy = " ".join(f"word{number}" for number in range(100))
    text = _text(_report(_item(_cause("crash", Severity.BROKEN, remedy=remedy))), width=60)
    assert remedy in _words(text)
    assert max(map(len, text.splitlines())) <= 60


def test_brackets_colons_and_paths_are_not_markup() -> None:
    message = "[bold]x[/bold] at database.cpp:100:7 :warning: [/nothing]"
    remedy = "[red]Fix[/red] :bug: it."
    cause = _cause("crash", Severity.BROKEN, where="[here]", message=message, remedy=remedy)
    text = _text(_report(_item(cause)), ["remark [b]x[/b]"])
    assert message in _words(text)
    assert "[here]: " in text
    assert remedy in text
    assert "remark [b]x[/b]" in text


def test_items_and_cells_are_shown_with_result_causes_and_seconds() -> None:
    run = report(cell(sample_run.LINUX, CRASH, seconds=1.26), cell(WINDOWS))
    lines = _text(run).splitlines()
    (row,) = (line for line in lines if "clean Linux machine" in line)
    (cell_row,) = (line for line in lines if line.startswith(f"  {sample_run.LINUX} "))
    assert "✘ failed" in row
    assert row.count("crash") == 1
    assert "✘ fails" in cell_row
    assert cell_row.split()[-1] == "1.3"


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Outcome.WORKS, "✔ works"),
        (Outcome.WORKS_FLAWED, "▲ works-flawed"),
        (Outcome.REFUSED, "⊘ refused"),
        (Outcome.FALLS_BACK, "↓ falls-back"),
        (Outcome.FAILS, "✘ fails"),
        (Outcome.UNVERIFIED, "? unverified"),
        (Outcome.TESTBED, "⚠ testbed-failure"),
    ],
)
def test_each_outcome_has_its_sign_and_word(outcome: Outcome, expected: str) -> None:
    lines = _text(report(cell(sample_run.LINUX, outcome=outcome), cell(WINDOWS))).splitlines()
    (row,) = (line for line in lines if line.startswith(f"  {sample_run.LINUX} "))
    assert row.split("│")[1].strip() == expected


def test_an_item_has_the_number_of_machines_for_each_outcome() -> None:
    run = report(
        cell(sample_run.LINUX),
        cell("debian-12-pip-venv", outcome=Outcome.REFUSED),
        cell("fedora-44-pip-venv", outcome=Outcome.REFUSED),
        cell(WINDOWS, outcome=Outcome.FALLS_BACK),
    )
    text = _text(run)
    for item_id in ("linux-install", "windows-install"):
        assert signs.machine_sentence(run.cells_of(item_id)) in text


def test_a_cell_that_did_not_run_has_no_seconds() -> None:
    assert "0.0" not in _text(report(cell(WINDOWS, reason="no image")))


def test_the_reason_of_an_unverified_item_is_shown_once() -> None:
    unverified = _item(verdict=Verdict.UNVERIFIED, reason="wine: no image")
    text = _text(_report(unverified, unverified))
    assert text.count("wine: no image") == 1


def test_notes_and_remarks_are_shown_without_remedies() -> None:
    text = _words(_text(_report(_item(), notes=[NOTE]), ["A remark"]))
    assert f"{NOTE.name}: {NOTE.where}: {NOTE.message}" in text
    assert "A remark" in text
    assert NOTE.remedy not in text


@pytest.mark.parametrize(
    ("verdict", "line"),
    [
        (Verdict.VERIFIED, "✔ verified"),
        (Verdict.FAILED, "✘ failed"),
        (Verdict.UNVERIFIED, "? unverified"),
        (Verdict.TESTBED, "⚠ testbed-failure"),
    ],
)
def test_the_last_line_is_the_verdict(verdict: Verdict, line: str) -> None:
    run = _report(_item(verdict=verdict))
    assert _text(run, ["report: x"]).splitlines()[-1] == line
    narrowed = run.selection.model_copy(update={"narrowed": ("-k x",)})
    last = _text(run.model_copy(update={"selection": narrowed})).splitlines()[-1]
    assert last.startswith(line)
    assert last != line, "the last line says that cells were selected"


def test_colour_is_used_only_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[" in _text(_report(_item(CRASH)), colour=True)
    assert "\x1b[" not in _text(_report(_item(CRASH)), colour=False)


def test_a_remedy_is_shown_once_for_all_places_of_a_cause() -> None:
    other_cell = CRASH.model_copy(update={"where": "other-pip-venv: import"})
    text = _words(_text(_report(_item(CRASH, other_cell))))

    assert text.count(f"{CRASH.name} ({CRASH.severity})") == 1
    assert text.count(CRASH.remedy) == 1
    assert CRASH.where in text
    assert other_cell.where in text
