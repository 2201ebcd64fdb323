"""Comparisons of two runs with planted differences."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

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
from verification.history.comparison import (
    RunDifference,
    changes_since,
    compare,
    different_kinds,
)
from verification.history.store import History, RecordedRun
from verification.models.cause import Severity
from verification.models.report import Report
from verification.models.results import ItemResult, TestsSummary
from verification.models.verdict import Outcome, Verdict

OTHER_SHA256 = "c" * 64
Change = Callable[[Report], Report]


def _compare(base: Report, new: Report, *earlier: Report) -> list[RunDifference]:
    """Return the differences between two runs, with earlier runs in the history."""
    runs = [RecordedRun(str(number), run) for number, run in enumerate((*earlier, base, new), 1)]
    return compare(runs[-2], runs[-1], runs)


def _kinds(base: Report, new: Report, *earlier: Report) -> list[str]:
    """Return the kind and the location of each difference."""
    differences = _compare(base, new, *earlier)
    return [f"{difference.kind} {difference.where}" for difference in differences]


def _with_other_wheel(run: Report, wheel: str = LINUX_WHEEL) -> Report:
    """Return the same run with another wheel, by default for Linux."""
    return run.model_copy(update={"wheels": {**run.wheels, wheel: OTHER_SHA256}})


def _failed() -> Report:
    return report(cell(LINUX, crash()), cell(WINDOWS))


def _failed_with_other_wheel() -> Report:
    return _with_other_wheel(_failed())


def _grown(run: Report) -> Report:
    first, second = run.static.wheels
    wheels = (first, second.model_copy(update={"size": 1_200_000}))
    return run.model_copy(update={"static": run.static.model_copy(update={"wheels": wheels})})


def _other_dependency(run: Report) -> Report:
    return run.model_copy(update={"locked": {**run.locked, "cffi": "2.2.0"}})


def _other_image(run: Report) -> Report:
    tag = "quiverdb-e2e/debian-13-user:ffffffffffff"
    image = run.images["debian-13-user"].model_copy(update={"tag": tag})
    return run.model_copy(update={"images": {**run.images, "debian-13-user": image}})


def _slower(run: Report) -> Report:
    first, *others = run.cells
    slow = first.model_copy(update={"seconds": 14.0})
    return run.model_copy(update={"cells": (slow, *others)})


def _with_item(run: Report, changed: ItemResult) -> Report:
    items = tuple(changed if original.id == changed.id else original for original in run.items)
    return run.model_copy(update={"items": items})


def _new_flaw(run: Report) -> Report:
    flaw = crash("libquiver.so").model_copy(
        update={"name": "duplicate-library", "severity": Severity.FLAWED}
    )
    return _with_item(run, run.items[1].model_copy(update={"causes": (flaw,)}))


def _failed_build(run: Report) -> Report:
    return _with_item(run, item("source-build", verdict=Verdict.FAILED, reason="it did not build"))


def _without_cell(run: Report) -> Report:
    return run.model_copy(update={"cells": run.cells[:1]})


def _without_pipeline(run: Report) -> Report:
    items = tuple(item for item in run.items if item.id != "pipeline")
    return run.model_copy(update={"items": items})


def _without_wheel(run: Report) -> Report:
    wheels = run.static.wheels[1:]
    return run.model_copy(update={"static": run.static.model_copy(update={"wheels": wheels})})


@pytest.mark.parametrize(
    ("plant", "expected", "is_regression"),
    [
        (_grown, f"grown-wheel {WINDOWS_WHEEL}", True),
        (_other_dependency, "changed-dependency cffi", False),
        (_other_image, "changed-image debian-13-user", False),
        (_slower, f"slower {LINUX}", False),
        (_new_flaw, "new-cause linux-install", True),
        (_failed_build, "new-failure source-build", True),
        (_without_cell, f"cell-gone {WINDOWS}", True),
        (_without_pipeline, "item-gone pipeline", True),
        (_without_wheel, f"wheel-gone {LINUX_WHEEL}", True),
    ],
)
def test_exactly_the_planted_change_is_reported(
    plant: Change, expected: str, is_regression: bool
) -> None:
    (difference,) = _compare(complete(), plant(complete()))
    assert f"{difference.kind} {difference.where}" == expected
    assert difference.is_regression is is_regression


def test_an_item_that_fails_through_a_new_cell_names_the_cause() -> None:
    new = report(cell(LINUX), cell("debian-12-pip-venv", crash()), cell(WINDOWS))
    (failure,) = [d for d in _compare(report(), new) if d.kind == "new-failure"]
    assert failure.where == "linux-install"
    assert "crash" in failure.message


def test_several_planted_changes_are_all_reported_the_regressions_first() -> None:
    new = complete()
    for plant in (_grown, _other_dependency, _other_image, _slower):
        new = plant(new)
    assert [difference.kind for difference in _compare(complete(), new)] == [
        "grown-wheel",
        "changed-dependency",
        "changed-image",
        "slower",
    ]


def test_two_equal_runs_have_no_differences() -> None:
    assert _kinds(complete(), complete()) == []
    assert _kinds(_failed_with_other_wheel(), _failed_with_other_wheel()) == []


def test_an_added_cell_or_item_is_a_regression_only_if_it_is_not_verified() -> None:
    base = _without_pipeline(_without_cell(complete()))
    (added, new_item) = _compare(base, complete())
    assert (added.kind, added.where, added.is_regression) == ("cell-added", WINDOWS, False)
    assert (new_item.kind, new_item.where, new_item.is_regression) == (
        "item-added",
        "pipeline",
        False,
    )
    differences = _compare(base, complete(cell(LINUX), cell(WINDOWS, crash(WINDOWS))))
    assert [
        d.is_regression for d in differences if (d.kind, d.where) == ("cell-added", WINDOWS)
    ] == [True]


def test_a_cell_that_fails_with_another_wheel_is_a_new_failure() -> None:
    assert _kinds(report(), _failed_with_other_wheel()) == [f"new-failure {LINUX}"]


def test_a_cell_that_fails_with_the_same_inputs_is_flaky() -> None:
    assert _kinds(report(), _failed()) == [f"flaky {LINUX}"]
    (difference,) = _compare(_failed(), report())
    assert (difference.kind, difference.is_regression) == ("flaky", False)


def test_a_cell_on_another_image_is_not_flaky() -> None:
    assert f"new-failure {LINUX}" in _kinds(report(), _other_image(_failed()))


def _with_tests(run: Report, sha256: str) -> Report:
    first, *others = run.cells
    assert first.summary
    tests = TestsSummary(counts={"passed": 1}, failures=(), left_out=(), sha256=sha256)
    summary = first.summary.model_copy(update={"tests": tests})
    changed = first.model_copy(update={"summary": summary})
    return run.model_copy(update={"cells": (changed, *others)})


def test_a_cell_with_other_own_tests_is_not_flaky() -> None:
    base, new = _with_tests(report(), "a" * 64), _with_tests(_failed(), "b" * 64)
    assert _kinds(base, new) == [f"new-failure {LINUX}"]


def test_a_cell_that_works_again_is_fixed() -> None:
    assert _kinds(_failed_with_other_wheel(), report()) == [f"fixed {LINUX}"]


def test_a_cell_that_no_longer_runs_is_a_regression() -> None:
    new = _with_other_wheel(report(cell(LINUX, reason="no image"), cell(WINDOWS)))
    (difference,) = _compare(report(), new)
    assert difference.is_regression
    assert "no image" in difference.message


def test_an_additional_cause_of_a_failing_cell_is_a_new_cause() -> None:
    hang = crash().model_copy(update={"name": "hang"})
    new = _with_other_wheel(report(cell(LINUX, crash(), hang), cell(WINDOWS)))
    assert _kinds(_failed_with_other_wheel(), new) == [f"new-cause {LINUX}"]


def test_a_wheel_for_another_system_is_not_an_input_of_a_cell() -> None:
    assert _kinds(report(), _with_other_wheel(_failed(), WINDOWS_WHEEL)) == [f"flaky {LINUX}"]


@pytest.mark.parametrize(
    ("seconds", "now", "expected"),
    [
        ((4.0, 4.0), 6.9, []),  # less than the limit in seconds
        ((10.0, 10.0), 14.0, []),  # less than the limit as a factor
        ((4.0, 12.0, 4.0), 13.0, []),  # an earlier run took as long
        ((4.0, 4.0), 7.5, [f"slower {LINUX}"]),
    ],
)
def test_a_cell_is_compared_with_the_slowest_of_its_last_runs(
    seconds: tuple[float, ...], now: float, expected: list[str]
) -> None:
    *earlier, base = [report(cell(LINUX, seconds=s), cell(WINDOWS)) for s in seconds]
    assert _kinds(base, report(cell(LINUX, seconds=now), cell(WINDOWS)), *earlier) == expected


@pytest.mark.parametrize(("runs", "is_regression"), [(1, False), (2, False), (3, True), (9, True)])
def test_a_slower_cell_is_a_regression_only_with_enough_earlier_runs(
    runs: int, is_regression: bool
) -> None:
    (difference,) = _compare(report(), _slower(report()), *[report()] * (runs - 1))
    assert (difference.kind, difference.is_regression) == ("slower", is_regression)


def test_the_slowdown_of_a_busy_host_is_not_a_difference() -> None:
    names = [f"machine{number}-pip-venv" for number in range(4)]
    base = report(*(cell(name, seconds=4.0) for name in names))
    busy = report(*(cell(name, seconds=12.0) for name in names))
    assert _kinds(base, busy) == []
    cells = [cell(name, seconds=40.0 if name == names[2] else 12.0) for name in names]
    assert _kinds(base, report(*cells)) == [f"slower {names[2]}"]


def test_the_first_bad_run_is_named_with_the_changes_since_the_last_good_run() -> None:
    bad = _other_dependency(_failed_with_other_wheel())
    later = bad.model_copy(update={"locked": {**bad.locked, "pip": "27.0"}})
    names = ("first", "good", "bad", "later")
    reports = (report(), report(), bad, later)
    runs = [RecordedRun(f"run-{name}", run) for name, run in zip(names, reports, strict=True)]
    (failure,) = [d for d in compare(runs[1], runs[3], runs) if d.kind == "new-failure"]
    assert "run-bad" in failure.message
    assert "run-good" in failure.message
    assert "run-later" not in failure.message
    assert "dependency cffi (2.1.1 -> 2.2.0)" in failure.message
    assert f"wheel {LINUX_WHEEL}" in failure.message
    assert "27.0" not in failure.message


# ---- runs of two kinds ----


def _with_options(run: Report, **options: object) -> Report:
    return run.model_copy(update={"selection": run.selection.model_copy(update=options)})


def _regressions(base: Report, new: Report) -> list[str]:
    return [str(difference) for difference in _compare(base, new) if difference.is_regression]


def test_runs_that_differ_only_in_the_commit_are_of_one_kind() -> None:
    assert different_kinds(report(), report().model_copy(update={"suite_commit": "abc"})) == []


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"profile": "full"}, "profile"),
        ({"history": "none"}, "history"),
        ({"strict": True}, "strict"),
        ({"narrowed": ("--machine debian-13",)}, "selection"),
        ({"source": None, "release": "0.13.5"}, "origin"),
        ({"pipeline": True}, "pipeline"),
        ({"subject": "other"}, "package"),
    ],
)
def test_the_difference_in_kind_is_named(options: dict[str, object], name: str) -> None:
    (line,) = different_kinds(report(), _with_options(report(), **options))
    assert line.startswith(f"{name}: ")


def test_what_only_one_selection_contains_is_no_regression() -> None:
    others = [cell(f"debian-12-pip-{name}", crash(f"debian-12-pip-{name}")) for name in "abc"]
    full = _with_options(complete(cell(LINUX), cell(WINDOWS), *others), profile="full")
    assert _regressions(report(), full) == []
    assert _regressions(_with_options(full, profile="full"), report()) == []
    assert _regressions(full, _with_options(_without_wheel(full), profile="quick")) == []


@pytest.mark.parametrize("options", [{"profile": "full"}, {"strict": True}])
def test_cell_of_both_selections_that_fails_is_a_regression(options: dict[str, object]) -> None:
    (line,) = _regressions(report(), _with_options(_failed(), **options))
    assert line.startswith(f"new-failure: {LINUX}: ")


def test_flawed_cell_that_fails_only_under_strict_is_no_regression() -> None:
    flaw = crash().model_copy(update={"severity": Severity.FLAWED})
    flawed = cell(LINUX, flaw, outcome=Outcome.WORKS_FLAWED)
    strict_cell = flawed.model_copy(update={"verdict": Verdict.FAILED})
    strict = _with_options(report(strict_cell, cell(WINDOWS)), strict=True)
    assert _regressions(report(flawed, cell(WINDOWS)), strict) == []


def test_workflow_that_is_no_longer_verified_is_a_regression_of_runs_of_two_kinds() -> None:
    unverified = item("pipeline", verdict=Verdict.UNVERIFIED, reason="not exchanged")
    new = _with_options(_with_item(complete(), unverified), profile="full")
    (line,) = _regressions(complete(), new)
    assert line.startswith("new-failure: pipeline: ")


def test_consequence_of_a_known_cause_is_no_new_cause() -> None:
    follows = crash().model_copy(update={"name": "leftovers", "follows": "crash"})
    assert _kinds(_failed(), report(cell(LINUX, crash(), follows), cell(WINDOWS))) == []


# ---- the changes in the report of a gate ----


def test_changes_are_those_from_the_last_run_of_the_same_kind(tmp_path: Path) -> None:
    history = History(tmp_path / "history.sqlite3")
    assert changes_since(history, report()) is None
    number = history.record(report())
    history.record(_with_options(_failed(), profile="full"))
    changes = changes_since(history, _failed_with_other_wheel())
    assert changes
    assert changes.base.startswith(f"{number} (")
    assert changes.differences[0].startswith(f"new-failure: {LINUX}: ")


def test_history_that_cannot_be_read_has_no_changes(tmp_path: Path) -> None:
    (tmp_path / "history").write_text("no database", "utf-8")
    assert changes_since(History(tmp_path / "history"), report()) is None
