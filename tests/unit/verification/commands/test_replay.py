"""Cells run again, compared with what was recorded."""

from __future__ import annotations

from pathlib import Path

import pytest

from containers import images
from containers.images import ImageUnavailable
from tests.helpers.sample_run import LINUX, WINDOWS, cell, crash, report
from tests.helpers.sample_testbed import ENGINE, image
from tests.helpers.sample_wheels import SUBJECT
from verification.commands import exit_codes, replay
from verification.commands.common import Unverified
from verification.commands.parser import parse
from verification.commands.replay import RecordedImages, ReplayResult
from verification.models.errors import ExitCode, WrongUse
from verification.models.results import CellResult
from verification.models.testbed import Image, ImageRecord
from verification.models.verdict import Outcome
from verification.report import results_json
from verification.rules.catalogue import catalogue
from verification.scenarios import installers

GOOD, BAD = cell(LINUX), cell(LINUX, crash())
HANGS = cell(LINUX, catalogue().cause("hang", where="x", observed="y"))
LOST = cell(
    LINUX,
    catalogue().cause("machine-lost", where="x", observed="it is gone"),
    outcome=Outcome.TESTBED,
)


def _run(*words: str) -> int:
    return replay.run(parse(["replay", *words])[0])


@pytest.mark.parametrize(
    ("recorded", "now", "same", "words", "code"),
    [
        (GOOD, GOOD, True, "works", ExitCode.VERIFIED),
        (BAD, cell(LINUX, crash("elsewhere")), True, "fails (crash)", ExitCode.VERIFIED),
        (GOOD, BAD, False, "fails (crash)", ExitCode.PACKAGE_FAILED),
        (BAD, GOOD, False, "works", ExitCode.PACKAGE_FAILED),
        (BAD, HANGS, False, "fails (hang)", ExitCode.PACKAGE_FAILED),
        (GOOD, LOST, False, "testbed-failure (machine-lost)", ExitCode.TESTBED_FAILED),
        (
            GOOD,
            cell(LINUX, outcome=Outcome.FALLS_BACK),
            False,
            "falls-back",
            ExitCode.PACKAGE_FAILED,
        ),
    ],
)
def test_a_cell_is_the_same_with_the_same_outcome_and_causes(
    recorded: CellResult, now: CellResult, *, same: bool, words: str, code: ExitCode
) -> None:
    compared = replay.compare_results(recorded, now)
    assert (compared.id, compared.same, compared.now) == (LINUX, same, words)
    assert compared.verdict is now.verdict
    assert compared.exit_code is code
    assert replay.exit_code([compared]) is code
    assert words in str(compared)
    assert same or compared.recorded in str(compared)


def test_a_cause_of_another_severity_is_another_result() -> None:
    other = BAD.causes[0].model_copy(update={"severity": "flawed"})
    assert not replay.compare_results(BAD, BAD.model_copy(update={"causes": (other,)})).same


def test_another_verdict_outranks_all_else() -> None:
    same = replay.compare_results(GOOD, GOOD)
    other = replay.compare_results(BAD, GOOD)
    lost = replay.compare_results(GOOD, LOST)
    absent = ReplayResult(id=LINUX, recorded="works", reason="no image")
    assert replay.exit_code([same, absent, lost, other]) == ExitCode.PACKAGE_FAILED
    assert replay.exit_code([same, absent, lost]) == ExitCode.TESTBED_FAILED
    assert replay.exit_code([same, absent]) == ExitCode.UNVERIFIED
    assert replay.exit_code([same]) == ExitCode.VERIFIED
    assert str(absent) == f"· {LINUX}: not run again: no image"


@pytest.mark.parametrize(
    ("recorded", "name"),
    [
        (cell(LINUX, reason="interrupted"), "interrupted"),
        (GOOD.model_copy(update={"machine": "debian-3"}), "debian-3"),
        (GOOD.model_copy(update={"installer": "conda"}), "conda"),
        (GOOD.model_copy(update={"scenario": "afloat"}), "afloat"),
    ],
)
def test_a_cell_that_cannot_run_again_says_why(recorded: CellResult, name: str) -> None:
    with pytest.raises(Unverified, match=name):
        replay.cell_of(recorded, SUBJECT)


def test_a_cell_with_a_pip_of_its_own_is_known_by_its_name() -> None:
    found = replay.cell_of(GOOD.model_copy(update={"installer": "pip-24.3"}), SUBJECT)
    assert found.id == "debian-13-pip-24.3-venv"
    assert installers.named("pip-24.3").setup[0][-1] == "pip==24.3"
    assert installers.named("pip-24.3").ca_variable == ""
    assert installers.named("pip-24.0").ca_variable == "PIP_CERT"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a cell, or --all; there are: debian-13-pip-venv, windows-wine-uv-system"),
        ([LINUX, "--all"], "name a cell, or --all"),
        (["nope"], "nope: this report has no such cell; there are: debian-13-pip-venv"),
        (["--all", "-n", "0"], "-n must be 1 or more"),
        (["--bad"], "replay: unrecognized arguments: --bad"),
    ],
)
def test_wrong_use_is_one_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    results_json.write(tmp_path / "results.json", report(cell(LINUX), cell(WINDOWS)))
    with pytest.raises(WrongUse) as raised:
        _run(*arguments, "--from", str(tmp_path))
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_report_of_another_package_is_not_replayed_as_quiverdbs(tmp_path: Path) -> None:
    run = report(cell(LINUX))
    selection = run.selection.model_copy(update={"subject": "xxhash"})
    results_json.write(tmp_path / "results.json", run.model_copy(update={"selection": selection}))
    with pytest.raises(WrongUse, match="replay: the report is of xxhash, whose description is not"):
        _run(LINUX, "--from", str(tmp_path))


def test_cells_of_a_report_without_inputs_cannot_be_replayed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = report().model_copy(update={"inputs": None})
    results_json.write(tmp_path / "results.json", run)
    code = exit_codes.exit_code_of(lambda: _run(LINUX, "--from", str(tmp_path)))
    assert code == ExitCode.UNVERIFIED
    assert "cannot be replayed: results.json does not say" in capsys.readouterr().err


def test_cells_that_did_not_run_are_not_run_again_and_need_no_engine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results_json.write(tmp_path / "results.json", report(cell(LINUX, reason="interrupted")))
    assert _run("--all", "--from", str(tmp_path)) == ExitCode.UNVERIFIED
    printed = capsys.readouterr().out
    assert "interrupted" in printed
    assert "0 of 1 cells have the verdict that was recorded" in printed


def test_the_own_tests_must_be_those_that_the_cell_ran(tmp_path: Path) -> None:
    recorded = cell("debian-13-pip-own-tests").model_copy(
        update={"installer": "pip", "machine": "debian-13", "scenario": "own-tests"}
    )
    (tmp_path / "test_a.py").touch()
    run = report(recorded)
    selection = run.selection.model_copy(update={"tests": str(tmp_path)})
    again = replay.Replay(run.model_copy(update={"selection": selection}), tmp_path)
    (only,) = again.run([recorded])
    assert only.exit_code is ExitCode.UNVERIFIED
    assert str(tmp_path) in only.reason


# ---- the images of the recorded run ----

RECORDED = ImageRecord(
    tag="quiverdb-e2e/debian-13:0123456789ab", id="sha256:1", created="2026-01-01T00:00:00Z"
)


class _Images(RecordedImages):
    """The recorded images, on an engine that has them under `tag`; None where it has none."""

    def __init__(self, tag: str | None, *recorded: str) -> None:
        super().__init__(ENGINE, dict.fromkeys(recorded, RECORDED))
        self._found = tag

    def _tag(self, _recorded: ImageRecord) -> str | None:
        return self._found


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the images that are made from their recipes."""
    names: list[str] = []

    def ensure(_engine: object, name: str) -> Image:
        names.append(name)
        if name == "alpine":
            raise ImageUnavailable("no registry")
        return image(name)

    monkeypatch.setattr(images, "ensure", ensure)
    return names


def test_the_image_that_was_used_is_used_again(made: list[str]) -> None:
    recorded = _Images(RECORDED.tag, "debian-13")
    found = recorded.image("debian-13")
    assert (found.id, found.tag) == (RECORDED.id, RECORDED.tag)
    assert recorded.differs == made == []


def test_an_image_that_is_gone_is_made_again_once_and_is_a_difference(made: list[str]) -> None:
    recorded = _Images(None, "debian-13")
    assert recorded.image("debian-13") == recorded.image("debian-13") == image("debian-13")
    assert made == ["debian-13"]
    (line,) = recorded.differs
    assert "the same recipe" in line


def test_an_image_that_was_not_recorded_is_a_difference(made: list[str]) -> None:
    recorded = _Images(None)
    assert recorded.image("debian-13") == image("debian-13")
    assert made == ["debian-13"]
    assert len(recorded.differs) == 1


def test_an_image_that_cannot_be_made_is_unavailable(made: list[str]) -> None:
    with pytest.raises(ImageUnavailable):
        _Images(None, "alpine").image("alpine")
    assert made == ["alpine"]
