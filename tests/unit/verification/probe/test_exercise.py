from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from verification import probe
from verification.models.evidence import ClosedFile, Steps

EXERCISE = Path(probe.__file__).with_name("exercise.py")
PACKAGE = "packaging"
OWN = f"""
calls = []
def native_call():
    import {PACKAGE}
    calls.append(1)
    return {{"version": {PACKAGE}.__version__, "more": 1}}
def round_trip(tables):
    rows = [[len(calls), tables["Plant"]["rows"][0][0]]]
    return {{"returned": {{"Plant": {{"columns": ["calls", "x"], "rows": rows}}}}}}
"""
INSTRUCTIONS = {"tables": {"Plant": {"columns": ["x"], "rows": [[2**63 - 1]]}}}
NAMES = [
    "import", "native-call", "run-times", "round-trip", "closed-file", "failing-calls",
    "process-state", "mapped", "distributions", "record", "entry-points",
]  # fmt: skip


class Ran(NamedTuple):
    """An exercise that ran in an interpreter of its own."""

    code: int
    lines: list[dict[str, Any]]
    steps: Steps
    trace: str


def run(folder: Path, own: str = OWN, uses: str = "", **environment: str) -> Ran:
    files = {
        "exercise.py": EXERCISE.read_text("utf-8"),
        "own.py": own,
        "uses.py": uses,
        "instructions.json": json.dumps(INSTRUCTIONS if "tables" in own else {}),
    }
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")
    source = str(folder / "exercise.py")
    ended = subprocess.run(
        [sys.executable, "-c", f"exec(compile(open({source!r}, 'rb').read(), {source!r}, 'exec'))"],
        cwd=folder,
        env={
            **os.environ,
            "E2E_STEPS": str(folder / "steps.jsonl"),
            "E2E_TRACE": str(folder / "trace.txt"),
            "E2E_SUBJECT": PACKAGE,
            "E2E_PACKAGE": PACKAGE,
            "E2E_LIMIT_SECONDS": "30",
            **environment,
        },
        capture_output=True,
        timeout=60,
        check=False,
    )
    lines = [json.loads(line) for line in (folder / "steps.jsonl").read_text().splitlines()]
    ended_steps = {line["step"]: line for line in lines}
    trace = (folder / "trace.txt").read_text()
    return Ran(ended.returncode, lines, Steps.model_validate(ended_steps), trace)


def test_the_steps_are_recorded_in_a_users_order(tmp_path: Path) -> None:
    ran = run(tmp_path)
    assert ran.code == 0
    begun = [line["step"] for line in ran.lines if line.get("begun")]
    assert begun == [*NAMES, "end"]
    assert [line["step"] for line in ran.lines if "ok" in line] == begun
    assert all(step.ok for step in ran.steps.by_name().values())


def test_the_subjects_functions_are_of_one_module(tmp_path: Path) -> None:
    steps = run(tmp_path).steps
    assert steps.native_call is not None
    assert steps.native_call.value is not None
    assert steps.import_package is not None
    assert steps.import_package.value is not None
    assert steps.native_call.value.version == steps.import_package.value.version
    assert (steps.native_call.value.source, steps.native_call.value.lacking) == (None, ())
    assert steps.round_trip is not None
    assert steps.round_trip.value is not None
    assert steps.round_trip.value.returned["Plant"].rows == ((1, 2**63 - 1),)
    assert steps.round_trip.value.not_offered == ()


def test_the_installed_files_are_compared_with_record(tmp_path: Path) -> None:
    record = run(tmp_path).steps.record
    assert record is not None
    assert record.value is not None
    assert record.value.checked > 5
    assert (record.value.wrong, record.value.unreadable) == ((), ())
    assert record.value.tags == ("py3-none-any",)


@pytest.mark.parametrize(
    ("own", "step", "message"),
    [
        ("def native_call(): return 3", "native-call", "native_call of the subject returned int"),
        ("def native_call(): return {}", "native-call", "returned no version"),
        ("def native_call(): pass", "native-call", "returned no version"),
        ("def round_trip(): return [1]", "round-trip", "round_trip of the subject returned list"),
        ("def round_trip(tables): return {'written': {}}", "round-trip", "'returned'"),
        (
            "def round_trip(tables): pass",
            "round-trip",
            "round_trip of the subject returned nothing",
        ),
        (
            "def round_trip(tables): return {'returned': {1, 2}}",
            "round-trip",
            "is not JSON serializable",
        ),
        ("", "native-call", "has no attribute 'native_call'"),
        ("raise OSError(7, 'broken')", "native-call", "[Errno 7] broken"),
    ],
)
def test_a_function_of_the_subject_that_fails_is_recorded(
    tmp_path: Path, own: str, step: str, message: str
) -> None:
    ran = run(tmp_path, own)
    failed = ran.steps.by_name()[step]
    assert ran.code == 0
    assert not failed.ok
    assert failed.error is not None
    assert message in failed.error.message
    assert failed.error.number == (7 if "Errno" in message else None)
    assert ran.steps.end is not None


def test_a_round_trip_that_returns_nothing_has_no_value(tmp_path: Path) -> None:
    step = run(tmp_path, "def round_trip(): pass").steps.round_trip
    assert step is not None
    assert (step.ok, step.value) == (True, None)


WRITES = """
import sqlite3
kept = []
def round_trip():
    connection = sqlite3.connect("data.db")
    connection.execute("CREATE TABLE t (x)")
    connection.commit()
    kept.append(connection)
"""


def test_a_closed_file_is_renamed_and_deleted_and_a_copy_is_left(tmp_path: Path) -> None:
    step = run(tmp_path, WRITES.replace("kept.append(connection)", "connection.close()")).steps
    assert step.closed_file is not None
    assert step.closed_file.value == ClosedFile()
    with sqlite3.connect(tmp_path / "data.db") as connection:
        assert connection.execute("SELECT * FROM t").fetchall() == []
    connection.close()
    assert not (tmp_path / "data.db.renamed").exists()


def test_a_file_that_is_still_open_is_recorded(tmp_path: Path) -> None:
    step = run(tmp_path, WRITES).steps.closed_file
    assert step is not None
    assert step.value == ClosedFile(handles=("data.db",))


def test_a_lock_of_the_package_next_to_the_file_is_not_the_file(tmp_path: Path) -> None:
    own = WRITES.replace("kept.append(connection)", "connection.close()")
    own += "    kept.append(open('data.db.lock', 'w'))"
    step = run(tmp_path, own).steps.closed_file
    assert step is not None
    assert step.value == ClosedFile()


def test_a_deleted_file_that_is_still_open_is_recorded(tmp_path: Path) -> None:
    replaces = "import os; kept.append(open('data.db')); os.remove('data.db')"
    own = WRITES.replace("kept.append(connection)", f"connection.close(); {replaces}")
    own += "    open('data.db', 'w').close()"
    step = run(tmp_path, own).steps.closed_file
    assert step is not None
    assert step.value == ClosedFile(handles=("data.db (deleted)",))


def test_a_file_that_sqlite_keeps_next_to_an_open_one_is_recorded(tmp_path: Path) -> None:
    wal = WRITES.replace(
        "    connection.commit()", "    connection.execute('PRAGMA journal_mode=WAL')"
    )
    own = wal.replace("    kept", "    connection.execute('INSERT INTO t VALUES (1)')\n    kept")
    step = run(tmp_path, own).steps.closed_file
    assert step is not None
    assert step.value is not None
    assert "data.db-wal" in step.value.remains


def test_a_file_that_cannot_be_renamed_is_recorded(tmp_path: Path) -> None:
    own = "import os\ndef round_trip(): os.mkdir('data.db.renamed'); open('data.db', 'w').close()"
    step = run(tmp_path, own).steps.closed_file
    assert step is not None
    assert step.value is not None
    assert "IsADirectoryError" in step.value.refused
    assert (tmp_path / "data.db").is_file()


def test_a_package_without_a_database_has_no_file_to_close(tmp_path: Path) -> None:
    step = run(tmp_path).steps.closed_file
    assert step is not None
    assert (step.ok, step.value) == (True, None)


@pytest.mark.parametrize(
    ("call", "raised", "as_expected"),
    [
        ("int('x')", "ValueError", True),
        ("open('')", "FileNotFoundError", False),
        ("exit(1)", "SystemExit", False),
        ("None", "", False),
    ],
)
def test_a_call_that_must_fail_is_recorded_with_what_it_raised(
    tmp_path: Path, call: str, raised: str, as_expected: bool
) -> None:
    own = f"def failing_calls(): yield 'a call', ValueError, lambda: {call}"
    step = run(tmp_path, own).steps.failing_calls
    assert step is not None
    assert step.value is not None
    (found,) = step.value
    assert (found.call, found.expected) == ("a call", "ValueError")
    assert (found.raised, found.as_expected) == (raised, as_expected)


def test_a_subject_without_failing_calls_has_none(tmp_path: Path) -> None:
    step = run(tmp_path).steps.failing_calls
    assert step is not None
    assert (step.ok, step.value) == (True, ())


def test_a_crash_loses_no_step_before_it(tmp_path: Path) -> None:
    own = "def native_call():\n    import faulthandler\n    faulthandler._sigsegv()"
    ran = run(tmp_path, own)
    assert ran.code == -11
    assert list(ran.steps.by_name()) == ["import", "native-call"]
    assert ran.steps.by_name()["native-call"].begun
    assert "line 3 in native_call" in ran.trace


def test_a_hang_is_ended_with_its_stack(tmp_path: Path) -> None:
    own = "def native_call():\n    import time\n    time.sleep(60)"
    ran = run(tmp_path, own, E2E_LIMIT_SECONDS="1")
    assert ran.code == 1
    assert "Timeout" in ran.trace
    assert "line 3 in native_call" in ran.trace


def test_the_uses_of_the_scenario_come_last(tmp_path: Path) -> None:
    uses = "def one(): return [1]\ndef two(): raise ValueError('no')\n"
    steps = run(tmp_path, uses=uses, E2E_USES="one two").steps
    assert (steps.uses["one"].ok, steps.uses["one"].value) == (True, [1])
    assert steps.uses["two"].error is not None
    assert steps.uses["two"].error.message == "no"
    assert list(steps.by_name())[-2:] == ["one", "two"]


def test_the_prelude_runs_before_the_import(tmp_path: Path) -> None:
    prelude = f"import sys; assert {PACKAGE!r} not in sys.modules"
    ran = run(tmp_path, E2E_PRELUDE=prelude)
    assert ran.lines[0]["step"] == "prelude"
    assert ran.lines[1]["ok"]


def test_the_steps_can_run_in_another_thread(tmp_path: Path) -> None:
    own = (
        "def native_call():\n    import threading\n"
        "    main = threading.current_thread() is threading.main_thread()\n"
        "    return {'version': str(main)}"
    )
    here, there = tmp_path / "here", tmp_path / "there"
    for folder, environment, version in (
        (here, {}, "True"),
        (there, {"E2E_IN": "thread"}, "False"),
    ):
        folder.mkdir()
        step = run(folder, own, **environment).steps.native_call
        assert step is not None
        assert step.value is not None
        assert step.value.version == version


def test_a_changed_state_of_the_process_is_recorded(tmp_path: Path) -> None:
    own = "def native_call():\n    import os\n    os.umask(0o77)\n    return {'version': '1'}"
    step = run(tmp_path, own).steps.process_state
    assert step is not None
    assert step.value is not None
    assert step.value["umask"][1] == "0o77"
    assert list(step.value) == ["umask"]
