from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

TESTS = """
import pytest

@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize(
    "cell", [pytest.param(c, marks=pytest.mark.xdist_group(c)) for c in ("one", "two")]
)
def test_reads_the_evidence_of_a_cell(cell, number):
    assert cell
"""


def test_the_tests_of_a_cell_stay_on_one_worker_which_runs_it_once(tmp_path: Path) -> None:
    (tmp_path / "test_cells.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-v", "-n2", "--dist=loadgroup"]
    ran = subprocess.run(
        [*command, "-p", "no:cacheprovider"], cwd=tmp_path, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout
    found = re.findall(r"\[(gw\d)\].*\[(one|two)-\d\]", ran.stdout)
    assert len(found) == 12
    workers = {cell: {worker for worker, of in found if of == cell} for _, cell in found}
    assert {cell: len(of) for cell, of in workers.items()} == {"one": 1, "two": 1}
