"""A cause reports each contradiction between the static inspection and the machines."""

from __future__ import annotations

import pytest

from tests.helpers.sample_machines import sample_machine
from tests.helpers.sample_run import cell
from verification.models.cause import Cause, Severity
from verification.models.machine import MachineSpec
from verification.models.results import CellResult
from verification.models.run import WheelSummary
from verification.models.verdict import Outcome
from verification.rules import agreement
from verification.rules.agreement import Contradiction
from verification.rules.catalogue import catalogue

STATIC = {
    "missing-bundled-library": {"library": "libdep.so"},
    "missing-runtime-library": {"library": "libdep.so"},
    "symbol-not-found": {"symbol": "f"},
    "wrong-architecture": {"machine": "arm"},
    "damaged-library": {},
    "wrong-load-path": {"sought": "libs/libx.so", "path": "elsewhere/libx.so"},
}
"""The facts of each cause that the inspection reports about `libs/libx.so`, by the cause's name."""
OBSERVED = {
    "missing-bundled-library": {"library": "libdep.so", "needed_by": "libx.so"},
    "missing-runtime-library": {"library": "libdep.so"},
    "symbol-not-found": {"symbol": "f", "needed_by": "libx.so"},
    "wrong-architecture": {"library": "libx.so"},
    "damaged-library": {"library": "libx.so"},
    "wrong-load-path": {"library": "libx.so"},
}
"""The facts of the same causes on a machine, by the cause's name."""
LIBRARY, DEPENDENCY = "/site/libs/libx.so", "/site/libs/libdep.so"
EACH_CAUSE = pytest.mark.parametrize("name", sorted(agreement.LOADING))


def _cause(name: str, where: str = "libs/libx.so", **facts: str) -> Cause:
    cause = catalogue().cause(name, where, "something")
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
) -> list[Contradiction]:
    wheel = WheelSummary(
        file="x.whl",
        causes=tuple(static),
        libraries=frozenset({"libx.so"}),
        needed=frozenset({"libdep.so"}),
    )
    return list(agreement.find_contradictions(wheel, release, cells))


def _locations(causes: list[Cause]) -> list[tuple[str, str]]:
    return [(cause.name, cause.where) for cause in causes]


def test_samples_cover_every_cause_of_loading() -> None:
    assert STATIC.keys() == OBSERVED.keys() == agreement.LOADING


@EACH_CAUSE
def test_same_cause_on_both_sides_is_no_contradiction(name: str) -> None:
    assert _compare([_static(name)], _cell("clean", name)) == []


@EACH_CAUSE
def test_cause_that_one_machine_confirms_is_no_contradiction(name: str) -> None:
    assert _compare([_static(name)], _cell("clean", name), _working(LIBRARY, DEPENDENCY)) == []


@pytest.mark.parametrize("outcome", [Outcome.WORKS, Outcome.WORKS_FLAWED])
@EACH_CAUSE
def test_working_wheel_contradicts_a_static_cause(name: str, outcome: Outcome) -> None:
    static = _static(name)
    (contradiction,) = _compare([static], _working(outcome=outcome))
    assert _locations([contradiction.cause]) == [("layers-disagree", "libs/libx.so")]
    assert contradiction.cause.severity is Severity.NOTE
    assert (contradiction.about, contradiction.cells, contradiction.resolved) == (
        (static,),
        (),
        False,
    )
    assert contradiction.cause.facts == {"reported": name, "cells": ("clean-pip-system",)}


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
        # the machine has the library for another reason, or nothing needed it
        ("missing-runtime-library", (LIBRARY,), False),
        ("missing-runtime-library", (DEPENDENCY,), False),
        # a symbol can be looked up at its first call
        ("symbol-not-found", (LIBRARY, DEPENDENCY), False),
    ],
)
def test_mapped_library_resolves_the_contradiction(
    name: str, mapped: tuple[str, ...], *, resolved: bool
) -> None:
    (contradiction,) = _compare([_static(name)], _working(), _working(*mapped))
    assert contradiction.resolved is resolved


def test_windows_paths_are_compared_without_case() -> None:
    static = _cause("wrong-architecture", "x.whl: libs/LibX.dll")
    (contradiction,) = _compare([static], _working("C:/Site/libs/LIBX.DLL"))
    assert contradiction.resolved


@pytest.mark.parametrize("name", sorted(agreement.LOADING - {"wrong-load-path"}))
def test_failing_wheel_contradicts_an_inspection_without_causes(name: str) -> None:
    failing = _cell("clean", name)
    (contradiction,) = _compare([], failing)
    assert _locations([contradiction.cause]) == [("layers-disagree", "clean-pip-system")]
    assert (contradiction.about, contradiction.cells) == (failing.causes, ("clean-pip-system",))
    assert not contradiction.resolved
    assert contradiction.cause.facts == {"shown": (name,), "wheel": "x.whl"}


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("missing-bundled-library", {"library": "libother.so"}),
        ("missing-runtime-library", {"library": "libother.so"}),
        ("symbol-not-found", {"symbol": "f", "library": "libx.so"}),
        ("wrong-architecture", {"library": "libother.so"}),
    ],
)
def test_lookup_at_run_time_is_no_contradiction(name: str, facts: dict[str, str]) -> None:
    failing = cell("clean-pip-system", _cause(name, "cell", **facts))
    assert _compare([], failing) == []


def test_wrong_load_path_of_a_machine_is_no_contradiction() -> None:
    assert _compare([], _cell("clean", "wrong-load-path")) == []


def test_possible_damage_is_no_contradiction() -> None:
    cut_off = catalogue().cause("damaged-library", "x", "x", risk=True)
    assert _compare([cut_off], _working()) == []


@pytest.mark.parametrize("name", ["glibc-floor", "stray-top-level", "metadata-incomplete"])
def test_cause_without_effect_on_loading_is_no_contradiction(name: str) -> None:
    assert _compare([_cause(name)], _working()) == []


@pytest.mark.parametrize("name", ["metadata-incomplete", "stray-top-level"])
def test_cause_without_effect_on_loading_explains_no_failure(name: str) -> None:
    assert len(_compare([_cause(name)], _cell("clean", "symbol-not-found"))) == 1


def test_other_broken_cause_explains_a_failure_to_load() -> None:
    failing = _cell("clean", "symbol-not-found")
    assert _compare([_static("missing-bundled-library")], failing) == []
    assert _compare([], failing, release=(_cause("incomplete-release"),)) == []


def test_failure_on_one_of_two_machines_is_no_contradiction() -> None:
    assert _compare([], _working(), _cell("minimal", "missing-runtime-library")) == []


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.FALLS_BACK])
def test_machine_without_the_wheel_contradicts_nothing(outcome: Outcome) -> None:
    assert _compare([_static("symbol-not-found")], _cell("clean", outcome=outcome)) == []


def test_crash_is_no_contradiction() -> None:
    assert _compare([], _cell("clean", "crash")) == []


def _machine(name: str, *additional_software: str) -> MachineSpec:
    return sample_machine(
        name, system="windows", additional_software=additional_software, scenarios=("system",)
    )


MACHINES = [_machine("clean"), _machine("runtime", "the redistributable")]


def test_additional_software_that_makes_the_package_work_is_a_note() -> None:
    cells = [_cell("clean", "missing-runtime-library"), _cell("runtime")]
    (note,) = agreement.works_only_with_extras(MACHINES, cells)
    assert _locations([note]) == [("works-with-more", "runtime-pip-system")]
    assert note.severity is Severity.NOTE
    assert note.facts == {"extras": ("the redistributable",)}


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
def test_no_note_without_a_failing_and_a_working_machine(cells: list[CellResult]) -> None:
    assert agreement.works_only_with_extras(MACHINES, cells) == []


def test_no_note_for_a_machine_with_another_python() -> None:
    newer = _machine("runtime", "the redistributable").model_copy(update={"python": "3.14"})
    cells = [_cell("clean", "missing-runtime-library"), _cell("runtime")]
    assert agreement.works_only_with_extras([MACHINES[0], newer], cells) == []


# ---- imports ----


@pytest.mark.parametrize("name", ["missing-dependency", "standard-library-mismatch"])
def test_import_that_a_machine_executed_is_not_broken(name: str) -> None:
    cause = _cause(name, "x/__init__.py", module="attr")
    (contradiction,) = _compare([cause], _working(), _cell("other", "missing-runtime-library"))
    assert (contradiction.about, contradiction.resolved) == ((cause,), True)
    assert contradiction.cause.name == "layers-disagree"
    assert contradiction.cause.facts["cells"] == (_working().id,)


def test_import_that_no_machine_executed_stays_broken() -> None:
    cause = _cause("missing-dependency", "x/__init__.py", module="attr")
    assert _compare([cause], _cell("clean", "missing-dependency")) == []


def test_import_in_a_function_is_not_disproved_by_the_import_of_the_package() -> None:
    cause = _cause("missing-dependency", "x/__init__.py", module="x.gone")
    cause = cause.model_copy(update={"facts": {**cause.facts, "in_function": True}})
    assert _compare([cause], _working()) == []


def test_pure_python_fallback_confirms_that_a_library_does_not_load() -> None:
    static = _static("missing-runtime-library")
    assert len(_compare([static], _working())) == 1
    fallback = _cell("clean", "pure-python-fallback", outcome=Outcome.WORKS_FLAWED)
    assert _compare([static], fallback) == []
