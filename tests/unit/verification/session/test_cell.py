from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import wheel_builder as wheels
from verification.models.errors import WrongUse
from verification.models.release import Release, ReleaseFile
from verification.scenarios import cells as plan
from verification.scenarios import machines
from verification.session import cell as cells


def test_a_cell_that_runs_own_tests_needs_some() -> None:
    cell = plan.cell(machines.load()["debian-13"], "pip", "own-tests")
    with pytest.raises(WrongUse, match=r"debian-13-pip-own-tests: it runs .* by --tests"):
        cells.run(None, cell, None)  # type: ignore[arg-type]


def test_the_files_beside_the_project_are_those_of_the_release(tmp_path: Path) -> None:
    wheel = tmp_path / "quiverdb-0.5.0-py3-none-any.whl"
    cffi = tmp_path / "cffi-2.1.1-cp313-cp313-win_amd64.whl"
    older = tmp_path / "cffi-1.17.1-cp313-cp313-win_amd64.whl"
    pip = tmp_path / "pip-26.3-py3-none-any.whl"
    for path in (wheel, cffi, older, pip):
        path.write_bytes(path.name.encode())
    house = Release(
        origin="wheels",
        location="x",
        version="0.5.0",
        wheels=(ReleaseFile.read(wheel),),
        dependencies=(older, cffi, pip),
    )
    found = cells._files(("hashes", "wheels"), house)
    assert found["wheels/cffi-2.1.1-cp313-cp313-win_amd64.whl"] == cffi.name.encode()
    assert not [name for name in found if "1.17.1" in name]
    lines = found["requirements.txt"].decode().splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["quiverdb==0.5.0", "cffi==2.1.1"]
    assert all("--hash=sha256:" in line for line in lines)


def test_the_decoys_are_the_libraries_of_the_windows_wheel(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {"quiverdb/_libs/libquiver.dll": b"MZ"}
    wheel = wheels.build(tmp_path, files, tag=wheels.WINDOWS_TAG)
    other = wheels.build(tmp_path, files)
    release_files = tuple(map(ReleaseFile.read, (other, wheel)))
    house = Release(origin="wheels", location="x", version="1.0.0", wheels=release_files)
    found = cells._files(("decoys",), house)
    assert found == {"libquiver.dll": b"MZ", "decoy/libquiver.dll": b"MZ"}
