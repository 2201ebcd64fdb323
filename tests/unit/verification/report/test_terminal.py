from __future__ import annotations

from collections.abc import Sequence

import pytest

from verification.models.cause import Cause, Severity
from verification.report import terminal
from verification.verdict import CellResult, Item, Verdict

CRASH = Cause(
    name="crash",
    severity=Severity.BROKEN,
    where="debian-pip-venv: import",
    message="killed; expected none",
    remedy="Mend it.",
)
STRAY = Cause(
    name="stray-top-level",
    severity=Severity.FLAWED,
    where="a.whl",
    message="lib64 is there",
    remedy="Exclude it.",
)
NOTE = Cause(
    name="metadata-incomplete",
    severity=Severity.NOTE,
    where="a.whl",
    message="no summary",
    remedy="Write one.",
)


def _item(*causes: Cause, verdict: Verdict = Verdict.FAILED, reason: str = "") -> Item:
    return Item("linux-install", "pip install works on Linux", verdict, causes, reason)


def _cell(*causes: Cause, seconds: float = 1.26) -> CellResult:
    return CellResult("debian-pip-venv", "debian", "pip", "venv", Verdict.FAILED, causes, seconds)


def _text(
    items: Sequence[Item] = (),
    cells: Sequence[CellResult] = (),
    notes: Sequence[Cause] = (),
    remarks: Sequence[str] = (),
    *,
    verdict: Verdict = Verdict.FAILED,
    width: int = 110,
    colour: bool = False,
) -> str:
    return terminal.render(verdict, items, cells, notes, remarks, width=width, colour=colour)


def _words(text: str) -> str:
    return " ".join(text.split())


def test_every_cause_is_told_with_where_what_and_the_remedy() -> None:
    text = _words(_text([_item(CRASH, STRAY)]))
    for cause in (CRASH, STRAY):
        told = f"{cause.name} ({cause.severity}) - {cause.where}: {cause.message} {cause.remedy}"
        assert text.count(told) == 1


def test_a_cause_of_several_items_is_told_once_and_the_worst_comes_first() -> None:
    text = _words(_text([_item(STRAY), _item(STRAY, CRASH)]))
    assert text.count(STRAY.remedy) == text.count(CRASH.remedy) == 1
    assert text.index(CRASH.remedy) < text.index(STRAY.remedy)


def test_long_causes_are_wrapped_and_lose_no_word() -> None:
    remedy = " ".join(f"word{number}" for number in range(100))
    text = _text(
        [
            _item(
                Cause(
                    name="crash",
                    severity=Severity.BROKEN,
                    where="here",
                    message="seen",
                    remedy=remedy,
                )
            )
        ],
        width=60,
    )
    assert remedy in _words(text)
    assert max(map(len, text.splitlines())) <= 60


def test_brackets_colons_and_paths_are_told_as_they_are() -> None:
    message = "[bold]x[/bold] at database.cpp:100:7 :warning: [/nothing]"
    text = _text(
        [
            _item(
                Cause(
                    name="crash",
                    severity=Severity.BROKEN,
                    where="[here]",
                    message=message,
                    remedy="[red]Mend[/red] :bug: it.",
                )
            )
        ]
    )
    assert message in _words(text)
    assert "[here]: " in text
    assert "[red]Mend[/red] :bug: it." in text


def test_items_and_cells_are_told_with_verdict_causes_and_seconds() -> None:
    lines = _text([_item(CRASH, CRASH)], [_cell(CRASH)]).splitlines()
    (item,) = (line for line in lines if line.startswith("pip install works on Linux"))
    (cell,) = (line for line in lines if line.startswith("  debian-pip-venv "))
    assert "✘ failed" in item
    assert item.count("crash") == 1
    assert "✘ failed" in cell
    assert cell.split()[-1] == "1.3"


def test_a_cell_that_did_not_run_has_no_seconds() -> None:
    assert "0.0" not in _text([], [_cell(seconds=0.0)])


def test_why_something_is_not_verified_is_told_once() -> None:
    item = _item(verdict=Verdict.UNVERIFIED, reason="wine: no image")
    text = _text([item, item], verdict=Verdict.UNVERIFIED)
    assert text.count("not verified: wine: no image") == 1


def test_notes_and_remarks_are_told_apart_from_the_causes() -> None:
    text = _words(_text([_item()], notes=[NOTE], remarks=["The verdict is narrowed"]))
    assert "note: metadata-incomplete: a.whl: no summary" in text
    assert "The verdict is narrowed" in text
    assert NOTE.remedy not in text


@pytest.mark.parametrize(
    ("verdict", "line"),
    [
        (Verdict.VERIFIED, "✔ verified"),
        (Verdict.FAILED, "✘ failed"),
        (Verdict.UNVERIFIED, "? unverified"),
        (Verdict.TESTBED, "! testbed-failure"),
    ],
)
def test_the_last_line_is_the_verdict(verdict: Verdict, line: str) -> None:
    assert _text([_item()], remarks=["report: x"], verdict=verdict).splitlines()[-1] == line


def test_colour_is_there_only_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[" in _text([_item(CRASH)], colour=True)
    assert "\x1b[" not in _text([_item(CRASH)], colour=False)


def test_a_remedy_is_told_once_for_all_places_of_a_cause() -> None:
    elsewhere = CRASH.model_copy(update={"where": "other-pip-venv: import"})
    text = _words(_text([_item(CRASH, elsewhere)]))

    assert text.count(f"{CRASH.name} ({CRASH.severity})") == 1
    assert text.count(CRASH.remedy) == 1
    assert CRASH.where in text
    assert elsewhere.where in text
