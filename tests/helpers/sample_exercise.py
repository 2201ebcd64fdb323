"""A small installed package, and the exercise of it in a new interpreter."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from verification import probe
from verification.models.evidence import ExerciseStep, Steps
from verification.models.machine import DATA_FOLDER, OWN_ACTIONS, PLAN, SCRIPTS, SMOKE_TEST

PROBE = Path(probe.__file__).parent
ValueT = TypeVar("ValueT")
FILES = {
    "sample/__init__.py": "__version__ = '1.2'\n",
    "sample/core.py": "def run(): ...\n",
    "sample_package-1.2.dist-info/METADATA": "Metadata-Version: 2.1\nName: sample-package\n"
    "Version: 1.2\n",
    "sample_package-1.2.dist-info/WHEEL": "Wheel-Version: 1.0\nTag: py3-none-any\n",
    "sample_package-1.2.dist-info/entry_points.txt": "[console_scripts]\n"
    "sample = sample.core:run\n",
}
"""The files of the installed package, by path. `install` adds RECORD with their hashes."""
EMPTY_SMOKE = "def native_call(): ...\ndef round_trip(): ...\n"
"""A smoke test that does nothing."""
SMOKE = """
calls = []
def native_call():
    import sample
    calls.append(1)
    return {"version": sample.__version__, "more": 1}
def round_trip(tables):
    rows = [[len(calls), tables["Plant"]["rows"][0][0]]]
    return {"returned": {"Plant": {"columns": ["calls", "x"], "rows": rows}}}
"""
TABLES = {"tables": {"Plant": {"columns": ["x"], "rows": [[2**63 - 1]]}}}
PLAN_KEYS: Mapping[str, object] = {
    "subject": "sample-package",
    "package": "sample",
    "seconds": {"exercise": 30},
}


class Result(NamedTuple):
    """The result of an exercise."""

    code: int
    lines: list[dict[str, Any]]
    """The lines of its file with the steps."""
    steps: Steps
    trace: str
    stdout: str
    stderr: str


def install(folder: Path, files: Mapping[str, str] = FILES) -> Path:
    """Write the files of the package and its RECORD into a folder, and return the folder."""
    record = ""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
        record += f"{name},sha256={digest.decode()},{len(text)}\n"
    (folder / "sample_package-1.2.dist-info" / "RECORD").write_text(record, "utf-8")
    return folder


def write_scripts(folder: Path, smoke: str, plan: Mapping[str, object]) -> Path:
    """Write the scripts of a machine, and return the folder in which they write."""
    for source, name in SCRIPTS.items():
        (folder / name).write_bytes((PROBE / source).read_bytes())
    (folder / SMOKE_TEST).write_text(smoke, "utf-8")
    (folder / PLAN).write_text(json.dumps(plan), "utf-8")
    data = folder / DATA_FOLDER
    data.mkdir(exist_ok=True)
    return data


def exercise(
    folder: Path,
    installed: Path,
    smoke: str = SMOKE,
    uses: str = "",
    python: str = sys.executable,
    *,
    second: bool = False,
    plan: Mapping[str, object] = PLAN_KEYS,
    **environment: str,
) -> Result:
    """Run the exercise in a folder. `smoke` and `uses` are the texts of the subject's files.

    `plan` has keys of the instructions. With `second`, the exercise observes the package.
    """
    keys = {**PLAN_KEYS, **plan, **(TABLES if "tables" in smoke else {})}
    data = write_scripts(folder, smoke, keys)
    (folder / OWN_ACTIONS).write_text(uses, "utf-8")
    if second:
        data /= "second"
        data.mkdir(exist_ok=True)
    source = str(folder / SCRIPTS["exercise.py"])
    code = f"second = {second}; exec(compile(open({source!r}, 'rb').read(), {source!r}, 'exec'))"
    result = subprocess.run(
        [python, "-S", "-c", code],  # -S: without the packages of this environment
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(installed), **environment},
        capture_output=True,
        timeout=60,
        check=False,
    )
    lines = [json.loads(line) for line in (data / "steps.jsonl").read_text().splitlines()]
    steps = Steps.model_validate({line["step"]: line for line in lines})
    trace = (data / "trace.txt").read_text()
    streams = (result.stdout.decode(), result.stderr.decode())
    return Result(result.returncode, lines, steps, trace, *streams)


def value(step: ExerciseStep[ValueT] | None) -> ValueT:
    """Return the value of a successful step."""
    assert step is not None
    assert step.value is not None
    return step.value
