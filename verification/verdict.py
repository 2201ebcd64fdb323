"""Compute the verdicts of cells, of items and of a run from results.

All functions are pure. The table `RULES` lists each condition that prevents the verdict *verified*
of an item, and therefore of the run.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Container, Iterable, Iterator
from typing import NamedTuple

from verification.models.cause import Cause, Severity, sorted_causes
from verification.models.machine import OperatingSystem
from verification.models.results import CellResult, Coverage, ItemResult, PlatformResult
from verification.models.run import (
    PipelineSummary,
    PlannedCell,
    RunResult,
    RunVerdict,
    SystemSummary,
)
from verification.models.subject import PlatformTarget
from verification.models.verdict import ExpectationKind, Outcome, Verdict
from verification.rules.agreement import LAYERS_DISAGREE, Contradiction, find_contradictions
from verification.rules.catalogue import catalogue

# The verdict of several parts is the first of these that a part has.
_ORDER = (Verdict.FAILED, Verdict.TESTBED, Verdict.UNVERIFIED, Verdict.VERIFIED)
_EXECUTED = (Outcome.WORKS, Outcome.WORKS_FLAWED)


def fails(cause: Cause, *, strict: bool) -> bool:
    """Return whether a cause fails the package: it is broken, or it is flawed under ``strict``."""
    if cause.follows:
        return False
    return cause.severity is Severity.BROKEN or (strict and cause.severity is Severity.FLAWED)


def verdict_of_causes(causes: Iterable[Cause], *, strict: bool) -> Verdict:
    """Return the verdict of these causes. Causes that follow from others do not count."""
    counted = [cause for cause in causes if not cause.follows]
    if any(fails(cause, strict=strict) for cause in counted):
        return Verdict.FAILED
    if any(cause.severity is Severity.TESTBED for cause in counted):
        return Verdict.TESTBED
    return Verdict.VERIFIED


def verdict_of_cell(outcome: Outcome, causes: Iterable[Cause], *, strict: bool) -> Verdict:
    """Return the verdict of a cell with this outcome and these causes."""
    match outcome:
        case Outcome.WORKS:
            return Verdict.VERIFIED
        case Outcome.REFUSED:
            return verdict_of_causes(causes, strict=strict)
        case Outcome.WORKS_FLAWED | Outcome.FALLS_BACK:
            return Verdict.FAILED if strict else Verdict.VERIFIED
        case Outcome.FAILS:
            return Verdict.FAILED
        case Outcome.UNVERIFIED:
            return Verdict.UNVERIFIED
        case Outcome.TESTBED:
            return Verdict.TESTBED


def combined_verdict(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the verdict of several parts together; without parts it is unverified."""
    present = set(verdicts)
    return next((verdict for verdict in _ORDER if verdict in present), Verdict.UNVERIFIED)


def judge(run: RunResult) -> RunVerdict:
    """Return the verdicts of a run, of its items and of its planned cells."""
    run = _with_all_cells(run)
    specs = tuple(_item_specs(run))
    judged = {spec.id: _item(run, spec) for spec in specs}
    any_fails = any(item.verdict in (Verdict.FAILED, Verdict.TESTBED) for item in judged.values())
    items: list[ItemResult] = []
    not_selected: list[str] = []
    for spec in specs:
        item = _with_unexplained_tests(run, judged[spec.id], any_fails)
        if spec.kind == "platform" and item.verdict is Verdict.VERIFIED:
            continue  # an inspection without a machine does not verify the platform
        if spec.kind == "install" and not _is_selected(run, spec):
            not_selected.append(spec.id)
        else:
            items.append(item)
    parts = [item.verdict for item in items]
    if run.interrupted or not run.finished:
        parts.append(Verdict.UNVERIFIED)
    return RunVerdict(
        verdict=combined_verdict(parts),
        items=tuple(items),
        cells=run.cells,
        not_selected=tuple(not_selected),
        platforms=tuple(_with_coverage(platform, not_selected) for platform in run.platforms),
    )


def _is_selected(run: RunResult, spec: ItemSpec) -> bool:
    """Return whether an install item belongs to the selection of the user.

    It does if a selected cell belongs to it, if one of its tests of the gate failed, or if the
    set-up failed.
    """
    items_of_failed_tests = (test.item for test in run.failed_tests)
    return bool(_cells(run, spec) or run.setup_failure or spec.id in items_of_failed_tests)


def _with_coverage(platform: PlatformResult, not_selected: Container[str]) -> PlatformResult:
    """Return the result with its final coverage, without causes that an item already has."""
    if platform.coverage is not Coverage.MACHINES:
        return platform
    system = PlatformTarget.of(platform.tag).machine_system
    if system and install_item(system) in not_selected:
        return platform.model_copy(update={"coverage": Coverage.NOT_SELECTED})
    return platform.model_copy(update={"causes": (), "unread": ()})


def _with_all_cells(run: RunResult) -> RunResult:
    """Return the run with one result for each planned cell, in the order of the plan.

    A failed test of an item that the run does not have then belongs to no item.
    """
    results = {cell.id: cell for cell in run.cells}
    reason = _why_not_run(run)
    cells = (results.get(planned.id) or not_run(planned, reason) for planned in run.planned)
    items = {spec.id for spec in _item_specs(run)}
    tests = (
        test if test.item in items else test.model_copy(update={"item": ""})
        for test in run.failed_tests
    )
    return run.model_copy(update={"cells": tuple(cells), "failed_tests": tuple(tests)})


def _why_not_run(run: RunResult) -> str:
    if not run.finished:
        return "the run did not finish"
    if run.setup_failure:
        return f"not run: {run.setup_failure.name}"
    return "the run was interrupted before this cell" if run.interrupted else "it did not run"


def not_run(planned: PlannedCell, reason: str) -> CellResult:
    """Return the result of a cell that did not run."""
    return CellResult(
        id=planned.id,
        machine=planned.machine,
        installer=planned.installer,
        scenario=planned.scenario,
        expectation=planned.expectation,
        outcome=Outcome.UNVERIFIED,
        verdict=Verdict.UNVERIFIED,
        causes=(),
        seconds=0.0,
        reason=reason,
    )


# ---- items ----


class ItemSpec(NamedTuple):
    """An item of the run. An install item covers the wheels and cells of an operating system."""

    kind: str
    """One of build, install, platform, pipeline, publisher and published."""
    id: str
    title: str


_PIPELINE_TITLES = {
    "tag": "A pushed version tag builds, validates, releases and publishes",
    "branch": "A push to the default branch builds, validates, releases and publishes",
    "release": "A release on the release page builds, validates and publishes",
    "workflow_dispatch": "A dispatch of the workflow builds, validates, releases and publishes",
}
"""The title of the item, by the event that starts the workflow."""


def _item_specs(run: RunResult) -> Iterator[ItemSpec]:
    if run.pipeline:
        yield ItemSpec("pipeline", "pipeline", _PIPELINE_TITLES[run.pipeline.event])
        title = "The registered trusted publisher fits the workflow"
        yield ItemSpec("publisher", "publisher", title)
    if run.published:
        title = "The index serves the files that the gate verified"
        yield ItemSpec("published", "published-files", title)
    if run.from_source:
        yield ItemSpec("build", "source-build", f"The source of {run.subject} builds into wheels")
    for summary in run.systems:
        title = f"pip install {run.subject} works on a clean {summary.system.capitalize()} machine"
        yield ItemSpec("install", install_item(summary.system), title)
    for platform in run.platforms:
        if platform.counts:
            title = f"The wheel for {platform.tag} has no fault (inspection only)"
            yield ItemSpec("platform", wheel_item(platform), title)


def install_item(system: OperatingSystem) -> str:
    """Return the id of the item of an operating system."""
    return f"{system}-install"


def wheel_item(platform: PlatformResult) -> str:
    """Return the id of the item of a platform that no machine runs."""
    return f"wheel-{platform.tag}"


def _systems(run: RunResult, spec: ItemSpec) -> list[SystemSummary]:
    return [summary for summary in run.systems if install_item(summary.system) == spec.id]


def _platforms(run: RunResult, spec: ItemSpec) -> list[PlatformResult]:
    return [platform for platform in run.platforms if wheel_item(platform) == spec.id]


def _cells(run: RunResult, spec: ItemSpec) -> list[tuple[PlannedCell, CellResult]]:
    results = {cell.id: cell for cell in run.cells}
    planned = (cell for cell in run.planned if install_item(cell.system) == spec.id)
    return [(cell, results[cell.id]) for cell in planned]


def _pipelines(run: RunResult) -> list[PipelineSummary]:
    return [run.pipeline] if run.pipeline else []


# ---- rules: what prevents the verdict verified ----


class Unverified(NamedTuple):
    """Something required that is not verified."""

    reason: str
    """What is not verified, and why."""


RuleResult = Cause | Unverified | CellResult | Contradiction


def _setup_failure(run: RunResult, _spec: ItemSpec) -> Iterator[RuleResult]:
    if run.setup_failure:
        yield run.setup_failure


def _closure_not_proved(run: RunResult, spec: ItemSpec) -> Iterator[RuleResult]:
    # The jobs and the machines have different networks.
    reasons = (
        [run.closure_not_proved]
        if spec.kind == "install"
        else [summary.closure_not_proved for summary in _pipelines(run)]
    )
    yield from (Unverified(f"network closure not proved: {reason}") for reason in reasons if reason)


def _build_failure(run: RunResult, _spec: ItemSpec) -> Iterator[RuleResult]:
    if run.setup_failure and run.setup_failure.name == "build-failed":
        yield run.setup_failure
    elif not run.prepared:
        yield Unverified("the wheels were not built")


def _workflow_not_run(run: RunResult, _spec: ItemSpec) -> Iterator[RuleResult]:
    yield from (Unverified(summary.not_run) for summary in _pipelines(run) if summary.not_run)


def _workflow_causes(run: RunResult, _spec: ItemSpec) -> Iterator[RuleResult]:
    for summary in _pipelines(run):
        yield from summary.causes


def _publisher_causes(run: RunResult, _spec: ItemSpec) -> Iterator[RuleResult]:
    for summary in _pipelines(run):
        yield from summary.publisher_causes


def _unregistered_publisher(run: RunResult, _spec: ItemSpec) -> Iterator[RuleResult]:
    for summary in _pipelines(run):
        if summary.unregistered:
            yield Unverified(
                "there is no registration of the publisher; name its file with --publisher; the "
                f"fields to register: {summary.unregistered}"
            )


def _no_identity_exchange(run: RunResult, _spec: ItemSpec) -> Iterator[RuleResult]:
    for summary in _pipelines(run):
        if not summary.not_run and not summary.identity_exchanged:
            yield Unverified("the workflow did not exchange its identity token for an upload token")


def _published_files(run: RunResult, _spec: ItemSpec) -> Iterator[RuleResult]:
    if run.published:
        yield from run.published.causes
        yield from map(Unverified, run.published.not_compared)


def _refused_upload(run: RunResult, _spec: ItemSpec) -> Iterator[RuleResult]:
    # If a cell of a refused release ran, the cell has the cause.
    reported = any(c.name == "upload-refused" for cell in run.cells for c in cell.causes)
    if run.upload_refused and not reported:
        yield run.upload_refused


def _wheel_causes(run: RunResult, spec: ItemSpec) -> Iterator[RuleResult]:
    for summary in _systems(run, spec):
        for wheel in summary.wheels:
            yield from wheel.causes


def _release_causes(run: RunResult, spec: ItemSpec) -> Iterator[RuleResult]:
    for summary in _systems(run, spec):
        yield from summary.causes
    system_causes = {cause for summary in run.systems for cause in summary.causes}
    yield from (cause for cause in run.release_causes if cause not in system_causes)


def _unread_code(run: RunResult, spec: ItemSpec) -> Iterator[RuleResult]:
    for summary in _systems(run, spec):
        for wheel in summary.wheels:
            yield from map(Unverified, wheel.unread)


def _not_fetched(run: RunResult, spec: ItemSpec) -> Iterator[RuleResult]:
    for summary in _systems(run, spec):
        yield from map(Unverified, summary.not_fetched)
    for platform in _platforms(run, spec):
        yield from map(Unverified, platform.not_fetched)


def _declared_wheel_not_served(run: RunResult, spec: ItemSpec) -> Iterator[RuleResult]:
    """Yield `Unverified` if machines that a declared wheel fits downloaded only others."""
    served = {
        cell.wheel
        for planned, cell in _cells(run, spec)
        if planned.expectation is ExpectationKind.WORKS and planned.fits_declared and cell.wheel
    }
    for summary in _systems(run, spec):
        declared = {wheel.file for wheel in summary.wheels if not wheel.additional}
        if served and declared and not served & declared:
            names = ", ".join(sorted(declared))
            yield Unverified(f"no machine downloaded the declared wheel: {names}")


def _platform_causes(run: RunResult, spec: ItemSpec) -> Iterator[RuleResult]:
    for platform in _platforms(run, spec):
        yield from platform.causes


def _platform_without_machine(run: RunResult, spec: ItemSpec) -> Iterator[RuleResult]:
    for platform in _platforms(run, spec):
        if platform.coverage is Coverage.UNVERIFIED:
            yield Unverified(
                f"no machine runs {platform.tag}; add a machine, or accept inspection only with "
                "`execute = false` in subject.toml"
            )


def _contradictions(run: RunResult, spec: ItemSpec) -> Iterator[RuleResult]:
    cells = [cell for planned, cell in _cells(run, spec) if planned.comparable]
    for summary in _systems(run, spec):
        for wheel in summary.wheels:
            # If the release has several wheels, a cell belongs to the wheel that it downloaded.
            is_only_wheel = len(summary.wheels) == 1
            wheel_cells = [
                cell
                for cell in cells
                if cell.wheel == wheel.file or (is_only_wheel and not cell.wheel)
            ]
            yield from find_contradictions(wheel, summary.causes, wheel_cells)


def _cell_results(run: RunResult, spec: ItemSpec) -> Iterator[RuleResult]:
    for _, cell in _cells(run, spec):
        yield cell


def _wheel_not_executed(run: RunResult, spec: ItemSpec) -> Iterator[RuleResult]:
    """Yield `Unverified` if all cells are verified, but none executed a wheel of the release."""
    cells = [cell for _, cell in _cells(run, spec)]
    verified = all(cell.verdict is Verdict.VERIFIED for cell in cells)
    if cells and verified and not any(cell.outcome in _EXECUTED for cell in cells):
        yield Unverified("no machine executed a wheel of the release")


def _failed_tests(run: RunResult, spec: ItemSpec) -> Iterator[RuleResult]:
    for test in run.failed_tests:
        if test.error and test.item in ("", spec.id):
            yield catalogue().cause(
                "testbed-defect", test.node, "a fixture or test of the suite failed"
            )


Rule = Callable[[RunResult, ItemSpec], Iterator[RuleResult]]
RULES: tuple[tuple[Rule, tuple[str, ...]], ...] = (
    # rule, kinds of items that it applies to
    (_setup_failure, ("install", "pipeline", "publisher")),
    (_closure_not_proved, ("install", "pipeline", "publisher")),
    (_published_files, ("published",)),
    (_build_failure, ("build",)),
    (_workflow_not_run, ("pipeline", "publisher")),
    (_workflow_causes, ("pipeline",)),
    (_publisher_causes, ("publisher",)),
    (_unregistered_publisher, ("publisher",)),
    (_no_identity_exchange, ("publisher",)),
    (_refused_upload, ("install",)),
    (_wheel_causes, ("install",)),
    (_release_causes, ("install",)),
    (_unread_code, ("install",)),
    (_not_fetched, ("install", "platform")),
    (_declared_wheel_not_served, ("install",)),
    (_contradictions, ("install",)),
    (_cell_results, ("install",)),
    (_wheel_not_executed, ("install",)),
    (_platform_causes, ("platform",)),
    (_platform_without_machine, ("platform",)),
    (_failed_tests, ("build", "install", "pipeline", "publisher")),
)


def _item(run: RunResult, spec: ItemSpec) -> ItemResult:
    causes: list[Cause] = []
    cells: list[CellResult] = []
    unverified: list[str] = []
    contradictions: list[Contradiction] = []
    rule_results = (rule(run, spec) for rule, kinds in RULES if spec.kind in kinds)
    for result in itertools.chain.from_iterable(rule_results):
        match result:
            case Cause():
                causes.append(result)
            case CellResult():
                cells.append(result)
            case Contradiction():
                contradictions.append(result)
            case _:
                unverified.append(result.reason)
    unverified += [
        f"{contradiction.cause.where}: {contradiction.cause.name}"
        for contradiction in contradictions
        if not contradiction.resolved
    ]
    causes = _mark_contradicted(causes, contradictions)
    contradicted_cells = {
        ident for contradiction in contradictions for ident in contradiction.cells
    }
    verdict = combined_verdict(
        [
            verdict_of_causes(causes, strict=run.strict),
            *(cell.verdict for cell in cells if cell.id not in contradicted_cells),
            *(Verdict.UNVERIFIED for _ in unverified),
        ]
    )
    causes += _mark_contradicted((cause for cell in cells for cause in cell.causes), contradictions)
    reasons = [*unverified, *(f"{cell.id}: {cell.reason}" for cell in cells if cell.reason)]
    # Notes are left out, except the notes of contradictions, which other causes follow.
    counted = [cause for cause in causes if cause.severity is not Severity.NOTE]
    return ItemResult(
        id=spec.id,
        title=spec.title,
        verdict=verdict,
        causes=sorted_causes(
            [*counted, *(contradiction.cause for contradiction in contradictions)]
        ),
        reason="; ".join(dict.fromkeys(reasons)),
    )


def _mark_contradicted(
    causes: Iterable[Cause], contradictions: Iterable[Contradiction]
) -> list[Cause]:
    """Return the causes. A contradicted cause follows from its contradiction. It does not count."""
    causes_followed = {
        cause: contradiction.cause.name
        for contradiction in contradictions
        for cause in contradiction.about
    }
    return [
        cause.model_copy(update={"follows": causes_followed[cause]})
        if cause in causes_followed
        else cause
        for cause in causes
    ]


def _with_unexplained_tests(run: RunResult, item: ItemResult, any_fails: bool) -> ItemResult:
    """Return the item; it fails if one of its tests failed without an explanation.

    A test of an item is explained if that item is not verified, or if a machine disproves the
    inspection. A test of no item is explained if any item fails.
    """
    unexplained = [
        catalogue().cause("unclassified", test.node, "the test failed without a known cause")
        for test in run.failed_tests
        if not test.error and (test.item == item.id or not (test.item or any_fails))
    ]
    is_explained = item.verdict is not Verdict.VERIFIED or any(
        cause.name == LAYERS_DISAGREE for cause in item.causes
    )
    if is_explained or not unexplained:
        return item
    causes = sorted_causes([*item.causes, *unexplained])
    return item.model_copy(update={"verdict": Verdict.FAILED, "causes": causes})
