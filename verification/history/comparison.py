"""The differences between two runs."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from verification.history.store import (
    TIMED_RUNS,
    History,
    HistoryError,
    RecordedRun,
    run_kind,
)
from verification.models.cause import Cause
from verification.models.report import Report, RunChanges
from verification.models.results import CellResult, ItemResult
from verification.models.verdict import Verdict
from verification.verdict import verdict_of_cell

MIN_SECONDS_SLOWER, MIN_FACTOR_SLOWER = 3.0, 1.5
"""A cell is slower if it exceeds the slowest of its last runs by both limits. A smaller
difference is noise."""
MIN_RUNS = 3
"""With fewer runs, a slower cell is reported but is no regression. With fewer cells, the
slowdown that all cells share is unknown."""
MIN_BYTES_GROWN, MIN_FACTOR_GROWN = 10_240, 1.05
"""A wheel has grown if its size exceeds both limits. A smaller difference is a normal change of
the code."""
_ONLY_IN_ONE_RUN = ("cell-added", "cell-gone", "item-added", "item-gone", "wheel-gone")
"""The kinds of differences about a cell, item or wheel that only one of the runs has."""
Inputs = Mapping[str, str | bool]


@dataclass(frozen=True, order=True)
class RunDifference:
    """One difference between two runs."""

    kind: str
    where: str
    """The cell, item, wheel, dependency or image."""
    message: str
    is_regression: bool
    """True if ``compare`` must end with exit code 1."""

    def __str__(self) -> str:
        return f"{self.kind}: {self.where}: {self.message}"


def compare(
    base: RecordedRun, new: RecordedRun, history: Sequence[RecordedRun] = ()
) -> list[RunDifference]:
    """Return the differences of ``new`` from ``base``, the regressions first.

    ``history`` has the comparable runs, the oldest first. It shows which cells are flaky, how long
    a cell takes, and which run was the first bad one.
    """
    earlier = _earlier_runs(history, new, base)
    if kind_differences := different_kinds(base.report, new.report):
        base, new = _without_strict(base), _without_strict(new)
    differences = [
        *_cells(base, new, earlier),
        *_items(base, new),
        *_slower(base, new, earlier),
        *_wheels(base.report, new.report),
        *_changed("dependency", base.report.locked, new.report.locked),
        *_changed("image", _images(base.report), _images(new.report)),
    ]
    if kind_differences:
        differences = [_without_false_regressions(difference) for difference in differences]
    return sorted(differences, key=lambda difference: (not difference.is_regression, difference))


def different_kinds(base: Report, new: Report) -> list[str]:
    """Return the options in which two runs differ, one line for each; none for one kind."""
    before, now = run_kind(base), run_kind(new)
    return [f"{name}: {before[name]} -> {now[name]}" for name in now if before[name] != now[name]]


def _without_false_regressions(difference: RunDifference) -> RunDifference:
    """Return a difference of runs of two kinds, without a regression that the options explain.

    A cell, item or wheel that only one selection contains is no regression. With other options,
    equal inputs do not make a cell flaky.
    """
    if difference.kind in _ONLY_IN_ONE_RUN:
        return replace(difference, is_regression=False)
    if difference.kind == "flaky" and difference.is_regression:
        return replace(difference, kind="new-failure")
    return difference


def _without_strict(run: RecordedRun) -> RecordedRun:
    """Return a run with the verdicts of its cells without ``--strict``."""
    if not run.report.selection.strict:
        return run
    cells = tuple(
        cell.model_copy(
            update={"verdict": verdict_of_cell(cell.outcome, cell.causes, strict=False)}
        )
        for cell in run.report.cells
    )
    return replace(run, report=run.report.model_copy(update={"cells": cells}))


def changes_since(history: History, report: Report) -> RunChanges | None:
    """Return the differences of a run from the last run of its kind; None if there is none.

    A history that cannot be read has no such run. Recording the run reports its error.
    """
    try:
        earlier = history.runs_like(report).runs
    except HistoryError:
        return None
    if not earlier:
        return None
    base, new = earlier[-1], RecordedRun("this run", report)
    differences = compare(base, new, earlier)
    return RunChanges(base=base.title, differences=tuple(map(str, differences)))


def _earlier_runs(
    history: Sequence[RecordedRun], new: RecordedRun, base: RecordedRun
) -> list[RecordedRun]:
    """Return the runs before ``new``. ``base`` is added if it is not one of them."""
    names = [run.name for run in history]
    earlier = list(history[: names.index(new.name)] if new.name in names else history)
    return earlier if base.name in {run.name for run in earlier} else [*earlier, base]


# ---- cells ----


def _cells(
    base: RecordedRun, new: RecordedRun, earlier: Sequence[RecordedRun]
) -> Iterator[RunDifference]:
    ids = [cell.id for run in (base, new) for cell in run.report.cells]
    for cell_id in dict.fromkeys(ids):
        before, now = base.cell(cell_id), new.cell(cell_id)
        if before and now:
            yield from _cell(before, now, base, new, earlier)
        elif now:
            is_regression = now.verdict is Verdict.FAILED
            yield RunDifference("cell-added", cell_id, f"is only in {new.name}", is_regression)
        else:
            yield RunDifference("cell-gone", cell_id, f"is not in {new.name}", True)


def _cell(
    before: CellResult,
    now: CellResult,
    base: RecordedRun,
    new: RecordedRun,
    earlier: Sequence[RecordedRun],
) -> Iterator[RunDifference]:
    was_good, is_good = before.verdict is Verdict.VERIFIED, now.verdict is Verdict.VERIFIED
    same_inputs = _inputs(base.report, before) == _inputs(new.report, now)
    if was_good and not is_good and same_inputs:
        message = f"{_result(now)}, {before.verdict} in {base.name} with the same inputs"
        yield RunDifference("flaky", now.id, message, True)
    elif was_good and not is_good:
        message = f"{_result(now)}, {before.verdict} in {base.name}"
        yield RunDifference(
            "new-failure", now.id, f"{message}; {_first_bad_run(now, new, earlier)}", True
        )
    elif is_good and not was_good:
        message = f"was {_result(before)}" + (", with the same inputs" if same_inputs else "")
        yield RunDifference("flaky" if same_inputs else "fixed", now.id, message, False)
    else:
        yield from _new_causes(now.id, _cause_names(before.causes), _cause_names(now.causes), base)


def _result(cell: CellResult) -> str:
    return f"{cell.verdict} ({', '.join(sorted(_cause_names(cell.causes))) or cell.reason})"


def _cause_names(causes: Iterable[Cause]) -> set[str]:
    return {cause.name for cause in causes if not cause.follows}


def _new_causes(
    where: str, before: set[str], now: set[str], base: RecordedRun
) -> Iterator[RunDifference]:
    for name in sorted(now - before):
        yield RunDifference("new-cause", where, f"{name}, not in {base.name}", True)


def _inputs(report: Report, cell: CellResult) -> Inputs:
    """Return the inputs that the verdict of a cell depends on, except the code of the suite."""
    windows = _system(report, cell) == "windows"
    images = _images(report)
    machine = report.machines.get(cell.machine)
    image_names = (machine.image if machine else cell.machine, "index")
    tests = cell.summary.tests if cell.summary else None
    return {
        **{
            f"wheel {name}": digest
            for name, digest in report.wheels.items()
            if name.endswith("-any.whl") or ("win" in name.rpartition("-")[2]) == windows
        },
        **{f"dependency {name}": version for name, version in report.locked.items()},
        **{f"image {name}": images[name] for name in image_names if name in images},
        "strict": report.selection.strict,
        **({"own tests": tests.sha256} if tests else {}),
    }


def _system(report: Report, cell: CellResult) -> str:
    if machine := report.machines.get(cell.machine):
        return machine.os
    return "windows" if "windows" in cell.machine else "linux"


def _images(report: Report) -> dict[str, str]:
    # The tag is the hash of the recipe. The id differs between builds of the same recipe.
    return {name: image.tag for name, image in report.images.items()}


def _first_bad_run(now: CellResult, new: RecordedRun, earlier: Sequence[RecordedRun]) -> str:
    """Return a description of the first bad run, and of what changed since the last good run."""
    bad_run, bad_cell = new, now
    for run in reversed(earlier):
        cell = run.cell(now.id)
        if cell is None or cell.verdict is Verdict.UNVERIFIED:
            continue
        if cell.verdict is Verdict.VERIFIED:
            changes = _changed_inputs(_inputs(run.report, cell), _inputs(bad_run.report, bad_cell))
            return (
                f"first bad run {bad_run.name}, last good run {run.name}; changed inputs: "
                f"{', '.join(changes) or 'none'}"
            )
        bad_run, bad_cell = run, cell
    return f"first bad run {bad_run.name}, no good run among the last {len(earlier)} before it"


def _changed_inputs(before: Inputs, now: Inputs) -> Iterator[str]:
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) == now.get(name):
            continue
        if name.startswith("wheel "):
            yield name if name in before and name in now else f"{name} (different file name)"
        else:
            yield f"{name} ({before.get(name, 'absent')} -> {now.get(name, 'absent')})"


def _slower(
    base: RecordedRun, new: RecordedRun, earlier: Sequence[RecordedRun]
) -> Iterator[RunDifference]:
    earlier_seconds = {
        cell.id: seconds[-TIMED_RUNS:]
        for cell in new.report.cells
        if cell.verdict is Verdict.VERIFIED and base.cell(cell.id)
        if (seconds := list(_seconds(cell.id, earlier)))
    }
    now = {cell.id: cell.seconds for cell in new.report.cells}
    factors = [now[cell_id] / max(seconds) for cell_id, seconds in earlier_seconds.items()]
    # A busy host slows down all cells. This is not a difference of the package.
    shared_factor = max(1.0, statistics.median(factors)) if len(factors) >= MIN_RUNS else 1.0
    for cell_id, seconds in earlier_seconds.items():
        limit = max(seconds) * shared_factor
        if now[cell_id] > max(limit * MIN_FACTOR_SLOWER, limit + MIN_SECONDS_SLOWER):
            message = (
                f"{now[cell_id]:.1f} s; the slowest of the last {len(seconds)} runs took "
                f"{max(seconds):.1f} s"
            )
            yield RunDifference("slower", cell_id, message, len(seconds) >= MIN_RUNS)


def _seconds(cell_id: str, runs: Sequence[RecordedRun]) -> Iterator[float]:
    """Yield the seconds that a cell took in each run in which it is verified."""
    for run in runs:
        cell = run.cell(cell_id)
        if cell and cell.verdict is Verdict.VERIFIED and cell.seconds:
            yield cell.seconds


# ---- items ----


def _items(base: RecordedRun, new: RecordedRun) -> Iterator[RunDifference]:
    """Yield differences of items, such as the build. Differences of cells are not repeated."""
    base_items = {item.id: item for item in base.report.items}
    for item in new.report.items:
        if before := base_items.pop(item.id, None):
            yield from _item(before, item, base, new)
        else:
            is_regression = item.verdict is not Verdict.VERIFIED
            yield RunDifference("item-added", item.id, str(item.verdict), is_regression)
    for item_id in base_items:
        yield RunDifference("item-gone", item_id, f"is not in {new.name}", True)


def _item(
    before: ItemResult, now: ItemResult, base: RecordedRun, new: RecordedRun
) -> Iterator[RunDifference]:
    names_before = _names_without_cells(base.report, before)
    names_now = _names_without_cells(new.report, now)
    new_causes = list(_new_causes(now.id, names_before, names_now, base))
    yield from new_causes
    fixed = sorted(names_before - names_now)
    if fixed:
        yield RunDifference("fixed", now.id, f"no longer: {', '.join(fixed)}", False)
    was_good, is_good = before.verdict is Verdict.VERIFIED, now.verdict is Verdict.VERIFIED
    explained = new_causes or any(_is_worse(base, cell) for cell in new.report.cells)
    if different_kinds(base.report, new.report):
        # The item fails because of a cell that only this run has, or because of --strict.
        explained = explained or bool(names_now) or _has_cells(now, new.report)
    if was_good and not is_good and not explained:
        causes = ", ".join(dict.fromkeys(cause.name for cause in now.causes if not cause.follows))
        message = f"{now.verdict} ({now.reason or causes or 'no cause'}), was {before.verdict}"
        yield RunDifference("new-failure", now.id, message, True)
    if is_good and not was_good and not fixed and not _has_cells(now, base.report):
        yield RunDifference("fixed", now.id, f"was {before.verdict}", False)


def _names_without_cells(report: Report, item: ItemResult) -> set[str]:
    """Return the names of an item's causes that no cell of the run has."""
    cell_causes = {(cause.name, cause.where) for cell in report.cells for cause in cell.causes}
    return {
        cause.name
        for cause in item.causes
        if not cause.follows and (cause.name, cause.where) not in cell_causes
    }


def _is_worse(base: RecordedRun, now: CellResult) -> bool:
    before = base.cell(now.id)
    if before is None:
        return False
    return before.verdict is Verdict.VERIFIED and now.verdict is not Verdict.VERIFIED


def _has_cells(item: ItemResult, report: Report) -> bool:
    """Return whether the item has cells, so that the differences of the cells describe it."""
    system = item.id.removesuffix("-install")
    return any(_system(report, cell) == system for cell in report.cells)


# ---- wheels, dependencies, images ----


def _wheels(base: Report, new: Report) -> Iterator[RunDifference]:
    base_wheels = {wheel.platform: wheel for wheel in base.static.wheels}
    for wheel in new.static.wheels:
        before = base_wheels.pop(wheel.platform, None)
        if before and wheel.size > max(
            before.size * MIN_FACTOR_GROWN, before.size + MIN_BYTES_GROWN
        ):
            percent = 100 * (wheel.size - before.size) / before.size
            message = f"{before.size} -> {wheel.size} bytes (+{percent:.0f} %)"
            yield RunDifference("grown-wheel", wheel.file, message, True)
    if base.selection.machines == new.selection.machines:
        for platform, missing in base_wheels.items():
            yield RunDifference("wheel-gone", missing.file, f"no wheel for {platform}", True)


def _changed(
    kind: str, before: Mapping[str, str], now: Mapping[str, str]
) -> Iterator[RunDifference]:
    # A name that only one run has was not selected in the other run. It is no change.
    for name in sorted(before.keys() & now.keys()):
        if before[name] != now[name]:
            yield RunDifference(f"changed-{kind}", name, f"{before[name]} -> {now[name]}", False)
