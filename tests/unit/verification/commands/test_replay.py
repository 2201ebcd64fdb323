from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.helpers.sample_run import LINUX, WINDOWS, cell, crash, report
from verification.commands import common as session
from verification.commands import replay
from verification.commands.common import Unverified
from verification.commands.parser import parse
from verification.models.errors import ExitCode, WrongUse
from verification.report import results
from verification.rules.catalogue import catalogue
from verification.scenarios import installers
from verification.verdict import Verdict

GOOD = cell(LINUX).model_dump(mode="json")
BAD = cell(LINUX, crash()).model_dump(mode="json")
EGRESS = catalogue().cause("machine-lost", where="x", seen="it is gone")


def _run(*words: str) -> int:
    return replay.run(parse(["replay", *words])[0])


@pytest.mark.parametrize(
    ("recorded", "now", "causes", "line", "code"),
    [
        (GOOD, Verdict.VERIFIED, (), "verified, as recorded", ExitCode.VERIFIED),
        (BAD, Verdict.FAILED, (crash("elsewhere"),), "failed (crash), as recorded", 0),
        (GOOD, Verdict.FAILED, (crash(),), "recorded verified; now failed (crash)", 1),
        (BAD, Verdict.VERIFIED, (), "recorded failed (crash); now verified", 1),
        (
            BAD,
            Verdict.FAILED,
            (catalogue().cause("hang", where="x", seen="y"),),
            "recorded failed (crash); now failed (hang)",
            1,
        ),
        (GOOD, Verdict.TESTBED, (EGRESS,), "now testbed-failure (machine-lost)", 3),
    ],
)  # fmt: skip
def test_a_verdict_is_the_same_with_the_same_causes(
    recorded: dict[str, Any], now: Verdict, causes: Any, line: str, code: int
) -> None:
    found = replay.compare(recorded, now, causes)
    assert line in str(found)
    assert found.exit_code == code
    assert replay.exit_code([found]) == code


def test_another_verdict_is_told_before_all_else() -> None:
    same = replay.compare(GOOD, Verdict.VERIFIED, ())
    other = replay.compare(BAD, Verdict.VERIFIED, ())
    lost = replay.compare(GOOD, Verdict.TESTBED, (EGRESS,))
    absent = replay.Replayed(LINUX, "verified", "", Verdict.UNVERIFIED, False, "no image")
    assert replay.exit_code([same, absent, lost, other]) == ExitCode.PACKAGE_FAILED
    assert replay.exit_code([same, absent, lost]) == ExitCode.TESTBED_FAILED
    assert replay.exit_code([same, absent]) == ExitCode.UNVERIFIED
    assert str(absent) == f"· {LINUX}: not run again: no image"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"verdict": "unverified", "reason": "interrupted"}, "it did not run then: interrupted"),
        ({"machine": "debian-3"}, "no machine debian-3 any more"),
        ({"installer": "conda"}, "no installer conda any more"),
        ({"scenario": "afloat"}, "no scenario afloat any more"),
    ],
)
def test_a_cell_that_cannot_be_run_again_says_why(change: dict[str, str], reason: str) -> None:
    with pytest.raises(Unverified, match=reason):
        replay.cell_of(GOOD | change)


def test_a_cell_with_a_certain_pip_is_had_from_its_name() -> None:
    found = replay.cell_of(GOOD | {"installer": "pip-24.3"})
    assert found.id == "debian-13-pip-24.3-venv"
    assert installers.named("pip-24.3").setup[0][-1] == "pip==24.3"
    assert installers.named("pip-24.3").ca_variable == ""
    assert installers.named("pip-24.0").ca_variable == "PIP_CERT"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name a cell, or --all; there are: debian-13-pip-venv, windows-wine-uv-system"),
        ([LINUX, "--all"], "name a cell, or --all"),
        (["nope"], "nope: this report has no such cell; there are: debian-13-pip-venv"),
        (["--all", "-n", "0"], "-n must be 1 or more"),
        (["--bad"], "replay: unrecognized arguments: --bad"),
    ],
)
def test_wrong_use_is_told_in_one_line(tmp_path: Path, arguments: list[str], said: str) -> None:
    results.write(tmp_path / "results.json", report(cell(LINUX), cell(WINDOWS)))
    with pytest.raises(WrongUse) as raised:
        _run(*arguments, "--from", str(tmp_path))
    assert said in str(raised.value)


def test_a_report_of_another_package_is_not_replayed_as_quiverdbs(tmp_path: Path) -> None:
    run = report(cell(LINUX))
    assert run.inputs
    inputs = run.inputs.model_copy(update={"subject": "xxhash"})
    results.write(tmp_path / "results.json", run.model_copy(update={"inputs": inputs}))
    with pytest.raises(WrongUse, match="replay: the report is of xxhash, whose description is not"):
        _run(LINUX, "--from", str(tmp_path))


def test_cells_of_a_report_without_inputs_cannot_be_replayed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = report().model_copy(update={"inputs": None})
    results.write(tmp_path / "results.json", run)
    code = session.finish(lambda: _run(LINUX, "--from", str(tmp_path)))
    assert code == ExitCode.UNVERIFIED
    assert "cannot be replayed: results.json does not tell" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"selection": None}, "selection"),
        ({"version": 3}, "version"),
        ({"cells": [GOOD | {"installer": ["x"]}]}, "cells.0.installer"),
        ({"cells": [GOOD | {"causes": "zz"}]}, "cells.0.causes"),
        ({"cells": [{"id": LINUX}]}, "cells.0.machine"),
        ({"newer": 2}, "newer"),
        ({"schema": 1}, "schema"),
    ],
)
def test_a_report_of_another_form_is_wrong_use(
    tmp_path: Path, change: dict[str, Any], field: str
) -> None:
    values = report().model_dump(mode="json", by_alias=True)
    results.write_json(tmp_path / "results.json", values | change)
    with pytest.raises(WrongUse) as raised:
        session.load(str(tmp_path))
    assert f"results.json: {field}: " in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_a_file_that_is_no_results_is_wrong_use(tmp_path: Path, text: str) -> None:
    (tmp_path / "results.json").write_text(text, "utf-8")
    with pytest.raises(WrongUse):
        session.load(str(tmp_path))
