"""The check of the inputs of stand-ins in JavaScript."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.stand_ins import RUNNER, version_variables

DOWNLOAD = "actions-download-artifact"


def check(folder: Path, version: str, **inputs: str) -> tuple[int, str, str]:
    """Check inputs. Return the exit code, the log, and what is written to the descriptor 3."""
    result = folder / "result"
    program = (
        "import os, runpy, sys\n"
        "os.dup2(os.open(sys.argv.pop(1), os.O_WRONLY | os.O_CREAT), 3)\n"
        "runpy.run_module('stand_ins.check', run_name='__main__')\n"
    )
    variables = {f"INPUT_{name.replace('__', '-').upper()}": text for name, text in inputs.items()}
    process = subprocess.run(
        (sys.executable, "-P", "-c", program, str(result), DOWNLOAD),
        env=os.environ
        | variables
        | version_variables(DOWNLOAD, version)
        | {"PYTHONPATH": str(RUNNER)},
        capture_output=True,
        text=True,
        check=False,
    )
    return process.returncode, process.stdout, result.read_text("utf-8")


@pytest.mark.parametrize(
    ("version", "numbers", "skip", "mismatch"),
    [("v8.0.1", [8, 0, 1], "true", "error"), ("v4.3.0", [4, 3, 0], "false", "warn")],
)
def test_values_are_those_of_the_version(
    tmp_path: Path, version: str, numbers: list[int], skip: str, mismatch: str
) -> None:
    code, _, result = check(tmp_path, version, skip__decompress="true", name=" a ")
    assert code == 0
    checked = json.loads(result)
    assert checked["version"] == numbers
    inputs = checked["inputs"]
    assert (inputs["name"], inputs["skip-decompress"], inputs["digest-mismatch"]) == (
        "a",
        skip,
        mismatch,
    )


def test_unsupported_input_ends_the_action_without_values(tmp_path: Path) -> None:
    code, log, result = check(tmp_path, "v8.0.1", github__token="x")  # noqa: S106
    assert (code, result) == (1, "")
    assert "e2e-unsupported" in log
