"""The report on the terminal at the end of a run."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from verification.models.cause import Cause
from verification.models.report import Report
from verification.report import cause_groups, signs
from verification.report.signs import OutcomeSign


def render(report: Report, remarks: Sequence[str], *, width: int, colour: bool) -> str:
    """Return items, cells and causes with their remedies. The last line has the verdict."""
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
    console.print(_table(report))
    for group in cause_groups.groups(cause for item in report.items for cause in item.causes):
        console.print()
        console.print(Text.assemble((group.name, "bold"), f" ({group.severity})"))
        for occurrence in group.occurrences:
            console.print(f"  - {occurrence.cause.where}: {occurrence.cause.message}")
            for cause in occurrence.following:
                console.print(f"      follows: {_line(cause)}")
        console.print(f"    {group.remedy}")
    for reason in sorted({item.reason for item in report.items if item.reason}):
        console.print(f"\nnot verified: {reason}")
    console.print()
    for note in report.notes:
        console.print(f"note: {_line(note)}")
    for remark in remarks:
        console.print(remark)
    sign, _, style = signs.VERDICTS[report.verdict]
    selected = " (of the selected cells)" if report.selection.narrowed else ""
    unfinished = "" if report.finished else ": the run did not finish"
    console.print(Text(f"{sign} {report.verdict}{selected}{unfinished}", f"bold {style}"))
    return out.getvalue()


def _table(report: Report) -> Table:
    table = Table(show_edge=False, pad_edge=False)
    table.add_column("item or cell")
    table.add_column("result")
    table.add_column("causes")
    table.add_column("seconds", justify="right")
    for item in report.items:
        title = Text(item.title)
        if counts := signs.machine_sentence(report.cells_of(item.id)):
            title.append(f"\n  {counts}", "dim")
        result = _signed(signs.VERDICTS[item.verdict], item.verdict)
        table.add_row(title, result, cause_groups.name_list(item.causes), "")
    for cell in report.cells:
        result = _signed(signs.OUTCOMES[cell.outcome], cell.outcome)
        seconds = f"{cell.seconds:.1f}" if cell.seconds else ""
        table.add_row(Text(f"  {cell.id}"), result, cause_groups.name_list(cell.causes), seconds)
    return table


def _signed(outcome_sign: OutcomeSign, word: str) -> Text:
    return Text(f"{outcome_sign.sign} {word}", outcome_sign.style)


def _line(cause: Cause) -> str:
    return f"{cause.name}: {cause.where}: {cause.message}"
