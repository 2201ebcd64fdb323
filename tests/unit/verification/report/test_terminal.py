from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.helpers import sample_run
from tests.helpers.sample_run import WINDOWS, cell, item, report
from tests.helpers.screen import Terminal
from verification.models.cause import Cause, Severity
from verification.models.report import BasisEntry, Report
from verification.models.results import CellResult, ItemResult
from verification.models.verdict import Outcome, Verdict
from verification.report import signs, terminal

PAGE = Path("/a/folder/report/index.html")


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
    return terminal.render(run, remarks, page=PAGE, width=width, colour=colour)


def _words(text: str) -> str:
    return " ".join(text.split())


def test_each_cause_is_shown_with_location_message_and_remedy() -> None:
    text = _words(_text(_report(_item(CRASH, STRAY))))
    for cause in (CRASH, STRAY):
        position = text.index(f"{cause.name} ({cause.severity})")
        for value in (cause.message, cause.where, cause.remedy):
            assert text.count(value) == 1
            assert text.index(value) > position, "what, where, remedy"
            position = text.index(value)


SEEN = "RuntimeError: cannot load\n  library 'libquiver.dll': " + "x" * 300 + " error 0x7e"


def _with_error(cell_id: str, text: str) -> CellResult:
    """Return a cell with a cause at its native call, at which the user sees `text`."""
    cause = _cause("missing-runtime-library", Severity.BROKEN, where=f"{cell_id}: native-call")
    result = cell(cell_id, cause)
    assert result.summary
    summary = result.summary.model_copy(update={"errors": {"native-call": text}})
    return result.model_copy(update={"summary": summary})


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_text_that_the_user_sees_is_complete_and_comes_first(width: int) -> None:
    text = _text(report(_with_error(WINDOWS, SEEN)), width=width)
    for word in SEEN.replace("x" * 300, "").split():
        assert word in text
    assert text.count("x") >= 300, "nothing is cut off"
    assert text.index("RuntimeError") < text.index("message of") < text.index("Remedy of")


def test_equal_causes_of_several_cells_are_one_entry_with_the_list_of_cells() -> None:
    ids = ("windows-wine-pip-system", "windows-wine-uv-system")
    run = report(*(_with_error(cell_id, SEEN) for cell_id in ids))
    text = _words(_text(run))
    assert text.count("message of missing-runtime-library") == 1
    assert text.count("RuntimeError: cannot load") == 1
    assert f"{', '.join(ids)}: native-call" in text
    other = _with_error("debian-13-pip-venv", "ImportError")
    causes = (other.causes[0].model_copy(update={"message": "something else"}),)
    text = _words(_text(report(*run.cells, other.model_copy(update={"causes": causes}))))
    assert "ImportError" in text
    assert text.count("Remedy of missing-runtime-library.") == 1


def test_many_files_of_a_cause_are_counted_after_the_first() -> None:
    files = [f"file-{number}.whl" for number in range(90)]
    causes = [STRAY.model_copy(update={"where": file}) for file in files]
    text = _words(_text(_report(_item(*causes))))
    named = [file for file in files if file in text]
    assert 0 < len(named) < 20
    assert f"and {90 - len(named)} more" in text


def test_a_cause_of_several_items_is_shown_once_and_the_most_severe_comes_first() -> None:
    text = _words(_text(_report(_item(STRAY), _item(STRAY, CRASH))))
    assert text.count(STRAY.remedy) == text.count(CRASH.remedy) == 1
    assert text.index(CRASH.remedy) < text.index(STRAY.remedy)


def test_a_following_cause_is_under_its_cause_and_does_not_count() -> None:
    follows = _cause("leftovers", Severity.BROKEN, where="debian-pip-venv: end", follows="crash")
    text = _text(_report(_item(follows, CRASH)))
    assert text.count("(broken)") == 1
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
    assert "[here]" in text
    assert remedy in text
    assert "remark [b]x[/b]" in text


def test_items_and_cells_are_shown_with_result_and_seconds() -> None:
    run = report(cell(sample_run.LINUX, CRASH, seconds=1.26), cell(WINDOWS))
    lines = _text(run).splitlines()
    (row,) = (line for line in lines if "clean Linux machine" in line)
    (cell_row,) = (line for line in lines if line.startswith(f"  {sample_run.LINUX} "))
    assert "✘ failed" in row
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
    assert expected in row


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
    run = report(cell(WINDOWS, reason="no image")).model_copy(update={"basis": ()})
    assert "0.0" not in _text(run)


def test_the_reason_of_an_unverified_item_is_shown_once() -> None:
    unverified = _item(verdict=Verdict.UNVERIFIED, reason="wine: no image")
    text = _text(_report(unverified, unverified))
    assert text.count("wine: no image") == 1


def test_notes_and_remarks_are_shown_without_remedies() -> None:
    text = _words(_text(_report(_item(), notes=[NOTE]), ["A remark"]))
    assert f"note: {NOTE.name}: {NOTE.where}: {NOTE.message}" in text
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
    for width in (60, 80, 200):
        path_line, verdict_line = _text(run, ["a remark"], width=width).splitlines()[-2:]
        assert path_line.endswith(str(PAGE)), "the path is not wrapped"
        assert verdict_line == line
    narrowed = run.selection.model_copy(update={"narrowed": ("-k x",)})
    last = _text(run.model_copy(update={"selection": narrowed})).splitlines()[-1]
    assert last.startswith(line)
    assert last != line, "the last line says that cells were selected"


def test_colour_is_used_only_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[" in _text(_report(_item(CRASH)), colour=True)
    assert "\x1b[" not in _text(_report(_item(CRASH)), colour=False)


def test_a_remedy_is_shown_once_for_all_locations_of_a_cause() -> None:
    other_cell = CRASH.model_copy(update={"where": "other-pip-venv: import"})
    cells = (cell("debian-pip-venv"), cell("other-pip-venv"))
    text = _words(_text(report(*cells, items=(_item(CRASH, other_cell),))))

    assert text.count(f"{CRASH.name} ({CRASH.severity})") == 1
    assert text.count(CRASH.remedy) == 1
    assert "debian-pip-venv, other-pip-venv: import" in text


def test_the_basis_is_next_to_the_path_and_the_verdict() -> None:
    basis = (
        BasisEntry(name="Windows", value="Wine 10.0"),
        BasisEntry(name="not covered", value="macOS"),
    )
    run = _report(_item()).model_copy(update={"basis": basis})
    line = _text(run, ["a remark"]).splitlines()[-3]
    assert "Windows = Wine 10.0" in line
    assert "not covered: macOS" in line
    assert (
        len(_text(run.model_copy(update={"basis": ()}), ["x"]).splitlines())
        == len(_text(run, ["x"]).splitlines()) - 1
    )


@pytest.mark.parametrize("width", [60, 80, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    long_id = "debian-13-x86-64-v1-pip-oldest-system-site-packages"
    run = report(_with_error(WINDOWS, SEEN), cell(long_id, CRASH))
    basis = (BasisEntry(name="source", value="word " * 60),)
    run = run.model_copy(update={"basis": basis, "notes": (NOTE,)})
    lines = _text(run, ["a remark " * 40], width=width).splitlines()
    assert max(len(line) for line in lines if str(PAGE) not in line) <= width
    assert any(len(line) > width * 0.8 for line in lines), "the width is used"


@pytest.mark.parametrize(
    ("variables", "is_terminal", "expected"),
    [
        ({"TERM": "xterm"}, True, True),
        ({"TERM": "xterm"}, False, False),
        ({"TERM": "dumb"}, True, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, True, False),
        ({"TERM": "xterm", "FORCE_COLOR": "1"}, False, True),
    ],
    ids=str,
)
def test_colours_follow_the_terminal_and_its_variables(
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    is_terminal: bool,
    expected: bool,
) -> None:
    for name in ("TERM", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert terminal.uses_colour(Terminal() if is_terminal else io.StringIO()) is expected


def test_a_large_report_lists_only_cells_with_an_unexpected_outcome() -> None:
    cells = [cell(f"debian-13-pip-s{n}", *([CRASH] if n in (7, 8) else [])) for n in range(300)]
    text = _text(report(*cells))
    listed = [f"debian-13-pip-s{n}" for n in range(300) if f"debian-13-pip-s{n} " in text]
    assert listed == ["debian-13-pip-s7", "debian-13-pip-s8"]
    assert "298" in text
    small = _text(report(*cells[:20]))
    assert all(f"{result.id} " in small for result in cells[:20])
