"""The report on the terminal at the end of a run."""

from __future__ import annotations

import io
import itertools
import shutil
import sys
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from verification.models.cause import Severity
from verification.models.report import FileCoverage, KeptMachine, Report
from verification.models.results import CellResult
from verification.report import cause_groups, signs, writer
from verification.report.cause_groups import CauseEntry, CauseGroup, Occurrence
from verification.report.signs import OutcomeSign

_MAX_NAMES = 12
"""How many cells or files one line of the terminal names."""
_MAX_CELLS = 200
"""How many cells the terminal lists."""
_SEVERITY_STYLES = {
    Severity.BROKEN: "bold red",
    Severity.FLAWED: "bold dark_orange",
    Severity.TESTBED: "bold magenta",
}


def uses_colour(file: TextIO) -> bool:
    """Return True if text in this file can have colours. FORCE_COLOR and NO_COLOR are respected."""
    console = Console(file=file)
    return console.is_terminal and not console.is_dumb_terminal and not console.no_color


def for_stdout(report: Report, remarks: Sequence[str], folder: Path) -> str:
    """Return the text of `render` for the terminal of this process. `folder` has the report."""
    return render(
        report,
        remarks,
        page=folder / writer.PAGE,
        width=shutil.get_terminal_size().columns,
        colour=uses_colour(sys.stdout),
    )


def render(report: Report, remarks: Sequence[str], *, page: Path, width: int, colour: bool) -> str:
    """Return items, cells and causes with their remedies, in lines of at most `width` characters.

    `page` is the path of the report's page. The last two lines are this path and the verdict. They
    are never wrapped.
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
    cells = {cell.id: cell for cell in report.cells}
    causes = (cause for item in report.items for cause in item.causes)
    for group in cause_groups.groups(causes, cells):
        console.print()
        console.print(Text(f"{group.name} ({group.severity})", _SEVERITY_STYLES[group.severity]))
        console.print(_cause_table(group, cells))
    for reason in sorted({item.reason for item in report.items if item.reason}):
        console.print(f"\nnot verified: {reason}")
    console.print()
    for line in (*_notes(report), *remarks, *_basis(report)):
        console.print(line)
    console.print(f"report: {page}", soft_wrap=True)
    sign, _, style = signs.VERDICTS[report.verdict]
    selected = " (of the selected cells)" if report.selection.narrowed else ""
    unfinished = "" if report.finished else f": {signs.UNFINISHED}"
    line = f"{sign} {report.verdict}{selected}{unfinished}{signs.network_limit(report)}"
    console.print(Text(line, f"bold {style}"), soft_wrap=True)
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
    shown = _listed_cells(report)
    for cell in shown:
        result = _signed(signs.OUTCOMES[cell.outcome], cell.outcome)
        seconds = f"{cell.seconds:.1f}" if cell.seconds else ""
        table.add_row(Text(f"  {cell.id}"), result, seconds)
    if others := len(report.cells) - len(shown):
        table.add_row(Text(f"  {others} more cells are in the report"), "", "")
    return table


def _listed_cells(report: Report) -> tuple[CellResult, ...]:
    """Return all cells, or of a large report the first ones with another outcome than expected."""
    if len(report.cells) <= _MAX_CELLS:
        return report.cells
    unexpected = (cell for cell in report.cells if cell.outcome not in signs.EXPECTED)
    return tuple(itertools.islice(unexpected, _MAX_CELLS))


def _signed(outcome_sign: OutcomeSign, word: str) -> Text:
    return Text(f"{outcome_sign.sign} {word}", outcome_sign.style)


def _cause_table(group: CauseGroup, cells: Mapping[str, CellResult]) -> Table:
    """Return what the user sees, what happened and where, for each entry; then the remedy."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    shown = ""
    for entry in group.entries:
        text = cause_groups.user_text(entry, cells)
        if text and text != shown:
            table.add_row("  user sees", Text(text))
        shown = text
        table.add_row("  what", Text(entry.text))
        table.add_row("  where", Text(_locations(entry)))
        for following in entry.following:
            line = f"{following.cause.name}: {_locations(following)}: {following.text}"
            table.add_row("  follows", Text(line))
    table.add_row("  remedy", Text(group.remedy))
    return table


def _locations(entry: CauseEntry) -> str:
    """Return the cells or files of an entry in one line, with the step."""
    return _listed(entry.locations) + (f": {entry.step}" if entry.step else "")


def _listed(names: Sequence[str]) -> str:
    """Return the first names and the number of the others. The report page has all of them."""
    others = len(names) - _MAX_NAMES
    return ", ".join(names[:_MAX_NAMES]) + (f" and {others} more" if others > 0 else "")


def _notes(report: Report) -> Iterator[str]:
    ids = {cell.id for cell in report.cells}
    for entry in cause_groups.entries(map(Occurrence, report.notes), ids):
        yield f"note: {entry.cause.name}: {_locations(entry)}: {entry.text}"


def _basis(report: Report) -> Iterator[str]:
    if line := signs.basis_line(report):
        yield f"basis: {line}"


# ---- the lines below the causes ----


def remarks(
    report: Report, *, slowest: str = "", not_fetched: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Yield the lines below the causes: what is not verified, and the scope of the verdict.

    `slowest` are the slowest steps. `not_fetched` has why a wheel was not fetched, by name.
    """
    if slowest:
        yield f"slowest: {slowest}"
    if report.engine_retries:
        yield f"retries of engine requests after a broken connection: {report.engine_retries}"
    yield from (f"engine {name} ended while it ran cells" for name in report.lost_engines)
    yield from _kept(report.kept)
    if report.selection.narrowed:
        narrowed = ", ".join(report.selection.narrowed)
        yield f"The verdict covers only what was selected: {narrowed}"
    if own_tests := signs.own_tests_sentence(report):
        yield own_tests
    if report.no_history:
        yield f"not verified with the earlier releases on the index: {report.no_history}"
    yield from (f"not verified: {name}: {reason}" for name, reason in (not_fetched or {}).items())
    # The lines about the files also name the wheels of platforms without a finding.
    platforms = [p for p in report.platforms if p.causes or p.unread or not report.files]
    yield from signs.platform_sentences(platforms)
    yield from _files(report, {name for platform in platforms for name in platform.wheels})
    yield from _out_of_scope_lines(report)
    if scope := signs.scope(report, "publisher"):
        yield f"publisher: {scope}"
    if line := signs.live_index_sentence(report):
        yield line


def _files(report: Report, named: Container[str]) -> Iterator[str]:
    """Yield one line for the files of the release that no machine verified, for each reason.

    ``named`` are the files that other lines already name.
    """
    names_by_reason: dict[str, list[str]] = {}
    for file in report.files:
        is_unused = file.coverage in (FileCoverage.INSPECTED, FileCoverage.NOT_READ)
        if is_unused and file.name not in named:
            reason = f" ({file.reason})" if file.reason else ""
            words = f"{signs.FILE_COVERAGE[file.coverage]}{reason}"
            names_by_reason.setdefault(words, []).append(file.name)
    for words, names in names_by_reason.items():
        yield f"{words}: {_listed(names)}"
    if report.not_installed and not report.files:
        yield f"inspected but not installed on a machine: {_listed(report.not_installed)}"


def _out_of_scope_lines(report: Report) -> Iterator[str]:
    """Yield one line for the machines of other profiles, and one for each other reason."""
    profile, ids_by_reason, others = report.selection.profile, dict[str, list[str]](), 0
    for entry in report.out_of_scope:
        machine = report.machines.get(entry.id)
        if machine and profile not in machine.profiles:
            others += 1
        else:
            ids_by_reason.setdefault(entry.reason, []).append(entry.id)
    for reason, ids in ids_by_reason.items():
        yield f"out of scope: {_listed(ids)}: {reason}"
    if others:
        yield f"out of scope: {others} machines that only other profiles have"


def _kept(kept: tuple[KeptMachine, ...]) -> Iterator[str]:
    for machine in kept:
        yield f"kept {machine.cell} until {machine.until}: {machine.enter}"
    if kept:
        yield "remove the kept machines: ./e2e clean --kept"
