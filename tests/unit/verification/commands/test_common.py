"""What the commands share: reports and choices."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import JsonValue

from tests.helpers.sample_run import LINUX, WINDOWS, cell, report
from tests.helpers.sample_testbed import prepared
from verification.commands import common
from verification.commands.common import Unverified
from verification.commands.parser import parse
from verification.models.errors import WrongUse
from verification.models.verdict import Verdict
from verification.report import results_json
from verification.scenarios import machines
from verification.subjects.subject import load

DEBIAN = machines.load()["debian-13"]
SUBJECT = load()


def test_an_installer_of_one_scenario_is_had_in_that_one() -> None:
    assert common.cell_on(DEBIAN, SUBJECT, "uv-tool", None).id == "debian-13-uv-tool-managed"
    assert common.cell_on(DEBIAN, SUBJECT, "pip-24.3", None).id == "debian-13-pip-24.3-venv"
    with pytest.raises(WrongUse, match="--installer uv-tool: it is for the scenario managed alone"):
        common.cell_on(DEBIAN, SUBJECT, "uv-tool", "venv")
    with pytest.raises(WrongUse, match="--installer uv-tool: windows-wine has none; it has: pip, "):
        common.cell_on(machines.load()["windows-wine"], SUBJECT, "uv-tool", None)


@pytest.mark.parametrize(
    ("installer", "scenario", "message"),
    [
        (None, "system", "--scenario system: there is none for linux; there are: venv, pinned"),
        ("magic", None, "--installer magic: there is none; there are: pip, pip-oldest"),
        ("uv", "fork", "--scenario fork: it is for pip alone"),
        ("pip-24.3", "user", "--scenario user: it uses the machine's own pip"),
    ],
)
def test_what_does_not_go_together_is_wrong_use(
    installer: str | None, scenario: str | None, message: str
) -> None:
    with pytest.raises(WrongUse, match=message):
        common.cell_on(DEBIAN, SUBJECT, installer, scenario)


def test_an_unknown_machine_is_answered_with_those_there_are() -> None:
    assert common.machine_of("debian-13") == DEBIAN
    with pytest.raises(WrongUse, match="debian-99: there is no such machine; there are: debian-13"):
        common.machine_of("debian-99")


# ---- a report as the commands read it ----


def test_the_report_of_a_folder_is_read(tmp_path: Path) -> None:
    results_json.write(tmp_path / "results.json", report())
    assert common.read_report(str(tmp_path)) == (tmp_path, report())


VALUES = cell(LINUX).model_dump(mode="json")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"selection": None}, "selection"),
        ({"version": 3}, "version"),
        ({"cells": [VALUES | {"installer": ["x"]}]}, "cells.0.installer"),
        ({"cells": [VALUES | {"causes": "zz"}]}, "cells.0.causes"),
        ({"cells": [{"id": LINUX}]}, "cells.0.machine"),
        ({"newer": 2}, "newer"),
        ({"schema": 1}, "schema"),
    ],
)
def test_a_report_of_another_form_is_wrong_use(
    tmp_path: Path, change: dict[str, JsonValue], field: str
) -> None:
    values = report().model_dump(mode="json", by_alias=True)
    results_json.write_json(tmp_path / "results.json", values | change)
    with pytest.raises(WrongUse) as raised:
        common.read_report(str(tmp_path))
    assert f"results.json: {field}: " in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_a_file_that_is_no_report_is_wrong_use(tmp_path: Path, text: str) -> None:
    (tmp_path / "results.json").write_text(text, "utf-8")
    with pytest.raises(WrongUse, match="not the results of a run"):
        common.read_report(str(tmp_path))


def test_a_folder_without_a_report_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match=r"there is no results\.json"):
        common.read_report(str(tmp_path))


def test_the_named_cells_are_taken_once_and_all_where_none_is_named() -> None:
    run = report(cell(LINUX), cell(WINDOWS))
    assert common.cells_of(run, [WINDOWS, LINUX, WINDOWS]) == [cell(WINDOWS), cell(LINUX)]
    assert common.cells_of(run, []) == [cell(LINUX), cell(WINDOWS)]
    with pytest.raises(WrongUse, match=f"nope: this report has no such cell; there are: {LINUX}"):
        common.cells_of(run, ["nope"])


def test_the_report_of_a_run_that_did_not_finish_is_wrong_use(tmp_path: Path) -> None:
    unfinished = report().model_copy(update={"finished": False, "verdict": Verdict.UNVERIFIED})
    results_json.write(tmp_path / "results.json", unfinished)
    with pytest.raises(WrongUse, match="the run of this report did not finish"):
        common.read_report(str(tmp_path))


# ---- the choices on the command line ----


def test_a_path_counts_from_the_users_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUIVERDB_E2E_FOLDER", str(tmp_path))
    assert common.path_of("dist") == tmp_path / "dist"
    assert common.path_of(None) is common.path_of("") is None


def test_a_command_on_one_machine_runs_no_workflow() -> None:
    options, _ = parse(["shell", "debian-12", "--release", "1.0", "--history", "none"])
    selection = common.select_for(options, DEBIAN)
    assert (selection.release, selection.machines, selection.history) == ("1.0", (DEBIAN,), "none")
    assert not selection.pipeline


def test_an_image_that_cannot_be_made_is_unverified() -> None:
    ready = prepared(None, "debian-13").model_copy(
        update={"unavailable": {"alpine": "no registry"}}
    )
    assert common.image_of(ready, "debian-13").name == "debian-13"
    with pytest.raises(Unverified, match="alpine: no registry"):
        common.image_of(ready, "alpine")
