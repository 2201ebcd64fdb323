"""Bad input: one clear line, the right exit code, no traceback, nothing left running."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.faults.commands import Ended, gate
from tests.helpers.sample_wheels import linux_wheel
from verification.models.errors import ExitCode


def _is_one_line(ended: Ended, *words: str) -> None:
    (line,) = ended.errors()
    assert all(word in line for word in words), line
    assert "Traceback" not in ended.output
    assert "INTERNALERROR" not in ended.output


def test_no_such_folder(tmp_path: Path) -> None:
    ended = gate(tmp_path / "report", "--wheels", str(tmp_path / "absent"))

    assert ended.code == ExitCode.WRONG_USE
    _is_one_line(ended, "absent", "there is no such folder")


def test_no_such_source(tmp_path: Path) -> None:
    ended = gate(tmp_path / "report", "--source", str(tmp_path))

    assert ended.code == ExitCode.WRONG_USE
    _is_one_line(ended, "there is no pyproject.toml")


def test_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ended = gate(tmp_path / "report", "--wheels", str(tmp_path / "empty"))

    assert ended.code == ExitCode.WRONG_USE
    _is_one_line(ended, "empty", "no .whl file")


def test_two_versions_in_one_folder(tmp_path: Path) -> None:
    folder = tmp_path / "two"
    folder.mkdir()
    wheel = linux_wheel(folder)
    name, version, tags = wheel.name.split("-", 2)
    (folder / f"{name}-9.{version}-{tags}").write_bytes(wheel.read_bytes())
    ended = gate(tmp_path / "report", "--wheels", str(folder))

    assert ended.code == ExitCode.WRONG_USE
    _is_one_line(ended, "two versions in one folder", version, f"9.{version}")


def test_a_file_that_is_no_zip(tmp_path: Path) -> None:
    folder = tmp_path / "text"
    folder.mkdir()
    (folder / "quiverdb-1.0-cp313-cp313-manylinux_2_28_x86_64.whl").write_text("not a wheel")
    ended = gate(tmp_path / "report", "--wheels", str(folder))

    assert ended.code == ExitCode.WRONG_USE
    _is_one_line(ended, "quiverdb-1.0-cp313-cp313-manylinux_2_28_x86_64.whl", "zip")


def test_an_unknown_machine_is_answered_with_those_there_are(tmp_path: Path) -> None:
    ended = gate(tmp_path / "report", "--machine", "debian-99")

    assert ended.code == ExitCode.WRONG_USE
    _is_one_line(ended, "debian-99", "there are:", "debian-13")


def test_an_unknown_release_is_answered_with_those_there_are(tmp_path: Path) -> None:
    ended = gate(tmp_path / "report", "--release", "99.1")

    assert ended.code == ExitCode.WRONG_USE
    _is_one_line(ended, "99.1", "the newest are:", "0.13.5")


def test_two_inputs_at_once(tmp_path: Path) -> None:
    ended = gate(tmp_path / "report", "--release", "0.13.5", "--wheels", str(tmp_path))

    assert ended.code == ExitCode.WRONG_USE
    _is_one_line(ended, "--wheels and --release exclude one another")


@pytest.mark.parametrize("option", ["--wheels=", "--release=", "--source="])
def test_an_empty_option_is_not_taken_for_none(tmp_path: Path, option: str) -> None:
    ended = gate(tmp_path / "report", option)

    assert ended.code == ExitCode.WRONG_USE
    _is_one_line(ended, "empty")


def test_a_report_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    ended = gate(tmp_path / "file")

    assert ended.code == ExitCode.WRONG_USE
    _is_one_line(ended, "--report", "cannot be written")


@pytest.mark.parametrize("options", [("--no-provision",), ()], ids=["no-provision", "demanded"])
def test_no_engine(tmp_path: Path, options: tuple[str, ...]) -> None:
    ended = gate(
        tmp_path / "report",
        "--machine=debian-13",
        *options,
        DOCKER_HOST=f"unix://{tmp_path}/nobody.sock",
    )

    assert ended.code == ExitCode.TESTBED_FAILED
    _is_one_line(ended, "engine-unreachable", "nobody.sock", "apt-get install docker.io")
    told = json.loads((tmp_path / "report" / "results.json").read_text("utf-8"))
    assert told["verdict"] == "testbed-failure"
    assert [cell["verdict"] for cell in told["cells"]] == [
        "unverified"
    ] * 3  # with pip, with uv, own tests
