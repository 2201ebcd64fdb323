"""How far a run verifies each file of a release."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.sample_run import (
    LINUX,
    LINUX_WHEEL,
    MACOS_WHEEL,
    SOURCE_DISTRIBUTION,
    WINDOWS,
    WINDOWS_WHEEL,
    cell,
    crash,
    inspection,
    report,
)
from tests.helpers.sample_testbed import release
from verification.models.inspection import ReleaseInspection
from verification.models.report import FileCoverage, FileResult, Report
from verification.models.results import CellResult, Coverage, PlatformResult
from verification.models.verdict import Outcome
from verification.session.file_results import file_results

AARCH64 = "quiverdb-0.5.0-cp313-cp313-manylinux_2_28_aarch64.whl"
WIN32 = "quiverdb-0.5.0-cp313-cp313-win32.whl"
MUSL = "quiverdb-0.5.0-cp313-cp313-musllinux_1_2_x86_64.whl"


def served(result: CellResult, wheel: str = LINUX_WHEEL) -> CellResult:
    return result.model_copy(update={"wheel": wheel})


def results(run: Report, **files: object) -> dict[str, FileResult]:
    release_files = release().model_copy(update=files)
    return {file.name: file for file in file_results(run, release_files)}


def test_each_file_of_a_release_has_a_result() -> None:
    wheels = (LINUX_WHEEL, WINDOWS_WHEEL, MACOS_WHEEL)
    run = report(served(cell(LINUX)), served(cell(WINDOWS), WINDOWS_WHEEL)).model_copy(
        update={
            "static": ReleaseInspection(wheels=tuple(inspection(n, "a" * 64) for n in wheels)),
            "platforms": (
                PlatformResult(
                    tag="macosx_11_0_arm64",
                    coverage=Coverage.INSPECTED_ONLY,
                    wheels=(MACOS_WHEEL,),
                ),
            ),
        }
    )
    files = results(
        run,
        wheels=release(*wheels).wheels,
        additional=(Path(SOURCE_DISTRIBUTION),),
        undeclared=(WIN32, AARCH64),
        not_fetched={MUSL: "404"},
    )
    assert {name: file.coverage for name, file in files.items()} == {
        LINUX_WHEEL: FileCoverage.VERIFIED,
        WINDOWS_WHEEL: FileCoverage.VERIFIED,
        MACOS_WHEEL: FileCoverage.INSPECTED,
        SOURCE_DISTRIBUTION: FileCoverage.NOT_READ,
        WIN32: FileCoverage.NOT_READ,
        AARCH64: FileCoverage.NOT_READ,
        MUSL: FileCoverage.NOT_READ,
    }
    assert list(files) == sorted(files)
    for file in files.values():
        is_verified = file.coverage is FileCoverage.VERIFIED
        assert bool(file.reason) is not is_verified, file
        assert bool(file.machines) is is_verified, file
        assert bool(file.checks) is (file.coverage is not FileCoverage.NOT_READ), file
    assert "macosx_11_0_arm64" in files[MACOS_WHEEL].reason
    assert files[MUSL].reason == "404"
    assert files[LINUX_WHEEL].machines == ("debian-13",)


def test_file_that_fails_in_one_of_its_cells_failed() -> None:
    other = "debian-12-pip-venv"
    run = report(served(cell(LINUX)), served(cell(other, crash(other))))
    file = results(run)[LINUX_WHEEL]
    assert (file.coverage, file.machines) == (FileCoverage.FAILED, ("debian-13", "debian-12"))


@pytest.mark.parametrize("outcome", [Outcome.TESTBED, Outcome.UNVERIFIED])
def test_failure_of_the_testbed_is_no_failure_of_the_file(outcome: Outcome) -> None:
    file = results(report(served(cell(LINUX, outcome=outcome))))[LINUX_WHEEL]
    assert file.coverage is FileCoverage.INSPECTED
    assert file.reason


@pytest.mark.parametrize("coverage", list(Coverage))
def test_reason_of_an_inspected_file_depends_on_the_coverage_of_its_platform(
    coverage: Coverage,
) -> None:
    def reason(value: Coverage) -> str:
        platform = PlatformResult(tag="win_amd64", coverage=value, wheels=(WINDOWS_WHEEL,))
        run = report(cell(LINUX)).model_copy(update={"platforms": (platform,)})
        return results(run)[WINDOWS_WHEEL].reason

    assert [value for value in Coverage if reason(value) == reason(coverage)] == [coverage]
