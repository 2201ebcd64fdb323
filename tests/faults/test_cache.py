"""Damaged files in the cache and dependencies without a lock are no faults of the package."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from containers import cache
from tests.faults import edits
from tests.faults.commands import gate, read_report
from tests.helpers import wheel_builder as wheels
from tests.helpers.sample_wheels import linux_wheel
from verification.models.errors import ExitCode
from verification.models.verdict import Verdict

OFFLINE = {
    "PIP_CONFIG_FILE": "/dev/null",
    "PIP_FIND_LINKS": "",
    "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
    "PIP_RETRIES": "1",
}
RELEASE = "0.13.5"


def _lines_about(output: str, name: str) -> list[str]:
    """Return the progress lines of a gate about the file with this name."""
    pattern = re.compile(rf"(\d\d:\d\d:\d\d \[.*?\] )?{re.escape(name)}: ")
    return [line for line in output.splitlines() if pattern.match(line)]


def test_truncated_release_that_cannot_be_downloaded_is_a_testbed_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    monkeypatch.setenv("QUIVERDB_E2E_STATE", str(state))
    folder = state / "releases" / "quiverdb" / RELEASE
    name = f"quiverdb-{RELEASE}-cp313-cp313-manylinux_2_28_x86_64.whl"
    cache.replace_folder(folder, lambda into: _write(into / name, b"a wheel"))
    (folder / name).write_bytes(b"a whe")
    finished = gate(tmp_path / "report", f"--release={RELEASE}", **OFFLINE)

    assert finished.code == ExitCode.TESTBED_FAILED, finished.output
    report = read_report(tmp_path / "report")
    assert report.verdict is Verdict.TESTBED
    assert len(_lines_about(finished.output, name)) == 1
    (cause,) = {cause for item in report.items for cause in item.causes}
    assert cause.name == "cache-damaged"
    assert name in f"{cause.where} {cause.message}"


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def test_dependency_without_a_lock_is_wrong_use(tmp_path: Path) -> None:
    old = b"Requires-Dist: cffi"
    good = linux_wheel(tmp_path)
    (tmp_path / "planted").mkdir()
    changes = edits.metadata(good, old, b"Requires-Dist: iniconfig>=1\n" + old)
    wheel = wheels.mutate(good, tmp_path / "planted", **changes)
    options = (f"--wheels={wheel.parent}", "--machine=debian-13", "--no-provision")
    finished = gate(tmp_path / "report", *options, DOCKER_HOST="unix:///absent")

    assert finished.code == ExitCode.WRONG_USE, finished.output
    (line,) = finished.error_lines()
    assert wheel.name in line
    assert "iniconfig>=1" in line


# ---- gates ----


@pytest.fixture(scope="module")
def filled_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the state folder of a run, with intact files."""
    folder = tmp_path_factory.mktemp("filled")
    _verified_gate(folder, folder / "state")
    return folder / "state"


def _verified_gate(tmp_path: Path, state: Path) -> str:
    """Run a gate, which must be verified, and return its output."""
    options = ("--history=none", "--machine=debian-13", "-k", "uv-venv")
    finished = gate(
        tmp_path / "report", f"--release={RELEASE}", *options, QUIVERDB_E2E_STATE=str(state)
    )
    assert finished.code == ExitCode.VERIFIED, finished.output
    return finished.output


def _change_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100_000])


@pytest.mark.long
@pytest.mark.parametrize(
    ("pattern", "damage"),
    [
        ("downloads/dependencies-*/cffi-2.*manylinux*.whl", Path.unlink),
        ("releases/quiverdb/*/*manylinux*_x86_64.whl", _change_byte),
        ("releases/quiverdb/*/*manylinux*_x86_64.whl", _truncate),
    ],
    ids=["dependency-removed", "release-changed", "release-truncated"],
)
def test_damaged_file_is_downloaded_again_and_the_release_is_verified(
    tmp_path: Path, filled_state: Path, pattern: str, damage: Callable[[Path], None]
) -> None:
    (path,) = filled_state.glob(pattern)
    assert _lines_about(_verified_gate(tmp_path, filled_state), path.name) == []
    damage(path)
    assert len(_lines_about(_verified_gate(tmp_path, filled_state), path.name)) == 1


@pytest.mark.long
def test_dependency_that_no_index_has_is_a_fault_of_the_package(
    tmp_path: Path, good_wheel: Path
) -> None:
    old = b"Requires-Dist: cffi"
    changes = edits.metadata(good_wheel, old, b"Requires-Dist: pycparser>=99\n" + old)
    wheel = wheels.mutate(good_wheel, tmp_path, **changes)
    options = (
        f"--wheels={wheel.parent}",
        "--machine=debian-13",
        "--history=none",
        "-k",
        "pip-venv",
    )
    finished = gate(tmp_path / "report", *options)

    assert finished.code == ExitCode.PACKAGE_FAILED, finished.output
    (cell,) = read_report(tmp_path / "report").cells
    assert [cause.name for cause in cell.causes] == ["missing-dependency"]
