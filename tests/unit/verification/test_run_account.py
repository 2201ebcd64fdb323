from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.helpers.sample_wheels import SUBJECT, linux_wheel, windows_wheel
from verification.models.cause import Cause
from verification.report import results
from verification.rules.catalogue import catalogue
from verification.run_account import Account
from verification.session.suite import Suite, cell_to_dict
from verification.verdict import CellResult, Item, Verdict
from verification.wheel.release import inspect_release

FAILED = catalogue().cause("missing-runtime-library", where="c", seen="MSVCP140.dll")
FLAWED = catalogue().cause("symbol-interposition", where="c", seen="another's", risk=False)


def _result(ident: str, *causes: Cause) -> CellResult:
    verdict = Verdict.FAILED if FAILED in causes else Verdict.VERIFIED
    return CellResult(ident, "machine", "pip", "venv", verdict, causes, 1.0)


def _account(*failed: str) -> Account:
    selection = SimpleNamespace(strict=False)
    suite = SimpleNamespace(selection=selection, prepared=None, piped=None)
    account = Account(cast("Suite", suite))
    account.unexplained = list(failed)
    return account


LINUX, WINDOWS = "debian-13-pip-offline", "windows-wine-pip-system"
TEST = f"tests/gate/test_machines.py::test_it_is_served[{LINUX}]@{LINUX}"


def _told(failed: str, linux: CellResult, windows: CellResult) -> list[list[str]]:
    """Return the causes that a failed test without a cause gives the two systems' items."""
    cells = [linux, windows]
    account = _account(failed)
    return [[c.name for c in account._unexplained(cells, [here])] for here in cells]


def test_a_failed_test_of_a_cell_is_not_explained_by_another_cell() -> None:
    assert _told(TEST, _result(LINUX), _result(WINDOWS, FAILED)) == [["unclassified"], []]
    assert _told(TEST, _result(LINUX, FLAWED), _result(WINDOWS)) == [["unclassified"], []]


def test_a_failed_test_of_a_cell_is_explained_by_that_cell() -> None:
    assert _told(TEST, _result(LINUX, FAILED), _result(WINDOWS)) == [[], []]


def test_a_failed_test_of_no_cell_is_explained_by_whatever_failed() -> None:
    static = "tests/gate/test_wheels.py::test_record"
    assert _told(static, _result(LINUX), _result(WINDOWS, FAILED)) == [[], []]
    assert _told(static, _result(LINUX), _result(WINDOWS)) == [["unclassified"], ["unclassified"]]


# ---- what was selected ----


def _spec(name: str, system: str) -> SimpleNamespace:
    return SimpleNamespace(name=name, os=system, lacks=(), has=(), clean=True)


def _narrowed(
    tmp_path: Path, required: list[str] | None, *cells: CellResult, narrowed: tuple[str, ...] = ()
) -> Account:
    """Return a run of a Linux and a Windows cell, of which ``required`` were collected."""
    machines = [_spec("debian", "linux"), _spec("windows", "windows")]
    every = [
        SimpleNamespace(id=ident, machine=spec, refusal="")
        for ident, spec in zip(IDS, machines, strict=True)
    ]
    selection = SimpleNamespace(
        strict=False, pipeline=False, source=None, systems=("linux", "windows"),
        machines=machines, narrowed=narrowed,
    )  # fmt: skip
    suite = SimpleNamespace(
        selection=selection, prepared=None, piped=None, report=tmp_path, cells=every,
        subject=SUBJECT,
    )  # fmt: skip
    if required is not None:
        results.write_json(tmp_path / "required" / "main.json", [*required])
    for cell in cells:
        results.write_json(tmp_path / "cells" / f"{cell.id}.json", cell_to_dict(cell))
    return Account(cast("Suite", suite))


IDS = ("debian-pip-venv", "windows-pip-system")
RAN = CellResult(IDS[0], "debian", "pip", "venv", Verdict.VERIFIED, (), 1.0)


def test_a_system_of_which_no_cell_was_collected_has_no_verdict(tmp_path: Path) -> None:
    account = _narrowed(tmp_path, [IDS[0]], RAN)
    cells = account._cells(interrupted=False)

    assert [item.id for item in account._items(cells)] == ["linux-install"]
    assert account.unselected == ["windows-install"]
    assert account._narrowed() == ["1 of 2 cells"]


def test_a_system_whose_wheel_failed_has_its_verdict_without_any_cell(tmp_path: Path) -> None:
    account = _narrowed(tmp_path, [IDS[0]], RAN)
    account.failure = FAILED
    found = {item.id: item.verdict for item in account._items([RAN])}

    assert found == {"linux-install": Verdict.FAILED, "windows-install": Verdict.FAILED}


def test_what_narrows_a_verdict_is_told_beside_the_cells_that_were_left(tmp_path: Path) -> None:
    asked = ("-k debian",)
    assert _narrowed(tmp_path, None)._narrowed() == []
    assert _narrowed(tmp_path, list(IDS))._narrowed() == []
    account = _narrowed(tmp_path, [IDS[0]], narrowed=asked)
    assert account._narrowed() == ["-k debian", "1 of 2 cells"]


def test_a_refused_upload_is_told_where_no_cell_came_upon_it(tmp_path: Path) -> None:
    account = _narrowed(tmp_path, None)
    suite = cast("Any", account.suite)
    suite.prepared = SimpleNamespace(refused=lambda: "the index refused the upload (400)")
    (cause,) = account._refused([RAN])
    assert (cause.name, cause.where) == ("upload-refused", "publisher")
    assert cause.message.startswith("the index refused the upload (400)")

    there = dataclasses.replace(RAN, causes=(cause,))
    assert account._refused([RAN, there]) == []
    suite.prepared = SimpleNamespace(refused=lambda: "")
    assert account._refused([RAN]) == []


def test_a_file_that_is_no_wheel_is_told_to_be_out_of_scope(tmp_path: Path) -> None:
    account = _narrowed(tmp_path, None)
    suite = cast("Any", account.suite)
    suite.selection.left_to_others, suite.selection.no_pipeline, suite.left_out = (), "no", ()
    suite.selection.no_tests = ""
    beside = (Path("dist/quiverdb-1.2.0.tar.gz"),)
    suite.prepared = SimpleNamespace(wheelhouse=SimpleNamespace(additional=beside))
    told = {"id": "quiverdb-1.2.0.tar.gz", "reason": "not verified, since only wheels are"}
    assert told in account._out_of_scope()


# ---- what only the set of wheels shows ----


def _suite(account: Account, **changes: Any) -> None:
    for name, value in changes.items():
        setattr(account.suite, name, value)


def test_what_the_wheels_of_two_systems_show_together_is_in_the_items(tmp_path: Path) -> None:
    inspection = inspect_release(
        [linux_wheel(tmp_path), windows_wheel(tmp_path, version="1.0.1")], SUBJECT
    )
    account = _narrowed(tmp_path, None)
    wheelhouse = SimpleNamespace(not_fetched={})
    prepared = SimpleNamespace(refused=lambda: "", wheelhouse=wheelhouse, inspection=inspection)
    _suite(account, prepared=prepared, static=inspection)
    items = account._items([RAN, dataclasses.replace(RAN, id=IDS[1], machine="windows")])
    assert {item.id: item.verdict for item in items} == {
        "linux-install": Verdict.FAILED,
        "windows-install": Verdict.FAILED,
    }
    assert all([c.name for c in item.causes] == ["version-mismatch"] for item in items)


PROMISED = "x-1.0-cp313-cp313-manylinux_2_28_x86_64.whl"
BETTER = "x-1.0-cp313-cp313-manylinux_2_31_x86_64.whl"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([PROMISED], False),
        ([BETTER], True),
        ([BETTER, PROMISED], False),
        ([""], False),  # nobody knows which
    ],
)
def test_a_promised_wheel_that_no_machine_was_given_is_not_verified(
    tmp_path: Path, given: list[str], told: bool
) -> None:
    account = _narrowed(tmp_path, None)
    static = SimpleNamespace(
        wheels=[
            SimpleNamespace(file=PROMISED, additional=False),
            SimpleNamespace(file=BETTER, additional=True),
        ]
    )
    cells = [dataclasses.replace(RAN, wheel=file) for file in given]
    found = account._not_run_on(cast("Any", static), cells)
    assert found == ([f"no machine was given what is promised: {PROMISED}"] if told else [])


def test_a_test_that_failed_is_never_part_of_a_verified_run(tmp_path: Path) -> None:
    account = _narrowed(tmp_path, None)
    good = [Item(name, name, Verdict.VERIFIED, ()) for name in ("one", "two")]
    assert account._explained(good) == good
    account.unexplained = ["tests/gate/test_wheels.py::test_it"]
    found = account._explained(good)
    assert {item.verdict for item in found} == {Verdict.FAILED}
    assert found[0].causes[0].name == "unclassified"
    bad = [dataclasses.replace(good[0], verdict=Verdict.FAILED), good[1]]
    assert account._explained(bad) == bad
