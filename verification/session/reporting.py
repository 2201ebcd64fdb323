"""Build the report of a run from its verdict and its set-up."""

from __future__ import annotations

import calendar
import time
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, get_args

from containers import progress
from containers.engine_client import PROCESS_RETRIES
from containers.testbed import Testbed
from verification import suite
from verification.history.comparison import changes_since
from verification.models import printable
from verification.models.base import AnyModel
from verification.models.cause import Cause, Severity
from verification.models.inspection import ReleaseInspection
from verification.models.limits import LimitsInForce
from verification.models.machine import OperatingSystem
from verification.models.pipeline import PipelineOutcome, PipelineResult
from verification.models.release import Release
from verification.models.report import (
    EngineRecord,
    MachineRecord,
    OtherEngine,
    OutOfScope,
    PublishedPart,
    PublisherPart,
    ReplayInputs,
    Report,
)
from verification.models.run import RunVerdict
from verification.models.verdict import Verdict
from verification.pipeline import publishers
from verification.pipeline.report_parts import causes_of, pipeline_part, publisher_part
from verification.report import stand_in_limits, terminal, writer
from verification.rules import agreement
from verification.scenarios import machines
from verification.session import kept_machines
from verification.session.basis import basis
from verification.session.file_results import file_results
from verification.session.origin import ROOT
from verification.session.prepare import PreparedRun, RunSetup
from verification.session.release_pipeline import plan_of
from verification.session.run_plan import installed_wheels, pipeline_result
from verification.session.selection import Selection
from verification.session.user_files import history_to_write
from verification.subjects import report_template

if TYPE_CHECKING:
    from verification.session.gate_run import GateRequest


_TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
OTHER_SHARD = "another shard of the run has this cell"
NO_CELL = "none of the machine's cells is selected"
NO_TESTS_CELL = "no selected cell runs them"


class RunSpan(NamedTuple):
    """The start and the end of a run, in seconds since 1970, and how it ended."""

    started_at: float
    ended: float
    interrupted: bool = False
    finished: bool = True


def timestamp(seconds: float) -> str:
    """Return a time in the format of the report, in UTC. ``seconds``: since 1970."""
    return time.strftime(_TIME_FORMAT, time.gmtime(seconds))


def span_of(report: Report) -> RunSpan:
    """Return the start and the end of the run of a report."""
    began = calendar.timegm(time.strptime(report.started, _TIME_FORMAT))
    return RunSpan(began, began + report.seconds)


def build_report(
    request: GateRequest,
    setup: RunSetup | None,
    judged: RunVerdict,
    span: RunSpan,
    inputs: ReplayInputs | None = None,
    published: PublishedPart | None = None,
) -> Report:
    """Return the report of a run. `setup` is None if the set-up failed.

    `published` is the comparison of --published-by.
    """
    report = Report(
        verdict=judged.verdict,
        items=judged.items,
        platforms=judged.platforms,
        cells=judged.cells,
        suite_version=suite.version(),
        suite_commit=suite.commit(),
        template=report_template.load(request.subject),
        started=timestamp(span.started_at),
        seconds=round(span.ended - span.started_at, 1),
        selection=request.selection.to_report(
            *_narrowed(request, judged), subject=request.subject.name
        ),
        finished=span.finished,
        interrupted=span.interrupted,
        out_of_scope=tuple(_out_of_scope(request, setup, judged)),
        machines=machine_records(),
        stand_ins=stand_in_limits.load(),
        inputs=inputs,
        published=published,
        own_tests_not_run=_own_tests_not_run(request, judged),
    )
    if setup:
        report = with_inspection(with_prepared(report, setup.prepared), request, setup)
    return with_basis(report, setup.prepared.release if setup else None)


def with_basis(report: Report, release: Release | None) -> Report:
    """Return the report with its command, what its verdict is based on, and each file.

    `release` is None if the set-up failed.
    """
    complete = report.model_copy(
        update={
            "command": suite.command_line(),
            "checkout": suite.checkout(),
            "basis": basis(report, release),
            "files": file_results(report, release) if release else (),
            "engine_retries": PROCESS_RETRIES.value
            + sum(cell.engine_retries for cell in report.cells),
        }
    )
    # The cells are converted one by one: as data, those of a large gate need much memory.
    others = as_reported(complete.model_copy(update={"cells": ()}))
    return others.model_copy(update={"cells": tuple(map(as_reported, complete.cells))})


def as_reported(model: AnyModel) -> AnyModel:
    """Return a model with printable texts. The evidence has them as they are."""
    # A package chooses many texts of a report.
    data = printable.data(model.model_dump(mode="json", by_alias=True))
    return type(model).model_validate(data)


def write(folder: Path, report: Report) -> tuple[Report, tuple[str, ...]]:
    """Write all formats of a finished report, and record it in the history of the user.

    Return it with its changes since the last run, and one remark for each format that could not be
    written.

    Raises:
        OSError: results.json cannot be written.
    """
    history = history_to_write()
    if history and not report.interrupted:
        report = report.model_copy(update={"changes": changes_since(history, report)})
    return report, writer.write(folder, report, history=history)


def unfinished_report(selection: Selection, subject: str, started_at: float) -> Report:
    """Return the report that a run of one cell writes first. `started_at`: seconds since 1970."""
    return Report(
        verdict=Verdict.UNVERIFIED,
        items=(),
        cells=(),
        suite_version=suite.version(),
        suite_commit=suite.commit(),
        command=suite.command_line(),
        started=timestamp(started_at),
        seconds=0.0,
        selection=selection.to_report(subject=subject),
        finished=False,
        machines=machine_records(),
        stand_ins=stand_in_limits.load(),
    )


def with_prepared(report: Report, prepared: PreparedRun) -> Report:
    """Return the report with the release, the images and the engine that the cells use."""
    release, engine = prepared.release, prepared.testbed.engine
    return report.model_copy(
        update={
            "version": release.version,
            "wheels": release.digests(),
            "locked": release.locked(),
            "earlier": tuple(path.name for path in release.earlier),
            "no_history": prepared.no_history,
            "images": {image.name: image.record() for image in prepared.images},
            "engine": EngineRecord(name=engine.name, version=engine.version, os=engine.os),
            "other_engines": tuple(
                _other_engine(other.testbed) for other in prepared.others.values()
            ),
            "egress": prepared.testbed.egress,
            "limits": _limits(report, prepared.testbed.limits),
        }
    )


def _other_engine(running: Testbed) -> OtherEngine:
    engine = running.engine
    return OtherEngine(
        name=engine.name, version=engine.version, os=engine.os, egress=running.egress
    )


def with_lost_engines(report: Report, lost: Collection[str]) -> Report:
    """Return the report with the engines that ended in the run, by their names."""
    if report.engine is None or not lost:
        return report
    engine, *others = (
        engine.model_copy(update={"is_lost": engine.name in lost}) for engine in report.engines
    )
    return report.model_copy(update={"engine": engine, "other_engines": tuple(others)})


def with_inspection(report: Report, request: GateRequest, setup: RunSetup) -> Report:
    """Return the report with the inspection of the wheels and the result of the workflow."""
    installed = installed_wheels(setup, request)
    served = {cell.wheel for cell in report.cells}
    report = _with_pipeline(report, request, setup.pipeline)
    return report.model_copy(
        update={
            "static": setup.inspection.model_copy(update={"causes": installed.causes}),
            "notes": tuple(_notes(request, report, installed, setup.pipeline)),
            "not_installed": tuple(sorted({wheel.file for wheel in installed.wheels} - served)),
            "kept": tuple(kept_machines.read_kept(request.report)),
        }
    )


def with_workflow(report: Report, request: GateRequest, outcome: PipelineOutcome) -> Report:
    """Return the report of a run that verifies only the release workflow, with its result."""
    checkout = request.selection.checkout
    version = checkout.version if checkout else ""
    report = report.model_copy(update={"version": version})
    return with_basis(_with_pipeline(report, request, outcome), None)


def _with_pipeline(report: Report, request: GateRequest, outcome: PipelineOutcome | None) -> Report:
    selection, subject = request.selection, request.subject
    result = pipeline_result(outcome)
    if result is None:
        return report
    plan = plan_of(selection.checkout, subject)
    part = pipeline_part(result, plan, strict=selection.strict) if plan else None
    publisher = _publisher(result, request)
    limits = (
        *(server.limits for server in result.evidence.servers if server.limits),
        *(limits for run in result.evidence.runs for limits in run.limits),
    )
    return report.model_copy(
        update={"pipeline": part, "publisher": publisher, "limits": _limits(report, limits)}
    )


def _limits(report: Report, others: Iterable[LimitsInForce]) -> tuple[LimitsInForce, ...]:
    """Return the distinct limits that were in force on machines, and those of other containers."""
    records = (cell.summary.limits for cell in report.cells if cell.summary)
    machines = (record.in_force for record in records if record)
    return tuple(dict.fromkeys((*report.limits, *machines, *others)))


def _publisher(result: PipelineResult, request: GateRequest) -> PublisherPart | None:
    """Return the part about the publisher, with the registration file as a path in the checkout."""
    checkout, subject = request.selection.checkout, request.subject
    if checkout:
        if not checkout.registered:
            return None
        name = checkout.publishers_file
        return publisher_part(result, checkout.publishers[0], registered=name)
    if not subject.publishers:
        return None
    path = subject.publishers
    registered = str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name
    return publisher_part(result, publishers.load(path)[0], registered=registered)


def machine_records() -> dict[str, MachineRecord]:
    """Return the records of all machines for the report, by name."""
    fields = set(MachineRecord.model_fields)
    return {
        name: MachineRecord.model_validate(spec.model_dump(include=fields))
        for name, spec in machines.load().items()
    }


def _notes(
    request: GateRequest,
    report: Report,
    inspection: ReleaseInspection,
    pipeline: PipelineOutcome | None,
) -> Iterator[Cause]:
    of_workflow = causes_of(pipeline) if pipeline else ()
    causes = (*inspection.all_causes, *of_workflow)
    yield from (cause for cause in causes if cause.severity is Severity.NOTE)
    yield from agreement.works_only_with_extras(request.selection.machines, report.cells)


def _narrowed(request: GateRequest, judged: RunVerdict) -> list[str]:
    """Return what narrows the verdict, except the options."""
    selected, possible = len(judged.cells), len(request.cells)
    return [f"{selected} of {possible} cells"] if selected != possible else []


def _own_tests_not_run(request: GateRequest, judged: RunVerdict) -> str:
    """Return why none of the package's own tests ran, or an empty string if some ran."""
    if any(cell.summary and cell.summary.tests for cell in judged.cells):
        return ""
    if request.selection.no_tests_reason:
        return request.selection.no_tests_reason
    selected = {cell.id for cell in judged.cells}
    if any(cell.runs_tests and cell.id in selected for cell in request.cells):
        return "no cell that runs them got as far as the tests"
    return NO_TESTS_CELL


def _out_of_scope(
    request: GateRequest, setup: RunSetup | None, judged: RunVerdict
) -> Iterator[OutOfScope]:
    selection = request.selection
    if selection.workflow_only:
        reason = "only the release workflow is verified; --subject describes the package"
        for name in (
            "source-build",
            *(f"{system}-install" for system in get_args(OperatingSystem)),
        ):
            yield OutOfScope(id=name, reason=reason)
        return
    if not selection.source:
        reason = "the wheels exist already: --wheels or --release names them, not --source"
        yield OutOfScope(id="source-build", reason=reason)
    if not selection.pipeline:
        for name in ("pipeline", "publisher"):
            yield OutOfScope(id=name, reason=selection.no_pipeline_reason)
    for path in setup.prepared.release.additional if setup else ():
        yield OutOfScope(id=path.name, reason="not verified: the file is not a wheel")
    for spec in selection.without_platform:
        reason = f"{request.subject.name} declares no platform for this machine"
        yield OutOfScope(id=spec.name, reason=reason)
    for spec in selection.other_profiles:
        reason = f"only in the profile {' or '.join(spec.profiles)}"
        yield OutOfScope(id=spec.name, reason=reason)
    for name in judged.not_selected:
        yield OutOfScope(id=name, reason=NO_CELL)
    yield from _cells_out_of_scope(request)


def _cells_out_of_scope(request: GateRequest) -> Iterator[OutOfScope]:
    in_this_shard = {cell.id for cell in request.cells}
    for cell in request.all_cells:
        if cell.id not in in_this_shard:
            yield OutOfScope(id=cell.id, reason=OTHER_SHARD)
    for cell in request.without_tests:
        yield OutOfScope(id=cell.id, reason=request.selection.no_tests_reason)
    for name, reason in request.not_offered.items():
        yield OutOfScope(id=name, reason=reason)


def remarks(setup: RunSetup | None, report: Report) -> tuple[str, ...]:
    """Return the lines below the causes: what is not verified, and the scope of the verdict."""
    durations = [(step.subject, step.seconds) for step in progress.PROGRESS.ended]
    not_fetched = setup.prepared.release.not_fetched if setup else {}
    slowest = progress.slowest(durations)
    return tuple(terminal.remarks(report, slowest=slowest, not_fetched=not_fetched))


def header(prepared: PreparedRun) -> list[str]:
    """Return the lines for the header of pytest's session: suite, engine, images, wheels, lock."""
    engine, release = prepared.testbed.engine, prepared.release
    locked = " ".join(f"{name} {version}" for name, version in sorted(release.locked().items()))
    return [
        f"suite: {suite.title(suite.version(), suite.commit())}",
        f"engine: {engine.version} at {engine.url} ({engine.origin})",
        *(
            f"image: {image.tag} {image.id[:19]} of {image.created[:19]}"
            for image in prepared.images
        ),
        *(f"wheel: {file.name} sha256 {file.sha256[:16]}" for file in release.wheels),
        f"locked: {locked}",
    ]
