"""Pairs of runs with planted differences: exactly these are found."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.helpers.sample_run import (
    LINUX,
    LINUX_WHEEL,
    WINDOWS,
    WINDOWS_WHEEL,
    cell,
    complete,
    crash,
    item,
    report,
)
from verification.history.comparison import compare
from verification.history.store import RecordedRun
from verification.models.cause import Severity
from verification.models.report import Report
from verification.models.results import ItemResult, TestsSummary
from verification.models.verdict import Verdict

OTHER = "c" * 64
Change = Callable[[Report], Report]


def _kinds(base: Report, new: Report, *before: Report) -> list[str]:
    """Return the findings in ``new``, a line each: the kind and where."""
    every = [RecordedRun(str(number), run) for number, run in enumerate((*before, base, new), 1)]
    return [f"{one.kind} {one.where}" for one in compare(every[-2], every[-1], every)]


def _changed(run: Report, wheel: str = LINUX_WHEEL) -> Report:
    """Return the same run with another wheel, by default the one for Linux."""
    return run.model_copy(update={"wheels": {**run.wheels, wheel: OTHER}})


def _failed() -> Report:
    return report(cell(LINUX, crash()), cell(WINDOWS))


def _bad() -> Report:
    return _changed(_failed())


def _grown(run: Report) -> Report:
    first, second = run.static.wheels
    wheels = (first, second.model_copy(update={"size": 1_200_000}))
    return run.model_copy(update={"static": run.static.model_copy(update={"wheels": wheels})})


def _dependency(run: Report) -> Report:
    return run.model_copy(update={"locked": {**run.locked, "cffi": "2.2.0"}})


def _image(run: Report) -> Report:
    tag = "quiverdb-e2e/debian-13:ffffffffffff"
    image = run.images["debian-13"].model_copy(update={"tag": tag})
    return run.model_copy(update={"images": {**run.images, "debian-13": image}})


def _slower(run: Report) -> Report:
    first, *others = run.cells
    slow = first.model_copy(update={"seconds": 14.0})
    return run.model_copy(update={"cells": (slow, *others)})


def _with_item(run: Report, changed: ItemResult) -> Report:
    items = tuple(changed if one.id == changed.id else one for one in run.items)
    return run.model_copy(update={"items": items})


def _flaw(run: Report) -> Report:
    flaw = crash("libquiver.so").model_copy(
        update={"name": "duplicate-library", "severity": Severity.FLAWED}
    )
    return _with_item(run, run.items[1].model_copy(update={"causes": (flaw,)}))


def _build(run: Report) -> Report:
    return _with_item(run, item("source-build", verdict=Verdict.FAILED, reason="it did not build"))


def _gone(run: Report) -> Report:
    return run.model_copy(update={"cells": run.cells[:1]})


def _no_pipeline(run: Report) -> Report:
    items = tuple(one for one in run.items if one.id != "pipeline")
    return run.model_copy(update={"items": items})


def _no_wheel(run: Report) -> Report:
    wheels = run.static.wheels[1:]
    return run.model_copy(update={"static": run.static.model_copy(update={"wheels": wheels})})


@pytest.mark.parametrize(
    ("plant", "expected", "bad"),
    [
        (_grown, f"grown-wheel {WINDOWS_WHEEL}", True),
        (_dependency, "changed-dependency cffi", False),
        (_image, "changed-image debian-13", False),
        (_slower, f"slower {LINUX}", False),
        (_flaw, "new-cause linux-install", True),
        (_build, "new-failure source-build", True),
        (_gone, f"cell-gone {WINDOWS}", True),
        (_no_pipeline, "item-gone pipeline", True),
        (_no_wheel, f"wheel-gone {LINUX_WHEEL}", True),
    ],
)
def test_exactly_the_planted_change_is_found(plant: Change, expected: str, bad: bool) -> None:
    base, new = complete(), plant(complete())
    assert _kinds(base, new) == [expected]
    assert [one.bad for one in compare(RecordedRun("1", base), RecordedRun("2", new))] == [bad]


def test_an_item_that_fails_by_a_cell_of_another_machine_names_its_cause() -> None:
    new = report(cell(LINUX), cell("debian-12-pip-venv", crash()), cell(WINDOWS))
    base = RecordedRun("1", report())
    (found,) = [one for one in compare(base, RecordedRun("2", new)) if one.kind == "new-failure"]
    assert found.where == "linux-install"
    assert "crash" in found.message


def test_several_planted_changes_are_all_found_the_bad_first() -> None:
    new = complete()
    for plant in (_grown, _dependency, _image, _slower):
        new = plant(new)
    found = compare(RecordedRun("1", complete()), RecordedRun("2", new))
    assert [one.kind for one in found] == [
        "grown-wheel",
        "changed-dependency",
        "changed-image",
        "slower",
    ]


def test_two_equal_runs_have_nothing_new() -> None:
    assert _kinds(complete(), complete()) == []
    assert _kinds(_bad(), _bad()) == []


def test_a_cell_or_an_item_that_is_new_is_bad_only_if_it_is_not_verified() -> None:
    one = _no_pipeline(_gone(complete()))
    (added, new_item) = compare(RecordedRun("1", one), RecordedRun("2", complete()))
    assert (added.kind, added.where, added.bad) == ("cell-added", WINDOWS, False)
    assert (new_item.kind, new_item.where, new_item.bad) == ("item-added", "pipeline", False)
    failed = complete(cell(LINUX), cell(WINDOWS, crash(WINDOWS)))
    found = {
        f"{one.kind} {one.where}": one.bad
        for one in compare(RecordedRun("1", one), RecordedRun("2", failed))
    }
    assert found[f"cell-added {WINDOWS}"]


def test_a_cell_that_fails_with_another_wheel_is_a_new_failure() -> None:
    assert _kinds(report(), _bad()) == [f"new-failure {LINUX}"]


def test_a_cell_that_fails_with_the_same_inputs_is_flaky() -> None:
    assert _kinds(report(), _failed()) == [f"flaky {LINUX}"]
    (found,) = compare(RecordedRun("1", _failed()), RecordedRun("2", report()))
    assert (found.kind, found.bad) == ("flaky", False)


def _with_tests(run: Report, sha256: str) -> Report:
    first, *others = run.cells
    assert first.summary
    tests = TestsSummary(counts={"passed": 1}, failures=(), left_out=(), sha256=sha256)
    short = first.summary.model_copy(update={"tests": tests})
    return run.model_copy(update={"cells": (first.model_copy(update={"summary": short}), *others)})


def test_a_cell_whose_own_tests_are_others_is_not_flaky() -> None:
    base, new = _with_tests(report(), "a" * 64), _with_tests(_failed(), "b" * 64)
    assert _kinds(base, new) == [f"new-failure {LINUX}"]


def test_a_cell_that_works_again_was_fixed() -> None:
    assert _kinds(_bad(), report()) == [f"fixed {LINUX}"]


def test_a_required_cell_that_no_longer_runs_is_new_and_bad() -> None:
    new = _changed(report(cell(LINUX, reason="no image"), cell(WINDOWS)))
    (found,) = compare(RecordedRun("1", report()), RecordedRun("2", new))
    assert found.bad
    assert "no image" in found.message


def test_another_cause_of_a_cell_that_fails_is_found() -> None:
    hang = crash().model_copy(update={"name": "hang"})
    more = _changed(report(cell(LINUX, crash(), hang), cell(WINDOWS)))
    assert _kinds(_bad(), more) == [f"new-cause {LINUX}"]


def test_a_wheel_of_the_other_system_does_not_make_a_flaky_cell_a_new_failure() -> None:
    assert _kinds(report(), _changed(_failed(), WINDOWS_WHEEL)) == [f"flaky {LINUX}"]


@pytest.mark.parametrize(
    ("times", "now", "expected"),
    [
        ((4.0, 4.0), 6.9, []),  # by less than the seconds that count
        ((10.0, 10.0), 14.0, []),  # by less than the times that count
        ((4.0, 12.0, 4.0), 13.0, []),  # it took as long before
        ((4.0, 4.0), 7.5, [f"slower {LINUX}"]),
    ],
)
def test_a_cell_is_slower_only_against_the_slowest_of_its_last_runs(
    times: tuple[float, ...], now: float, expected: list[str]
) -> None:
    *before, base = [report(cell(LINUX, seconds=s), cell(WINDOWS)) for s in times]
    assert _kinds(base, report(cell(LINUX, seconds=now), cell(WINDOWS)), *before) == expected


@pytest.mark.parametrize(("before", "bad"), [(1, False), (2, False), (3, True), (9, True)])
def test_a_slower_cell_is_bad_only_against_enough_runs(before: int, bad: bool) -> None:
    every = [RecordedRun(str(n), report()) for n in range(before)] + [
        RecordedRun("new", _slower(report()))
    ]
    (found,) = compare(every[-2], every[-1], every)
    assert (found.kind, found.bad) == ("slower", bad)


def test_a_host_that_was_busy_is_not_taken_for_slower_cells() -> None:
    names = [f"machine{number}-pip-venv" for number in range(4)]
    base = report(*(cell(name, seconds=4.0) for name in names))
    busy = report(*(cell(name, seconds=12.0) for name in names))
    assert _kinds(base, busy) == []
    cells = [cell(name, seconds=40.0 if name == names[2] else 12.0) for name in names]
    assert _kinds(base, report(*cells)) == [f"slower {names[2]}"]


def test_the_first_bad_run_is_named_with_what_changed_since_the_last_good() -> None:
    bad = _dependency(_bad())
    later = bad.model_copy(update={"locked": {**bad.locked, "pip": "27.0"}})
    every = [RecordedRun(str(n), run) for n, run in enumerate((report(), report(), bad, later), 1)]
    (found,) = [one for one in compare(every[1], every[3], every) if one.kind == "new-failure"]
    assert "first bad run 3, last good run 2" in found.message
    assert "dependency cffi (2.1.1 -> 2.2.0)" in found.message
    assert f"wheel {LINUX_WHEEL}" in found.message
    assert "pip" not in found.message.partition("between them")[2]
