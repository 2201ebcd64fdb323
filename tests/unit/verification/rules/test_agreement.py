from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import wheel_builder as wheels
from tests.helpers.sample_machines import sample_machine
from tests.helpers.sample_wheels import LINUX_CORE, SUBJECT, linux_wheel
from verification.models.cause import Cause
from verification.models.machine import MachineSpec
from verification.rules import agreement
from verification.rules.catalogue import catalogue
from verification.scenarios import cells
from verification.scenarios.machines import load
from verification.verdict import CellResult, Verdict
from verification.wheel.release import inspect_release


def _spec(name: str, *has: str) -> MachineSpec:
    return sample_machine(name, system="windows", has=has, scenarios=("system",))


def _cell(machine: str, *names: str) -> CellResult:
    causes = tuple(_named(name) for name in names)
    verdict = Verdict.FAILED if names else Verdict.VERIFIED
    return CellResult(f"{machine}-pip-system", machine, "pip", "system", verdict, causes, 1.0)


def _named(name: str) -> Cause:
    return catalogue().cause(name, where="here", seen="something")


@pytest.mark.parametrize(
    ("changes", "comparable"),
    [
        ({}, True),
        ({"has": ("more",)}, False),
        ({"lacks": ("less",)}, False),
        ({"python": "3.14"}, False),
    ],
)
def test_a_machine_that_has_more_or_less_than_others_is_not_compared(
    changes: dict[str, Any], comparable: bool
) -> None:
    cell = cells.cell(_spec("one").model_copy(update=changes), SUBJECT, "pip", "system")
    assert agreement.is_comparable(cell) == comparable


def test_the_machine_without_the_cpp_library_says_so() -> None:
    assert [spec.name for spec in load().values() if spec.lacks] == ["debian-13-minimal"]


@pytest.mark.parametrize("name", agreement.LOADING)
def test_layers_that_say_the_same_agree(name: str) -> None:
    assert agreement.check([_named(name)], [_cell("clean", name)]) == []


@pytest.mark.parametrize("name", agreement.LOADING)
def test_a_wheel_that_cannot_load_and_works_is_a_disagreement(name: str) -> None:
    (found,) = agreement.check([_named(name)], [_cell("clean")])

    assert (found.name, found.severity) == ("layers-disagree", "testbed")
    assert found.where == "clean-pip-system"
    assert name in found.message


@pytest.mark.parametrize("name", agreement.LOADING)
def test_a_wheel_that_can_load_and_does_not_is_a_disagreement(name: str) -> None:
    (found,) = agreement.check([], [_cell("clean", name)])

    assert found.name == "layers-disagree"
    assert "of which the static layer saw nothing" in found.message


@pytest.mark.parametrize("name", ["glibc-floor", "stray-top-level", "metadata-incomplete"])
def test_what_this_machine_cannot_show_is_no_disagreement(name: str) -> None:
    assert agreement.check([_named(name)], [_cell("clean")]) == []


@pytest.mark.parametrize("name", ["metadata-incomplete", "stray-top-level"])
def test_what_keeps_nobody_from_loading_explains_no_disagreement(name: str) -> None:
    (found,) = agreement.check([_named(name)], [_cell("clean", "symbol-not-found")])
    assert found.name == "layers-disagree"


def test_what_one_machine_lacks_and_others_have_is_no_question_of_the_wheel() -> None:
    cells = [_cell("clean"), _cell("minimal", "missing-runtime-library")]
    assert agreement.check([], cells) == []


def test_a_crash_is_not_for_the_static_layer_to_see() -> None:
    assert agreement.check([], [_cell("clean", "crash")]) == []


def test_a_cell_is_compared_with_the_wheel_that_it_was_given(tmp_path: Path) -> None:
    good = linux_wheel(tmp_path)
    whole = linux_wheel(tmp_path, tag="cp314-cp314-manylinux_2_28_x86_64")
    (tmp_path / "out").mkdir()
    bad = wheels.mutate(whole, tmp_path / "out", remove=[LINUX_CORE])
    subject = SUBJECT.model_copy(update={"platforms": SUBJECT.platforms[:1]})
    static = inspect_release([good, bad], subject)

    def given(wheel: Path, *names: str) -> CellResult:
        return dataclasses.replace(_cell("clean", *names), wheel=wheel.name)

    assert agreement.checked(static, [given(good)]) == []
    assert agreement.checked(static, [given(bad, "missing-bundled-library")]) == []
    assert agreement.checked(static, [_cell("clean")]) == []  # nobody knows which
    (one,) = agreement.checked(static, [given(good, "missing-bundled-library")])
    (other,) = agreement.checked(static, [given(bad)])
    assert "of which the static layer saw nothing" in one.message
    assert "and the wheel works here" in other.message


def test_a_cell_without_an_index_has_the_only_wheel(tmp_path: Path) -> None:
    subject = SUBJECT.model_copy(update={"platforms": SUBJECT.platforms[:1]})
    static = inspect_release([linux_wheel(tmp_path)], subject)
    (found,) = agreement.checked(static, [_cell("clean", "symbol-not-found")])
    assert found.name == "layers-disagree"


MACHINES = [_spec("clean"), _spec("runtime", "the redistributable")]


def test_what_makes_a_failing_package_work_is_told() -> None:
    cells = [_cell("clean", "missing-runtime-library"), _cell("runtime")]
    (note,) = agreement.cured(MACHINES, cells)

    assert (note.name, note.severity) == ("works-with-more", "note")
    assert "works only with the redistributable" in note.message


@pytest.mark.parametrize(
    "cells",
    [
        [_cell("clean"), _cell("runtime")],
        [_cell("clean", "missing-runtime-library"), _cell("runtime", "runtime-too-old")],
        [_cell("clean", "crash"), _cell("runtime")],
        [_cell("runtime")],
    ],
)
def test_nothing_is_told_where_nothing_was_cured(cells: list[CellResult]) -> None:
    assert agreement.cured(MACHINES, cells) == []
