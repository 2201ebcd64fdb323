"""The facts of a run before its first cell: the plan, the wheels, the release workflow."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from packaging.utils import parse_wheel_filename

from verification.models.cause import Cause
from verification.models.cell import Cell
from verification.models.inspection import ReleaseInspection
from verification.models.machine import OperatingSystem
from verification.models.pipeline import PipelineOutcome, PipelineResult
from verification.models.run import (
    PipelineFacts,
    PlannedCell,
    RunResult,
    SystemFacts,
    WheelFacts,
)
from verification.models.subject import Subject
from verification.pipeline.report_parts import causes_of, is_identity_exchanged, publisher_causes
from verification.rules.catalogue import catalogue
from verification.session.prepare import RunSetup
from verification.wheel.release_inspection import narrow
from verification.wheel.tags import may_fit

if TYPE_CHECKING:
    from verification.session.gate_run import GateRequest

_NOT_RUN = "the release workflow was not run"


def before_setup(request: GateRequest) -> RunResult:
    """Return what is known before the testbed is prepared."""
    selection = request.selection
    return RunResult(
        subject=request.subject.name,
        strict=selection.strict,
        from_source=selection.source is not None,
        prepared=False,
        systems=tuple(SystemFacts(system=system) for system in selection.systems),
        planned=tuple(planned(request.cells)),
        pipeline=PipelineFacts(not_run=_NOT_RUN) if selection.pipeline else None,
    )


def after_setup(request: GateRequest, setup: RunSetup) -> RunResult:
    """Return what is known once the testbed is prepared."""
    before = before_setup(request)
    refused = setup.prepared.refused_upload()
    systems = request.selection.systems
    return before.model_copy(
        update={
            "prepared": True,
            "systems": tuple(
                _system(request.subject, setup, facts.system) for facts in before.systems
            ),
            "release_causes": inspection_for(setup, request.subject, *systems).causes,
            "upload_refused": _cause("upload-refused", "publisher", refused) if refused else None,
            "pipeline": _pipeline(setup.pipeline) if before.pipeline else None,
        }
    )


def inspection_for(setup: RunSetup, subject: Subject, *systems: str) -> ReleaseInspection:
    """Return the inspection of the wheels for these operating systems."""
    return narrow(setup.inspection, _narrowed(subject, systems))


def _narrowed(subject: Subject, systems: Iterable[str]) -> Subject:
    """Return the subject with one platform for each of these operating systems."""
    platforms = tuple(
        next(p for p in subject.platforms if p.target.system == system) for system in systems
    )
    return subject.model_copy(update={"platforms": platforms})


def planned(cells: Iterable[Cell]) -> Iterable[PlannedCell]:
    """Return the cells as the verdict knows them."""
    for cell in cells:
        yield PlannedCell(
            id=cell.id,
            machine=cell.machine.name,
            installer=cell.installer.name,
            scenario=cell.scenario.name,
            system=cell.machine.os,
            expectation=cell.expectation,
            comparable=is_comparable(cell),
        )


def is_comparable(cell: Cell) -> bool:
    """Return whether a cell and the static inspection answer the same question about loading.

    A machine that has more, or less, than its platform promises answers another one. Where the
    installer refuses, nothing is loaded.
    """
    return cell.machine.clean and not cell.machine.lacks and not cell.refusal


def _system(subject: Subject, setup: RunSetup, system: OperatingSystem) -> SystemFacts:
    inspection = inspection_for(setup, subject, system)
    platforms = _narrowed(subject, (system,)).platforms
    return SystemFacts(
        system=system,
        wheels=tuple(wheel_facts(inspection)),
        causes=inspection.causes,
        not_fetched=tuple(
            f"{name}: {why}"
            for name, why in setup.prepared.release.not_fetched.items()
            if not name.endswith(".whl") or may_fit(parse_wheel_filename(name)[3], platforms)
        ),
    )


def wheel_facts(inspection: ReleaseInspection) -> Iterable[WheelFacts]:
    """Return what the verdict takes of each inspected wheel."""
    for wheel in inspection.wheels:
        yield WheelFacts(
            file=wheel.file,
            causes=wheel.causes,
            additional=wheel.additional,
            unread=wheel.unread,
        )


def _pipeline(outcome: PipelineOutcome | None) -> PipelineFacts:
    if outcome is None:
        return PipelineFacts(not_run=_NOT_RUN)
    causes, result = causes_of(outcome), pipeline_result(outcome)
    return PipelineFacts(
        causes=causes,
        publisher_causes=publisher_causes(causes),
        identity_exchanged=result is not None and is_identity_exchanged(result.evidence),
    )


def pipeline_result(outcome: PipelineOutcome | None) -> PipelineResult | None:
    """Return what the release workflow showed, if it ran to an end."""
    return outcome if isinstance(outcome, PipelineResult) else None


def _cause(name: str, where: str, observed: str) -> Cause:
    return catalogue().cause(name, where=where, observed=observed)
