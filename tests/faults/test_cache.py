"""Damage in the cache, and a dependency that the suite lacks, are not the package's fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from containers import cache
from tests.faults import edits
from tests.faults.commands import check_form, gate
from tests.helpers import wheel_builder as wheels
from tests.helpers.sample_wheels import linux_wheel
from verification.models.errors import ExitCode

OFFLINE = {
    "PIP_CONFIG_FILE": "/dev/null",
    "PIP_FIND_LINKS": "",
    "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
    "PIP_RETRIES": "1",
}
RELEASE = "0.13.5"


def _lines(output: str) -> list[str]:
    return [line for line in output.splitlines() if "the cached copy is damaged; fetch" in line]


def test_a_truncated_release_that_cannot_be_fetched_again_is_the_testbeds_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    monkeypatch.setenv("QUIVERDB_E2E_STATE", str(state))
    folder = state / "releases" / "quiverdb" / RELEASE
    name = f"quiverdb-{RELEASE}-cp313-cp313-manylinux_2_28_x86_64.whl"
    cache.replace_folder(folder, lambda into: _write(into / name, b"a wheel"))
    (folder / name).write_bytes(b"a whe")
    ended = gate(tmp_path / "report", f"--release={RELEASE}", **OFFLINE)

    assert ended.code == ExitCode.TESTBED_FAILED, ended.output
    assert check_form(tmp_path / "report").verdict == "testbed-failure"
    assert len(_lines(ended.output)) == 1
    (line,) = ended.errors()
    assert line.startswith(f"Exit: cache-damaged: {name}: ")


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def test_a_dependency_that_the_lock_lacks_is_wrong_use(tmp_path: Path) -> None:
    old = b"Requires-Dist: cffi"
    good = linux_wheel(tmp_path)
    (tmp_path / "planted").mkdir()
    changes = edits.metadata(good, old, b"Requires-Dist: iniconfig>=1\n" + old)
    wheel = wheels.mutate(good, tmp_path / "planted", **changes)
    options = (f"--wheels={wheel.parent}", "--machine=debian-13", "--no-provision")
    ended = gate(tmp_path / "report", *options, DOCKER_HOST="unix:///absent")

    assert ended.code == ExitCode.WRONG_USE, ended.output
    (line,) = ended.errors()
    assert f"{wheel.name} requires iniconfig>=1, and " in line


# ---- gates ----


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the state folder of a run whose files are intact."""
    folder = tmp_path_factory.mktemp("filled")
    _verified(folder, folder / "state")
    return folder / "state"


def _verified(tmp_path: Path, state: Path) -> list[str]:
    """Run a gate, which must pass; return the lines about damage that it printed."""
    options = ("--history=none", "--machine=debian-13", "-k", "uv-venv")
    ended = gate(
        tmp_path / "report", f"--release={RELEASE}", *options, QUIVERDB_E2E_STATE=str(state)
    )
    assert ended.code == ExitCode.VERIFIED, ended.output
    return _lines(ended.output)


def _change(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100_000])


@pytest.mark.long
@pytest.mark.parametrize(
    ("pattern", "damage"),
    [
        ("downloads/dependencies-linux-*/cffi-*.whl", Path.unlink),
        ("releases/quiverdb/*/*manylinux*_x86_64.whl", _change),
        ("releases/quiverdb/*/*manylinux*_x86_64.whl", _truncate),
    ],
    ids=["dependency-removed", "release-changed", "release-truncated"],
)
def test_a_damaged_file_is_fetched_again_and_the_release_is_verified(
    tmp_path: Path, filled: Path, pattern: str, damage: object
) -> None:
    assert _verified(tmp_path, filled) == []
    (path,) = filled.glob(pattern)
    assert callable(damage)
    damage(path)
    (line,) = _verified(tmp_path, filled)
    assert path.name in line


@pytest.mark.long
def test_a_dependency_that_no_index_has_stays_the_packages(
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
    ended = gate(tmp_path / "report", *options)

    assert ended.code == ExitCode.PACKAGE_FAILED, ended.output
    (cell,) = check_form(tmp_path / "report").cells
    assert [cause.name for cause in cell.causes] == ["missing-dependency"]
