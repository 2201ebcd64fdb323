"""The report on the terminal at the end of a run."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from verification.models.cause import Severity
from verification.models.report import Report
from verification.report import cause_groups, signs
from verification.report.cause_groups import CauseEntry, CauseGroup, Occurrence
from verification.report.signs import OutcomeSign

_SEVERITY_STYLES = {
    Severity.BROKEN: "bold red",
    Severity.FLAWED: "bold dark_orange",
    Severity.TESTBED: "bold magenta",
}


def uses_colour(file: TextIO) -> bool:
    """Return True if text in this file can have colours. FORCE_COLOR and NO_COLOR are respected."""
    console = Console(file=file)
    return console.is_terminal and not console.is_dumb_terminal and not console.no_color


def render(report: Report, remarks: Sequence[str], *, page: Path, width: int, colour: bool) -> str:
    """Return items, cells and causes with their remedies, in lines of at most `width` characters.

    `page` is the path of the report's page. The last two lines are this path, which is never
    wrapped, and the verdict.
    """
    out = io.StringIO()
    console = Console(
        file=out,
        width=width,
        force_terminal=colour,
        no_color=not colour,
        highlight=False,
        markup=False,
        emoji=False,  # a location such as database.cpp:100:7 is not an emoji
    )
    console.print(_results(report))
    for group in cause_groups.groups(cause for item in report.items for cause in item.causes):
        console.print()
        console.print(Text(f"{group.name} ({group.severity})", _SEVERITY_STYLES[group.severity]))
        console.print(_cause_table(group, report))
    for reason in sorted({item.reason for item in report.items if item.reason}):
        console.print(f"\nnot verified: {reason}")
    console.print()
    for line in (*_notes(report), *remarks, *_basis(report)):
        console.print(line)
    console.print(f"report: {page}", soft_wrap=True)
    sign, _, style = signs.VERDICTS[report.verdict]
    selected = " (of the selected cells)" if report.selection.narrowed else ""
    unfinished = "" if report.finished else ": the run did not finish"
    console.print(Text(f"{sign} {report.verdict}{selected}{unfinished}", f"bold {style}"))
    return "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines())


def _results(report: Report) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("item or cell")
    table.add_column("result", no_wrap=True)
    table.add_column("seconds", no_wrap=True, justify="right")
    for item in report.items:
        title = Text(item.title)
        if counts := signs.machine_sentence(report.cells_of(item.id)):
            title.append(f"\n  {counts}", "dim")
        table.add_row(title, _signed(signs.VERDICTS[item.verdict], item.verdict), "")
    for cell in report.cells:
        result = _signed(signs.OUTCOMES[cell.outcome], cell.outcome)
        seconds = f"{cell.seconds:.1f}" if cell.seconds else ""
        table.add_row(Text(f"  {cell.id}"), result, seconds)
    return table


def _signed(outcome_sign: OutcomeSign, word: str) -> Text:
    return Text(f"{outcome_sign.sign} {word}", outcome_sign.style)


def _cause_table(group: CauseGroup, report: Report) -> Table:
    """Return what the user sees, what happened and where, for each entry; then the remedy."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    cells = {cell.id: cell for cell in report.cells}
    shown = ""
    for entry in group.entries:
        text = cause_groups.user_text(entry, cells)
        if text and text != shown:
            table.add_row("  user sees", Text(text))
        shown = text
        table.add_row("  what", Text(entry.text))
        table.add_row("  where", Text(_where(entry)))
        for following in entry.following:
            line = f"{following.cause.name}: {_where(following)}: {following.text}"
            table.add_row("  follows", Text(line))
    table.add_row("  remedy", Text(group.remedy))
    return table


def _where(entry: CauseEntry) -> str:
    """Return the cells or files of an entry in one line, with the step."""
    return ", ".join(entry.places) + (f": {entry.step}" if entry.step else "")


def _notes(report: Report) -> Iterator[str]:
    for entry in cause_groups.entries(map(Occurrence, report.notes)):
        yield f"note: {entry.cause.name}: {_where(entry)}: {entry.text}"


def _basis(report: Report) -> Iterator[str]:
    if line := signs.basis_line(report):
        yield f"basis: {line}"
