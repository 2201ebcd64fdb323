"""A gate with bad input prints one line that names the input, and no traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.commands import FinishedCommand, gate, read_report
from tests.helpers.sample_wheels import linux_wheel
from verification.models.errors import ExitCode
from verification.models.verdict import Verdict


def check_error(finished: FinishedCommand, *data: str, code: ExitCode = ExitCode.WRONG_USE) -> None:
    """Check the exit code, and that one line reports the error and contains the data."""
    assert finished.code == code, finished.output
    (line,) = finished.error_lines()
    assert [text for text in data if text not in line] == [], line
    assert "Traceback" not in finished.output
    assert "INTERNALERROR" not in finished.output


def test_missing_folder(tmp_path: Path) -> None:
    check_error(gate(tmp_path / "report", "--wheels", str(tmp_path / "absent")), "absent")


def test_source_without_a_project(tmp_path: Path) -> None:
    check_error(gate(tmp_path / "report", "--source", str(tmp_path)), "pyproject.toml")


def test_folder_without_a_wheel(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    check_error(gate(tmp_path / "report", "--wheels", str(tmp_path / "empty")), "empty", ".whl")


def test_two_versions_in_one_folder(tmp_path: Path) -> None:
    folder = tmp_path / "two"
    folder.mkdir()
    wheel = linux_wheel(folder)
    name, version, tags = wheel.name.split("-", 2)
    (folder / f"{name}-9.{version}-{tags}").write_bytes(wheel.read_bytes())
    check_error(gate(tmp_path / "report", "--wheels", str(folder)), version, f"9.{version}")


def test_wheel_that_is_no_zip_file(tmp_path: Path) -> None:
    folder = tmp_path / "text"
    folder.mkdir()
    name = "quiverdb-1.0-cp313-cp313-manylinux_2_28_x86_64.whl"
    (folder / name).write_text("not a wheel")
    check_error(gate(tmp_path / "report", "--wheels", str(folder)), name)


def test_unknown_machine(tmp_path: Path) -> None:
    """The error line contains the names of the known machines."""
    finished = gate(tmp_path / "report", "--machine", "debian-99")
    check_error(finished, "debian-99", "debian-13", "windows-wine")


def test_unknown_release(tmp_path: Path) -> None:
    """The error line contains the newest published versions."""
    check_error(gate(tmp_path / "report", "--release", "99.1"), "99.1", "0.13.5")


def test_two_origins(tmp_path: Path) -> None:
    finished = gate(tmp_path / "report", "--release", "0.13.5", "--wheels", str(tmp_path))
    check_error(finished, "--wheels", "--release")


@pytest.mark.parametrize("option", ["--wheels", "--release", "--source"])
def test_empty_option(tmp_path: Path, option: str) -> None:
    check_error(gate(tmp_path / "report", f"{option}="), option)


def test_report_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    check_error(gate(tmp_path / "file"), "--report", str(tmp_path / "file"))


@pytest.mark.parametrize("options", [("--no-provision",), ()], ids=["no-provision", "default"])
def test_engine_that_does_not_answer(tmp_path: Path, options: tuple[str, ...]) -> None:
    finished = gate(
        tmp_path / "report",
        "--machine=debian-13",
        *options,
        DOCKER_HOST=f"unix://{tmp_path}/nobody.sock",
    )

    assert finished.code == ExitCode.TESTBED_FAILED, finished.output
    assert "Traceback" not in finished.output
    report = read_report(tmp_path / "report")
    assert report.verdict is Verdict.TESTBED
    (cause,) = {cause for item in report.items for cause in item.causes}
    assert cause.name == "engine-unreachable"
    assert "nobody.sock" in cause.message
    assert "unset DOCKER_HOST" in cause.message
    assert cause.name in finished.output
    # With pip, with uv, and the own tests.
    assert [cell.verdict for cell in report.cells] == [Verdict.UNVERIFIED] * 3
