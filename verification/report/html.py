"""``index.html``: the web page of the report. It is one file that loads nothing from a network.

The page shows the report, and shortened logs from the evidence of each cell. The template in
assets/ escapes every value.
"""

from __future__ import annotations

import base64
import functools
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

from verification import suite
from verification.models.base import DataError
from verification.models.cause import Cause
from verification.models.evidence import CellEvidence, ExerciseStep, OwnTestFailure, read_evidence
from verification.models.report import KeptMachine, MachineRecord, Report
from verification.models.results import CellResult, ItemResult, StepName
from verification.models.verdict import Outcome, Verdict
from verification.report import cause_groups, cell_summary, signs, timeline
from verification.report.cause_groups import CauseGroup, Occurrence
from verification.report.timeline import JobBar, Timing

ASSETS = Path(__file__).with_name("assets")
_MEANINGS = {
    Verdict.VERIFIED: "Everything that this run requires works on clean machines.",
    Verdict.FAILED: "The package is broken for users. The causes say where, and how to fix it.",
    Verdict.UNVERIFIED: "Something required is not verified, so the package may not work.",
    Verdict.TESTBED: "The testbed failed. This says nothing about the package.",
}
_MANY_CELLS = 200
_LOG_CHARACTERS = 6000
_LOG_CHARACTERS_MANY_CELLS = 1500
_STEP_CHARACTERS = 600
_MAX_LINES = 20  # of a list in the evidence
Pairs = tuple[tuple[str, str], ...]


def write(path: Path, report: Report) -> None:
    """Write the page. Its evidence is read from the folder ``evidence`` next to it."""
    text = render(report, _evidence(path.parent, report))
    path.write_text(text, "utf-8", "backslashreplace")


def _evidence(folder: Path, report: Report) -> dict[str, CellEvidence]:
    evidence = {}
    for cell in report.cells:
        try:
            evidence[cell.id] = read_evidence(folder / "evidence" / f"{cell.evidence}.json")
        except DataError:
            continue  # the cell did not run, or the run ended while it wrote the evidence
    return evidence


def render(report: Report, evidence: Mapping[str, CellEvidence]) -> str:
    """Return the page; ``evidence`` has the evidence of each cell, by the cell's id."""
    style = (ASSETS / "page.css").read_text("utf-8")
    script = (ASSETS / "page.js").read_text("utf-8")
    return _template().render(
        # These files are ours. The policy of the page allows no other style or script, so that
        # it also stops HTML that a missing escape lets through.
        style=Markup(style),  # noqa: S704
        script=Markup(script),  # noqa: S704
        policy=(
            f"default-src 'none'; style-src {_source(style)}; script-src {_source(script)}; "
            "base-uri 'none'; form-action 'none'"
        ),
        outcomes=signs.OUTCOMES,
        verdicts=signs.VERDICTS,
        phases=(*get_args(StepName), timeline.OTHER),
        page=build_page(report, evidence),
        suite=suite.title(report.suite_version, report.suite_commit),
    )


@functools.cache
def _template() -> jinja2.Template:
    # A gate writes the page twice, and to compile the template takes 0.2 s.
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ASSETS),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("page.html.jinja")


def _source(text: str) -> str:
    """Return the source expression of an inline text for a content security policy.

    It is the sha256 in base64 (CSP Level 3, "hash-source").
    """
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


# ---- the data of the template ----


@dataclass(frozen=True)
class ItemView:
    """An item, with the names of its causes and the outcomes of its machines."""

    result: ItemResult
    causes: tuple[str, ...]
    """The names of the causes that count."""
    machines: str
    """The number of machines for each outcome, in words."""


@dataclass(frozen=True)
class MatrixColumn:
    """A machine in the matrix of cells, with one column for each of its installers."""

    name: str
    title: str
    installers: tuple[str, ...]


@dataclass(frozen=True)
class MatrixRow:
    """A scenario in the matrix of cells, with one entry for each installer of each machine."""

    scenario: str
    cells: tuple[tuple[bool, CellResult | None], ...]
    """For each installer: True if it is the first of its machine, and the cell, if there is one."""


@dataclass(frozen=True)
class CommandView:
    """A command of a cell, with its shortened output."""

    name: str
    command_line: str
    code: int
    seconds: float
    timed_out: bool
    logs: Pairs


@dataclass(frozen=True)
class StepView:
    """A step of the exercise, with its return value or exception."""

    name: str
    ok: bool
    value: str


@dataclass(frozen=True)
class CellView:
    """A cell, with a part of its evidence."""

    result: CellResult
    causes: tuple[Occurrence, ...]
    machine: str
    additional_software: tuple[str, ...]
    missing_software: tuple[str, ...]
    replay: str
    """The command that runs the cell again."""
    kept: KeptMachine | None
    evidence: str
    """The path of the evidence, relative to the page; empty if there is none."""
    commands: tuple[CommandView, ...]
    steps: tuple[StepView, ...]
    details: Pairs
    times: tuple[tuple[str, float], ...]
    """The seconds of each phase."""
    search: str
    """The text that the search of the page uses, in lower case."""


@dataclass(frozen=True)
class Page:
    """All data of the template, in the order of the page."""

    report: Report
    title: str
    meaning: str
    details: Pairs
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
        """Return the id of the cell that a cause belongs to; empty if it belongs to none."""
        cell_id = cause.where.partition(":")[0]
        return cell_id if self.report.cell(cell_id) else ""


def build_page(report: Report, evidence: Mapping[str, CellEvidence]) -> Page:
    """Return the data of the template."""
    is_large_report = len(report.cells) > _MANY_CELLS
    log_characters = _LOG_CHARACTERS_MANY_CELLS if is_large_report else _LOG_CHARACTERS
    cells = tuple(
        _cell(cell, evidence.get(cell.id), report, log_characters) for cell in report.cells
    )
    name = f"{report.selection.subject} {report.version}".strip()
    columns = _columns(report)
    return Page(
        report=report,
        title=f"{name}: {signs.VERDICTS[report.verdict].title}",
        meaning=_MEANINGS[report.verdict],
        details=tuple(_details(report)),
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


def _details(report: Report) -> Iterator[tuple[str, str]]:
    selection = report.selection
    version = f"{selection.subject} {report.version}" if report.version else "none"
    origins = {
        "release": selection.release,
        "wheels": selection.wheels,
        "source": selection.source,
    }
    yield "Release", version
    yield (
        "Origin",
        " ".join(f"--{name} {shlex.quote(value)}" for name, value in origins.items() if value),
    )
    yield "Started", report.started
    yield "Duration", f"{report.seconds:.0f} s"
    if selection.strict:
        yield "Strict", "flawed causes fail the run"


def _item(item: ItemResult, report: Report) -> ItemView:
    cells = report.cells_of(item.id)
    return ItemView(item, cause_groups.cause_names(item.causes), signs.machine_sentence(cells))


def _columns(report: Report) -> tuple[MatrixColumn, ...]:
    installers: dict[str, dict[str, None]] = {}
    for cell in report.cells:
        installers.setdefault(cell.machine, {})[cell.installer] = None
    return tuple(
        MatrixColumn(name, _machine(report, name).title, tuple(names))
        for name, names in installers.items()
    )


def _rows(cells: Sequence[CellResult], columns: Sequence[MatrixColumn]) -> Iterator[MatrixRow]:
    by_position = {(cell.scenario, cell.machine, cell.installer): cell for cell in cells}
    for scenario in dict.fromkeys(cell.scenario for cell in cells):
        yield MatrixRow(
            scenario,
            tuple(
                (number == 0, by_position.get((scenario, column.name, installer)))
                for column in columns
                for number, installer in enumerate(column.installers)
            ),
        )


def _machine(report: Report, name: str) -> MachineRecord:
    unknown = MachineRecord(title=name, os="linux", python="")
    return report.machines.get(name, unknown)


# ---- a cell ----


def replay_command(cell: CellResult) -> str:
    """Return the command that runs a cell again with its recorded inputs."""
    return f"./e2e replay {shlex.quote(cell.id)}"


def _cell(
    cell: CellResult, evidence: CellEvidence | None, report: Report, log_characters: int
) -> CellView:
    machine = _machine(report, cell.machine)
    commands = tuple(_commands(evidence, log_characters)) if evidence else ()
    times = tuple((command.name, command.seconds) for command in commands)
    other = max(0.0, cell.seconds - sum(seconds for _, seconds in times))
    words = [cell.id, cell.outcome, cell.verdict, machine.title, cell.reason]
    words += [f"{cause.name} {cause.message}" for cause in cell.causes]
    return CellView(
        result=cell,
        causes=cause_groups.occurrences(cell.causes),
        machine=machine.title,
        additional_software=machine.additional_software,
        missing_software=machine.missing_software,
        replay=replay_command(cell),
        kept=next((kept for kept in report.kept if kept.cell == cell.id), None),
        evidence=f"evidence/{cell.evidence}.json" if evidence else "",
        commands=commands,
        steps=tuple(_steps(evidence)) if evidence else (),
        details=tuple(_cell_details(evidence)) if evidence else (),
        times=(*times, (timeline.OTHER, other)),
        search=" ".join(words).lower(),
    )


def _commands(evidence: CellEvidence, log_characters: int) -> Iterator[CommandView]:
    windows = evidence.os == "windows"
    for name, run in cell_summary.recorded_commands(evidence):
        logs = (("stdout", run.stdout), ("stderr", run.stderr))
        yield CommandView(
            name=name,
            command_line=cell_summary.command_line(run.command, windows=windows),
            code=run.code,
            seconds=run.seconds,
            timed_out=run.timed_out,
            logs=tuple((stream, _shorten(text, log_characters)) for stream, text in logs if text),
        )


def _steps(evidence: CellEvidence) -> Iterator[StepView]:
    for name, step in cell_summary.recorded_steps(evidence.steps).items():
        yield StepView(name, step.ok, _shorten(_value(step), _STEP_CHARACTERS))


def _value(step: ExerciseStep[JsonValue]) -> str:
    if step.error and not step.ok:
        return f"{step.error.type}: {step.error.message}"
    return step.value if isinstance(step.value, str) else json.dumps(step.value, ensure_ascii=False)


def _cell_details(evidence: CellEvidence) -> Iterator[tuple[str, str]]:
    summary = cell_summary.summarize(evidence)
    yield from (
        (name, value)
        for name, value in (
            ("Python", f"{evidence.implementation} {evidence.python}".strip()),
            ("System", evidence.system),
            ("Image", evidence.image.tag),
            ("Deviation", evidence.deviation),
            ("Testbed", summary.testbed),
        )
        if value
    )
    for name, sha256 in summary.served.items():
        yield "Served", f"{name} sha256 {sha256}"
    if evidence.tests and summary.tests:
        yield "Own tests", f"{cell_summary.counts(summary.tests)}; pytest {evidence.tests.pytest}"
        for failure in evidence.tests.failures[:_MAX_LINES]:
            yield f"Own test {failure.outcome}", _failure(failure)
        for line in summary.tests.left_out:
            yield "Own tests left out", line
    for line in evidence.loader[:_MAX_LINES]:
        yield "Loader", line
    for line in evidence.processes[:_MAX_LINES]:
        yield "Left running", line


def _failure(test: OwnTestFailure) -> str:
    return f"{test.node}: {' '.join(test.text.split())[-400:]}"


def _shorten(text: str, limit: int) -> str:
    """Return the beginning and the end of a log. The evidence has all of it."""
    if len(text) <= limit:
        return text
    omitted = len(text) - limit
    return f"{text[: limit // 4]}\n[... {omitted} characters ...]\n{text[-3 * limit // 4 :]}"


# ---- lists below the cells ----


def _unverified(report: Report) -> Iterator[tuple[str, str]]:
    results: Sequence[ItemResult | CellResult] = (*report.items, *report.cells)
    for result in results:
        if result.verdict is Verdict.UNVERIFIED:
            yield result.id, result.reason
    # What is out of scope follows below, with its reason.
    listed = {item.id for item in report.items} | {out.id for out in report.out_of_scope}
    for item_id in ("pipeline", "publisher"):
        if item_id not in listed:
            yield item_id, "this run has no such item"
    if own_tests := signs.own_tests_sentence(report):
        yield "own tests", own_tests
    for line in signs.platform_sentences(report.platforms):
        yield "platforms", line
    for name in report.not_installed:
        yield name, "inspected, but not installed on any machine"
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
