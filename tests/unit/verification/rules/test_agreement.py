"""A cause reports each contradiction between the static inspection and the machines."""

from __future__ import annotations

import pytest

from tests.helpers.sample_machines import sample_machine
from tests.helpers.sample_run import cell
from verification.models.cause import Cause, Severity
from verification.models.machine import MachineSpec
from verification.models.results import CellResult
from verification.models.run import WheelFacts
from verification.models.verdict import Outcome
from verification.rules import agreement
from verification.rules.agreement import Disagreement
from verification.rules.catalogue import catalogue

STATIC = {
    "missing-bundled-library": {"library": "libdep.so"},
    "missing-runtime-library": {"library": "libdep.so"},
    "symbol-not-found": {"symbol": "f"},
    "wrong-architecture": {"machine": "arm"},
    "damaged-library": {},
    "wrong-load-path": {"sought": "libs/libx.so", "path": "elsewhere/libx.so"},
}
"""The causes of both sides, with the facts that the inspection has of `libs/libx.so`."""
OBSERVED = {
    "missing-bundled-library": {"library": "libdep.so", "needed_by": "libx.so"},
    "missing-runtime-library": {"library": "libdep.so"},
    "symbol-not-found": {"symbol": "f", "needed_by": "libx.so"},
    "wrong-architecture": {"library": "libx.so"},
    "damaged-library": {"library": "libx.so"},
    "wrong-load-path": {"library": "libx.so"},
}
"""The same with the facts that a machine has of them."""
LIBRARY, DEPENDENCY = "/site/libs/libx.so", "/site/libs/libdep.so"
EVERY = pytest.mark.parametrize("name", sorted(agreement.LOADING))


def _cause(name: str, where: str = "libs/libx.so", **facts: str) -> Cause:
    cause = catalogue().cause(name, where=where, observed="something")
    return cause.model_copy(update={"facts": facts})


def _static(name: str) -> Cause:
    return _cause(name, **STATIC.get(name, {}))


def _observed(name: str) -> Cause:
    return _cause(name, "cell", **OBSERVED.get(name, {}))


def _cell(machine: str, *names: str, outcome: Outcome | None = None) -> CellResult:
    return cell(f"{machine}-pip-system", *map(_observed, names), outcome=outcome)


def _working(*mapped: str, outcome: Outcome = Outcome.WORKS) -> CellResult:
    return _cell("clean", outcome=outcome).model_copy(update={"mapped": mapped})


def _compare(
    static: list[Cause], *cells: CellResult, release: tuple[Cause, ...] = ()
) -> list[Disagreement]:
    wheel = WheelFacts(
        file="x.whl",
        causes=tuple(static),
        libraries=frozenset({"libx.so"}),
        needed=frozenset({"libdep.so"}),
    )
    return list(agreement.disagreements(wheel, release, cells))


def _places(causes: list[Cause]) -> list[tuple[str, str]]:
    return [(cause.name, cause.where) for cause in causes]


def test_these_causes_are_of_loading() -> None:
    assert STATIC.keys() == OBSERVED.keys() == agreement.LOADING


@EVERY
def test_an_inspection_and_a_machine_that_report_the_same_agree(name: str) -> None:
    assert _compare([_static(name)], _cell("clean", name)) == []


@EVERY
def test_what_one_machine_confirms_another_does_not_contradict(name: str) -> None:
    assert _compare([_static(name)], _cell("clean", name), _working(LIBRARY, DEPENDENCY)) == []


@pytest.mark.parametrize("outcome", [Outcome.WORKS, Outcome.WORKS_FLAWED])
@EVERY
def test_a_wheel_that_cannot_load_and_works_is_a_disagreement(name: str, outcome: Outcome) -> None:
    static = _static(name)
    (found,) = _compare([static], _working(outcome=outcome))
    assert _places([found.cause]) == [("layers-disagree", "libs/libx.so")]
    assert found.cause.severity is Severity.NOTE
    assert (found.about, found.cells, found.resolved) == ((static,), (), False)


@pytest.mark.parametrize(
    ("name", "mapped", "resolved"),
    [
        ("wrong-architecture", (LIBRARY,), True),
        ("wrong-architecture", ("/site/libs/liby.so",), False),
        ("damaged-library", (LIBRARY,), True),
        ("wrong-load-path", (LIBRARY,), False),
        ("wrong-load-path", ("/site/elsewhere/libx.so",), True),
        ("missing-bundled-library", (LIBRARY, DEPENDENCY), True),
        ("missing-runtime-library", (LIBRARY, DEPENDENCY), True),
        # the machine has it by chance, or nothing needed it
        ("missing-runtime-library", (LIBRARY,), False),
        ("missing-runtime-library", (DEPENDENCY,), False),
        # a symbol can be looked up at its first call
        ("symbol-not-found", (LIBRARY, DEPENDENCY), False),
    ],
)
def test_a_machine_that_mapped_the_library_proves_that_the_inspection_is_mistaken(
    name: str, mapped: tuple[str, ...], *, resolved: bool
) -> None:
    (found,) = _compare([_static(name)], _working(), _working(*mapped))
    assert found.resolved is resolved


def test_windows_paths_are_compared_without_regard_to_case() -> None:
    static = _cause("wrong-architecture", "x.whl: libs/LibX.dll")
    (found,) = _compare([static], _working("C:/Site/libs/LIBX.DLL"))
    assert found.resolved


@pytest.mark.parametrize("name", sorted(agreement.IN_FILES))
def test_a_wheel_that_can_load_and_does_not_is_a_disagreement(name: str) -> None:
    failing = _cell("clean", name)
    (found,) = _compare([], failing)
    assert _places([found.cause]) == [("layers-disagree", "clean-pip-system")]
    assert (found.about, found.cells) == (failing.causes, ("clean-pip-system",))
    assert not found.resolved


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("missing-bundled-library", {"library": "libother.so"}),
        ("missing-runtime-library", {"library": "libother.so"}),
        ("symbol-not-found", {"symbol": "f", "library": "libx.so"}),
        ("wrong-architecture", {"library": "libother.so"}),
    ],
)
def test_what_the_code_of_the_package_looks_up_is_not_inspected(
    name: str, facts: dict[str, str]
) -> None:
    failing = cell("clean-pip-system", _cause(name, "cell", **facts))
    assert _compare([], failing) == []


def test_a_path_in_the_packages_code_is_nothing_that_the_inspection_reads() -> None:
    assert _compare([], _cell("clean", "wrong-load-path")) == []


def test_a_damage_that_no_loader_meets_is_no_disagreement() -> None:
    cut_off = catalogue().cause("damaged-library", where="x", observed="x", risk=True)
    assert _compare([cut_off], _working()) == []


@pytest.mark.parametrize("name", ["glibc-floor", "stray-top-level", "metadata-incomplete"])
def test_what_a_machine_cannot_show_is_no_disagreement(name: str) -> None:
    assert _compare([_cause(name)], _working()) == []


@pytest.mark.parametrize("name", ["metadata-incomplete", "stray-top-level"])
def test_what_keeps_no_library_from_loading_explains_no_failure_to_load(name: str) -> None:
    assert len(_compare([_cause(name)], _cell("clean", "symbol-not-found"))) == 1


def test_another_broken_cause_explains_a_failure_to_load() -> None:
    failing = _cell("clean", "symbol-not-found")
    assert _compare([_static("missing-bundled-library")], failing) == []
    assert _compare([], failing, release=(_cause("incomplete-release"),)) == []


def test_what_one_machine_lacks_and_another_has_is_no_question_of_the_wheel() -> None:
    assert _compare([], _working(), _cell("minimal", "missing-runtime-library")) == []


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.FALLS_BACK])
def test_a_machine_that_did_not_load_the_wheel_contradicts_nothing(outcome: Outcome) -> None:
    assert _compare([_static("symbol-not-found")], _cell("clean", outcome=outcome)) == []


def test_a_crash_is_nothing_that_the_inspection_reports() -> None:
    assert _compare([], _cell("clean", "crash")) == []


def _machine(name: str, *has: str) -> MachineSpec:
    return sample_machine(name, system="windows", has=has, scenarios=("system",))


MACHINES = [_machine("clean"), _machine("runtime", "the redistributable")]


def test_what_makes_a_failing_package_work_is_a_note() -> None:
    cells = [_cell("clean", "missing-runtime-library"), _cell("runtime")]
    (note,) = agreement.works_only_with_extras(MACHINES, cells)
    assert _places([note]) == [("works-with-more", "runtime-pip-system")]
    assert note.severity is Severity.NOTE
    assert "the redistributable" in note.message


@pytest.mark.parametrize(
    "cells",
    [
        [_cell("clean"), _cell("runtime")],
        [_cell("clean", "missing-runtime-library"), _cell("runtime", "runtime-too-old")],
        [_cell("clean", "crash"), _cell("runtime")],
        [_cell("runtime")],
        [_cell("clean", "missing-runtime-library"), _cell("other")],
    ],
)
def test_where_nothing_works_with_more_there_is_no_note(cells: list[CellResult]) -> None:
    assert agreement.works_only_with_extras(MACHINES, cells) == []


def test_a_machine_with_another_python_shows_nothing_of_what_is_needed() -> None:
    newer = _machine("runtime", "the redistributable").model_copy(update={"python": "3.14"})
    cells = [_cell("clean", "missing-runtime-library"), _cell("runtime")]
    assert agreement.works_only_with_extras([MACHINES[0], newer], cells) == []
