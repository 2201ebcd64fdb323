"""The report of a run, and the lines about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from containers import progress
from containers.progress import Progress
from tests.helpers.sample_machines import sample_machine
from tests.helpers.sample_pipeline import result as pipeline_result
from tests.helpers.sample_run import LINUX_WHEEL, WINDOWS_WHEEL, cell
from tests.helpers.sample_testbed import prepared, release, set_up
from tests.helpers.sample_wheels import SUBJECT
from verification.models.cause import Severity
from verification.models.inspection import ReleaseInspection
from verification.models.report import KeptMachine, Report
from verification.models.results import CellResult, CellSummary, Coverage, TestsSummary
from verification.models.run import RunVerdict
from verification.models.verdict import Outcome, Verdict
from verification.report import results_json
from verification.rules.catalogue import catalogue
from verification.session import facts, reporting
from verification.session.gate_run import GateRequest
from verification.session.prepare import RunSetup
from verification.session.reporting import RunSpan
from verification.session.selection import Options, select

LINUX, WINDOWS = "debian-13-pip-venv", "windows-wine-uv-system"
SPAN = RunSpan(1_772_359_200.0, 1_772_359_261.24)


def request(folder: Path, **options: object) -> GateRequest:
    """Return a request for the two cells of the profile quick, with wheels that exist."""
    asked = Options.model_validate({"wheels": folder, "profile": "quick"} | options)
    return GateRequest(select(asked, Path.cwd(), SUBJECT.platforms), SUBJECT, folder / "report")


def served(ident: str, wheel: str, outcome: Outcome = Outcome.WORKS) -> CellResult:
    return cell(ident, outcome=outcome).model_copy(update={"wheel": wheel})


CELLS = (served(LINUX, LINUX_WHEEL), served(WINDOWS, WINDOWS_WHEEL))


def judged(*cells: CellResult, not_selected: tuple[str, ...] = ()) -> RunVerdict:
    return RunVerdict(
        verdict=Verdict.VERIFIED, items=(), cells=cells or CELLS, not_selected=not_selected
    )


def build(
    asked: GateRequest, ready: RunSetup | None = None, of: RunVerdict | None = None
) -> Report:
    return reporting.build_report(asked, ready or set_up(), of or judged(), SPAN)


def scope(report: Report) -> dict[str, str]:
    return {entry.id: entry.reason for entry in report.out_of_scope}


def lines(asked: GateRequest, ready: RunSetup | None, report: Report) -> list[str]:
    return list(reporting.remarks(asked, ready, report))


# ---- the report ----


def test_the_report_has_the_verdict_and_what_the_cells_ran_on(tmp_path: Path) -> None:
    files = release().model_copy(
        update={
            "dependencies": (Path("cffi-2.0.0-py3-none-any.whl"),),
            "earlier": (Path("quiverdb-0.4.0-py3-none-any.whl"),),
        }
    )
    ready = set_up(prepared(files, "debian-13", no_history="the index is away"))
    report = build(request(tmp_path), ready)
    assert (report.verdict, report.cells, report.items) == (Verdict.VERIFIED, CELLS, ())
    assert (report.started, report.seconds) == ("2026-03-01T10:00:00Z", 61.2)
    assert not report.interrupted
    assert (report.version, report.locked) == ("0.5.0", {"cffi": "2.0.0"})
    assert report.wheels == files.digests()
    assert report.earlier == ("quiverdb-0.4.0-py3-none-any.whl",)
    assert report.no_history == "the index is away"
    assert report.images.keys() == {"index", "publisher", "debian-13"}
    assert report.images["debian-13"].id == "sha256:debian-13"
    assert report.engine is not None
    assert (report.engine.version, report.engine.os) == ("20.10", "linux")
    assert report.selection.subject == "quiverdb"
    assert {wheel.file for wheel in report.static.wheels} == {LINUX_WHEEL, WINDOWS_WHEEL}
    assert report.stand_ins
    assert report.machines["debian-13"].python == "3.13"
    assert (report.pipeline, report.publisher, report.kept) == (None, None, ())


def test_a_set_up_that_failed_leaves_a_report_without_what_was_prepared(tmp_path: Path) -> None:
    span = SPAN._replace(interrupted=True)
    report = reporting.build_report(request(tmp_path), None, judged(), span)
    assert report.interrupted
    assert (report.version, report.engine, report.images) == ("", None, {})
    assert report.static == ReleaseInspection()


def test_a_workflow_that_ran_is_in_the_report(tmp_path: Path) -> None:
    asked = GateRequest(
        select(Options(profile="gate"), Path.cwd(), SUBJECT.platforms), SUBJECT, tmp_path / "report"
    )
    ready = set_up()._replace(pipeline=pipeline_result())
    report = build(asked, ready)
    assert report.pipeline is not None
    assert report.pipeline.tag == "v1.2.0"
    assert report.publisher is not None
    assert report.publisher.registered == "verification/subjects/quiverdb/publishers.toml"
    assert not {"pipeline", "publisher", "source-build"} & scope(report).keys()


# ---- what narrows the verdict ----


def test_cells_that_were_not_selected_narrow_the_verdict(tmp_path: Path) -> None:
    asked = request(tmp_path, keyword="debian")
    assert build(asked).selection.narrowed == ("-k debian",)
    report = build(asked, of=judged(CELLS[0], not_selected=("windows-install",)))
    assert report.selection.narrowed == ("-k debian", "1 of 2 cells")
    assert "windows-install" in scope(report)
    assert any("-k debian, 1 of 2 cells" in line for line in lines(asked, set_up(), report))


def test_a_run_of_all_cells_is_not_narrowed(tmp_path: Path) -> None:
    asked = request(tmp_path)
    report = build(asked)
    assert report.selection.narrowed == ()
    assert not [line for line in lines(asked, set_up(), report) if "narrowed" in line]


# ---- what is out of scope ----


def test_wheels_that_exist_are_neither_built_nor_released(tmp_path: Path) -> None:
    entries = scope(build(request(tmp_path)))
    assert {"source-build", "pipeline", "publisher"} <= entries.keys()
    assert (
        entries["pipeline"]
        == entries["publisher"]
        == request(tmp_path).selection.no_pipeline_reason
    )


def test_a_file_that_is_no_wheel_is_out_of_scope(tmp_path: Path) -> None:
    additional = (Path("dist/quiverdb-0.5.0.tar.gz"),)
    ready = set_up(prepared(release().model_copy(update={"additional": additional})))
    assert "quiverdb-0.5.0.tar.gz" in scope(build(request(tmp_path), ready))
    assert "quiverdb-0.5.0.tar.gz" not in scope(build(request(tmp_path)))


def test_the_machines_of_other_profiles_are_out_of_scope(tmp_path: Path) -> None:
    entries = scope(build(request(tmp_path)))
    assert "full" in entries["debian-12"]
    assert "debian-13" not in entries


def test_the_own_tests_that_cannot_run_are_out_of_scope(tmp_path: Path) -> None:
    asked = request(tmp_path, profile="gate")
    assert scope(build(asked))["debian-13-pip-own-tests"] == asked.selection.no_tests_reason


@pytest.mark.parametrize("origin", [{"wheels": Path("dist")}, {"release": "0.13.5"}])
def test_own_tests_that_were_not_named_are_a_fact_and_a_line(
    tmp_path: Path, origin: dict[str, object]
) -> None:
    options = {"wheels": None, "profile": "gate"} | origin
    asked = request(tmp_path, **options)
    report = build(asked)
    assert report.own_tests_not_run == asked.selection.no_tests_reason != ""
    assert any(report.own_tests_not_run in line for line in lines(asked, None, report)[:3])


def test_own_tests_that_no_selected_cell_runs_are_a_fact(tmp_path: Path) -> None:
    tests = tmp_path / "source" / "tests"
    tests.mkdir(parents=True)
    (tests / "test_a.py").write_text("")
    (tests.parent / "pyproject.toml").write_text("")
    options = {"wheels": None, "source": tests.parent, "profile": "gate"}
    asked = request(tmp_path, **options)
    lost = cell("debian-13-pip-own-tests", outcome=Outcome.TESTBED)
    for one, expected in ((CELLS[0], "no selected"), (lost, "no cell that runs")):
        assert build(asked, of=judged(one)).own_tests_not_run.startswith(expected)


def test_own_tests_that_ran_are_not_missed(tmp_path: Path) -> None:
    tests = TestsSummary(counts={"passed": 3}, failures=(), left_out=(), sha256="d" * 64)
    summary = CellSummary(commands=(), steps={}, tests=tests)
    asked = request(tmp_path)
    report = build(asked, of=judged(CELLS[0].model_copy(update={"summary": summary})))
    assert report.own_tests_not_run == ""
    assert not any("own tests ran" in line for line in lines(asked, None, report))


def test_what_is_out_of_scope_for_one_reason_is_one_line(tmp_path: Path) -> None:
    asked = request(tmp_path)
    out = [line for line in lines(asked, None, build(asked)) if line.startswith("out of scope: ")]
    assert len(out) == len(set(scope(build(asked)).values()))
    assert any("pipeline, publisher" in line for line in out)


# ---- what was inspected and installed ----

MUSL = "quiverdb-0.5.0-cp313-cp313-musllinux_1_2_x86_64.whl"


def test_a_wheel_that_no_selected_machine_can_run_is_inspected_only(tmp_path: Path) -> None:
    asked = request(tmp_path, machines=("debian-13",))
    known = facts.after_setup(asked, set_up())
    report = build(asked, of=judged(CELLS[0]).model_copy(update={"platforms": known.platforms}))
    assert {wheel.file for wheel in report.static.wheels} == {LINUX_WHEEL, WINDOWS_WHEEL}
    assert [p.wheels for p in report.platforms if p.coverage is Coverage.NOT_SELECTED] == [
        (WINDOWS_WHEEL,)
    ]
    assert report.not_installed == ()
    assert any(WINDOWS_WHEEL in line for line in lines(asked, set_up(), report))


def test_a_wheel_that_no_machine_was_served_is_not_installed(tmp_path: Path) -> None:
    asked = request(tmp_path)
    ready = set_up(prepared(release(LINUX_WHEEL, MUSL, WINDOWS_WHEEL)))
    report = build(asked, ready)
    assert report.not_installed == (MUSL,)
    (line,) = [line for line in lines(asked, ready, report) if MUSL in line]
    assert LINUX_WHEEL not in line


def test_all_that_was_inspected_and_installed_has_no_line(tmp_path: Path) -> None:
    asked = request(tmp_path)
    assert not [line for line in lines(asked, set_up(), build(asked)) if LINUX_WHEEL in line]


# ---- notes ----


def test_the_notes_of_the_inspection_are_in_the_report(tmp_path: Path) -> None:
    note = catalogue().cause("unexpected-support", where="a.so", observed="x")
    broken = catalogue().cause("symbol-not-found", where="a.so", observed="x")
    assert note.severity is Severity.NOTE
    ready = set_up()
    wheel, other = ready.inspection.wheels
    wheel = wheel.model_copy(update={"causes": (note, broken)})
    ready = ready._replace(inspection=ReleaseInspection(wheels=(wheel, other)))
    assert build(request(tmp_path), ready).notes == (note,)


def test_what_makes_a_failing_package_work_is_a_note(tmp_path: Path) -> None:
    clean = sample_machine("clean", system="windows")
    more = sample_machine("more", system="windows", has=("the redistributable",))
    asked = request(tmp_path)
    asked.selection = asked.selection.model_copy(update={"machines": (clean, more)})
    cells = (
        cell(
            "clean-pip-system",
            catalogue().cause("missing-runtime-library", where="x", observed="y"),
        ),
        cell("more-pip-system"),
    )
    (note,) = build(asked, of=judged(*cells)).notes
    assert (note.name, note.where) == ("works-with-more", "more-pip-system")


# ---- the lines below the verdict ----


def test_the_first_line_names_the_report(tmp_path: Path) -> None:
    asked = request(tmp_path)
    assert lines(asked, None, build(asked))[0] == f"report: {tmp_path / 'report'}"


def test_what_keeps_the_index_from_its_history_has_a_line(tmp_path: Path) -> None:
    asked = request(tmp_path)
    ready = set_up(prepared(no_history="the index is away"))
    assert any("the index is away" in line for line in lines(asked, ready, build(asked, ready)))


def test_a_wheel_that_was_not_fetched_has_a_line(tmp_path: Path) -> None:
    asked = request(tmp_path)
    ready = set_up(prepared(release().model_copy(update={"not_fetched": {MUSL: "404"}})))
    assert f"not verified: {MUSL}: 404" in lines(asked, ready, build(asked, ready))


def test_a_machine_that_is_kept_has_a_line_with_its_command(tmp_path: Path) -> None:
    asked = request(tmp_path)
    kept = KeptMachine(
        cell=LINUX,
        container="kept",
        enter="docker exec -it kept sh",
        installed_again=False,
        until="2026-03-02T10:00:00Z",
    )
    results_json.write_model(asked.report / "kept" / f"{LINUX}.json", kept)
    report = build(asked)
    assert report.kept == (kept,)
    found = lines(asked, set_up(), report)
    assert f"kept {LINUX} until {kept.until}: {kept.enter}" in found
    assert sum("./e2e clean --kept" in line for line in found) == 1


def test_what_took_longest_is_the_last_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    steps = Progress(environment={}, clock=lambda: now[-1], refreshes=False)
    monkeypatch.setattr(progress, "PROGRESS", steps)
    asked = request(tmp_path)
    assert not [line for line in lines(asked, None, build(asked)) if line.startswith("slowest")]
    step = steps.begin("image index: building", quiet=True)
    now.append(12.0)
    steps.end(step, "")
    assert lines(asked, None, build(asked))[-1] == "slowest: image index 12.0 s"


def test_the_head_of_the_session_says_what_is_verified_with_what() -> None:
    files = release().with_dependencies(Path("cffi-2.0.0-py3-none-any.whl"))
    found = reporting.header(prepared(files, "debian-13"))
    assert found == [
        "engine: 20.10 at unix:///none (a test)",
        *(
            f"image: quiverdb-e2e/{name}:0123456789ab sha256:{name} of 2026-01-01T00:00:00"
            for name in ("index", "publisher", "debian-13")
        ),
        f"wheel: {LINUX_WHEEL} sha256 {'a' * 16}",
        f"wheel: {WINDOWS_WHEEL} sha256 {'b' * 16}",
        "locked: cffi 2.0.0",
    ]
