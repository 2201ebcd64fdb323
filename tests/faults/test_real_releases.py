"""The verdicts about published releases of quiverdb."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.cell_runs import has_facts
from tests.faults.commands import gate, read_report
from verification.models.errors import ExitCode
from verification.models.evidence import read_evidence
from verification.models.report import Report
from verification.models.results import CellResult
from verification.models.verdict import Verdict
from verification.report import results_json

FLAWS = {"stray-top-level", "duplicate-library"}


def _cause_names(report: Report) -> set[str]:
    return {cause.name for item in report.items for cause in item.causes}


@pytest.mark.parametrize(
    ("options", "code", "verdict"),
    [
        ((), ExitCode.VERIFIED, Verdict.VERIFIED),
        # test_gate_plugin.py has the fast test for the option.
        pytest.param(
            *(("--strict-verdict",), ExitCode.PACKAGE_FAILED, Verdict.FAILED),
            marks=pytest.mark.long,
        ),
    ],
    ids=["lenient", "strict"],
)
def test_0_13_5_works_on_debian_13_with_flaws(
    tmp_path: Path, options: tuple[str, ...], code: int, verdict: Verdict
) -> None:
    finished = gate(tmp_path, "--release=0.13.5", "--machine=debian-13", *options)
    report = read_report(tmp_path)

    assert finished.code == code, finished.output
    assert report.verdict is verdict
    assert _cause_names(report) == FLAWS
    assert [cell.verdict for cell in report.cells] == [Verdict.VERIFIED] * 2  # pip and uv
    assert "--tests" in str(report.own_tests_not_run)
    assert {"source-build", "debian-13-pip-own-tests"} <= {out.id for out in report.out_of_scope}


def test_0_13_5_needs_a_runtime_that_a_clean_windows_lacks(tmp_path: Path) -> None:
    names = ("windows-wine", "windows-wine-vcredist", "windows-wine-vcredist-old")
    finished = gate(tmp_path, "--release=0.13.5", *(f"--machine={name}" for name in names), "-n2")
    report = read_report(tmp_path)
    causes = {cell.id: cell.causes for cell in report.cells}

    assert finished.code == ExitCode.PACKAGE_FAILED, finished.output
    for installer in ("pip", "uv"):
        (missing,) = causes[f"windows-wine-{installer}-system"]
        assert missing.name == "missing-runtime-library"
        assert has_facts(missing, library="MSVCP140.dll", needed_by="libquiver.dll")
        assert "delvewheel repair --analyze-existing" in missing.remedy
    assert causes["windows-wine-vcredist-pip-system"] == ()
    (old,) = causes["windows-wine-vcredist-old-pip-system"]
    assert old.name == "runtime-too-old"
    assert str(old.facts["runtime"]).lower() == "msvcp140.dll"
    assert str(old.facts["version"]).startswith("14.34")
    assert "works-with-more" in {note.name for note in report.notes}
    assert _cause_names(report).isdisjoint({"layers-disagree", "unclassified"})
    for cell in report.cells:
        assert _import_code(tmp_path, cell) == 0, "the import passes on all machines"


def test_0_1_0_can_be_imported_and_has_no_native_library(tmp_path: Path) -> None:
    finished = gate(tmp_path, "--release=0.1.0", "--machine=debian-13")
    report = read_report(tmp_path)

    assert finished.code == ExitCode.PACKAGE_FAILED, finished.output
    # The release is one pure wheel. No platform has a declared wheel.
    assert _cause_names(report) == {"incomplete-release", "missing-bundled-library"}
    (cell,) = (cell for cell in report.cells if cell.id == "debian-13-pip-venv")
    assert _import_code(tmp_path, cell) == 0


@pytest.mark.long
def test_published_files_are_compared_with_those_of_an_earlier_gate(tmp_path: Path) -> None:
    verified, second, third = (tmp_path / name for name in ("verified", "second", "third"))
    options = ("--release=0.13.5", "--machine=debian-13")
    assert gate(verified, *options).code == ExitCode.VERIFIED
    finished = gate(second, *options, f"--published-by={verified}")
    assert finished.code == ExitCode.VERIFIED, finished.output
    published = read_report(second).published
    assert published
    digests = read_report(verified).wheels
    assert {name: published.files[name] for name in digests} == digests
    assert published.live
    assert published.live.causes == ()

    # The earlier gate verified another wheel under one of the names.
    name = sorted(digests)[0]
    report = read_report(verified)
    results_json.write_model(
        verified / results_json.NAME,
        report.model_copy(update={"wheels": {**digests, name: "0" * 64}}),
    )
    finished = gate(third, *options, f"--published-by={verified}")
    assert finished.code == ExitCode.PACKAGE_FAILED, finished.output
    (item,) = (item for item in read_report(third).items if item.verdict is Verdict.FAILED)
    (mismatch,) = (cause for cause in item.causes if cause.name == "hash-mismatch")
    assert name in mismatch.where


def _import_code(report: Path, cell: CellResult) -> int | None:
    """Return the exit code of the import in the evidence of a cell."""
    evidence = read_evidence(report / "evidence" / f"{cell.evidence}.json")
    return evidence.import_run.code if evidence.import_run else None


def test_machine_that_the_engine_cannot_run_is_unverified(
    tmp_path: Path, good_windows_wheel: Path
) -> None:
    finished = gate(
        tmp_path, f"--wheels={good_windows_wheel.parent}", "--machine=windows-servercore"
    )
    (cell,) = read_report(tmp_path).cells

    assert finished.code == ExitCode.UNVERIFIED, finished.output
    assert cell.verdict is Verdict.UNVERIFIED
    assert "windows" in cell.reason.lower()
