"""The functions that several commands use."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import JsonValue

from tests.helpers.sample_exercise import EMPTY_SMOKE
from tests.helpers.sample_run import LINUX, WINDOWS, cell, report
from tests.helpers.sample_testbed import prepared_run
from verification.commands import common
from verification.commands.common import Unverified
from verification.commands.parser import parse
from verification.models.errors import ExitCode, WrongUse
from verification.models.testbed import EgressProof
from verification.models.verdict import Verdict
from verification.report import results_json
from verification.scenarios import machines
from verification.subjects.subject import load

DEBIAN = machines.load()["debian-13"]
SUBJECT = load()


def test_default_scenario_of_a_cell_is_the_one_that_its_installer_needs() -> None:
    assert common.cell_on(DEBIAN, SUBJECT, "uv-tool", None).id == "debian-13-uv-tool-managed"
    assert common.cell_on(DEBIAN, SUBJECT, "pip-24.3", None).id == "debian-13-pip-24.3-venv"


@pytest.mark.parametrize(
    ("machine", "installer", "scenario", "names"),
    [
        ("debian-13", "uv-tool", "venv", ["--installer uv-tool", "managed"]),
        ("windows-wine", "uv-tool", None, ["--installer uv-tool", "windows-wine", "pip"]),
        ("debian-13", None, "system", ["--scenario system", "linux", "venv", "pinned"]),
        ("debian-13", "magic", None, ["--installer magic", "pip", "pip-oldest"]),
        ("debian-13", "uv", "fork", ["--scenario fork", "pip"]),
        ("debian-13", "pip-24.3", "user", ["--scenario user", "pip-24.3"]),
    ],
)
def test_wrong_combination_is_wrong_use_with_the_names(
    machine: str, installer: str | None, scenario: str | None, names: list[str]
) -> None:
    with pytest.raises(WrongUse) as raised:
        common.cell_on(machines.load()[machine], SUBJECT, installer, scenario)
    assert [name for name in names if name not in str(raised.value)] == []
    assert str(raised.value).startswith(names[0])


def test_unknown_machine_is_wrong_use_with_the_names_of_all_machines() -> None:
    assert common.machine_of("debian-13") == DEBIAN
    with pytest.raises(WrongUse, match=r"debian-99: .*debian-13"):
        common.machine_of("debian-99")


# ---- reading a report ----


def test_report_of_a_folder_is_read(tmp_path: Path) -> None:
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
    ids=["null", "number", "list", "string", "missing keys", "unknown key", "older form"],
)
def test_invalid_report_is_wrong_use_that_names_the_field(
    tmp_path: Path, change: dict[str, JsonValue], field: str
) -> None:
    values = report().model_dump(mode="json", by_alias=True)
    results_json.write_json(tmp_path / "results.json", values | change)
    with pytest.raises(WrongUse) as raised:
        common.read_report(str(tmp_path))
    assert f"results.json: {field}: " in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_file_that_is_no_report_is_wrong_use(tmp_path: Path, text: str) -> None:
    (tmp_path / "results.json").write_text(text, "utf-8")
    with pytest.raises(WrongUse, match=str(tmp_path)):
        common.read_report(str(tmp_path))


def test_folder_without_a_report_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match=r"results\.json"):
        common.read_report(str(tmp_path))


def test_cells_are_the_named_ones_once_or_all() -> None:
    run = report(cell(LINUX), cell(WINDOWS))
    assert common.cells_of(run, [WINDOWS, LINUX, WINDOWS]) == [cell(WINDOWS), cell(LINUX)]
    assert common.cells_of(run, []) == [cell(LINUX), cell(WINDOWS)]
    with pytest.raises(WrongUse, match=f"nope: .*{LINUX}"):
        common.cells_of(run, ["nope"])


def test_report_of_an_unfinished_run_is_wrong_use(tmp_path: Path) -> None:
    results_json.write(tmp_path / "results.json", report())
    common.read_report(str(tmp_path))
    unfinished = report().model_copy(update={"finished": False, "verdict": Verdict.UNVERIFIED})
    results_json.write(tmp_path / "results.json", unfinished)
    with pytest.raises(WrongUse, match=str(tmp_path)):
        common.read_report(str(tmp_path))


# ---- the options of a command ----


def test_relative_path_is_relative_to_the_folder_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUIVERDB_E2E_FOLDER", str(tmp_path))
    assert common.path_of("dist") == tmp_path / "dist"
    assert common.path_of(None) is common.path_of("") is None


def test_command_on_one_machine_runs_no_workflow() -> None:
    options, _ = parse(["shell", "debian-12", "--release", "1.0", "--history", "none"])
    selection = common.select_for(options, DEBIAN, common.subject_of(options))
    assert (selection.subject, selection.subject_file) == ("", None)
    assert (selection.release, selection.machines, selection.history) == ("1.0", (DEBIAN,), "none")
    assert not selection.pipeline


@pytest.mark.parametrize(
    "words", [["shell", "debian-13"], ["reproduce"]], ids=["shell", "reproduce"]
)
def test_command_on_one_machine_uses_the_named_subject(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "smoke.py").write_text(EMPTY_SMOKE, "utf-8")
    description = tmp_path / "subject.toml"
    lines = ('name = "other"', 'import_package = "other"', 'python = "cp313"')
    platform = '[[platforms]]\ntag = "win_amd64"'
    description.write_text("\n".join([*lines, 'exercise = "smoke.py"', platform]), "utf-8")
    options, _ = parse([*words, "--subject", str(description), "--release", "1.0"])
    subject = common.subject_of(options)
    selection = common.select_for(options, DEBIAN, subject)
    assert (subject.name, selection.subject) == ("other", "other")
    reported = selection.to_report(subject=subject.name)
    assert (reported.subject, reported.subject_file) == ("other", str(description))


def test_unavailable_image_is_unverified() -> None:
    ready = prepared_run(None, "debian-13").model_copy(
        update={"unavailable": {"alpine": "no registry"}}
    )
    assert common.image_of(ready, "debian-13").name == "debian-13"
    with pytest.raises(Unverified, match="alpine: no registry"):
        common.image_of(ready, "alpine")


@pytest.mark.parametrize(
    ("installer", "scenario", "similar"),
    [("pip-oldst", None, "pip-oldest"), (None, "venw", "venv")],
)
def test_unknown_name_is_answered_with_the_similar_one(
    installer: str | None, scenario: str | None, similar: str
) -> None:
    with pytest.raises(WrongUse) as raised:
        common.cell_on(DEBIAN, SUBJECT, installer, scenario)
    assert f"did you mean {similar}?" in str(raised.value)


def test_unknown_cell_is_answered_with_the_similar_one() -> None:
    with pytest.raises(WrongUse) as raised:
        common.cells_of(report(), ["debian-13-pip-vnv"])
    assert "did you mean debian-13-pip-venv?" in str(raised.value)


def test_run_whose_network_closure_is_not_proved_is_unverified() -> None:
    common.check_egress(None)
    common.check_egress(EgressProof())
    with pytest.raises(Unverified, match="the engine refuses") as raised:
        common.check_egress(EgressProof(not_proved="the engine refuses"))
    assert raised.value.exit_code == ExitCode.UNVERIFIED
