"""One gate as its controller runs it, with a fake testbed."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.sample_pipeline import result as pipeline_result
from tests.helpers.sample_run import cell
from tests.helpers.sample_testbed import set_up
from tests.helpers.sample_wheels import SUBJECT
from verification.models.base import parse_json
from verification.models.errors import BuildFailed, TestbedFailure, WrongUse
from verification.models.release import Release
from verification.models.report import ReplayInputs
from verification.models.verdict import Outcome, Verdict
from verification.report import results_json, writer
from verification.report.folder import MARK
from verification.session import gate_run, replay_inputs
from verification.session.gate_run import GateRequest, GateRun
from verification.session.prepare import RunSetup
from verification.session.recorder import RESULT, TestPhaseReport, as_property
from verification.session.selection import Options, select
from verification.session.session import Handover
from verification.session.user_files import history

LINUX, WINDOWS = "debian-13-pip-venv", "windows-wine-uv-system"
INPUTS = ReplayInputs(
    subject="quiverdb",
    origin="wheels",
    wheels=(),
    dependencies=(),
    earlier=(),
    tools=(),
    yanked={},
    suite="0",
)
Prepare = Callable[[], RunSetup]


@pytest.fixture
def prepares(monkeypatch: pytest.MonkeyPatch) -> Callable[[Prepare], list[str]]:
    """Return a function that sets what a set-up does; it returns the log of what happens."""

    def replace(make: Prepare) -> list[str]:
        log: list[str] = []

        def prepare(_selection: object, _subject: object, stack: contextlib.ExitStack) -> RunSetup:
            log.append("prepared")
            stack.callback(log.append, "removed")
            return make()

        monkeypatch.setattr(gate_run, "prepare", prepare)
        return log

    monkeypatch.setattr(replay_inputs, "keep", lambda _release, _subject, _seed: INPUTS)
    return replace


def request(folder: Path, **options: object) -> GateRequest:
    """Return a request for the two cells of the profile quick."""
    asked = Options.model_validate({"release": "0.5.0", "profile": "quick"} | options)
    return GateRequest(select(asked, Path.cwd(), SUBJECT.platforms), SUBJECT, folder)


def fails(error: Exception) -> Prepare:
    def make() -> RunSetup:
        raise error

    return make


# ---- the request ----


def test_a_request_has_the_cells_of_its_machines_and_profile(tmp_path: Path) -> None:
    assert [one.id for one in request(tmp_path).cells] == [LINUX, WINDOWS]
    assert request(tmp_path).without_tests == ()


@pytest.mark.parametrize(("history", "has_upgrade"), [("none", False), ("all", True)])
def test_without_earlier_releases_no_cell_needs_one(
    tmp_path: Path, history: str, has_upgrade: bool
) -> None:
    asked = request(tmp_path, profile="full", machines=("debian-13",), history=history)
    cells = {cell.id for cell in asked.cells}
    assert ("debian-13-pip-upgrade" in cells) is has_upgrade
    assert LINUX in cells
    assert asked.selection.narrowed[1:] == (() if has_upgrade else ("--history none",))


def test_cells_without_their_tests_are_apart(tmp_path: Path) -> None:
    asked = request(tmp_path, profile="gate", machines=("debian-13",))
    assert [one.id for one in asked.cells] == [LINUX, "debian-13-uv-venv"]
    assert [one.id for one in asked.without_tests] == ["debian-13-pip-own-tests"]
    tests = tmp_path / "tests"
    tests.mkdir()
    (tests / "test_a.py").touch()
    named = request(tmp_path / "x", profile="gate", machines=("debian-13",), tests=tests)
    assert "debian-13-pip-own-tests" in [one.id for one in named.cells]
    assert named.without_tests == ()


def test_tests_that_no_cell_runs_are_wrong_use_where_they_are_named(tmp_path: Path) -> None:
    tests = tmp_path / "tests"
    tests.mkdir()
    (tests / "test_a.py").touch()
    with pytest.raises(WrongUse, match="--tests: no cell"):
        request(tmp_path / "x", tests=tests)
    of_source = request(tmp_path / "y", release=None)
    assert of_source.selection.tests is not None
    assert not any(one.runs_tests for one in of_source.cells)


def test_a_folder_of_other_files_takes_no_report(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text('{"mine": 1}')
    with pytest.raises(WrongUse, match="--report"):
        request(tmp_path)


# ---- the set-up ----


def test_a_set_up_that_went_well_is_handed_to_the_workers(
    tmp_path: Path, prepares: Callable[[Prepare], list[str]]
) -> None:
    log = prepares(set_up)
    run = GateRun(request(tmp_path))
    assert run.handover() is None
    run.begin()
    run.set_up()
    handed = run.handover()
    assert handed is not None
    assert handed.prepared == set_up().prepared
    assert handed.facts.prepared
    assert handed.pipeline is None
    assert parse_json(Handover, handed.model_dump_json(), "a worker's") == handed
    assert log == ["prepared"]
    run.close()
    assert log == ["prepared", "removed"]


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (TestbedFailure("engine-unreachable", "engine", "no answer"), "engine-unreachable"),
        (BuildFailed("quiverdb", "cmake failed", "a long log"), "build-failed"),
    ],
)
def test_a_set_up_that_failed_is_recorded_and_nothing_is_handed_over(
    tmp_path: Path, prepares: Callable[[Prepare], list[str]], error: Exception, name: str
) -> None:
    prepares(fails(error))
    run = GateRun(request(tmp_path))
    run.begin()
    run.set_up()
    assert run.setup is None
    assert run.handover() is None
    failure = run.recorder.facts.setup_failure
    assert failure is not None
    assert (failure.name, run.recorder.facts.prepared) == (name, False)
    report, _ = run.write(interrupted=False)
    assert report.verdict is (Verdict.FAILED if name == "build-failed" else Verdict.TESTBED)
    assert {one.outcome for one in report.cells} == {Outcome.UNVERIFIED}
    run.close()


def test_what_the_workflow_showed_is_kept_next_to_the_report(
    tmp_path: Path, prepares: Callable[[Prepare], list[str]]
) -> None:
    ready = set_up()._replace(pipeline=pipeline_result())
    prepares(lambda: ready)
    run = GateRun(request(tmp_path))
    run.begin()
    run.set_up()
    assert (tmp_path / "pipeline.json").is_file()
    handed = run.handover()
    assert handed is not None
    assert handed.pipeline == pipeline_result()
    run.close()


# ---- the folder of the report ----


def old_report(folder: Path) -> None:
    for name in ("results.json", "pipeline.json", "evidence/a.json", "kept/a.json", "replay/a"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")
    (folder / MARK).touch()


def test_a_report_is_written_by_one_run_at_a_time(
    tmp_path: Path, prepares: Callable[[Prepare], list[str]]
) -> None:
    log = prepares(set_up)
    folders = (tmp_path / "report", tmp_path / "report", tmp_path / "other")
    first, second, other = (GateRun(request(folder)) for folder in folders)
    for run in (first, other):
        run.begin()
        run.set_up()
    (tmp_path / "report" / "evidence").mkdir()
    with pytest.raises(WrongUse, match="another run is writing its report there"):
        second.begin()
    assert log == ["prepared", "prepared"]
    assert (tmp_path / "report" / "evidence").is_dir(), "the report of the other is as it was"
    first.close()
    second.begin()
    second.set_up()
    for run in (second, other):
        run.close()


def test_wrong_use_leaves_the_last_report_as_it_is(
    tmp_path: Path, prepares: Callable[[Prepare], list[str]]
) -> None:
    prepares(fails(WrongUse("there is no such release")))
    old_report(tmp_path)
    run = GateRun(request(tmp_path))
    run.begin()
    with pytest.raises(WrongUse, match="there is no such release"):
        run.set_up()
    run.close()
    assert (tmp_path / "results.json").read_text("utf-8") == "{}"
    assert (tmp_path / "evidence" / "a.json").exists()


@pytest.mark.parametrize("ready", [True, False])
def test_a_run_that_gets_so_far_takes_the_place_of_the_last_report(
    tmp_path: Path, prepares: Callable[[Prepare], list[str]], *, ready: bool
) -> None:
    failure = TestbedFailure("engine-unreachable", "engine", "no answer")
    prepares(set_up if ready else fails(failure))
    folder = tmp_path / "report"
    old_report(folder)
    run = GateRun(request(folder))
    run.begin()
    run.set_up()
    assert {path.name for path in folder.iterdir()} == {MARK, *writer.FILES}
    assert not results_json.read(folder / "results.json").finished
    run.close()


@pytest.mark.parametrize("before", [True, False])
def test_a_run_that_is_killed_in_its_set_up_has_no_verdict(
    tmp_path: Path, prepares: Callable[[Prepare], list[str]], *, before: bool
) -> None:
    def killed() -> RunSetup:
        report = results_json.read(tmp_path / "report" / "results.json")
        assert (report.verdict, report.finished) == (Verdict.UNVERIFIED, False)
        assert {one.reason for one in report.cells} == {"the run did not finish"}
        for name in writer.FILES:
            assert "did not finish" in (tmp_path / "report" / name).read_text("utf-8"), name
        raise SystemExit(9)

    prepares(set_up)
    if before:
        first = GateRun(request(tmp_path / "report"))
        first.begin()
        first.set_up()
        ended(first)
        assert first.write(interrupted=False)[0].verdict is Verdict.VERIFIED
        first.close()
    prepares(killed)
    run = GateRun(request(tmp_path / "report"))
    run.begin()
    with pytest.raises(SystemExit):
        run.set_up()
    run.close()
    assert len(history().runs().runs) == int(before)


def test_a_crash_of_the_suite_in_the_set_up_is_the_testbeds_failure(
    tmp_path: Path, prepares: Callable[[Prepare], list[str]]
) -> None:
    prepares(fails(zipfile.BadZipFile("File is not a zip file")))
    run = GateRun(request(tmp_path))
    run.begin()
    run.set_up()
    failure = run.recorder.facts.setup_failure
    assert failure is not None
    assert (failure.name, failure.where) == ("testbed-defect", "set-up")
    assert run.write(interrupted=False)[0].verdict is Verdict.TESTBED
    run.close()


def test_an_engine_that_is_gone_at_the_end_is_the_testbeds_failure(
    tmp_path: Path, prepares: Callable[[Prepare], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepares(set_up)
    run = GateRun(request(tmp_path))
    run.begin()
    run.set_up()
    ended(run)
    stack = contextlib.ExitStack()
    stack.callback(_fail, ConnectionError("the engine does not answer"))
    monkeypatch.setattr(run, "_stack", stack)
    run.remove_started()
    report, _ = run.write(interrupted=False)
    assert report.verdict is Verdict.TESTBED
    assert {cause.name for item in report.items for cause in item.causes} == {"testbed-defect"}
    run.close()


def _fail(error: Exception) -> None:
    raise error


# ---- the report ----


def ended(run: GateRun) -> None:
    """Let all cells of a run end well."""
    for one in run.request.cells:
        run.recorder.select({one.id: one.id})
        (wheel,) = (
            system.wheels[0].file
            for system in run.recorder.facts.systems
            if system.system == one.machine.os
        )
        result = cell(one.id).model_copy(update={"wheel": wheel})
        properties = {RESULT: as_property(result)}
        test = TestPhaseReport(node=one.id, phase="call", outcome="passed", properties=properties)
        assert run.recorder.add(test) == result


def test_the_report_is_written_with_the_verdict_and_the_kept_files(
    tmp_path: Path, prepares: Callable[[Prepare], list[str]]
) -> None:
    prepares(set_up)
    run = GateRun(request(tmp_path))
    run.begin()
    run.set_up()
    ended(run)
    report, remarks = run.write(interrupted=False)
    assert report.verdict is Verdict.VERIFIED
    assert report.inputs == INPUTS
    assert results_json.read(tmp_path / "results.json") == report
    assert remarks[0] == f"report: {tmp_path}"
    assert [one.report for one in history().runs().runs] == [report]
    run.close()


def test_an_interrupted_run_reports_what_it_did_not_reach_and_is_no_history(
    tmp_path: Path, prepares: Callable[[Prepare], list[str]]
) -> None:
    prepares(set_up)
    run = GateRun(request(tmp_path))
    run.begin()
    run.set_up()
    report, _ = run.write(interrupted=True)
    assert (report.verdict, report.interrupted) == (Verdict.UNVERIFIED, True)
    assert [one.outcome for one in report.cells] == [Outcome.UNVERIFIED] * 2
    assert history().runs().runs == ()
    run.close()


def test_files_that_cannot_be_kept_are_a_remark(
    tmp_path: Path, prepares: Callable[[Prepare], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_release: Release, _subject: str, _seed: int) -> ReplayInputs:
        raise OSError(28, "No space left on device")

    prepares(set_up)
    monkeypatch.setattr(replay_inputs, "keep", full)
    run = GateRun(request(tmp_path))
    run.begin()
    run.set_up()
    report, remarks = run.write(interrupted=False)
    assert report.inputs is None
    assert any("No space left" in line for line in remarks)
    run.close()
