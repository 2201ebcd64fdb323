"""The state of a run before its first cell: the plan, the wheels, the release workflow."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING

from packaging.utils import parse_wheel_filename

from verification.models.cause import sorted_causes
from verification.models.cell import Cell
from verification.models.inspection import ReleaseInspection
from verification.models.machine import OperatingSystem
from verification.models.pipeline import PipelineOutcome, PipelineResult
from verification.models.results import Coverage, PlatformResult
from verification.models.run import (
    PipelineSummary,
    PlannedCell,
    PublishedSummary,
    RunResult,
    SystemSummary,
    WheelSummary,
)
from verification.models.subject import Platform, Subject
from verification.pipeline.report_parts import (
    causes_of,
    is_identity_exchanged,
    publisher_causes,
    workflow_causes,
)
from verification.rules.catalogue import catalogue
from verification.scenarios.expectation import declared_refusal
from verification.session.checkout import fields_to_register
from verification.session.prepare import RunSetup
from verification.session.selection import Selection
from verification.wheel.release_inspection import narrow
from verification.wheel.tags import may_fit, oldest_platform_tag, parse_tags

if TYPE_CHECKING:
    from verification.session.gate_run import GateRequest

_NOT_RUN = "the release workflow was not run"
_NOT_COMPARED = "the release was not compared with the files of the report"


def before_setup(request: GateRequest) -> RunResult:
    """Return the state of the run before the testbed is prepared."""
    selection = request.selection
    return RunResult(
        subject=request.subject.name,
        strict=selection.strict,
        from_source=selection.source is not None and not selection.workflow_only,
        prepared=False,
        systems=tuple(SystemSummary(system=system) for system in selection.systems),
        platforms=tuple(
            PlatformResult(tag=platform.tag, coverage=coverage(platform, selection))
            for platform in request.subject.platforms
            if not selection.workflow_only
        ),
        planned=tuple(planned(request.cells, request.subject)),
        pipeline=_not_run(selection) if selection.pipeline else None,
        published=PublishedSummary(not_compared=(_NOT_COMPARED,))
        if selection.published_by
        else None,
    )


def after_workflow(request: GateRequest, outcome: PipelineOutcome) -> RunResult:
    """Return the state of a run that verifies only the release workflow."""
    pipeline = _pipeline(outcome, request.selection)
    return before_setup(request).model_copy(update={"prepared": True, "pipeline": pipeline})


def after_setup(request: GateRequest, setup: RunSetup) -> RunResult:
    """Return the state of the run after the testbed is prepared."""
    before = before_setup(request)
    refused = setup.prepared.refused_upload()
    installed = installed_wheels(setup, request)
    return before.model_copy(
        update={
            "prepared": True,
            "systems": tuple(
                _system(request.subject, setup, summary.system) for summary in before.systems
            ),
            "platforms": tuple(_platforms(request, setup, installed)),
            "closure_not_proved": setup.prepared.closure_not_proved,
            "release_causes": installed.causes,
            "upload_refused": catalogue().cause("upload-refused", "publisher", refused)
            if refused
            else None,
            "pipeline": _pipeline(setup.pipeline, request.selection) if before.pipeline else None,
        }
    )


def installed_wheels(setup: RunSetup, request: GateRequest) -> ReleaseInspection:
    """Return the inspection of the wheels that the selected machines can install."""
    return narrow(setup.inspection, _for_systems(request.subject, request.selection.systems))


def _for_systems(subject: Subject, systems: Collection[str]) -> Subject:
    """Return the subject with the platforms that machines of these operating systems run."""
    platforms = (p for p in subject.platforms if p.target.machine_system in systems)
    return subject.model_copy(update={"platforms": tuple(platforms)})


def coverage(platform: Platform, selection: Selection) -> Coverage:
    """Return how far the run verifies the wheels for a platform of the subject."""
    system = platform.target.machine_system
    if system in selection.systems:
        return Coverage.MACHINES
    if system in selection.profile_systems:
        return Coverage.NOT_SELECTED
    return Coverage.UNVERIFIED if platform.execute else Coverage.INSPECTED_ONLY


def _platforms(
    request: GateRequest, setup: RunSetup, installed: ReleaseInspection
) -> Iterator[PlatformResult]:
    """Yield each platform of the subject, and each undeclared platform of a wheel."""
    subject, selection = request.subject, request.selection
    systems = _for_systems(subject, selection.systems).platforms
    for platform in subject.platforms:
        inspection = narrow(setup.inspection, subject.model_copy(update={"platforms": (platform,)}))
        with_platform = subject.model_copy(update={"platforms": (*systems, platform)})
        # The causes that this platform adds to those of the set of wheels.
        added = set(narrow(setup.inspection, with_platform).causes) - set(installed.causes)
        result = PlatformResult(
            tag=platform.tag,
            coverage=coverage(platform, selection),
            wheels=tuple(wheel.file for wheel in inspection.wheels),
            causes=sorted_causes([*added, *inspection.all_causes]),
            not_fetched=_not_fetched(setup, (platform,)),
            unread=tuple(line for wheel in inspection.wheels for line in wheel.unread),
        )
        # A source is built for the selected systems only.
        not_built = selection.source and not result.counts
        if not result.wheels and (not_built or result.not_fetched):
            result = result.model_copy(update={"causes": ()})  # the release may have a wheel for it
        yield result
    yield from _undeclared(setup, subject)


def _undeclared(setup: RunSetup, subject: Subject) -> Iterator[PlatformResult]:
    """Yield the platforms of wheels of the release that the subject does not declare."""
    inspected = [(wheel.file, parse_tags(wheel.tags), wheel) for wheel in setup.inspection.wheels]
    # The suite does not download these wheels from the upstream index.
    names = setup.prepared.release.undeclared
    not_inspected = [(name, parse_wheel_filename(name)[3], None) for name in names]
    for name, tags, inspection in (*inspected, *not_inspected):
        if not may_fit(tags, subject.platforms):
            yield PlatformResult(
                tag=oldest_platform_tag(tags),
                coverage=Coverage.UNDECLARED,
                wheels=(name,),
                causes=inspection.causes if inspection else (),
            )


def planned(cells: Iterable[Cell], subject: Subject) -> Iterator[PlannedCell]:
    """Yield the cells in the form that the verdict is computed from."""
    for cell in cells:
        yield PlannedCell(
            id=cell.id,
            machine=cell.machine.name,
            installer=cell.installer.name,
            scenario=cell.scenario.name,
            system=cell.machine.os,
            expectation=cell.expectation,
            comparable=is_comparable(cell),
            fits_declared=declared_refusal(subject, cell.machine) is None,
        )


def is_comparable(cell: Cell) -> bool:
    """Return True if a cell and the static inspection must agree about loading.

    They need not agree on a machine that has more or fewer libraries than its platform tag
    promises. Where the installer must refuse, nothing is loaded.
    """
    return cell.machine.clean and not cell.machine.missing_software and not cell.refusal


def _system(subject: Subject, setup: RunSetup, system: OperatingSystem) -> SystemSummary:
    narrowed = _for_systems(subject, (system,))
    inspection = narrow(setup.inspection, narrowed)
    return SystemSummary(
        system=system,
        wheels=tuple(wheel_summaries(inspection)),
        causes=inspection.causes,
        not_fetched=_not_fetched(setup, narrowed.platforms),
    )


def _not_fetched(setup: RunSetup, platforms: Collection[Platform]) -> tuple[str, ...]:
    return tuple(
        f"{name}: {reason}"
        for name, reason in setup.prepared.release.not_fetched.items()
        if not name.endswith(".whl") or may_fit(parse_wheel_filename(name)[3], platforms)
    )


def wheel_summaries(inspection: ReleaseInspection) -> Iterator[WheelSummary]:
    """Yield a summary of each inspected wheel. The verdict is computed from it."""
    for wheel in inspection.wheels:
        yield WheelSummary(
            file=wheel.file,
            causes=wheel.causes,
            additional=wheel.additional,
            unread=wheel.unread,
            libraries=frozenset(
                posixpath.basename(path).lower()
                for library in wheel.libraries
                for path in library.paths
            ),
            needed=frozenset(
                name.lower()
                for library in wheel.libraries
                for name in (*library.needed, *library.delayed)
            ),
        )


def _not_run(selection: Selection) -> PipelineSummary:
    checkout = selection.checkout
    if checkout is None:
        return PipelineSummary(not_run=_NOT_RUN)
    fields = "" if checkout.registered else fields_to_register(checkout.publishers[0])
    return PipelineSummary(not_run=_NOT_RUN, event=checkout.event.kind, unregistered=fields)


def _pipeline(outcome: PipelineOutcome | None, selection: Selection) -> PipelineSummary:
    summary = _not_run(selection)
    if outcome is None:
        return summary
    causes, result = causes_of(outcome), pipeline_result(outcome)
    egress = result.evidence.egress if result else None
    values = {
        "closure_not_proved": egress.not_proved if egress else "",
        "not_run": "",
        "causes": workflow_causes(causes),
        "publisher_causes": publisher_causes(causes),
        "identity_exchanged": result is not None and is_identity_exchanged(result.evidence),
    }
    return summary.model_copy(update=values)


def pipeline_result(outcome: PipelineOutcome | None) -> PipelineResult | None:
    """Return the result of the release workflow; None if it has none (`PipelineFailure`)."""
    return outcome if isinstance(outcome, PipelineResult) else None
