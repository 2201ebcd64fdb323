"""``index.html``: the report for people, one file that loads nothing from a network.

The summary of a run comes from the report. The logs of a cell come from its evidence, shortened.
The template is in assets/ and escapes every value.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import jinja2
from markupsafe import Markup
from pydantic import JsonValue

from verification.models.base import DataError
from verification.models.cause import Cause
from verification.models.evidence import CellEvidence, ExerciseStep, OwnTestFailure, read_evidence
from verification.models.report import KeptMachine, MachineRecord, Report
from verification.models.results import CellResult, ItemResult, StepName
from verification.models.verdict import Outcome, Verdict
from verification.report import cause_groups, cell_summary, marks, timeline
from verification.report.cause_groups import CauseGroup, Occurrence
from verification.report.timeline import JobBar, Timing

ASSETS = Path(__file__).with_name("assets")
_MEANING = {
    Verdict.VERIFIED: "Everything that was required works on clean machines.",
    Verdict.FAILED: "The package is broken for users. Each cause says where, and how to fix it.",
    Verdict.UNVERIFIED: "Something required was not verified, so nothing is promised.",
    Verdict.TESTBED: "The testbed failed: this says nothing about the package.",
}
_FEW = 200  # cells; with more, less of each log is shown
_CHARACTERS = {True: 6000, False: 1500}  # of a log, by whether the cells are few
_STEP_CHARACTERS = 600
_LINES = 20  # of a list in the evidence
Pairs = tuple[tuple[str, str], ...]


def write(path: Path, report: Report) -> None:
    """Write the page; the evidence is read from the folder next to it."""
    text = render(report, _evidence(path.parent, report))
    path.write_text(text, "utf-8", "backslashreplace")


def _evidence(folder: Path, report: Report) -> dict[str, CellEvidence]:
    evidence = {}
    for cell in report.cells:
        try:
            evidence[cell.id] = read_evidence(folder / "evidence" / f"{cell.evidence}.json")
        except DataError:
            continue  # it did not run, or the run was cut off while it was written
    return evidence


def render(report: Report, evidence: Mapping[str, CellEvidence]) -> str:
    """Return the page; ``evidence`` is that of each cell, by its id."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ASSETS),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    style = (ASSETS / "page.css").read_text("utf-8")
    script = (ASSETS / "page.js").read_text("utf-8")
    return environment.get_template("page.html.jinja").render(
        # Ours, and the page's own policy lets nothing else be run: not even what got past escaping.
        style=Markup(style),  # noqa: S704
        script=Markup(script),  # noqa: S704
        policy=(
            f"default-src 'none'; style-src {_source(style)}; script-src {_source(script)}; "
            "base-uri 'none'; form-action 'none'"
        ),
        outcomes=marks.OUTCOMES,
        verdicts=marks.VERDICTS,
        phases=(*get_args(StepName), timeline.REST),
        page=build_page(report, evidence),
    )


def _source(text: str) -> str:
    """Return what a content security policy calls this inline text (CSP Level 3, hashes)."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


# ---- what the template shows ----


@dataclass(frozen=True)
class ItemView:
    """An item and on how many machines it has which outcome."""

    result: ItemResult
    causes: tuple[str, ...]
    """The names of those that count."""
    machines: str


@dataclass(frozen=True)
class MatrixColumn:
    """A machine of the matrix, with a column for each installer."""

    name: str
    title: str
    installers: tuple[str, ...]


@dataclass(frozen=True)
class MatrixRow:
    """A scenario, with a cell or none below each installer of each machine.

    The truth value marks the first installer of a machine.
    """

    scenario: str
    cells: tuple[tuple[bool, CellResult | None], ...]


@dataclass(frozen=True)
class CommandView:
    """A command of a cell with what is shown of its output."""

    name: str
    command_line: str
    code: int
    seconds: float
    timed_out: bool
    logs: Pairs


@dataclass(frozen=True)
class StepView:
    """A step of the exercise and what it returned or raised."""

    name: str
    ok: bool
    value: str


@dataclass(frozen=True)
class CellView:
    """A cell, with what its evidence shows."""

    result: CellResult
    causes: tuple[Occurrence, ...]
    machine: str
    has: tuple[str, ...]
    replay: str
    kept: KeptMachine | None
    evidence: str
    commands: tuple[CommandView, ...]
    steps: tuple[StepView, ...]
    facts: Pairs
    times: tuple[tuple[str, float], ...]
    search: str


@dataclass(frozen=True)
class Page:
    """Everything that the template shows, in its order."""

    report: Report
    title: str
    meaning: str
    facts: Pairs
    items: tuple[ItemView, ...]
    counts: Mapping[Outcome, int]
    columns: tuple[MatrixColumn, ...]
    rows: tuple[MatrixRow, ...]
    causes: tuple[CauseGroup, ...]
    pipeline: tuple[JobBar, ...]
    cells: tuple[CellView, ...]
    unverified: Pairs
    timings: tuple[Timing, ...]
    tables: tuple[tuple[str, Pairs], ...]

    def cell_of(self, cause: Cause) -> str:
        """Return the id of the cell that a cause is of; empty if it is of none."""
        ident = cause.where.partition(":")[0]
        return ident if self.report.cell(ident) else ""


def build_page(report: Report, evidence: Mapping[str, CellEvidence]) -> Page:
    """Return what the template shows."""
    shown = _CHARACTERS[len(report.cells) <= _FEW]
    cells = tuple(_cell(cell, evidence.get(cell.id), report, shown) for cell in report.cells)
    name = f"{report.selection.subject} {report.version}".strip()
    columns = _columns(report)
    return Page(
        report=report,
        title=f"{name}: {marks.VERDICTS[report.verdict].title}",
        meaning=_MEANING[report.verdict],
        facts=tuple(_facts(report)),
        items=tuple(_item(item, report) for item in report.items),
        counts=Counter(cell.outcome for cell in report.cells),
        columns=columns,
        rows=tuple(_rows(report.cells, columns)),
        causes=cause_groups.groups(cause for item in report.items for cause in item.causes),
        pipeline=timeline.job_bars(report.pipeline),
        cells=cells,
        unverified=tuple(_unverified(report)),
        timings=timeline.timings([(cell.result, cell.times) for cell in cells]),
        tables=tuple(_tables(report)),
    )


def _facts(report: Report) -> Iterator[tuple[str, str]]:
    chosen = report.selection
    version = f"{chosen.subject} {report.version}" if report.version else "none"
    given = {"release": chosen.release, "wheels": chosen.wheels, "source": chosen.source}
    yield "Release", version
    yield (
        "From",
        " ".join(f"--{name} {shlex.quote(value)}" for name, value in given.items() if value),
    )
    yield "Started", report.started
    yield "Took", f"{report.seconds:.0f} s"
    if chosen.strict:
        yield "Strict", "what works with a flaw fails as well"


def _item(item: ItemResult, report: Report) -> ItemView:
    cells = report.cells_of(item.id)
    return ItemView(item, cause_groups.cause_names(item.causes), marks.machine_sentence(cells))


def _columns(report: Report) -> tuple[MatrixColumn, ...]:
    installers: dict[str, dict[str, None]] = {}
    for cell in report.cells:
        installers.setdefault(cell.machine, {})[cell.installer] = None
    return tuple(
        MatrixColumn(name, _machine(report, name).title, tuple(names))
        for name, names in installers.items()
    )


def _rows(cells: Sequence[CellResult], columns: Sequence[MatrixColumn]) -> Iterator[MatrixRow]:
    known = {(cell.scenario, cell.machine, cell.installer): cell for cell in cells}
    for scenario in dict.fromkeys(cell.scenario for cell in cells):
        yield MatrixRow(
            scenario,
            tuple(
                (number == 0, known.get((scenario, column.name, installer)))
                for column in columns
                for number, installer in enumerate(column.installers)
            ),
        )


def _machine(report: Report, name: str) -> MachineRecord:
    unknown = MachineRecord(title=name, os="linux", python="")
    return report.machines.get(name, unknown)


# ---- a cell ----


def replay_command(cell: CellResult) -> str:
    """Return the command that runs this cell again, from what the run recorded."""
    return f"./e2e replay {shlex.quote(cell.id)}"


def _cell(cell: CellResult, evidence: CellEvidence | None, report: Report, shown: int) -> CellView:
    machine = _machine(report, cell.machine)
    commands = tuple(_commands(evidence, shown)) if evidence else ()
    times = tuple((command.name, command.seconds) for command in commands)
    rest = max(0.0, cell.seconds - sum(seconds for _, seconds in times))
    words = [cell.id, cell.outcome, cell.verdict, machine.title, cell.reason]
    words += [f"{cause.name} {cause.message}" for cause in cell.causes]
    return CellView(
        result=cell,
        causes=cause_groups.occurrences(cell.causes),
        machine=machine.title,
        has=machine.has,
        replay=replay_command(cell),
        kept=next((kept for kept in report.kept if kept.cell == cell.id), None),
        evidence=f"evidence/{cell.evidence}.json" if evidence else "",
        commands=commands,
        steps=tuple(_steps(evidence)) if evidence else (),
        facts=tuple(_cell_facts(evidence)) if evidence else (),
        times=(*times, (timeline.REST, rest)),
        search=" ".join(words).lower(),
    )


def _commands(evidence: CellEvidence, shown: int) -> Iterator[CommandView]:
    windows = evidence.os == "windows"
    for name, run in cell_summary.recorded_commands(evidence):
        logs = (("stdout", run.stdout), ("stderr", run.stderr))
        yield CommandView(
            name=name,
            command_line=cell_summary.command_line(run.command, windows=windows),
            code=run.code,
            seconds=run.seconds,
            timed_out=run.timed_out,
            logs=tuple((stream, _shorten(text, shown)) for stream, text in logs if text),
        )


def _steps(evidence: CellEvidence) -> Iterator[StepView]:
    for name, step in cell_summary.recorded_steps(evidence.steps).items():
        yield StepView(name, step.ok, _shorten(_value(step), _STEP_CHARACTERS))


def _value(step: ExerciseStep[JsonValue]) -> str:
    if step.error and not step.ok:
        return f"{step.error.type}: {step.error.message}"
    return step.value if isinstance(step.value, str) else json.dumps(step.value, ensure_ascii=False)


def _cell_facts(evidence: CellEvidence) -> Iterator[tuple[str, str]]:
    short = cell_summary.summarize(evidence)
    yield from (
        (name, value)
        for name, value in (
            ("Python", f"{evidence.implementation} {evidence.python}".strip()),
            ("System", evidence.system),
            ("Image", evidence.image.tag),
            ("Deviation", evidence.deviation),
            ("Testbed", short.testbed),
        )
        if value
    )
    for name, sha256 in short.served.items():
        yield "Served", f"{name} sha256 {sha256}"
    if evidence.tests and short.tests:
        yield "Own tests", f"{cell_summary.counts(short.tests)}; pytest {evidence.tests.pytest}"
        for failure in evidence.tests.failures[:_LINES]:
            yield f"Own test {failure.outcome}", _failure(failure)
        for line in short.tests.left_out:
            yield "Own tests left out", line
    for line in evidence.loader[:_LINES]:
        yield "Loader", line
    for line in evidence.processes[:_LINES]:
        yield "Left running", line


def _failure(test: OwnTestFailure) -> str:
    return f"{test.node}: {' '.join(test.text.split())[-400:]}"


def _shorten(text: str, most: int) -> str:
    """Return a log's beginning and end; the whole is in the evidence."""
    if len(text) <= most:
        return text
    left = len(text) - most
    return f"{text[: most // 4]}\n[... {left} characters ...]\n{text[-3 * most // 4 :]}"


# ---- the rest ----


def _unverified(report: Report) -> Iterator[tuple[str, str]]:
    results: Sequence[ItemResult | CellResult] = (*report.items, *report.cells)
    for result in results:
        if result.verdict is Verdict.UNVERIFIED:
            yield result.id, result.reason
    # Those out of scope are below, with the reason.
    known = {item.id for item in report.items} | {out.id for out in report.out_of_scope}
    for ident in ("pipeline", "publisher"):
        if ident not in known:
            yield ident, "this run has no such item"
    if own_tests := marks.own_tests_sentence(report):
        yield "own tests", own_tests
    for line in marks.platform_sentences(report.platforms):
        yield "platforms", line
    for name in report.not_installed:
        yield name, "it was inspected, and installed on no machine"
    for out in report.out_of_scope:
        yield out.id, f"out of scope: {out.reason}"
    for line in report.pipeline.not_provable if report.pipeline else ():
        yield "pipeline", line
    for line in report.publisher.not_provable if report.publisher else ():
        yield "publisher", line


def _tables(report: Report) -> Iterator[tuple[str, Pairs]]:
    egress = report.egress
    networks = {"open": egress.open, "machines": egress.machines} if egress else {}
    for title, rows in (
        ("Wheels, by sha256", sorted(report.wheels.items())),
        ("Dependencies", sorted(report.locked.items())),
        ("Images", [(name, f"{i.tag} {i.id[:19]}") for name, i in report.images.items()]),
        ("Egress", [(name, network.model_dump_json()) for name, network in networks.items()]),
    ):
        if rows:
            yield title, tuple(rows)
