from __future__ import annotations

import pytest

from verification.models.errors import WrongUse
from verification.models.inspection import BundledLibraries
from verification.models.machine import MachineSpec
from verification.models.subject import Subject
from verification.models.verdict import ExpectationKind
from verification.scenarios import cells, machines
from verification.subjects.subject import load

DEBIAN = machines.load()["debian-13"]
SUBJECT = load()


def _machine(installers: tuple[str, ...], scenarios: tuple[str, ...]) -> MachineSpec:
    return DEBIAN.model_copy(update={"installers": installers, "scenarios": scenarios})


def test_an_installer_runs_only_in_its_scenarios() -> None:
    spec = _machine(("uv", "uv-run"), ("venv", "managed"))
    assert [cell.id for cell in cells.cells([spec], SUBJECT)] == [
        "debian-13-uv-venv",
        "debian-13-uv-run-managed",
    ]


def test_a_scenario_runs_only_with_its_installers() -> None:
    spec = _machine(("pip", "uv"), ("venv", "fork"))
    assert [cell.id for cell in cells.cells([spec], SUBJECT)] == [
        "debian-13-pip-venv",
        "debian-13-pip-fork",
        "debian-13-uv-venv",
    ]


OTHER = SUBJECT.model_copy(update={"actions": None, "older_dependencies": ()})
"""A subject without actions of its own."""


def _scenarios(subject: Subject, bundled: BundledLibraries | None = None) -> set[str]:
    known = machines.load().values()
    return {cell.scenario.name for cell in cells.cells(known, subject, bundled=bundled)}


def test_another_package_has_all_scenarios_that_need_no_action_of_its_own() -> None:
    assert _scenarios(SUBJECT) - _scenarios(OTHER) == {
        "other-sqlite",
        "preloaded-sqlite",
        "old-cffi",
    }
    general = {"root", "space-path", "non-ascii-path", "long-path", "non-ascii-home", "user"}
    general |= {"interrupted", "decoy", "other-cpp-runtime", "preloaded-cpp-runtime"}
    general |= {"other-folder", "fork", "spawn", "two-interpreters", "zip", "frozen"}
    general |= {"upgrade", "downgrade", "upgrade-in-use"}
    assert general <= _scenarios(OTHER)


def test_additional_actions_run_if_the_subject_has_them() -> None:
    assert cells.cell(DEBIAN, SUBJECT, "pip", "upgrade").scenario.actions == ("old_data",)
    assert cells.cell(DEBIAN, OTHER, "pip", "upgrade").scenario.actions == ()


def test_decoys_need_a_library_that_is_no_extension_module() -> None:
    assert "decoy" in _scenarios(OTHER, {"linux": ("libx.so",)})
    assert "decoy" not in _scenarios(OTHER, {"linux": (), "windows": ()})
    linux_only = cells.cells(machines.load().values(), OTHER, bundled={"linux": ("libx.so",)})
    assert {cell.machine.os for cell in linux_only if cell.scenario.name == "decoy"} == {"linux"}


def test_the_reason_is_known_for_each_cell_that_is_not_offered() -> None:
    reasons = cells.not_offered([DEBIAN], OTHER, bundled={})
    assert reasons.keys() == {
        f"debian-13-pip-{name}"
        for name in ("other-sqlite", "preloaded-sqlite", "old-cffi", "decoy")
    } | {"debian-13-uv-old-cffi"}
    assert "own_sqlite" in reasons["debian-13-pip-other-sqlite"]
    assert cells.not_offered([DEBIAN], SUBJECT) == {}


@pytest.mark.parametrize("kind", ["installer", "scenario"])
def test_an_unknown_name_is_reported_with_the_known_names(kind: str) -> None:
    spec = DEBIAN.model_copy(update={f"{kind}s": ("magic",)})
    known = {"installer": "uv-tool", "scenario": "venv"}[kind]
    with pytest.raises(WrongUse, match=rf"debian-13.* {kind} .*magic.*\b{known}\b"):
        cells.cells([spec], SUBJECT)


def test_the_machine_or_the_scenario_of_a_cell_can_require_a_refusal() -> None:
    old_python = machines.load()["debian-12-python-3.11"]
    assert cells.cell(old_python, SUBJECT, "pip", "venv").refusal == "unsupported-python"
    assert cells.cell(DEBIAN, SUBJECT, "pip", "no-binary").refusal == "no-binary"
    assert cells.cell(DEBIAN, SUBJECT, "pip", "no-binary").expectation == ExpectationKind.REFUSES
    assert cells.cell(DEBIAN, SUBJECT, "pip", "venv").refusal == ""
    assert cells.cell(DEBIAN, SUBJECT, "pip", "venv").expectation == ExpectationKind.WORKS
