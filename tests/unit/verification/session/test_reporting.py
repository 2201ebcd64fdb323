"""The report of a run, and the lines below its verdict."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from containers import progress
from containers.progress import Progress
from tests.helpers.sample_machines import sample_machine
from tests.helpers.sample_pipeline import result as pipeline_result
from tests.helpers.sample_run import LINUX_WHEEL, WINDOWS_WHEEL, cell, crash
from tests.helpers.sample_run import report as sample_report
from tests.helpers.sample_testbed import on_engines, prepared_run, release, run_setup
from tests.helpers.sample_wheels import SUBJECT
from verification import suite
from verification.models.cause import Severity
from verification.models.inspection import ReleaseInspection
from verification.models.pipeline import LivePublisherCheck, PipelineFailure
from verification.models.report import (
    FileCoverage,
    FileResult,
    KeptMachine,
    PublisherPart,
    PublisherScope,
    Report,
)
from verification.models.results import (
    CellResult,
    CellSummary,
    Coverage,
    PlatformResult,
    TestsSummary,
)
from verification.models.run import RunVerdict
from verification.models.testbed import EgressProof, TestbedFailureRecord
from verification.models.verdict import Outcome, Verdict
from verification.report import github, html, junit, results_json, verification_md
from verification.rules.catalogue import catalogue
from verification.scenarios import machines
from verification.session import reporting, run_plan
from verification.session.gate_run import GateRequest
from verification.session.prepare import RunSetup
from verification.session.reporting import RunSpan
from verification.session.selection import Options, select
from verification.verdict import judge

LINUX, WINDOWS = "debian-13-pip-venv", "windows-wine-uv-system"
SPAN = RunSpan(1_772_359_200.0, 1_772_359_261.24)


def request(folder: Path, **options: object) -> GateRequest:
    """Return a request for the two cells of the profile quick, with existing wheels."""
    run_options = Options.model_validate({"wheels": folder, "profile": "quick"} | options)
    selection = select(run_options, Path.cwd(), SUBJECT.platforms)
    return GateRequest(selection, SUBJECT, folder / "report")


def served(cell_id: str, wheel: str, outcome: Outcome = Outcome.WORKS) -> CellResult:
    return cell(cell_id, outcome=outcome).model_copy(update={"wheel": wheel})


CELLS = (served(LINUX, LINUX_WHEEL), served(WINDOWS, WINDOWS_WHEEL))


def judged(*cells: CellResult, not_selected: tuple[str, ...] = ()) -> RunVerdict:
    return RunVerdict(
        verdict=Verdict.VERIFIED, items=(), cells=cells or CELLS, not_selected=not_selected
    )


def build(
    gate: GateRequest, setup: RunSetup | None = None, verdict: RunVerdict | None = None
) -> Report:
    return reporting.build_report(gate, setup or run_setup(), verdict or judged(), SPAN)


def scope(report: Report) -> dict[str, str]:
    return {entry.id: entry.reason for entry in report.out_of_scope}


def lines(setup: RunSetup | None, report: Report) -> list[str]:
    return list(reporting.remarks(setup, report))


# ---- the report ----


def test_report_has_the_verdict_and_what_the_cells_ran_on(tmp_path: Path) -> None:
    files = release().model_copy(
        update={
            "dependencies": (Path("cffi-2.0.0-py3-none-any.whl"),),
            "earlier": (Path("quiverdb-0.4.0-py3-none-any.whl"),),
        }
    )
    setup = run_setup(prepared_run(files, "debian-13", no_history="no answer"))
    report = build(request(tmp_path), setup)
    assert (report.verdict, report.cells, report.items) == (Verdict.VERIFIED, CELLS, ())
    assert (report.started, report.seconds) == ("2026-03-01T10:00:00Z", 61.2)
    assert not report.interrupted
    assert (report.version, report.locked) == ("0.5.0", {"cffi": "2.0.0"})
    assert report.wheels == files.digests()
    assert report.earlier == ("quiverdb-0.4.0-py3-none-any.whl",)
    assert report.no_history == "no answer"
    assert report.images.keys() == {"index", "publisher", "debian-13"}
    assert report.images["debian-13"].id == "sha256:debian-13"
    assert report.engine is not None
    assert (report.engine.version, report.engine.os) == ("20.10", "linux")
    assert report.selection.subject == "quiverdb"
    assert {wheel.file for wheel in report.static.wheels} == {LINUX_WHEEL, WINDOWS_WHEEL}
    assert report.stand_ins
    assert report.machines["debian-13"].python == "3.13"
    assert (report.pipeline, report.publisher, report.kept) == (None, None, ())


def test_report_of_a_failed_set_up_has_no_prepared_values(tmp_path: Path) -> None:
    span = SPAN._replace(interrupted=True)
    report = reporting.build_report(request(tmp_path), None, judged(), span)
    assert report.interrupted
    assert (report.version, report.engine, report.images) == ("", None, {})
    assert report.static == ReleaseInspection()


def test_workflow_is_in_the_report(tmp_path: Path) -> None:
    gate = GateRequest(
        select(Options(profile="gate"), Path.cwd(), SUBJECT.platforms), SUBJECT, tmp_path / "report"
    )
    setup = run_setup()._replace(pipeline=pipeline_result())
    report = build(gate, setup)
    assert report.pipeline is not None
    assert report.pipeline.tag == "v1.2.0"
    assert report.publisher is not None
    assert report.publisher.registered == "verification/subjects/quiverdb/publishers.toml"
    assert not {"pipeline", "publisher", "source-build"} & scope(report).keys()


def test_no_form_about_another_package_speaks_of_quiverdb(tmp_path: Path) -> None:
    subject = SUBJECT.model_copy(
        update={"name": "sixpack", "import_package": "sixpack", "verification": None}
    )
    options = Options(wheels=tmp_path, profile="gate", subject="sixpack")
    gate = GateRequest(select(options, Path.cwd(), subject.platforms), subject, tmp_path / "report")
    names = [name.replace("quiverdb", "sixpack") for name in (LINUX_WHEEL, WINDOWS_WHEEL)]
    setup = run_setup(prepared_run(release(*names), "debian-13"))
    state = run_plan.after_setup(gate, setup)
    cells = (cell(planned.id).model_copy(update={"summary": None}) for planned in state.planned)
    report = build(gate, setup, judge(state.model_copy(update={"cells": tuple(cells)})))
    junit.write(tmp_path / "junit.xml", report)
    forms = (
        verification_md.render(report),
        github.job_summary(report, tmp_path),
        (tmp_path / "junit.xml").read_text("utf-8"),
    )
    for text in forms:
        assert "sixpack" in text
        assert "quiverdb" not in text.replace(suite.NAME, "")


# ---- what narrows the verdict ----


def test_cells_that_are_not_selected_narrow_the_verdict(tmp_path: Path) -> None:
    gate = request(tmp_path, keyword="debian")
    assert build(gate).selection.narrowed == ("-k debian",)
    report = build(gate, verdict=judged(CELLS[0], not_selected=("windows-install",)))
    keyword, count = report.selection.narrowed
    assert keyword == "-k debian"
    assert [int(number) for number in re.findall(r"\d+", count)] == [1, 2]
    assert "windows-install" in scope(report)
    assert any(keyword in line and count in line for line in lines(run_setup(), report))


def test_run_of_all_cells_is_not_narrowed(tmp_path: Path) -> None:
    gate = request(tmp_path)
    report = build(gate)
    assert report.selection.narrowed == ()
    selection = report.selection.model_copy(update={"narrowed": ("-k x",)})
    narrowed = report.model_copy(update={"selection": selection})
    assert len(lines(run_setup(), narrowed)) == len(lines(run_setup(), report)) + 1


# ---- what is out of scope ----


def test_build_and_workflow_are_out_of_scope_for_existing_wheels(tmp_path: Path) -> None:
    entries = scope(build(request(tmp_path)))
    assert {"source-build", "pipeline", "publisher"} <= entries.keys()
    assert (
        entries["pipeline"]
        == entries["publisher"]
        == request(tmp_path).selection.no_pipeline_reason
    )


def test_file_that_is_no_wheel_is_out_of_scope(tmp_path: Path) -> None:
    additional = (Path("dist/quiverdb-0.5.0.tar.gz"),)
    setup = run_setup(prepared_run(release().model_copy(update={"additional": additional})))
    assert "quiverdb-0.5.0.tar.gz" in scope(build(request(tmp_path), setup))
    assert "quiverdb-0.5.0.tar.gz" not in scope(build(request(tmp_path)))


def test_machines_of_other_profiles_are_out_of_scope(tmp_path: Path) -> None:
    entries = scope(build(request(tmp_path)))
    assert "full" in entries["debian-12"]
    assert "debian-13" not in entries


def test_own_tests_that_cannot_run_are_out_of_scope(tmp_path: Path) -> None:
    gate = request(tmp_path, profile="gate")
    assert scope(build(gate))["debian-13-pip-own-tests"] == gate.selection.no_tests_reason


def test_scenarios_without_their_actions_are_out_of_scope(tmp_path: Path) -> None:
    gate = request(tmp_path, profile="full")
    assert "debian-13-pip-other-sqlite" not in scope(build(gate))
    other = SUBJECT.model_copy(update={"name": "other", "actions": None})
    entries = scope(build(GateRequest(gate.selection, other, tmp_path)))
    assert "own_sqlite" in entries["debian-13-pip-other-sqlite"]


@pytest.mark.parametrize("origin", [{"wheels": Path("dist")}, {"release": "0.13.5"}])
def test_reason_for_missing_own_tests_is_in_the_report_and_in_a_line(
    tmp_path: Path, origin: dict[str, object]
) -> None:
    options = {"wheels": None, "profile": "gate"} | origin
    gate = request(tmp_path, **options)
    report = build(gate)
    assert report.own_tests_not_run == gate.selection.no_tests_reason != ""
    assert any(report.own_tests_not_run in line for line in lines(None, report))


def test_reason_for_own_tests_that_did_not_run_depends_on_the_cells(tmp_path: Path) -> None:
    tests = tmp_path / "source" / "tests"
    tests.mkdir(parents=True)
    (tests / "test_a.py").write_text("")
    (tests.parent / "pyproject.toml").write_text("")
    options = {"wheels": None, "source": tests.parent, "profile": "gate"}
    gate = request(tmp_path, **options)
    lost = cell("debian-13-pip-own-tests", outcome=Outcome.TESTBED)
    no_cell, lost_cell = (
        build(gate, verdict=judged(result)).own_tests_not_run for result in (CELLS[0], lost)
    )
    assert no_cell
    assert lost_cell
    assert no_cell != lost_cell


def test_own_tests_that_ran_have_no_reason(tmp_path: Path) -> None:
    tests = TestsSummary(counts={"passed": 3}, failures=(), left_out=(), sha256="d" * 64)
    summary = CellSummary(commands=(), steps={}, tests=tests)
    results = judged(CELLS[0].model_copy(update={"summary": summary}))
    assert build(request(tmp_path), verdict=results).own_tests_not_run == ""


def test_out_of_scope_has_one_line_for_each_reason(tmp_path: Path) -> None:
    gate = request(tmp_path)
    report = build(gate)
    reasons = {reason for name, reason in scope(report).items() if name not in machines.load()}
    assert reasons
    remarks = lines(None, report)
    for reason in reasons:
        assert len([line for line in remarks if line.endswith(f": {reason}")]) == 1, reason
    assert any("pipeline, publisher" in line for line in remarks)


# ---- inspected and installed wheels ----

MUSL = "quiverdb-0.5.0-cp313-cp313-musllinux_1_2_x86_64.whl"


def test_wheel_that_no_selected_machine_can_run_is_inspected_only(tmp_path: Path) -> None:
    gate = request(tmp_path, machines=("debian-13",))
    platforms = run_plan.after_setup(gate, run_setup()).platforms
    report = build(gate, verdict=judged(CELLS[0]).model_copy(update={"platforms": platforms}))
    assert {wheel.file for wheel in report.static.wheels} == {LINUX_WHEEL, WINDOWS_WHEEL}
    assert [p.wheels for p in report.platforms if p.coverage is Coverage.NOT_SELECTED] == [
        (WINDOWS_WHEEL,)
    ]
    assert report.not_installed == ()
    assert any(WINDOWS_WHEEL in line for line in lines(run_setup(), report))


def test_wheel_that_no_machine_was_served_is_not_installed(tmp_path: Path) -> None:
    gate = request(tmp_path)
    setup = run_setup(prepared_run(release(LINUX_WHEEL, MUSL, WINDOWS_WHEEL)))
    report = build(gate, setup)
    assert report.not_installed == (MUSL,)
    (line,) = [line for line in lines(setup, report) if MUSL in line]
    assert LINUX_WHEEL not in line


def test_installed_wheel_has_no_line(tmp_path: Path) -> None:
    gate = request(tmp_path)
    assert not [line for line in lines(run_setup(), build(gate)) if LINUX_WHEEL in line]


# ---- notes ----


def test_notes_of_the_inspection_are_in_the_report(tmp_path: Path) -> None:
    note = catalogue().cause("unexpected-support", "a.so", "x")
    broken = catalogue().cause("symbol-not-found", "a.so", "x")
    assert note.severity is Severity.NOTE
    setup = run_setup()
    linux, windows = setup.inspection.wheels
    linux = linux.model_copy(update={"causes": (note, broken)})
    setup = setup._replace(inspection=ReleaseInspection(wheels=(linux, windows)))
    assert build(request(tmp_path), setup).notes == (note,)


def test_notes_of_the_workflow_are_in_the_report(tmp_path: Path) -> None:
    note = catalogue().cause("linter-unavailable", "publish.yml", "x")
    flaw = catalogue().cause("release-interrupted", "publish.yml", "x")
    record = TestbedFailureRecord(cause="machine-lost", where="act", observed="x")
    for outcome in (
        pipeline_result(static=(flaw, note)),
        PipelineFailure(static=(flaw, note), testbed=record),
    ):
        setup = run_setup()._replace(pipeline=outcome)
        assert note in build(request(tmp_path), setup).notes
        assert flaw not in build(request(tmp_path), setup).notes


def test_library_that_makes_a_failing_package_work_is_a_note(tmp_path: Path) -> None:
    clean = sample_machine("clean", system="windows")
    more = sample_machine("more", system="windows", additional_software=("the redistributable",))
    gate = request(tmp_path)
    gate.selection = gate.selection.model_copy(update={"machines": (clean, more)})
    cells = (
        cell(
            "clean-pip-system",
            catalogue().cause("missing-runtime-library", "x", "y"),
        ),
        cell("more-pip-system"),
    )
    (note,) = build(gate, verdict=judged(*cells)).notes
    assert (note.name, note.where) == ("works-with-more", "more-pip-system")


# ---- the lines below the verdict ----


def test_files_that_no_machine_verified_have_one_line_for_each_reason(tmp_path: Path) -> None:
    files = (
        FileResult(name="a.whl", coverage=FileCoverage.VERIFIED, machines=("debian-13",)),
        FileResult(name="b.whl", coverage=FileCoverage.INSPECTED, reason="no machine runs it"),
        FileResult(name="c.whl", coverage=FileCoverage.INSPECTED, reason="no machine runs it"),
        FileResult(name="d.tar.gz", coverage=FileCoverage.NOT_READ, reason="not a wheel"),
    )
    report = build(request(tmp_path)).model_copy(update={"files": files, "platforms": ()})
    remarks = lines(None, report)
    assert not [line for line in remarks if "a.whl" in line]
    (inspected,) = [line for line in remarks if "b.whl" in line]
    assert "c.whl" in inspected
    assert "no machine runs it" in inspected
    (not_read,) = [line for line in remarks if "d.tar.gz" in line]
    assert "not a wheel" in not_read
    assert not_read != inspected


def test_file_of_a_platform_with_a_finding_has_one_line(tmp_path: Path) -> None:
    platform = PlatformResult(
        tag="win_arm64",
        coverage=Coverage.INSPECTED_ONLY,
        wheels=("b.whl",),
        causes=(catalogue().cause("damaged-library", "b.whl", "x"),),
    )
    files = (FileResult(name="b.whl", coverage=FileCoverage.INSPECTED, reason="no machine"),)
    report = build(request(tmp_path)).model_copy(update={"files": files, "platforms": (platform,)})
    (line,) = [line for line in lines(None, report) if "b.whl" in line]
    assert "damaged-library" in line


def test_machines_of_other_profiles_have_one_line_with_their_number(tmp_path: Path) -> None:
    gate = request(tmp_path)
    report = build(gate)
    others = {
        name
        for name, spec in machines.load().items()
        if report.selection.profile not in spec.profiles
    }
    assert len({scope(report)[name] for name in others}) > 1, "the reasons differ"
    remarks = lines(None, report)
    (line,) = [line for line in remarks if f"{len(others)} machines" in line]
    assert not [line for line in remarks for name in others if name in line]
    few = report.model_copy(update={"out_of_scope": report.out_of_scope[:1]})
    assert line not in lines(None, few)


def test_scope_of_the_publisher_and_what_was_read_of_the_live_index_have_one_line_each(
    tmp_path: Path,
) -> None:
    live = LivePublisherCheck(
        verdict=Verdict.UNVERIFIED,
        version="0.13.5",
        publishers={"a.whl": "x"},
        reason="no provenance",
    )
    publisher = PublisherPart(scope=PublisherScope.REGISTRATION_FILE, live=live)
    report = build(request(tmp_path)).model_copy(update={"publisher": publisher})
    remarks = lines(None, report)
    assert len([line for line in remarks if PublisherScope.REGISTRATION_FILE in line]) == 1
    (line,) = [line for line in remarks if "live index" in line]
    for value in ("a.whl", "0.13.5", "no provenance"):
        assert value in line
    without = report.model_copy(update={"publisher": None})
    assert len(lines(None, without)) == len(remarks) - 2


def test_missing_earlier_releases_have_a_line_with_the_reason(tmp_path: Path) -> None:
    gate = request(tmp_path)
    setup = run_setup(prepared_run(no_history="no answer"))
    assert any("no answer" in line for line in lines(setup, build(gate, setup)))


def test_wheel_that_was_not_fetched_has_a_line(tmp_path: Path) -> None:
    gate = request(tmp_path)
    setup = run_setup(prepared_run(release().model_copy(update={"not_fetched": {MUSL: "404"}})))
    remarks = lines(setup, build(gate, setup))
    assert len([line for line in remarks if line.endswith(f"{MUSL}: 404")]) == 1


def test_kept_machine_has_a_line_with_its_command(tmp_path: Path) -> None:
    gate = request(tmp_path)
    kept = KeptMachine(
        cell=LINUX,
        container="kept",
        enter="docker exec -it kept sh",
        installed_again=False,
        until="2026-03-02T10:00:00Z",
    )
    results_json.write_model(gate.report / "kept" / f"{LINUX}.json", kept)
    report = build(gate)
    assert report.kept == (kept,)
    remarks = lines(run_setup(), report)
    (line,) = [line for line in remarks if line.endswith(kept.enter)]
    assert LINUX in line
    assert kept.until in line
    assert sum("./e2e clean --kept" in line for line in remarks) == 1


def test_slowest_steps_are_the_first_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    steps = Progress(environment={}, clock=lambda: now[-1], refreshes=False)
    monkeypatch.setattr(progress, "PROGRESS", steps)
    gate = request(tmp_path)
    before = lines(None, build(gate))
    step = steps.begin("image index: building")
    now.append(12.0)
    steps.end(step, "")
    first_line, *other_lines = lines(None, build(gate))
    assert other_lines == before
    assert first_line.endswith("image index 12.0 s")


# ---- the identity of the suite ----

SUITE = suite.title(suite.version(), suite.commit())


def test_report_and_its_formats_name_the_version_and_the_commit_of_the_suite(
    tmp_path: Path,
) -> None:
    gate = request(tmp_path)
    report = build(gate)
    for made in (report, reporting.unfinished_report(gate.selection, "quiverdb", 0.0)):
        assert (made.suite_version, made.suite_commit) == (suite.version(), suite.commit())
    for text in (html.render(report, {}), verification_md.render(report)):
        assert SUITE in text


def test_header_of_the_session_lists_the_suite_and_what_the_cells_run_on() -> None:
    files = release().with_dependencies(Path("cffi-2.0.0-py3-none-any.whl"))
    header = reporting.header(prepared_run(files, "debian-13"))
    expected = [
        SUITE,
        "20.10 at unix:///none",
        *(f"quiverdb-e2e/{name}:0123456789ab" for name in ("index", "publisher", "debian-13")),
        f"{LINUX_WHEEL} sha256 {'a' * 16}",
        f"{WINDOWS_WHEEL} sha256 {'b' * 16}",
        "cffi 2.0.0",
    ]
    assert len(header) == len(expected)
    for text, line in zip(expected, header, strict=True):
        assert text in line


def test_a_machine_record_names_additional_and_missing_software() -> None:
    records, specs = reporting.machine_records(), machines.load()
    additional = {name for name, spec in specs.items() if spec.additional_software}
    missing = {name for name, spec in specs.items() if spec.missing_software}

    assert additional
    assert missing
    for name, spec in specs.items():
        assert records[name].additional_software == spec.additional_software
        assert records[name].missing_software == spec.missing_software


def test_texts_of_a_package_have_no_control_character_in_the_report() -> None:
    planted = sample_report(cell("debian-13-pip-venv", crash("\x1b[2Jverified")))
    report = reporting.with_basis(planted, None)
    texts = [cause.where for item in report.items for cause in item.causes]
    assert texts == [r"\x1b[2Jverified: import"]


def test_report_has_each_engine_with_its_proof_and_its_end() -> None:
    ready = on_engines(prepared_run(), "one", "two")
    proof = EgressProof(not_proved="a reason", reachable=("192.0.2.1",))
    other = ready.others["two"]
    running = other.testbed.model_copy(update={"egress": proof})
    ready = ready.model_copy(
        update={"others": {"two": other.model_copy(update={"testbed": running})}}
    )
    report = reporting.with_prepared(sample_report(), ready)
    assert [engine.name for engine in report.engines] == ["one", "two"]
    assert report.other_engines[0].egress == proof
    assert "192.0.2.1" in report.reachable
    assert report.lost_engines == ()
    assert reporting.with_lost_engines(report, {"two"}).lost_engines == ("two",)
    assert reporting.with_lost_engines(report, set()) == report
