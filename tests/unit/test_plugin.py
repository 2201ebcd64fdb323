from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from containers.errors import WrongUse
from tests.support import gate, plugin, scenarios
from tests.support.causes import Cause, catalogue
from tests.support.cell import Cell
from tests.support.plugin import Controller, Suite
from tests.support.report import results
from tests.support.verdict import CellResult, Verdict

FAILED = catalogue().cause("missing-runtime-library", where="c", seen="MSVCP140.dll")
FLAWED = catalogue().cause("symbol-interposition", where="c", seen="another's", risk=False)


def _result(ident: str, *causes: Cause) -> CellResult:
    verdict = Verdict.FAILED if FAILED in causes else Verdict.VERIFIED
    return CellResult(ident, "machine", "pip", "venv", verdict, causes, 1.0)


def _controller(*failed: str) -> Controller:
    selection = SimpleNamespace(strict=False)
    suite = SimpleNamespace(selection=selection, prepared=None, piped=None)
    controller = Controller(cast("Suite", suite))
    controller.unexplained = list(failed)
    return controller


LINUX, WINDOWS = "debian-13-pip-offline", "windows-wine-pip-system"
TEST = f"tests/install/test_install.py::test_it_is_served[{LINUX}]@{LINUX}"


def _told(failed: str, linux: CellResult, windows: CellResult) -> list[list[str]]:
    """Return the causes that a failed test without a cause gives the two systems' items."""
    cells = [linux, windows]
    controller = _controller(failed)
    return [[c.name for c in controller._unexplained(cells, [here])] for here in cells]


def test_a_failed_test_of_a_cell_is_not_explained_by_another_cell() -> None:
    assert _told(TEST, _result(LINUX), _result(WINDOWS, FAILED)) == [["unclassified"], []]
    assert _told(TEST, _result(LINUX, FLAWED), _result(WINDOWS)) == [["unclassified"], []]


def test_a_failed_test_of_a_cell_is_explained_by_that_cell() -> None:
    assert _told(TEST, _result(LINUX, FAILED), _result(WINDOWS)) == [[], []]


def test_a_failed_test_of_no_cell_is_explained_by_whatever_failed() -> None:
    static = "tests/static/test_static.py::test_record"
    assert _told(static, _result(LINUX), _result(WINDOWS, FAILED)) == [[], []]
    assert _told(static, _result(LINUX), _result(WINDOWS)) == [["unclassified"], ["unclassified"]]


# ---- what was selected ----


def _spec(name: str, system: str) -> SimpleNamespace:
    return SimpleNamespace(name=name, os=system, lacks=(), has=(), clean=True)


def _narrowed(
    tmp_path: Path, required: list[str] | None, *cells: CellResult, narrowed: tuple[str, ...] = ()
) -> Controller:
    """Return a run of a Linux and a Windows cell, of which ``required`` were collected."""
    machines = [_spec("debian", "linux"), _spec("windows", "windows")]
    every = [
        SimpleNamespace(id=ident, machine=spec) for ident, spec in zip(IDS, machines, strict=True)
    ]
    selection = SimpleNamespace(
        strict=False, pipeline=False, source=None, systems=("linux", "windows"),
        machines=machines, narrowed=narrowed,
    )  # fmt: skip
    suite = SimpleNamespace(
        selection=selection, prepared=None, piped=None, report=tmp_path, cells=every,
        subject=SimpleNamespace(name="quiverdb"),
    )  # fmt: skip
    if required is not None:
        results.write_json(tmp_path / "required" / "main.json", required)
    for cell in cells:
        results.write_json(tmp_path / "cells" / f"{cell.id}.json", results.cell_to_dict(cell))
    return Controller(cast("Suite", suite))


IDS = ("debian-pip-venv", "windows-pip-system")
RAN = CellResult(IDS[0], "debian", "pip", "venv", Verdict.VERIFIED, (), 1.0)


def test_a_system_of_which_no_cell_was_collected_has_no_verdict(tmp_path: Path) -> None:
    controller = _narrowed(tmp_path, [IDS[0]], RAN)
    cells = controller._cells(interrupted=False)

    assert [item.id for item in controller._items(cells)] == ["linux-install"]
    assert controller.unselected == ["windows-install"]
    assert controller._narrowed() == ["1 of 2 cells"]


def test_a_system_whose_wheel_failed_has_its_verdict_without_any_cell(tmp_path: Path) -> None:
    controller = _narrowed(tmp_path, [IDS[0]], RAN)
    controller.failure = FAILED
    found = {item.id: item.verdict for item in controller._items([RAN])}

    assert found == {"linux-install": Verdict.FAILED, "windows-install": Verdict.FAILED}


def test_what_narrows_a_verdict_is_told_beside_the_cells_that_were_left(tmp_path: Path) -> None:
    asked = ("-k debian",)
    assert _narrowed(tmp_path, None)._narrowed() == []
    assert _narrowed(tmp_path, list(IDS))._narrowed() == []
    controller = _narrowed(tmp_path, [IDS[0]], narrowed=asked)
    assert controller._narrowed() == ["-k debian", "1 of 2 cells"]


def test_a_refused_upload_is_told_where_no_cell_came_upon_it(tmp_path: Path) -> None:
    controller = _narrowed(tmp_path, None)
    suite = cast("Any", controller.suite)
    suite.prepared = SimpleNamespace(refused=lambda: "the index refused the upload (400)")
    (cause,) = controller._refused([RAN])
    assert (cause.name, cause.where) == ("upload-refused", "publisher")
    assert cause.message.startswith("the index refused the upload (400)")

    there = dataclasses.replace(RAN, causes=(cause,))
    assert controller._refused([RAN, there]) == []
    suite.prepared = SimpleNamespace(refused=lambda: "")
    assert controller._refused([RAN]) == []


def test_a_file_that_is_no_wheel_is_told_to_be_out_of_scope(tmp_path: Path) -> None:
    controller = _narrowed(tmp_path, None)
    suite = cast("Any", controller.suite)
    suite.selection.left_to_others, suite.selection.no_pipeline, suite.left_out = (), "no", ()
    suite.selection.no_tests = ""
    beside = (Path("dist/quiverdb-1.2.0.tar.gz"),)
    suite.prepared = SimpleNamespace(wheelhouse=SimpleNamespace(beside=beside))
    told = {"id": "quiverdb-1.2.0.tar.gz", "reason": "not verified, since only wheels are"}
    assert told in controller._out_of_scope()


def test_a_report_is_written_by_one_run_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared: list[str] = []

    def prepare(*_: object) -> None:
        prepared.append("prepared")

    monkeypatch.setattr(gate, "prepare", prepare)
    first, second, other = (
        _narrowed(folder, None) for folder in (tmp_path, tmp_path, tmp_path / "other")
    )
    for controller in (first, other):
        controller.suite.subject = cast("Any", None)
        controller._set_up()
    (tmp_path / "cells").mkdir()
    with pytest.raises(pytest.UsageError, match="another run is writing its report there"):
        second._set_up()
    assert prepared == ["prepared", "prepared"]
    assert (tmp_path / "cells").is_dir(), "the report of the other is as it was"
    first.pytest_unconfigure()
    second._set_up()
    for controller in (second, other):
        controller.pytest_unconfigure()


@pytest.mark.parametrize("told", ["and or", "debian and", "("])
def test_a_keyword_that_nobody_can_read_is_told_before_any_set_up(told: str) -> None:
    with pytest.raises(WrongUse, match=r"^-k .*: expected"):
        plugin._check_keyword(told)


@pytest.mark.parametrize("told", ["", "[debian-13-uv-venv]", "debian-11 and not upgrade"])
def test_a_keyword_that_can_be_read_is_taken(told: str) -> None:
    plugin._check_keyword(told)


# ---- what cannot run ----


def _missing(refuses: str, scenario: str, no_history: str) -> str:
    spec: Any = SimpleNamespace(name="m", os="linux", refuses=refuses)
    suite = object.__new__(Suite)
    suite.prepared = cast(
        "Any",
        SimpleNamespace(
            unavailable={}, no_history=no_history, wheelhouse=SimpleNamespace(previous="0.1.0")
        ),
    )
    suite.selection = cast("Any", SimpleNamespace(subject="", history="all"))
    return suite.missing(Cell(spec, "pip", scenario))


@pytest.mark.parametrize(
    ("refuses", "scenario", "reason", "unverified"),
    [
        ("unsupported-python", "venv", "the index is away", True),
        ("unsupported-python", "pinned", "the index is away", False),
        ("unsupported-python", "venv", "", False),
        ("", "venv", "the index is away", False),
    ],
)
def test_a_refusal_without_the_earlier_releases_on_the_index_is_not_verified(
    refuses: str, scenario: str, reason: str, *, unverified: bool
) -> None:
    told = _missing(refuses, scenario, reason)
    assert bool(told) == unverified
    assert reason in told or not unverified


def test_the_scenarios_that_name_the_version_are_known() -> None:
    pinned = {name for name, one in scenarios.SCENARIOS.items() if one.pinned}
    assert pinned == {"pinned", "no-binary"}
