"""From results to verdicts: of a cell, of an item, of the run.

Everything here is a pure function. The table `RULES` lists each thing that can keep an item, and
so the run, from being verified.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from verification.models.cause import Cause, Severity, in_order
from verification.models.machine import OperatingSystem
from verification.models.results import CellResult, ItemResult
from verification.models.run import PlannedCell, RunResult, RunVerdict, SystemFacts
from verification.models.verdict import ExpectationKind, Outcome, Verdict
from verification.rules import agreement
from verification.rules.catalogue import catalogue

# A package that failed has failed, whatever else is unknown.
_ORDER = (Verdict.FAILED, Verdict.TESTBED, Verdict.UNVERIFIED, Verdict.VERIFIED)
_EXECUTED = (Outcome.WORKS, Outcome.WORKS_FLAWED)


def fails(cause: Cause, *, strict: bool) -> bool:
    """Return whether a cause makes the package fail: broken does, flawed does under strict."""
    if cause.follows:
        return False
    return cause.severity is Severity.BROKEN or (strict and cause.severity is Severity.FLAWED)


def of_causes(causes: Iterable[Cause], *, strict: bool) -> Verdict:
    """Return the verdict that these causes give."""
    counted = [cause for cause in causes if not cause.follows]
    if any(fails(cause, strict=strict) for cause in counted):
        return Verdict.FAILED
    if any(cause.severity is Severity.TESTBED for cause in counted):
        return Verdict.TESTBED
    return Verdict.VERIFIED


def of_outcome(outcome: Outcome, *, strict: bool) -> Verdict:
    """Return the verdict on a cell with this outcome."""
    match outcome:
        case Outcome.WORKS | Outcome.REFUSED:
            return Verdict.VERIFIED
        case Outcome.WORKS_FLAWED | Outcome.FALLS_BACK:
            return Verdict.FAILED if strict else Verdict.VERIFIED
        case Outcome.FAILS:
            return Verdict.FAILED
        case Outcome.UNVERIFIED:
            return Verdict.UNVERIFIED
        case Outcome.TESTBED:
            return Verdict.TESTBED


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the verdict on a whole with these parts; a whole without parts is unverified."""
    present = set(verdicts)
    return next((verdict for verdict in _ORDER if verdict in present), Verdict.UNVERIFIED)


def judge(run: RunResult) -> RunVerdict:
    """Return the verdict on a run, on its items and on its planned cells."""
    cells = tuple(_cells(run))
    by_id = {cell.id: cell for cell in cells}
    scopes = tuple(_scopes(run, by_id))
    run = _with_known_items(run, {scope.id for scope in scopes})
    judged = [_item(run, scope) for scope in scopes]
    fails = any(item.verdict in (Verdict.FAILED, Verdict.TESTBED) for item in judged)
    items: list[ItemResult] = []
    not_selected: list[str] = []
    for scope, item in zip(scopes, (_explained(run, item, fails) for item in judged), strict=True):
        if scope.facts and not scope.cells and item.verdict is Verdict.VERIFIED:
            not_selected.append(scope.id)  # no machine has shown anything of it
        else:
            items.append(item)
    parts = [item.verdict for item in items]
    if run.interrupted:
        parts.append(Verdict.UNVERIFIED)
    return RunVerdict(
        verdict=worst(parts), items=tuple(items), cells=cells, not_selected=tuple(not_selected)
    )


def _with_known_items(run: RunResult, items: Collection[str]) -> RunResult:
    """Return the run, of which a failed test of an item that it does not have is of no item."""
    tests = (
        test if test.item in items else test.model_copy(update={"item": ""})
        for test in run.failed_tests
    )
    return run.model_copy(update={"failed_tests": tuple(tests)})


# ---- the items and what each of them covers ----

BUILD, INSTALL, PIPELINE, PUBLISHER = "build", "install", "pipeline", "publisher"


@dataclass(frozen=True)
class Scope:
    """An item, and the part of the run that it covers."""

    kind: str
    id: str
    title: str
    facts: SystemFacts | None = None
    """Of the item's operating system; None for an item that is of none."""
    cells: tuple[CellResult, ...] = ()
    planned: tuple[PlannedCell, ...] = ()


def _scopes(run: RunResult, cells: dict[str, CellResult]) -> Iterator[Scope]:
    if run.pipeline:
        title = "A pushed version tag builds, validates, releases and publishes"
        yield Scope(PIPELINE, "pipeline", title)
        title = "The registered trusted publisher fits the workflow"
        yield Scope(PUBLISHER, "publisher", title)
    if run.from_source:
        yield Scope(BUILD, "source-build", "bindings/python builds into wheels")
    for facts in run.systems:
        planned = tuple(cell for cell in run.planned if cell.system == facts.system)
        title = f"pip install {run.subject} works on a clean {facts.system.capitalize()} machine"
        own = tuple(cells[cell.id] for cell in planned)
        yield Scope(INSTALL, install_item(facts.system), title, facts, own, planned)


def install_item(system: OperatingSystem) -> str:
    """Return the id of the item that the cells of an operating system decide."""
    return f"{system}-install"


def _cells(run: RunResult) -> Iterator[CellResult]:
    results = {cell.id: cell for cell in run.cells}
    for planned in run.planned:
        yield results.get(planned.id) or not_run(planned, _why_not_run(run))


def _why_not_run(run: RunResult) -> str:
    if run.setup_failure:
        return f"not run: {run.setup_failure.name}"
    return "the run was interrupted before it" if run.interrupted else "it did not run"


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


# ---- what can keep an item from being verified ----


@dataclass(frozen=True)
class Gap:
    """Something required that was not verified, with the reason."""

    reason: str


Finding = Cause | Gap | CellResult


def _setup_failure(run: RunResult, _scope: Scope) -> Iterator[Finding]:
    if run.setup_failure:
        yield run.setup_failure


def _build_failure(run: RunResult, _scope: Scope) -> Iterator[Finding]:
    if run.setup_failure and run.setup_failure.name == "build-failed":
        yield run.setup_failure
    elif not run.prepared:
        yield Gap("the wheels were not built")


def _workflow_not_run(run: RunResult, _scope: Scope) -> Iterator[Finding]:
    if run.pipeline and run.pipeline.not_run:
        yield Gap(run.pipeline.not_run)


def _workflow_causes(run: RunResult, _scope: Scope) -> Iterator[Finding]:
    yield from run.pipeline.causes if run.pipeline else ()


def _publisher_causes(run: RunResult, _scope: Scope) -> Iterator[Finding]:
    yield from run.pipeline.publisher_causes if run.pipeline else ()


def _no_identity_exchange(run: RunResult, _scope: Scope) -> Iterator[Finding]:
    if run.pipeline and not run.pipeline.not_run and not run.pipeline.identity_exchanged:
        yield Gap("the workflow did not get to the exchange of its identity")


def _refused_upload(run: RunResult, _scope: Scope) -> Iterator[Finding]:
    # A cell whose files were refused reports it itself.
    reported = any(c.name == "upload-refused" for cell in run.cells for c in cell.causes)
    if run.upload_refused and not reported:
        yield run.upload_refused


def _wheel_causes(_run: RunResult, scope: Scope) -> Iterator[Finding]:
    for wheel in scope.facts.wheels if scope.facts else ():
        yield from wheel.causes


def _release_causes(run: RunResult, scope: Scope) -> Iterator[Finding]:
    yield from scope.facts.causes if scope.facts else ()
    elsewhere = {cause for facts in run.systems for cause in facts.causes}
    yield from (cause for cause in run.release_causes if cause not in elsewhere)


def _unread_code(_run: RunResult, scope: Scope) -> Iterator[Finding]:
    for wheel in scope.facts.wheels if scope.facts else ():
        yield from (Gap(line) for line in wheel.unread)


def _not_fetched(_run: RunResult, scope: Scope) -> Iterator[Finding]:
    yield from (Gap(line) for line in (scope.facts.not_fetched if scope.facts else ()))


def _declared_wheel_not_served(_run: RunResult, scope: Scope) -> Iterator[Finding]:
    """Yield a gap where each machine was served another wheel of the release than the declared."""
    works = {cell.id for cell in scope.planned if cell.expectation is ExpectationKind.WORKS}
    served = {cell.wheel for cell in scope.cells if cell.id in works and cell.wheel}
    wheels = scope.facts.wheels if scope.facts else ()
    declared = {wheel.file for wheel in wheels if not wheel.additional}
    if served and declared and not served & declared:
        names = ", ".join(sorted(declared))
        yield Gap(f"no machine was served the declared wheel: {names}")


def _disagreement(_run: RunResult, scope: Scope) -> Iterator[Finding]:
    if scope.facts is None:
        return
    comparable = {cell.id for cell in scope.planned if cell.comparable}
    cells = [cell for cell in scope.cells if cell.id in comparable]
    wheels = scope.facts.wheels
    for wheel in wheels:
        # Of a release with several wheels, a cell speaks of the one that it was served.
        alone = len(wheels) == 1
        own = [c for c in cells if c.wheel == wheel.file or (alone and not c.wheel)]
        yield from agreement.check([*scope.facts.causes, *wheel.causes], own)


def _cell_results(_run: RunResult, scope: Scope) -> Iterator[Finding]:
    yield from scope.cells


def _wheel_not_executed(_run: RunResult, scope: Scope) -> Iterator[Finding]:
    """Yield a gap where all cells are verified and none executed a wheel of the release."""
    verified = all(cell.verdict is Verdict.VERIFIED for cell in scope.cells)
    if scope.cells and verified and not any(cell.outcome in _EXECUTED for cell in scope.cells):
        yield Gap("no machine executed a wheel of the release")


def _failed_tests(run: RunResult, scope: Scope) -> Iterator[Finding]:
    for test in run.failed_tests:
        if test.item in ("", scope.id) and test.error:
            yield _cause("testbed-defect", test.node, "the suite's own code failed")


_ALL = (BUILD, INSTALL, PIPELINE, PUBLISHER)
Find = Callable[[RunResult, Scope], Iterator[Finding]]
RULES: tuple[tuple[Find, tuple[str, ...]], ...] = (
    # what keeps it from being verified   the items that it concerns
    (_setup_failure, (INSTALL, PIPELINE, PUBLISHER)),
    (_build_failure, (BUILD,)),
    (_workflow_not_run, (PIPELINE, PUBLISHER)),
    (_workflow_causes, (PIPELINE,)),
    (_publisher_causes, (PUBLISHER,)),
    (_no_identity_exchange, (PIPELINE, PUBLISHER)),
    (_refused_upload, (INSTALL,)),
    (_wheel_causes, (INSTALL,)),
    (_release_causes, (INSTALL,)),
    (_unread_code, (INSTALL,)),
    (_not_fetched, (INSTALL,)),
    (_declared_wheel_not_served, (INSTALL,)),
    (_disagreement, (INSTALL,)),
    (_cell_results, (INSTALL,)),
    (_wheel_not_executed, (INSTALL,)),
    (_failed_tests, _ALL),
)


def _item(run: RunResult, scope: Scope) -> ItemResult:
    findings = [f for find, kinds in RULES if scope.kind in kinds for f in find(run, scope)]
    causes = [f for f in findings if isinstance(f, Cause)]
    cells = [f for f in findings if isinstance(f, CellResult)]
    gaps = [f.reason for f in findings if isinstance(f, Gap)]
    verdict = worst(
        [
            of_causes(causes, strict=run.strict),
            *(cell.verdict for cell in cells),
            *(Verdict.UNVERIFIED for _ in gaps),
        ]
    )
    causes += [cause for cell in cells for cause in cell.causes]
    reasons = [*gaps, *(f"{cell.id}: {cell.reason}" for cell in cells if cell.reason)]
    return ItemResult(
        id=scope.id,
        title=scope.title,
        verdict=verdict,
        causes=in_order(cause for cause in causes if cause.severity is not Severity.NOTE),
        reason="; ".join(dict.fromkeys(reasons)),
    )


def _explained(run: RunResult, item: ItemResult, fails: bool) -> ItemResult:
    """Return the item; failed if a test of it failed and nothing explains why.

    A test of an item is explained where that item is not verified. A test of no item is explained
    where any item fails.
    """
    unexplained = [
        _cause("unclassified", test.node, "the test failed, and no cause was found")
        for test in run.failed_tests
        if not test.error and (test.item == item.id or not (test.item or fails))
    ]
    if item.verdict is not Verdict.VERIFIED or not unexplained:
        return item
    causes = in_order([*item.causes, *unexplained])
    return item.model_copy(update={"verdict": Verdict.FAILED, "causes": causes})


def _cause(name: str, where: str, observed: str) -> Cause:
    return catalogue().cause(name, where=where, seen=observed)
