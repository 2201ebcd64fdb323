"""The differences between two runs."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from verification.history.store import TIMED_RUNS, RecordedRun
from verification.models.cause import Cause
from verification.models.report import Report
from verification.models.results import CellResult, ItemResult
from verification.models.verdict import Verdict

SECONDS_SLOWER, TIMES_SLOWER = 3.0, 1.5
"""A cell is slower by both of these than the slowest of its last runs; less is noise."""
MIN_RUNS = 3
"""With fewer runs, or fewer cells, there are no statistics: what is slower is not bad."""
BYTES_GROWN, TIMES_GROWN = 10_240, 1.05
"""A wheel has grown by both of these; less is a change of the code."""
Inputs = Mapping[str, str | bool]


@dataclass(frozen=True, order=True)
class Difference:
    """One difference; ``bad`` ones make ``compare`` end with 1."""

    kind: str
    where: str
    message: str
    bad: bool

    def __str__(self) -> str:
        return f"{self.kind}: {self.where}: {self.message}"


def compare(
    base: RecordedRun, new: RecordedRun, history: Sequence[RecordedRun] = ()
) -> list[Difference]:
    """Return what is new in ``new``, the bad first.

    ``history`` has the runs of this kind, oldest first. It shows what flakes, how long a cell
    takes, and which run was the first bad one.
    """
    earlier = _before(history, new, base)
    findings = [
        *_cells(base, new, earlier),
        *_items(base, new),
        *_slower(base.report, new.report, earlier),
        *_wheels(base.report, new.report),
        *_changed("dependency", base.report.locked, new.report.locked),
        *_changed("image", _images(base.report), _images(new.report)),
    ]
    return sorted(findings, key=lambda finding: (not finding.bad, finding))


def _before(
    history: Sequence[RecordedRun], new: RecordedRun, base: RecordedRun
) -> list[RecordedRun]:
    """Return the runs before ``new``, with ``base`` among them."""
    names = [run.name for run in history]
    before = list(history[: names.index(new.name)] if new.name in names else history)
    return before if base.name in {run.name for run in before} else [*before, base]


# ---- cells ----


def _cells(
    base: RecordedRun, new: RecordedRun, earlier: Sequence[RecordedRun]
) -> Iterator[Difference]:
    every = [cell.id for run in (base, new) for cell in run.report.cells]
    for ident in dict.fromkeys(every):
        before, now = base.report.cell(ident), new.report.cell(ident)
        if before and now:
            yield from _cell(before, now, base, new, earlier)
        elif now:
            bad = now.verdict is Verdict.FAILED
            yield Difference("cell-added", ident, f"is only in {new.name}", bad)
        else:
            yield Difference("cell-gone", ident, f"is not in {new.name}", True)


def _cell(
    before: CellResult,
    now: CellResult,
    base: RecordedRun,
    new: RecordedRun,
    earlier: Sequence[RecordedRun],
) -> Iterator[Difference]:
    was_good, is_good = before.verdict is Verdict.VERIFIED, now.verdict is Verdict.VERIFIED
    same = _inputs(base.report, before) == _inputs(new.report, now)
    if was_good and not is_good and same:
        message = f"{_result(now)}, and {before.verdict} in {base.name} with the same inputs"
        yield Difference("flaky", now.id, message, True)
    elif was_good and not is_good:
        message = f"{_result(now)}, {before.verdict} in {base.name}"
        yield Difference("new-failure", now.id, f"{message}{_first(now, new, earlier)}", True)
    elif is_good and not was_good:
        message = f"was {_result(before)}" + (", with the same inputs" if same else "")
        yield Difference("flaky" if same else "fixed", now.id, message, False)
    else:
        yield from _new_causes(now.id, _names(before.causes), _names(now.causes), base)


def _result(cell: CellResult) -> str:
    return f"{cell.verdict} ({', '.join(sorted(_names(cell.causes))) or cell.reason})"


def _names(causes: Iterable[Cause]) -> set[str]:
    return {cause.name for cause in causes}


def _new_causes(
    ident: str, before: set[str], now: set[str], base: RecordedRun
) -> Iterator[Difference]:
    for name in sorted(now - before):
        yield Difference("new-cause", ident, f"{name}, not in {base.name}", True)


def _inputs(report: Report, cell: CellResult) -> Inputs:
    """Return all that a cell's verdict can depend on, besides chance and the suite's own code."""
    windows = _system(report, cell) == "windows"
    images = _images(report)
    tests = cell.summary.tests if cell.summary else None
    return {
        **{
            f"wheel {name}": digest
            for name, digest in report.wheels.items()
            if name.endswith("-any.whl") or ("win" in name.rpartition("-")[2]) == windows
        },
        **{f"dependency {name}": version for name, version in report.locked.items()},
        **{f"image {name}": images[name] for name in (cell.machine, "index") if name in images},
        "strict": report.selection.strict,
        **({"own tests": tests.sha256} if tests else {}),
    }


def _system(report: Report, cell: CellResult) -> str:
    if machine := report.machines.get(cell.machine):
        return machine.os
    return "windows" if "windows" in cell.machine else "linux"


def _images(report: Report) -> dict[str, str]:
    # The tag is the hash of the recipe; the id differs with each build of the same.
    return {name: image.tag for name, image in report.images.items()}


def _first(now: CellResult, new: RecordedRun, earlier: Sequence[RecordedRun]) -> str:
    """Return in words which run was the first bad one, and what changed since the last good."""
    first_run, first = new, now
    for run in reversed(earlier):
        cell = run.report.cell(now.id)
        if cell is None or cell.verdict is Verdict.UNVERIFIED:
            continue
        if cell.verdict is Verdict.VERIFIED:
            changed = _differences(_inputs(run.report, cell), _inputs(first_run.report, first))
            return (
                f"; first bad run {first_run.name}, last good run {run.name}; between them "
                f"changed: {', '.join(changed) or 'nothing that is recorded'}"
            )
        first_run, first = run, cell
    return f"; first bad run {first_run.name}, no good run before it"


def _differences(before: Inputs, now: Inputs) -> Iterator[str]:
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) == now.get(name):
            continue
        if name.startswith("wheel "):
            yield name if name in before and name in now else f"{name} (other name)"
        else:
            yield f"{name} ({before.get(name, 'absent')} -> {now.get(name, 'absent')})"


def _slower(base: Report, new: Report, earlier: Sequence[RecordedRun]) -> Iterator[Difference]:
    times = {
        cell.id: past[-TIMED_RUNS:]
        for cell in new.cells
        if cell.verdict is Verdict.VERIFIED and base.cell(cell.id)
        if (past := list(_past(cell, earlier)))
    }
    now = {cell.id: cell.seconds for cell in new.cells}
    factors = [now[ident] / max(past) for ident, past in times.items()]
    # A busy host makes all cells slower alike, which says nothing about the package.
    busy = max(1.0, statistics.median(factors)) if len(factors) >= MIN_RUNS else 1.0
    for ident, past in times.items():
        slowest = max(past) * busy
        if now[ident] > max(slowest * TIMES_SLOWER, slowest + SECONDS_SLOWER):
            message = (
                f"{now[ident]:.1f} s; the slowest of the {len(past)} before took {max(past):.1f} s"
            )
            yield Difference("slower", ident, message, len(past) >= MIN_RUNS)


def _past(cell: CellResult, earlier: Sequence[RecordedRun]) -> Iterator[float]:
    for run in earlier:
        then = run.report.cell(cell.id)
        if then and then.verdict is Verdict.VERIFIED and then.seconds:
            yield then.seconds


# ---- items ----


def _items(base: RecordedRun, new: RecordedRun) -> Iterator[Difference]:
    """Yield what is new in the items' own causes: those of the wheel, the build, the pipeline."""
    before = {item.id: item for item in base.report.items}
    for item in new.report.items:
        if was := before.pop(item.id, None):
            yield from _item(was, item, base, new)
        else:
            bad = item.verdict is not Verdict.VERIFIED
            yield Difference("item-added", item.id, str(item.verdict), bad)
    for ident in before:
        yield Difference("item-gone", ident, f"is not in {new.name}", True)


def _item(
    was: ItemResult, item: ItemResult, base: RecordedRun, new: RecordedRun
) -> Iterator[Difference]:
    before, now = _own(base.report, was), _own(new.report, item)
    new_causes = list(_new_causes(item.id, before, now, base))
    yield from new_causes
    gone = sorted(before - now)
    if gone:
        yield Difference("fixed", item.id, f"{', '.join(gone)} is gone", False)
    was_good, is_good = was.verdict is Verdict.VERIFIED, item.verdict is Verdict.VERIFIED
    explained = new_causes or any(_is_worse(base.report, cell) for cell in new.report.cells)
    if was_good and not is_good and not explained:
        causes = ", ".join(dict.fromkeys(cause.name for cause in item.causes if not cause.follows))
        message = f"{item.verdict} ({item.reason or causes or 'no cause'}), was {was.verdict}"
        yield Difference("new-failure", item.id, message, True)
    if is_good and not was_good and not gone and not _has_cells(item, base.report):
        yield Difference("fixed", item.id, f"was {was.verdict}", False)


def _own(report: Report, item: ItemResult) -> set[str]:
    """Return the names of an item's causes that none of the run's cells has."""
    of_cells = {(cause.name, cause.where) for cell in report.cells for cause in cell.causes}
    return {cause.name for cause in item.causes if (cause.name, cause.where) not in of_cells}


def _is_worse(base: Report, now: CellResult) -> bool:
    before = base.cell(now.id)
    if before is None:
        return False
    return before.verdict is Verdict.VERIFIED and now.verdict is not Verdict.VERIFIED


def _has_cells(item: ItemResult, report: Report) -> bool:
    """Return whether the item is judged by cells, which have findings of their own."""
    system = item.id.removesuffix("-install")
    return any(_system(report, cell) == system for cell in report.cells)


# ---- wheels, dependencies, images ----


def _wheels(base: Report, new: Report) -> Iterator[Difference]:
    before = {wheel.platform: wheel for wheel in base.static.wheels}
    for wheel in new.static.wheels:
        was = before.pop(wheel.platform, None)
        if was and wheel.size > max(was.size * TIMES_GROWN, was.size + BYTES_GROWN):
            percent = 100 * (wheel.size - was.size) / was.size
            message = f"{was.size} -> {wheel.size} bytes (+{percent:.0f} %)"
            yield Difference("grown-wheel", wheel.file, message, True)
    if base.selection.machines == new.selection.machines:
        for platform, lost in before.items():
            yield Difference("wheel-gone", lost.file, f"no wheel for {platform}", True)


def _changed(what: str, before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[Difference]:
    # What only one run has did not change: the other run did not select it.
    for name in sorted(before.keys() & now.keys()):
        if before[name] != now[name]:
            yield Difference(f"changed-{what}", name, f"{before[name]} -> {now[name]}", False)
