"""The verdict as a person reads it at the end of a run."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from verification.models.cause import Cause, in_order
from verification.verdict import CellResult, Item, Verdict

_SIGNS = {
    Verdict.VERIFIED: ("✔", "green"),
    Verdict.FAILED: ("✘", "red"),
    Verdict.UNVERIFIED: ("?", "yellow"),
    Verdict.TESTBED: ("!", "magenta"),
}


def render(
    verdict: Verdict,
    items: Iterable[Item],
    cells: Sequence[CellResult],
    notes: Sequence[Cause],
    remarks: Sequence[str],
    *,
    width: int,
    colour: bool,
) -> str:
    """Return items, cells, causes with their remedies, and the verdict in the last line."""
    items = list(items)
    out = io.StringIO()
    console = Console(
        file=out,
        width=width,
        force_terminal=colour,
        no_color=not colour,
        highlight=False,
        emoji=False,  # a place such as database.cpp:100:7 is none
    )
    table = Table(show_edge=False, pad_edge=False)
    for heading in ("item or cell", "verdict", "causes", "seconds"):
        table.add_column(heading, justify="right" if heading == "seconds" else "left")
    for item in items:
        table.add_row(item.title, _mark(item.verdict), _names(item.causes), "")
    for cell in cells:
        seconds = f"{cell.seconds:.1f}" if cell.seconds else ""
        table.add_row(f"  {cell.id}", _mark(cell.verdict), _names(cell.causes), seconds)
    console.print(table)
    for (name, severity, remedy), causes in _grouped(items).items():
        console.print(f"\n[bold]{name}[/bold] ({severity})")
        for cause in causes:
            console.print(f"  - {cause.where}: {cause.message}", markup=False)
        console.print(f"    {remedy}", markup=False)
    for reason in sorted({item.reason for item in items if item.reason}):
        console.print(f"\nnot verified: {reason}", markup=False)
    console.print()
    for note in notes:
        console.print(f"note: {note.name}: {note.where}: {note.message}", markup=False)
    for remark in remarks:
        console.print(remark, markup=False)
    sign, style = _SIGNS[verdict]
    console.print(f"[bold {style}]{sign} {verdict}[/]")
    return out.getvalue()


def _grouped(items: Iterable[Item]) -> dict[tuple[str, str, str], list[Cause]]:
    """Return the causes by name, severity and remedy, so that a remedy is told once."""
    found: dict[tuple[str, str, str], list[Cause]] = {}
    for cause in in_order(cause for item in items for cause in item.causes):
        found.setdefault((cause.name, cause.severity, cause.remedy), []).append(cause)
    return found


def _mark(verdict: Verdict) -> str:
    sign, style = _SIGNS[verdict]
    return f"[{style}]{sign} {verdict}[/]"


def _names(causes: Iterable[Cause]) -> str:
    return ", ".join(dict.fromkeys(cause.name for cause in causes))
