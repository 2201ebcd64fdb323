"""Cells that run again, and the comparison with their recorded results."""

from __future__ import annotations

from pathlib import Path

import pytest

from containers import images
from containers.images import ImageUnavailable
from tests.helpers.sample_exercise import EMPTY_SMOKE
from tests.helpers.sample_run import LINUX, WINDOWS, cell, crash, report
from tests.helpers.sample_testbed import ENGINE, image
from tests.helpers.sample_wheels import SUBJECT
from verification.commands import exit_codes, replay
from verification.commands.common import Unverified
from verification.commands.parser import parse
from verification.commands.replay import RecordedImages, ReplayResult
from verification.models.errors import ExitCode, WrongUse
from verification.models.report import Report
from verification.models.results import CellResult, CellSummary, TestsSummary
from verification.models.testbed import Image, ImageRecord
from verification.models.verdict import ExpectationKind, Outcome
from verification.report import results_json
from verification.rules.catalogue import catalogue
from verification.scenarios import installers
from verification.session.user_files import history

GOOD, BAD = cell(LINUX), cell(LINUX, crash())
HANGS = cell(LINUX, catalogue().cause("hang", "x", "y"))
LOST = cell(
    LINUX,
    catalogue().cause("machine-lost", "x", "no answer"),
    outcome=Outcome.TESTBED,
)


def _run(*words: str) -> int:
    return replay.run(parse(["replay", *words])[0])


@pytest.mark.parametrize(
    ("recorded", "replayed", "is_equal", "text", "code"),
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
def test_results_with_the_same_outcome_and_causes_are_the_same(
    recorded: CellResult, replayed: CellResult, *, is_equal: bool, text: str, code: ExitCode
) -> None:
    comparison = replay.compare_results(recorded, replayed)
    assert (comparison.id, comparison.is_equal, comparison.replayed) == (LINUX, is_equal, text)
    assert comparison.verdict is replayed.verdict
    assert comparison.exit_code is code
    assert replay.exit_code([comparison]) is code
    assert text in str(comparison)
    assert is_equal or comparison.recorded in str(comparison)


def test_cause_with_another_severity_is_a_different_result() -> None:
    flaw = BAD.causes[0].model_copy(update={"severity": "flawed"})
    assert not replay.compare_results(BAD, BAD.model_copy(update={"causes": (flaw,)})).is_equal


def test_different_verdict_outranks_the_other_results() -> None:
    equal = replay.compare_results(GOOD, GOOD)
    different = replay.compare_results(BAD, GOOD)
    lost = replay.compare_results(GOOD, LOST)
    not_run = ReplayResult(id=LINUX, recorded="works", reason="no image")
    assert replay.exit_code([equal, not_run, lost, different]) == ExitCode.PACKAGE_FAILED
    assert replay.exit_code([equal, not_run, lost]) == ExitCode.TESTBED_FAILED
    assert replay.exit_code([equal, not_run]) == ExitCode.UNVERIFIED
    assert replay.exit_code([equal]) == ExitCode.VERIFIED
    assert LINUX in str(not_run)
    assert "no image" in str(not_run)


@pytest.mark.parametrize(
    ("recorded", "name"),
    [
        (cell(LINUX, reason="interrupted"), "interrupted"),
        (GOOD.model_copy(update={"machine": "debian-3"}), "debian-3"),
        (GOOD.model_copy(update={"installer": "conda"}), "conda"),
        (GOOD.model_copy(update={"scenario": "unknown"}), "unknown"),
    ],
)
def test_cell_that_cannot_run_again_is_unverified_with_the_reason(
    recorded: CellResult, name: str
) -> None:
    with pytest.raises(Unverified, match=name):
        replay.cell_of(recorded, SUBJECT)


@pytest.mark.parametrize(
    ("recorded", "refusal"),
    [(ExpectationKind.WORKS, ""), (ExpectationKind.REFUSES, "unsupported-python")],
)
def test_cell_has_its_recorded_expectation(recorded: ExpectationKind, refusal: str) -> None:
    result = GOOD.model_copy(update={"machine": "debian-12-python-3.11", "expectation": recorded})
    assert replay.cell_of(result, SUBJECT).refusal == refusal


def test_cell_with_a_named_version_of_pip_is_found() -> None:
    recorded = GOOD.model_copy(update={"installer": "pip-24.3"})
    assert replay.cell_of(recorded, SUBJECT).id == "debian-13-pip-24.3-venv"
    assert installers.named("pip-24.3").setup[0][-1] == "pip==24.3"
    assert installers.named("pip-24.3").ca_variable == ""
    assert installers.named("pip-24.0").ca_variable == "PIP_CERT"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["--all", LINUX, WINDOWS]),
        ([LINUX, "--all"], ["--all", LINUX, WINDOWS]),
        (["nope"], ["nope", LINUX]),
        (["--all", "-n", "0"], ["-n 0"]),
        (["--bad"], ["--bad"]),
    ],
    ids=["no cell", "cell and all", "unknown cell", "no worker", "unknown option"],
)
def test_wrong_use_is_one_line(tmp_path: Path, arguments: list[str], words: list[str]) -> None:
    results_json.write(tmp_path / "results.json", report(cell(LINUX), cell(WINDOWS)))
    with pytest.raises(WrongUse) as raised:
        _run(*arguments, "--from", str(tmp_path))
    assert [word for word in words if word not in str(raised.value)] == []
    assert "\n" not in str(raised.value)


DESCRIPTION = """
name = "xxhash"
import_package = "xxhash"
python = "cp313"
exercise = "smoke.py"
[[platforms]]
tag = "win_amd64"
"""


@pytest.fixture
def description(tmp_path: Path) -> Path:
    """Return the description of another package."""
    (tmp_path / "smoke.py").write_text(EMPTY_SMOKE, "utf-8")
    path = tmp_path / "subject.toml"
    path.write_text(DESCRIPTION, "utf-8")
    return path


def _report_about_xxhash(folder: Path, description: Path | None) -> Report:
    run = report(cell(LINUX))
    file = str(description) if description else None
    selection = run.selection.model_copy(update={"subject": "xxhash", "subject_file": file})
    run = run.model_copy(update={"selection": selection})
    results_json.write(folder / "results.json", run)
    return run


def test_description_is_that_of_the_recorded_run(tmp_path: Path, description: Path) -> None:
    run = _report_about_xxhash(tmp_path, description)
    assert replay.recorded_subject(run, None).file == description
    other = tmp_path / "other.toml"
    other.write_text(DESCRIPTION, "utf-8")
    assert replay.recorded_subject(run, str(other)).file == other
    assert replay.recorded_subject(report(), None).name == report().selection.subject


def test_replay_uses_the_description_of_the_recorded_run(
    tmp_path: Path, description: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _report_about_xxhash(tmp_path, description)
    used: list[str] = []

    def replayed(self: replay.Replay, *_: object, **__: object) -> list[ReplayResult]:
        used.append(self.subject.name)
        return [replay.compare_results(GOOD, GOOD)]

    monkeypatch.setattr(replay.Replay, "run", replayed)
    assert _run(LINUX, "--from", str(tmp_path)) == ExitCode.VERIFIED
    assert used == ["xxhash"]


def test_description_that_does_not_exist_or_is_of_another_package_is_wrong_use(
    tmp_path: Path, description: Path
) -> None:
    _report_about_xxhash(tmp_path, None)
    with pytest.raises(WrongUse, match=r"xxhash.*--subject"):
        _run(LINUX, "--from", str(tmp_path))
    _report_about_xxhash(tmp_path, tmp_path / "gone.toml")
    with pytest.raises(WrongUse, match=r"gone\.toml.*xxhash.*--subject"):
        _run(LINUX, "--from", str(tmp_path))
    with pytest.raises(WrongUse, match="describes xxhash"):
        replay.recorded_subject(report(), str(description))


def test_cells_of_a_report_without_inputs_cannot_be_replayed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = report().model_copy(update={"inputs": None})
    results_json.write(tmp_path / "results.json", run)
    code = exit_codes.exit_code_of(lambda: _run(LINUX, "--from", str(tmp_path)))
    assert code == ExitCode.UNVERIFIED
    (line,) = capsys.readouterr().err.splitlines()
    assert "`inputs`" in line


def test_replay_writes_no_report_and_adds_no_run_to_the_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "report"
    results_json.write(folder / "results.json", report(GOOD))
    content = (folder / "results.json").read_bytes()

    def replayed(*_: object, **__: object) -> list[ReplayResult]:
        return [replay.compare_results(GOOD, GOOD)]

    monkeypatch.setattr(replay.Replay, "run", replayed)
    assert _run(LINUX, "--from", str(folder)) == ExitCode.VERIFIED
    assert [path.name for path in folder.iterdir()] == ["results.json"]
    assert (folder / "results.json").read_bytes() == content
    assert history().summaries() == ()


def test_cells_that_did_not_run_are_not_replayed_and_need_no_engine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results_json.write(tmp_path / "results.json", report(cell(LINUX, reason="interrupted")))
    assert _run("--all", "--from", str(tmp_path)) == ExitCode.UNVERIFIED
    output = capsys.readouterr().out
    assert "interrupted" in output
    assert "0 of 1 " in output


@pytest.mark.parametrize("is_recorded", [False, True])
def test_own_tests_that_are_not_recorded_or_changed_are_unverified(
    tmp_path: Path, is_recorded: bool
) -> None:
    tests = TestsSummary(counts={}, failures=(), left_out=(), sha256="0" * 64)
    summary = CellSummary(commands=(), steps={}, tests=tests) if is_recorded else None
    recorded = cell("debian-13-pip-own-tests").model_copy(
        update={
            "installer": "pip",
            "machine": "debian-13",
            "scenario": "own-tests",
            "summary": summary,
        }
    )
    (tmp_path / "test_a.py").touch()
    run = report(recorded)
    selection = run.selection.model_copy(update={"tests": str(tmp_path)})
    run = run.model_copy(update={"selection": selection})
    (result,) = replay.Replay(run, tmp_path, SUBJECT).run([recorded])
    assert result.exit_code is ExitCode.UNVERIFIED
    assert (str(tmp_path) in result.reason) is is_recorded


# ---- the images of the recorded run ----

RECORDED = ImageRecord(
    tag="quiverdb-e2e/debian-13:0123456789ab", id="sha256:1", created="2026-01-01T00:00:00Z"
)


class _Images(RecordedImages):
    """The recorded images with a fake engine.

    `tag` is the tag of the images on the engine. None: the engine does not have the images.
    """

    def __init__(self, tag: str | None, *recorded: str) -> None:
        super().__init__(ENGINE, dict.fromkeys(recorded, RECORDED))
        self._engine_tag = tag

    def _tag(self, _recorded: ImageRecord) -> str | None:
        return self._engine_tag


@pytest.fixture
def made_images(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace `images.ensure`. Return the names of the images that it makes from recipes."""
    names: list[str] = []

    def ensure(_engine: object, name: str) -> Image:
        names.append(name)
        if name == "alpine":
            raise ImageUnavailable("no registry")
        return image(name)

    monkeypatch.setattr(images, "ensure", ensure)
    return names


def test_recorded_image_is_used_again(made_images: list[str]) -> None:
    recorded = _Images(RECORDED.tag, "debian-13")
    used = recorded.image("debian-13")
    assert (used.id, used.tag) == (RECORDED.id, RECORDED.tag)
    assert recorded.differences == made_images == []


def test_missing_image_is_made_once_and_is_a_difference(made_images: list[str]) -> None:
    recorded = _Images(None, "debian-13")
    assert recorded.image("debian-13") == recorded.image("debian-13") == image("debian-13")
    assert made_images == ["debian-13"]
    (line,) = recorded.differences
    assert RECORDED.id in line
    assert image("debian-13").id[:19] in line


def test_image_without_a_record_is_a_difference(made_images: list[str]) -> None:
    recorded = _Images(None)
    assert recorded.image("debian-13") == image("debian-13")
    assert made_images == ["debian-13"]
    assert len(recorded.differences) == 1


def test_image_that_cannot_be_made_is_unavailable(made_images: list[str]) -> None:
    with pytest.raises(ImageUnavailable):
        _Images(None, "alpine").image("alpine")
    assert made_images == ["alpine"]
