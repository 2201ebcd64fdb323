"""``index.html``: the web page of the report. It is one file that loads nothing from a network.

The page shows the report in order of importance: the verdict and what it is based on, the causes in
the words that the user sees, the machines, and shortened logs from the evidence of each cell. The
templates in assets/ escape every value.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import jinja2
from markdown_it import MarkdownIt
from markupsafe import Markup
from pydantic import JsonValue

from verification.models.base import DataError
from verification.models.cause import Severity
from verification.models.evidence import (
    CellEvidence,
    CommandRun,
    OwnTestFailure,
    OwnTests,
    read_evidence,
)
from verification.models.limits import LimitsInForce
from verification.models.report import (
    EngineRecord,
    FileCoverage,
    KeptMachine,
    MachineRecord,
    Report,
)
from verification.models.results import CellResult, ItemResult, StepName
from verification.models.testbed import EgressProof
from verification.models.verdict import Outcome, Verdict
from verification.report import card as cards
from verification.report import cause_groups, cell_summary, signs, timeline
from verification.report.card import Card
from verification.report.cause_groups import CauseEntry, CauseGroup, Occurrence
from verification.report.packed_cells import CellPacker, PackedCells
from verification.report.timeline import JobBar, Timing
from verification.rules.catalogue import catalogue

ASSETS = Path(__file__).with_name("assets")
_IMPORTANT_NOTES = ("works-with-more",)
"""The notes that a reader must not miss. The page lists them first."""
_FILE_STYLES = {FileCoverage.VERIFIED: "verified", FileCoverage.FAILED: "failed"}
"""The colour for the coverage of a file, if it is not that of *not verified*."""
_NO_SOURCE = "'none'"
MANY_CELLS = 200
"""The page of more cells shows this number of cells at once, and packs their details."""
_MAX_TILES = 40
"""The number of tiles for each installer on a machine in such a page."""
_LOG_CHARACTERS = 6000
_LOG_CHARACTERS_MANY_CELLS = 1500
_STEP_CHARACTERS = 600
_MAX_LINES = 20  # of a list in the evidence
_MAX_NAMES = 3  # of the names that have the same reason
Pairs = tuple[tuple[str, str], ...]


ReadEvidence = Callable[[CellResult], CellEvidence | None]
"""Returns the evidence of a cell, or None. The page reads it cell by cell."""


def write(path: Path, report: Report) -> None:
    """Write the page. Its evidence is read from the folder ``evidence`` next to it."""

    def read(cell: CellResult) -> CellEvidence | None:
        try:
            return read_evidence(path.parent / "evidence" / f"{cell.evidence}.json")
        except DataError:
            return None  # the cell did not run, or the run ended while it wrote the evidence

    path.write_text(_render_page(report, read), "utf-8", "backslashreplace")


def render(report: Report, evidence: Mapping[str, CellEvidence]) -> str:
    """Return the page; ``evidence`` has the evidence of each cell, by the cell's id."""
    return _render_page(report, lambda cell: evidence.get(cell.id))


def _render_page(report: Report, read: ReadEvidence) -> str:
    return _render(
        "page.html.jinja",
        script=(ASSETS / "page.js").read_text("utf-8"),
        phases=(*get_args(StepName), timeline.OTHER),
        page=_build_page(report, read),
    )


def render_card(card: Card) -> str:
    """Return the release card as a page of its own."""
    return _render("card.html.jinja", card=card)


def _render(template: str, *, script: str = "", **values: object) -> str:
    style = (ASSETS / "page.css").read_text("utf-8")
    return (
        _templates()
        .get_template(template)
        .render(
            # These files are ours. The policy of the page allows no other style or script, so that
            # it also stops HTML that a missing escape lets through.
            style=Markup(style),  # noqa: S704
            script=Markup(script),  # noqa: S704
            policy=(
                f"default-src 'none'; style-src {_source(style)}; "
                f"script-src {_source(script) if script else _NO_SOURCE}; "
                "base-uri 'none'; form-action 'none'"
            ),
            outcomes=signs.OUTCOMES,
            unfinished=signs.UNFINISHED,
            verdicts=signs.VERDICTS,
            **values,
        )
    )


@functools.cache
def _templates() -> jinja2.Environment:
    # A gate writes the page twice, and to compile the template takes 0.2 s.
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ASSETS),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["markdown"] = markdown
    return environment


@functools.lru_cache(maxsize=1000)
def markdown(text: str) -> Markup:
    """Return the code and the emphasis of a Markdown text as HTML. All other text is escaped."""
    inline = MarkdownIt("zero").enable(["backticks", "emphasis"])
    return Markup(inline.renderInline(text))  # noqa: S704  (the preset "zero" escapes HTML)


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
class InstallerRow:
    """The cells of an installer on a machine."""

    name: str
    cells: tuple[CellResult, ...]
    """The cells with a tile."""
    counts: Mapping[Outcome, int]
    """The number of cells for each outcome, if some have no tile."""


@dataclass(frozen=True)
class MachineRow:
    """A machine of the matrix, with the cells of each installer."""

    name: str
    title: str
    additional_software: tuple[str, ...]
    installers: tuple[InstallerRow, ...]


@dataclass(frozen=True)
class EntryView:
    """An entry of the causes: equal causes of several cells."""

    entry: CauseEntry
    shown: str
    """The text that the user sees; empty if the evidence has none."""
    locations: str
    """The machines and installers, or the files."""
    cells: tuple[str, ...]
    """The ids of the cells."""


@dataclass(frozen=True)
class GroupView:
    """The causes that one remedy fixes, with their description in the catalogue."""

    name: str
    severity: Severity
    remedy: str
    title: str
    expected: str
    description: str
    entries: tuple[EntryView, ...]


@dataclass(frozen=True)
class FileView:
    """A file of the release, and how far the run verifies it."""

    name: str
    style: str
    coverage: str
    details: str
    """The machines that installed it, why none did, and the checks of the inspection."""


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
    trace: str
    """The end of the traceback; empty without an exception."""


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
    first_run: str
    """Why the cell ran a second time; empty if it ran once."""
    first_commands: tuple[CommandView, ...]
    """The command that crashed in the first run."""
    commands: tuple[CommandView, ...]
    steps: tuple[StepView, ...]
    details: Pairs
    lists: tuple[tuple[str, tuple[str, ...]], ...]
    """Lists of lines by title, such as the messages of the loader."""
    times: tuple[tuple[str, float], ...]
    """The seconds of each phase."""
    note: str
    """The duration of the cell, and the names of its causes."""
    search_texts: tuple[str, ...]
    """The texts that the search of the page uses, in addition to id, outcome and verdict."""

    @property
    def search(self) -> str:
        """The text that the search of the page uses, in lower case."""
        result = self.result
        return " ".join([result.id, result.outcome, result.verdict, *self.search_texts]).lower()


@dataclass(frozen=True)
class Page:
    """All data of the template, in the order of the page."""

    report: Report
    card: Card
    details: Pairs
    causes: tuple[GroupView, ...]
    failed_cells: tuple[CellView, ...]
    """The cells in which the package failed."""
    testbed_failures: tuple[CellView, ...]
    """The cells in which the testbed failed."""
    items: tuple[ItemView, ...]
    counts: Mapping[Outcome, int]
    machines: tuple[MachineRow, ...]
    notes: tuple[GroupView, ...]
    files: tuple[FileView, ...]
    pipeline: tuple[JobBar, ...]
    pipeline_details: Pairs
    publisher: Pairs
    cells: tuple[CellView, ...]
    unverified: Pairs
    timings: tuple[Timing, ...]
    tables: tuple[tuple[str, Pairs], ...]
    packed: PackedCells | None
    """The rows and the details of the cells of a large report."""

    @property
    def packed_index(self) -> JsonValue:
        """What the script needs for the rows of a large report."""
        assert self.packed
        return {
            "outcomes": {name: [sign.sign, sign.title] for name, sign in signs.OUTCOMES.items()},
            "texts": list(self.packed.texts),
            "rows": [[*row[:4], list(row.words)] for row in self.packed.rows],
            "chunk": self.packed.chunk,
            "shown": MANY_CELLS,
        }


def build_page(report: Report, evidence: Mapping[str, CellEvidence]) -> Page:
    """Return the data of the template."""
    return _build_page(report, lambda cell: evidence.get(cell.id))


def _build_page(report: Report, read: ReadEvidence) -> Page:
    packer = CellPacker() if len(report.cells) > MANY_CELLS else None
    log_characters = _LOG_CHARACTERS_MANY_CELLS if packer else _LOG_CHARACTERS
    views = (_cell(cell, read(cell), report, log_characters) for cell in report.cells)
    cells = tuple(_pack(view, packer) if packer else view for view in views)
    ids = {cell.id for cell in report.cells}
    counted = cause_groups.groups((cause for item in report.items for cause in item.causes), ids)
    notes = sorted(
        cause_groups.groups(report.notes, ids),
        key=lambda group: group.name not in _IMPORTANT_NOTES,
    )
    return Page(
        report=report,
        card=cards.card(report),
        details=tuple(_details(report)),
        causes=tuple(_groups(counted, report)),
        failed_cells=tuple(cell for cell in cells if cell.result.outcome is Outcome.FAILS),
        testbed_failures=tuple(cell for cell in cells if cell.result.outcome is Outcome.TESTBED),
        items=tuple(_item(item, report) for item in report.items),
        counts=Counter(cell.outcome for cell in report.cells),
        machines=tuple(_machines(report, all_tiles=packer is None)),
        notes=tuple(_groups(notes, report)),
        files=tuple(_files(report)),
        pipeline=timeline.job_bars(report.pipeline),
        pipeline_details=tuple(_pipeline_details(report)),
        publisher=tuple(_publisher(report)),
        cells=cells,
        unverified=tuple(_unverified(report)),
        timings=timeline.timings([(cell.result, cell.times) for cell in cells]),
        tables=tuple(_tables(report)),
        packed=packer.packed() if packer else None,
    )


def _pack(view: CellView, packer: CellPacker) -> CellView:
    """Pack a cell, and return it without its details."""
    result = view.result
    row = (result.id, str(result.outcome), str(result.verdict), view.note)
    template = _templates().get_template("cell.html.jinja")
    packer.add(row, view.search_texts, template.render(cell=view, outcomes=signs.OUTCOMES))
    return replace(view, first_commands=(), commands=(), steps=(), details=(), lists=())


def _details(report: Report) -> Iterator[tuple[str, str]]:
    selection = report.selection
    version = f"{selection.subject} {report.version}" if report.version else "none"
    origins = {
        "release": selection.release,
        "wheels": selection.wheels,
        "source": selection.source,
    }
    origin = " ".join(f"--{name} {shlex.quote(value)}" for name, value in origins.items() if value)
    tag = commit = ""
    if pipeline := report.pipeline:
        tag, commit = pipeline.tag, f"{pipeline.commit[:12]} {pipeline.source}".strip()
    strict = "flawed causes fail the run" if selection.strict else ""
    yield from (
        (name, value)
        for name, value in (
            ("Release", version),
            ("Origin", origin),
            ("Tag", tag),
            ("Commit", commit),
            ("Started", report.started),
            ("Duration", f"{report.seconds:.0f} s"),
            ("Strict", strict),
        )
        if value
    )


def _item(item: ItemResult, report: Report) -> ItemView:
    cells = report.cells_of(item.id)
    return ItemView(item, cause_groups.cause_names(item.causes), signs.machine_sentence(cells))


def _machines(report: Report, *, all_tiles: bool) -> Iterator[MachineRow]:
    cells: dict[str, dict[str, list[CellResult]]] = {}
    for cell in report.cells:
        cells.setdefault(cell.machine, {}).setdefault(cell.installer, []).append(cell)
    for name, installers in cells.items():
        record = _machine(report, name)
        rows = tuple(
            InstallerRow(installer, tuple(results), Counter())
            if all_tiles
            else InstallerRow(
                installer,
                tuple(cell for cell in results if cell.outcome not in signs.EXPECTED)[:_MAX_TILES],
                Counter(cell.outcome for cell in results),
            )
            for installer, results in installers.items()
        )
        yield MachineRow(name, record.title, record.additional_software, rows)


def _machine(report: Report, name: str) -> MachineRecord:
    unknown = MachineRecord(title=name, os="linux", python="")
    return report.machines.get(name, unknown)


# ---- the causes ----


def _groups(groups: Iterable[CauseGroup], report: Report) -> Iterator[GroupView]:
    cells = {cell.id: cell for cell in report.cells}
    for group in groups:
        # get() of the catalogue raises an error for an unknown name.
        known = catalogue()[group.name] if group.name in catalogue() else None  # noqa: SIM401
        views = (
            EntryView(
                entry=entry,
                shown=cause_groups.user_text(entry, cells),
                locations=cause_groups.locations_sentence(entry.locations, cells),
                cells=tuple(location for location in entry.locations if location in cells),
            )
            for entry in group.entries
        )
        yield GroupView(
            name=group.name,
            severity=group.severity,
            remedy=group.remedy,
            title=known.title if known else "",
            expected=known.expected if known else "",
            description=known.doc if known else "",
            entries=tuple(sorted(views, key=lambda view: not view.shown)),
        )


# ---- a cell ----


def replay_command(cell: CellResult) -> str:
    """Return the command that runs a cell again with its recorded inputs."""
    return f"./e2e replay {shlex.quote(cell.id)}"


def _cell(
    cell: CellResult, evidence: CellEvidence | None, report: Report, log_characters: int
) -> CellView:
    machine = _machine(report, cell.machine)
    commands = tuple(_commands(evidence, log_characters)) if evidence else ()
    retried = evidence.retried if evidence else None
    windows = machine.os == "windows"
    times = tuple((command.name, command.seconds) for command in commands)
    other = max(0.0, cell.seconds - sum(seconds for _, seconds in times))
    causes = cause_groups.occurrences(cell.causes)
    note = [f"{cell.seconds:.1f} s"] if cell.seconds else []
    note += ["ran twice"] if retried else []
    note += dict.fromkeys(occurrence.cause.name for occurrence in causes)
    texts = (machine.title, cell.reason, *(f"{c.name} {c.message}" for c in cell.causes))
    return CellView(
        result=cell,
        causes=causes,
        machine=machine.title,
        additional_software=machine.additional_software,
        missing_software=machine.missing_software,
        replay=replay_command(cell),
        kept=next((kept for kept in report.kept if kept.cell == cell.id), None),
        evidence=f"evidence/{cell.evidence}.json" if evidence else "",
        first_run=retried.because if retried else "",
        first_commands=(_command(retried.because, retried.command, log_characters, windows),)
        if retried
        else (),
        commands=commands,
        steps=tuple(_steps(evidence)) if evidence else (),
        details=tuple(_cell_details(evidence)) if evidence else (),
        lists=tuple(_lists(evidence)) if evidence else (),
        times=(*times, (timeline.OTHER, other)),
        note=" ".join(note),
        search_texts=texts,
    )


def _commands(evidence: CellEvidence, log_characters: int) -> Iterator[CommandView]:
    windows = evidence.os == "windows"
    for name, run in cell_summary.recorded_commands(evidence):
        yield _command(name, run, log_characters, windows)


def _command(
    name: str, run: CommandRun | OwnTests, log_characters: int, windows: bool
) -> CommandView:
    logs = (("stdout", run.stdout), ("stderr", run.stderr))
    return CommandView(
        name=name,
        command_line=cell_summary.command_line(run.command, windows=windows),
        code=run.code,
        seconds=run.seconds,
        timed_out=run.timed_out,
        logs=tuple((stream, _shorten(text, log_characters)) for stream, text in logs if text),
    )


def _steps(evidence: CellEvidence) -> Iterator[StepView]:
    for name, step in cell_summary.recorded_steps(evidence.steps).items():
        if step.error and not step.ok:
            message = f"{step.error.type}: {step.error.message}"
            yield StepView(name, step.ok, message, step.error.trace)
        else:
            yield StepView(name, step.ok, _shorten(readable(step.value), _STEP_CHARACTERS), "")


def readable(value: JsonValue) -> str:
    """Return the value of a step as text, without the punctuation of JSON."""
    match value:
        case None:
            return "no value"
        case bool():
            return "yes" if value else "no"
        case dict():
            return "; ".join(f"{key}: {_nested(part)}" for key, part in value.items()) or "none"
        case list():
            return ", ".join(map(_nested, value)) or "none"
        case _:
            return str(value)


def _nested(value: JsonValue) -> str:
    return f"({readable(value)})" if isinstance(value, (dict, list)) and value else readable(value)


def _cell_details(evidence: CellEvidence) -> Iterator[tuple[str, str]]:
    summary = cell_summary.summarize(evidence)
    yield from (
        (name, value)
        for name, value in (
            ("Python", f"{evidence.implementation} {evidence.python}".strip()),
            ("System", evidence.system),
            ("Image", evidence.image.tag),
            ("Engine", evidence.engine),
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


def _lists(evidence: CellEvidence) -> Iterator[tuple[str, tuple[str, ...]]]:
    requests = (
        f"{request.method} {request.path} {request.status or ''}".rstrip()
        for request in evidence.requests
        if request.path
    )
    errors_first = sorted(evidence.loader, key=lambda line: not line.startswith("err:"))
    for title, lines in (
        ("Messages of the loader", tuple(errors_first)),
        ("Processes that still run", evidence.processes),
        ("Requests to the index", tuple(requests)),
    ):
        if lines:
            omitted = len(lines) - _MAX_LINES
            rest = (f"[... {omitted} more lines ...]",) if omitted > 0 else ()
            yield title, (*lines[:_MAX_LINES], *rest)


def _failure(test: OwnTestFailure) -> str:
    return f"{test.node}: {' '.join(test.text.split())[-400:]}"


def _shorten(text: str, limit: int) -> str:
    """Return the beginning and the end of a log. The evidence has all of it."""
    if len(text) <= limit:
        return text
    omitted = len(text) - limit
    return f"{text[: limit // 4]}\n[... {omitted} characters ...]\n{text[-3 * limit // 4 :]}"


# ---- lists below the cells ----


def _files(report: Report) -> Iterator[FileView]:
    for file in report.files:
        style = _FILE_STYLES.get(file.coverage, "unverified")
        coverage = signs.FILE_COVERAGE[file.coverage].capitalize()
        checks = f"checks: {', '.join(file.checks)}" if file.checks else ""
        details = "; ".join(filter(None, (", ".join(file.machines), file.reason, checks)))
        yield FileView(file.name, style, coverage, details)


def _pipeline_details(report: Report) -> Iterator[tuple[str, str]]:
    if not (pipeline := report.pipeline):
        return
    if pipeline.result:
        yield "Result", f"{pipeline.result}, {pipeline.seconds:.0f} s"
    if pipeline.act:
        yield "act", pipeline.act
    for line in pipeline.proved:
        yield "Proved", line
    for line in pipeline.stand_ins:
        yield "Differs from GitHub", line


def _publisher(report: Report) -> Iterator[tuple[str, str]]:
    if not (publisher := report.publisher):
        return
    if publisher.scope:
        yield "Compared", publisher.scope
    if publisher.registered:
        yield "Registration file", publisher.registered
    yield from publisher.fields.items()
    for line in publisher.proved:
        yield "Proved", line
    for line in publisher.refused:
        yield "Refused", line
    if live := publisher.live:
        title = signs.VERDICTS[live.verdict].title
        yield "Live index", ": ".join(filter(None, (title, live.version, live.reason)))
        for publisher_name, number in Counter(live.publishers.values()).items():
            plural = "" if number == 1 else "s"
            yield "Publisher on the live index", f"{publisher_name}: {number} file{plural}"


def _unverified(report: Report) -> Iterator[tuple[str, str]]:
    """Yield what is not verified, and why. Entries with the same reason are one line."""
    names: dict[str, dict[str, None]] = {}
    for name, reason in _unverified_entries(report):
        names.setdefault(reason, {})[name] = None
    for reason, same in names.items():
        if len(same) > _MAX_NAMES:
            yield f"{len(same)} entries", f"{reason}: {', '.join(same)}"
        else:
            yield ", ".join(same), reason


def _unverified_entries(report: Report) -> Iterator[tuple[str, str]]:
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
    pipeline = report.pipeline
    for title, rows in (
        ("Wheels, by sha256", sorted(report.wheels.items())),
        ("Dependencies", sorted(report.locked.items())),
        ("Images", [(name, f"{i.tag} {i.id[:19]}") for name, i in report.images.items()]),
        ("Engines", [(engine.name, _engine(engine)) for engine in report.engines if engine.name]),
        ("Limits in force", [(limits.kind, _limits(limits)) for limits in report.limits]),
        ("Egress", list(_egress("machines", report.egress))),
        *(
            (f"Egress on engine {other.name}", list(_egress("machines", other.egress)))
            for other in report.other_engines
        ),
        ("Egress of the jobs", list(_egress("jobs", pipeline.egress if pipeline else None))),
    ):
        if rows:
            yield title, tuple(rows)


def _engine(engine: EngineRecord) -> str:
    end = ", which ended while it ran cells" if engine.is_lost else ""
    return f"{engine.version} for {engine.os} containers{end}"


def _limits(limits: LimitsInForce) -> str:
    return readable(limits.model_dump(mode="json", exclude={"kind"}))


def _egress(clients: str, proof: EgressProof | None) -> Iterator[tuple[str, str]]:
    """Yield the parts of a proof. ``clients`` are the containers on the closed network."""
    if proof is None:
        return
    if proof.not_proved:
        yield "network closure not proved", proof.not_proved
    if proof.reachable:
        yield "reachable", ", ".join(proof.reachable)
    for name, network in (("open", proof.open), (clients, proof.machines)):
        if network:
            yield name, readable(network.model_dump(mode="json"))
