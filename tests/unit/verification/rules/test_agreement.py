"""A cause reports each contradiction between the static inspection and the machines."""

from __future__ import annotations

import pytest

from tests.helpers.sample_machines import sample_machine
from tests.helpers.sample_run import cell
from verification.models.cause import Cause, Severity
from verification.models.machine import MachineSpec
from verification.models.results import CellResult
from verification.models.verdict import Outcome
from verification.rules import agreement
from verification.rules.catalogue import catalogue


def _cause(name: str) -> Cause:
    return catalogue().cause(name, where="here", observed="something")


def _cell(machine: str, *names: str, outcome: Outcome | None = None) -> CellResult:
    return cell(f"{machine}-pip-system", *map(_cause, names), outcome=outcome)


def _places(causes: list[Cause]) -> list[tuple[str, str]]:
    return [(cause.name, cause.where) for cause in causes]


DISAGREES = [("layers-disagree", "clean-pip-system")]


def test_these_causes_are_of_loading() -> None:
    assert {
        "missing-bundled-library",
        "missing-runtime-library",
        "symbol-not-found",
        "wrong-architecture",
    } == agreement.LOADING


@pytest.mark.parametrize("name", sorted(agreement.LOADING))
def test_an_inspection_and_a_machine_that_report_the_same_agree(name: str) -> None:
    assert agreement.disagreements([_cause(name)], [_cell("clean", name)]) == []


@pytest.mark.parametrize("outcome", [Outcome.WORKS, Outcome.WORKS_FLAWED])
@pytest.mark.parametrize("name", sorted(agreement.LOADING))
def test_a_wheel_that_cannot_load_and_works_is_a_disagreement(name: str, outcome: Outcome) -> None:
    (found,) = agreement.disagreements([_cause(name)], [_cell("clean", outcome=outcome)])
    assert _places([found]) == DISAGREES
    assert found.severity is Severity.TESTBED
    assert name in found.message


@pytest.mark.parametrize("name", sorted(agreement.LOADING))
def test_a_wheel_that_can_load_and_does_not_is_a_disagreement(name: str) -> None:
    (found,) = agreement.disagreements([], [_cell("clean", name)])
    assert _places([found]) == DISAGREES
    assert name in found.message


@pytest.mark.parametrize("name", ["glibc-floor", "stray-top-level", "metadata-incomplete"])
def test_what_a_machine_cannot_show_is_no_disagreement(name: str) -> None:
    assert agreement.disagreements([_cause(name)], [_cell("clean")]) == []


@pytest.mark.parametrize("name", ["metadata-incomplete", "stray-top-level"])
def test_what_keeps_no_library_from_loading_explains_no_failure_to_load(name: str) -> None:
    found = agreement.disagreements([_cause(name)], [_cell("clean", "symbol-not-found")])
    assert _places(found) == DISAGREES


def test_another_broken_cause_explains_a_failure_to_load() -> None:
    static = [_cause("missing-bundled-library")]
    assert static[0].severity is Severity.BROKEN
    assert agreement.disagreements(static, [_cell("clean", "symbol-not-found")]) == []


def test_what_one_machine_lacks_and_another_has_is_no_question_of_the_wheel() -> None:
    cells = [_cell("clean"), _cell("minimal", "missing-runtime-library")]
    assert agreement.disagreements([], cells) == []


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.FALLS_BACK])
def test_a_machine_that_did_not_load_the_wheel_contradicts_nothing(outcome: Outcome) -> None:
    assert (
        agreement.disagreements([_cause("symbol-not-found")], [_cell("clean", outcome=outcome)])
        == []
    )


def test_a_crash_is_nothing_that_the_inspection_reports() -> None:
    assert agreement.disagreements([], [_cell("clean", "crash")]) == []


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
