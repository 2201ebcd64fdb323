from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.support import scenarios
from tests.support.causes import Cause, catalogue
from tests.support.cell import Cell
from tests.support.plugin import Controller, Suite
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
