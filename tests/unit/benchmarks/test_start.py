"""Each benchmark starts from any folder. The shell script of each compared cell is valid."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks import full
from verification.models.release import Release

FOLDER = Path(full.__file__).parent


@pytest.mark.parametrize("name", ["full", "gate", "mutation", "wine"])
def test_a_benchmark_starts_from_another_folder(name: str, tmp_path: Path) -> None:
    command = [sys.executable, str(FOLDER / f"{name}.py"), "--help"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert "usage:" in result.stdout


def test_the_script_of_each_compared_cell_is_valid_shell(tmp_path: Path) -> None:
    release = Release(origin="source", location="", version="1.2", wheels=())
    cells = full.compared_cells("")
    assert {cell.machine.os for cell in cells} == {"linux", "windows"}
    scripts = [
        full.script(cell, full.cell_instructions(cell, release), exercised=exercised)
        for cell in cells
        for exercised in (False, True)
    ]
    path = tmp_path / "scripts"
    path.write_text("\n".join(scripts), "utf-8")
    subprocess.run(["sh", "-n", path], check=True)
