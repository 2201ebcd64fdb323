"""The controller's side of a gate, with a fake testbed."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.sample_pipeline import result as pipeline_result
from tests.helpers.sample_run import cell, report
from tests.helpers.sample_testbed import INPUTS, run_setup
from tests.helpers.sample_wheels import SUBJECT, windows_wheel
from verification.models.base import DataError, parse_json, read_json
from verification.models.cause import Cause
from verification.models.cell import Cell
from verification.models.errors import BuildFailed, TestbedFailure, WheelRefused, WrongUse
from verification.models.inspection import ReleaseContents
from verification.models.pipeline import PipelineFailure, PipelineOutcome
from verification.models.release import Release
from verification.models.report import PublishedPart, ReplayInputs, Report
from verification.models.run import PublishedSummary
from verification.models.subject import Subject
from verification.models.testbed import TestbedFailureRecord
from verification.models.verdict import ExpectationKind, Outcome, Verdict
from verification.pipeline.workflow_causes import cause
from verification.report import results_json, writer
from verification.report.folder import REPORT_MARKER
from verification.rules.catalogue import catalogue
from verification.session import gate_run, published_by, replay_inputs
from verification.session.checkout import CheckoutOptions, minimal_subject, read_checkout
from verification.session.gate_run import GateRequest, GateRun
from verification.session.prepare import RunSetup
from verification.session.published_by import Comparison, VerifiedFiles
from verification.session.recorder import RESULT, TestPhaseReport, as_property
from verification.session.selection import Options, select
from verification.session.session import Handover
from verification.session.user_files import history

LINUX, WINDOWS = "debian-13-pip-venv", "windows-wine-uv-system"
Prepare = Callable[[], RunSetup]
ReplaceSetUp = Callable[[Prepare], list[str]]


@pytest.fixture
def replace_set_up(monkeypatch: pytest.MonkeyPatch) -> ReplaceSetUp:
    """Return a function that replaces the set-up and returns the log of its steps."""

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
    run_options = Options.model_validate({"release": "0.5.0", "profile": "quick"} | options)
    return GateRequest(select(run_options, Path.cwd(), SUBJECT.platforms), SUBJECT, folder)


def failing(error: Exception) -> Prepare:
    def make() -> RunSetup:
        raise error

    return make


def started(folder: Path) -> GateRun:
    """Return a run after its set-up."""
    run = GateRun(request(folder))
    run.begin()
    run.set_up()
    return run


# ---- the request ----


def test_request_has_the_cells_of_its_machines_and_profile(tmp_path: Path) -> None:
    assert [cell.id for cell in request(tmp_path).cells] == [LINUX, WINDOWS]
    assert request(tmp_path).without_tests == ()


@pytest.mark.parametrize(("history", "has_upgrade"), [("none", False), ("all", True)])
def test_request_without_earlier_releases_has_no_upgrade(
    tmp_path: Path, history: str, has_upgrade: bool
) -> None:
    gate = request(tmp_path, profile="full", machines=("debian-13",), history=history)
    cells = {cell.id for cell in gate.cells}
    assert ("debian-13-pip-upgrade" in cells) is has_upgrade
    assert LINUX in cells
    assert gate.selection.narrowed[1:] == (() if has_upgrade else ("--history none",))


def test_cells_of_missing_own_tests_are_listed_separately(tmp_path: Path) -> None:
    gate = request(tmp_path, profile="gate", machines=("debian-13",))
    assert [cell.id for cell in gate.cells] == [LINUX, "debian-13-uv-venv"]
    assert [cell.id for cell in gate.without_tests] == ["debian-13-pip-own-tests"]
    tests = tmp_path / "tests"
    tests.mkdir()
    (tests / "test_a.py").touch()
    named = request(tmp_path / "x", profile="gate", machines=("debian-13",), tests=tests)
    assert "debian-13-pip-own-tests" in [cell.id for cell in named.cells]
    assert named.without_tests == ()


def test_cells_of_a_plan_are_not_compared_with_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = request(tmp_path, profile="full")
    compared: list[Cell] = []

    def compare(cell: Cell, _: object) -> bool:
        compared.append(cell)
        return False

    monkeypatch.setattr(Cell, "__eq__", compare)
    gate.plan_cells()
    assert len(gate.all_cells) > 100
    assert compared == []


@pytest.mark.parametrize(
    ("path", "has_user"), [("quiverdb.libs/a.dll", True), ("quiverdb/_libs/a.dll", False)]
)
def test_cells_are_planned_again_when_the_wheels_exist(
    tmp_path: Path, replace_set_up: ReplaceSetUp, path: str, has_user: bool
) -> None:
    wheel = windows_wheel(tmp_path, {path: b"MZ"})
    setup = run_setup()
    (file, *_) = setup.prepared.release.wheels
    release = setup.prepared.release.model_copy(
        update={"wheels": (file.model_copy(update={"path": wheel}),)}
    )
    prepared = setup.prepared.model_copy(update={"release": release})
    replace_set_up(lambda: setup._replace(prepared=prepared))
    run = GateRun(request(tmp_path / "report", profile="gate"))
    assert "windows-wine-pip-user" not in [cell.id for cell in run.request.cells]
    run.begin()
    run.set_up()
    assert ("windows-wine-pip-user" in [cell.id for cell in run.request.cells]) is has_user
    planned = {cell.id for cell in run.recorder.run_plan.planned}
    assert planned == {cell.id for cell in run.request.cells}


def test_cells_expect_what_the_wheels_of_the_release_promise(
    tmp_path: Path, replace_set_up: ReplaceSetUp
) -> None:
    setup = run_setup()
    other = "debian-12-python-3.11"
    prepared = setup.prepared.model_copy(update={"additional_machines": (other,)})
    replace_set_up(lambda: setup._replace(prepared=prepared))
    run = GateRun(request(tmp_path, profile="full", machines=("debian-13-musl", other)))
    assert {cell.refusal for cell in run.request.cells if cell.machine.name == other} == {
        "unsupported-python"
    }
    run.begin()
    run.set_up()
    planned = {(cell.machine, cell.expectation) for cell in run.recorder.run_plan.planned}
    assert planned == {
        ("debian-13-musl", ExpectationKind.REFUSES),
        (other, ExpectationKind.WORKS),
    }
    assert not any(cell.fits_declared for cell in run.recorder.run_plan.planned)


@pytest.mark.parametrize("libraries", [(), ("libquiver.so",)])
def test_decoys_are_planned_only_for_libraries_of_the_wheels(
    tmp_path: Path, replace_set_up: ReplaceSetUp, libraries: tuple[str, ...]
) -> None:
    setup = run_setup()
    bundled = {"linux": libraries, "windows": ()}
    prepared = setup.prepared.model_copy(update={"bundled": bundled})
    replace_set_up(lambda: setup._replace(prepared=prepared))
    run = GateRun(request(tmp_path / "report", profile="full"))
    assert "debian-13-pip-decoy" in [cell.id for cell in run.request.cells]
    run.begin()
    run.set_up()
    assert ("debian-13-pip-decoy" in [cell.id for cell in run.request.cells]) is bool(libraries)
    assert ("debian-13-pip-decoy" in run.request.not_offered) is (not libraries)


def test_named_tests_that_no_cell_runs_are_wrong_use(tmp_path: Path) -> None:
    tests = tmp_path / "tests"
    tests.mkdir()
    (tests / "test_a.py").touch()
    with pytest.raises(WrongUse, match="--tests"):
        request(tmp_path / "x", tests=tests)
    of_source = request(tmp_path / "y", release=None)
    assert of_source.selection.tests is not None
    assert not any(cell.runs_tests for cell in of_source.cells)


def test_folder_with_other_files_is_wrong_use(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text('{"mine": 1}')
    with pytest.raises(WrongUse, match="--report"):
        request(tmp_path)


def test_texts_of_the_verification_that_are_not_valid_are_a_data_error(tmp_path: Path) -> None:
    path = tmp_path / "verification.toml"
    path.write_text("colour = 1\n")
    subject = SUBJECT.model_copy(update={"verification": path})
    with pytest.raises(DataError, match=path.name):
        GateRequest(request(tmp_path / "x").selection, subject, tmp_path / "y")


# ---- the set-up ----


def test_prepared_run_is_passed_to_the_workers(
    tmp_path: Path, replace_set_up: ReplaceSetUp
) -> None:
    log = replace_set_up(run_setup)
    run = GateRun(request(tmp_path))
    assert run.handover() is None
    run.begin()
    run.set_up()
    handover = run.handover()
    assert handover is not None
    assert handover.prepared == run_setup().prepared
    assert handover.run_plan.prepared
    assert handover.pipeline is None
    assert parse_json(Handover, handover.model_dump_json(), "handover") == handover
    assert log == ["prepared"]
    run.close()
    assert log == ["prepared", "removed"]


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (TestbedFailure("engine-unreachable", "engine", "no answer"), "engine-unreachable"),
        (BuildFailed("quiverdb", "cmake failed", "a long log"), "build-failed"),
        (WheelRefused("a.whl", "unpacks to 5 bytes", {"limit": "total"}), "wheel-too-large"),
        (TestbedFailure("inspection-failed", "a.whl", "SIGSEGV"), "inspection-failed"),
    ],
)
def test_failed_set_up_is_recorded_and_not_passed_to_the_workers(
    tmp_path: Path, replace_set_up: ReplaceSetUp, error: Exception, name: str
) -> None:
    replace_set_up(failing(error))
    run = started(tmp_path)
    assert run.setup is None
    assert run.handover() is None
    failure = run.recorder.run_plan.setup_failure
    assert failure is not None
    assert (failure.name, run.recorder.run_plan.prepared) == (name, False)
    report, _ = run.write(interrupted=False)
    is_package = isinstance(error, BuildFailed)
    assert report.verdict is (Verdict.FAILED if is_package else Verdict.TESTBED)
    assert {cell.outcome for cell in report.cells} == {Outcome.UNVERIFIED}
    run.close()


def test_result_of_the_workflow_is_written_next_to_the_report(
    tmp_path: Path, replace_set_up: ReplaceSetUp
) -> None:
    setup = run_setup()._replace(pipeline=pipeline_result())
    replace_set_up(lambda: setup)
    run = started(tmp_path)
    assert (tmp_path / "pipeline.json").is_file()
    read_json(ReleaseContents, tmp_path / "contents.json")
    handover = run.handover()
    assert handover is not None
    assert handover.pipeline == pipeline_result()
    run.close()


# ---- a release that an earlier gate verified ----


def comparison(*files: str, causes: tuple[Cause, ...] = ()) -> Comparison:
    """Return the comparison of a release with these files on the index."""
    return Comparison(
        part=PublishedPart(report="first", files=dict.fromkeys(files, "a" * 64)),
        summary=PublishedSummary(causes=causes),
    )


def compared(
    folder: Path, monkeypatch: pytest.MonkeyPatch, result: Comparison | Exception
) -> GateRun:
    """Return a run with this result of the comparison, after its set-up."""

    def compare(verified: VerifiedFiles, _subject: Subject, minutes: float) -> Comparison:
        assert (verified.project, verified.version, minutes) == ("quiverdb", "0.5.0", 3)
        if isinstance(result, Exception):
            raise result
        return result

    first = folder / "first"
    results_json.write(first / "results.json", report())
    monkeypatch.setattr(published_by, "compare", compare)
    run = GateRun(request(folder / "second", published_by=first, wait="3"))
    run.begin()
    run.set_up()
    return run


MISMATCH = catalogue().cause("hash-mismatch", "a.whl", "text")


def test_release_with_the_verified_files_has_a_verified_item(
    tmp_path: Path, replace_set_up: ReplaceSetUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = replace_set_up(run_setup)
    run = compared(tmp_path, monkeypatch, comparison("a.whl"))

    result, _ = run.write(interrupted=False)

    assert log == ["prepared"]
    items = {item.id: item.verdict for item in result.items}
    assert items["published-files"] is Verdict.VERIFIED
    assert result.published
    assert result.published.files == {"a.whl": "a" * 64}
    assert any("first" in entry.value for entry in result.basis)
    run.close()


def test_changed_file_fails_the_run_and_the_machines_still_install(
    tmp_path: Path, replace_set_up: ReplaceSetUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = replace_set_up(run_setup)
    run = compared(tmp_path, monkeypatch, comparison("a.whl", causes=(MISMATCH,)))

    result, _ = run.write(interrupted=False)

    assert (log, run.handover() is None) == (["prepared"], False)
    (item,) = (item for item in result.items if item.id == "published-files")
    assert (item.verdict, item.causes, result.verdict) == (
        Verdict.FAILED,
        (MISMATCH,),
        Verdict.FAILED,
    )
    run.close()


def test_release_without_a_wheel_on_the_index_fails_before_the_machines(
    tmp_path: Path, replace_set_up: ReplaceSetUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = catalogue().cause("incomplete-release", "a.whl", "text")
    log = replace_set_up(run_setup)
    run = compared(tmp_path, monkeypatch, comparison("a.tar.gz", causes=(missing,)))

    result, _ = run.write(interrupted=False)

    assert (log, run.handover()) == ([], None)
    assert result.verdict is Verdict.FAILED
    assert {cause.name for item in result.items for cause in item.causes} == {"incomplete-release"}
    run.close()


def test_index_that_does_not_answer_leaves_the_files_unverified(
    tmp_path: Path, replace_set_up: ReplaceSetUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_set_up(run_setup)
    failure = TestbedFailure("index-unreachable", "upstream index", "no answer")
    run = compared(tmp_path, monkeypatch, failure)

    result, _ = run.write(interrupted=False)

    items = {item.id: item.verdict for item in result.items}
    assert items["published-files"] is Verdict.UNVERIFIED
    assert result.verdict is Verdict.TESTBED
    run.close()


def test_report_that_verified_nothing_is_wrong_use_and_keeps_the_earlier_report(
    tmp_path: Path, replace_set_up: ReplaceSetUp
) -> None:
    log = replace_set_up(run_setup)
    old_report(tmp_path / "second")
    run = GateRun(request(tmp_path / "second", published_by=tmp_path / "first"))

    with pytest.raises(WrongUse, match="--published-by"):
        run.begin()

    run.close()
    assert log == []
    assert (tmp_path / "second" / "results.json").read_text("utf-8") == "{}"


# ---- the folder of the report ----


def old_report(folder: Path) -> None:
    for name in (
        "results.json",
        "pipeline.json",
        "contents.json",
        "evidence/a.json",
        "kept/a.json",
        "replay/a",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")
    (folder / REPORT_MARKER).touch()


def test_folder_of_a_report_is_used_by_one_run_at_a_time(
    tmp_path: Path, replace_set_up: ReplaceSetUp
) -> None:
    log = replace_set_up(run_setup)
    folders = (tmp_path / "report", tmp_path / "report", tmp_path / "other")
    first, second, other = (GateRun(request(folder)) for folder in folders)
    for run in (first, other):
        run.begin()
        run.set_up()
    (tmp_path / "report" / "evidence").mkdir()
    with pytest.raises(WrongUse, match="--report"):
        second.begin()
    assert log == ["prepared", "prepared"]
    assert (tmp_path / "report" / "evidence").is_dir()
    first.close()
    second.begin()
    second.set_up()
    for run in (second, other):
        run.close()


def test_wrong_use_restores_the_earlier_report(
    tmp_path: Path, replace_set_up: ReplaceSetUp
) -> None:
    replace_set_up(failing(WrongUse("--release 9.9.9")))
    old_report(tmp_path)
    run = GateRun(request(tmp_path))
    run.begin()
    with pytest.raises(WrongUse, match="--release 9"):
        run.set_up()
    run.close()
    assert (tmp_path / "results.json").read_text("utf-8") == "{}"
    assert (tmp_path / "evidence" / "a.json").exists()


@pytest.mark.parametrize("succeeds", [True, False])
def test_set_up_removes_the_earlier_report(
    tmp_path: Path, replace_set_up: ReplaceSetUp, *, succeeds: bool
) -> None:
    failure = TestbedFailure("engine-unreachable", "engine", "no answer")
    replace_set_up(run_setup if succeeds else failing(failure))
    folder = tmp_path / "report"
    old_report(folder)
    run = started(folder)
    assert {path.name for path in folder.iterdir()} == {
        REPORT_MARKER,
        *writer.FILES,
        *(["contents.json"] if succeeds else []),
    }
    assert not results_json.read(folder / "results.json").finished
    run.close()


@pytest.mark.parametrize("earlier_run", [True, False])
def test_run_that_is_killed_in_its_set_up_has_no_verdict(
    tmp_path: Path, replace_set_up: ReplaceSetUp, *, earlier_run: bool
) -> None:
    def kill() -> RunSetup:
        report = results_json.read(tmp_path / "report" / "results.json")
        assert (report.verdict, report.finished) == (Verdict.UNVERIFIED, False)
        (reason,) = {cell.reason for cell in report.cells}
        assert reason
        for name in writer.FILES:
            assert reason in (tmp_path / "report" / name).read_text("utf-8"), name
        raise SystemExit(9)

    replace_set_up(run_setup)
    if earlier_run:
        first = started(tmp_path / "report")
        end_cells(first)
        assert first.write(interrupted=False)[0].verdict is Verdict.VERIFIED
        first.close()
    replace_set_up(kill)
    run = GateRun(request(tmp_path / "report"))
    run.begin()
    with pytest.raises(SystemExit):
        run.set_up()
    run.close()
    assert len(history().summaries()) == int(earlier_run)


def test_crash_of_the_suite_in_the_set_up_is_a_testbed_failure(
    tmp_path: Path, replace_set_up: ReplaceSetUp
) -> None:
    replace_set_up(failing(zipfile.BadZipFile("File is not a zip file")))
    run = started(tmp_path)
    failure = run.recorder.run_plan.setup_failure
    assert failure is not None
    assert (failure.name, failure.where) == ("testbed-defect", "set-up")
    assert run.write(interrupted=False)[0].verdict is Verdict.TESTBED
    run.close()


def test_lost_engine_at_the_end_is_a_testbed_failure(
    tmp_path: Path, replace_set_up: ReplaceSetUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_set_up(run_setup)
    run = started(tmp_path)
    end_cells(run)
    stack = contextlib.ExitStack()
    stack.callback(failing(ConnectionError("no answer")))
    monkeypatch.setattr(run, "_stack", stack)
    run.remove_started()
    report, _ = run.write(interrupted=False)
    assert report.verdict is Verdict.TESTBED
    assert {cause.name for item in report.items for cause in item.causes} == {"testbed-defect"}
    run.close()


# ---- the report ----


def end_cells(run: GateRun) -> None:
    """Record for all cells of a run that they work."""
    for requested in run.request.cells:
        cell_id = requested.id
        run.recorder.select({cell_id: cell_id})
        (wheel,) = (
            system.wheels[0].file
            for system in run.recorder.run_plan.systems
            if system.system == requested.machine.os
        )
        result = cell(cell_id).model_copy(update={"wheel": wheel})
        properties = {RESULT: as_property(result)}
        test = TestPhaseReport(node=cell_id, phase="call", outcome="passed", properties=properties)
        assert run.recorder.add(test) == result


def test_report_has_the_verdict_and_the_stored_files(
    tmp_path: Path, replace_set_up: ReplaceSetUp
) -> None:
    replace_set_up(run_setup)
    run = started(tmp_path)
    end_cells(run)
    report, remarks = run.write(interrupted=False)
    assert report.verdict is Verdict.VERIFIED
    assert report.inputs == INPUTS
    assert results_json.read(tmp_path / "results.json") == report
    assert remarks
    assert [run.report for run in history().read([1]).runs] == [report]
    run.close()


def test_report_has_the_changes_since_the_last_run_of_the_same_kind(
    tmp_path: Path, replace_set_up: ReplaceSetUp
) -> None:
    replace_set_up(run_setup)
    changes = []
    for interrupted in (False, False, True):
        run = started(tmp_path)
        end_cells(run)
        report, _ = run.write(interrupted=interrupted)
        changes.append(report.changes)
        run.close()
    first, second, interrupted_run = changes
    assert first is interrupted_run is None
    assert second
    assert second.base.startswith("1 (")
    assert second.differences == ()
    assert [run.report.changes for run in history().read([1, 2]).runs] == [None, second]


def test_report_has_command_basis_files_and_texts(
    tmp_path: Path, replace_set_up: ReplaceSetUp
) -> None:
    replace_set_up(run_setup)
    run = started(tmp_path)
    end_cells(run)
    report, _ = run.write(interrupted=False)
    assert report.command
    assert report.checkout
    assert report.template
    assert {entry.name for entry in report.basis} >= {"origin", "Windows", "index"}
    assert {file.name for file in report.files} == report.wheels.keys()
    run.close()


def test_interrupted_run_is_reported_and_not_stored_in_the_history(
    tmp_path: Path, replace_set_up: ReplaceSetUp
) -> None:
    replace_set_up(run_setup)
    run = started(tmp_path)
    report, _ = run.write(interrupted=True)
    assert (report.verdict, report.interrupted) == (Verdict.UNVERIFIED, True)
    assert [cell.outcome for cell in report.cells] == [Outcome.UNVERIFIED] * 2
    assert history().summaries() == ()
    run.close()


def test_files_that_cannot_be_stored_are_a_remark(
    tmp_path: Path, replace_set_up: ReplaceSetUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_release: Release, _subject: str, _seed: int) -> ReplayInputs:
        raise OSError(28, "No space left on device")

    replace_set_up(run_setup)
    monkeypatch.setattr(replay_inputs, "keep", full)
    run = started(tmp_path)
    report, remarks = run.write(interrupted=False)
    assert report.inputs is None
    assert any("No space left" in line for line in remarks)
    run.close()


# ---- only the release workflow of a checkout ----


def checkout_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, outcome: PipelineOutcome
) -> tuple[GateRun, Report]:
    """Run a gate for a checkout whose workflow has this outcome. Return the run and its report."""
    root = tmp_path / "checkout"
    folder = root / ".github" / "workflows"
    folder.mkdir(parents=True)
    steps = "[{uses: pypa/gh-action-pypi-publish@release/v1}]"
    text = f"on: {{release: }}\njobs: {{a: {{runs-on: ubuntu-latest, steps: {steps}}}}}\n"
    (folder / "publish.yml").write_text(text)
    (root / "pyproject.toml").write_text('[project]\nname = "a"\nversion = "1.2.0"\n')
    checkout = read_checkout(CheckoutOptions(root=root))
    subject = minimal_subject(checkout, None)
    selection = select(Options(checkout=checkout), Path.cwd(), subject.platforms)
    monkeypatch.setattr(gate_run, "run_workflow", lambda *_: outcome)
    run = GateRun(GateRequest(selection, subject, tmp_path / "report"))
    run.begin()
    run.set_up()
    report, _ = run.write(interrupted=False)
    run.close()
    return run, report


def test_workflow_of_a_checkout_is_judged_without_a_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run, report = checkout_run(monkeypatch, tmp_path, pipeline_result())
    assert run.handover() is None, "no cell runs"
    assert {item.id: item.verdict for item in report.items} == {
        "pipeline": Verdict.VERIFIED,
        "publisher": Verdict.UNVERIFIED,
    }
    assert "publish.yml" in report.items[1].reason, "the fields to register"
    assert {entry.id for entry in report.out_of_scope} == {
        "source-build",
        "linux-install",
        "windows-install",
    }
    assert (report.version, report.selection.event) == ("1.2.0", "release")
    assert report.pipeline is not None
    assert (tmp_path / "report" / "pipeline.json").is_file()


def test_findings_about_the_file_are_reported_if_nothing_could_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fault = TestbedFailureRecord(cause="action-unavailable", where="publish.yml:1", observed="no")
    static = (cause("permission-missing", "publish.yml:1", "has no permission"),)
    _, report = checkout_run(monkeypatch, tmp_path, PipelineFailure(static=static, testbed=fault))
    assert report.verdict is Verdict.FAILED
    names = {cause.name for cause in report.items[0].causes}
    assert names == {"permission-missing", "action-unavailable"}
    folder = tmp_path / "report"
    for name in ("results.json", "index.html", "VERIFICATION.md", "junit.xml", "pipeline.json"):
        assert "permission-missing" in (folder / name).read_text("utf-8"), name
