"""Each test reads the state in a separate process, because it changes the state."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from verification.probe import process_state


def run(code: str) -> dict[str, dict[str, list[str | None]]]:
    """Run code between two readings, and return old and new value by reading, kind and name."""
    script = (
        "import json, process_state as state\n"
        "whole, basic = state.whole(), state.basic()\n"
        f"{code}\n"
        "found = {f'{c[\"kind\"]}: {c[\"name\"]}': [c['old'], c['new']]"
        " for c in state.changes(whole)}\n"
        "print(json.dumps({'whole': found, 'basic': state.changed_basic(basic)}))"
    )
    folder = Path(process_state.__file__).parent
    command = [sys.executable, "-c", script]
    result = subprocess.run(
        command, cwd=folder, capture_output=True, check=True, text=True, timeout=60
    )
    changes: dict[str, dict[str, list[str | None]]] = json.loads(result.stdout)
    return changes


def test_unchanged_state_has_no_changes() -> None:
    assert run("import logging, socket, decimal, threading") == {"whole": {}, "basic": {}}


@pytest.mark.parametrize(
    ("code", "name", "old"),
    [
        ("import os; os.umask(0o77)", "umask", "0o22"),
        ("import signal; signal.signal(signal.SIGTERM, print)", "handler of SIGTERM", "0"),
    ],
)
def test_basic_state_is_part_of_the_whole_state(code: str, name: str, old: str) -> None:
    changes = run(f"import os; os.umask(0o22)\nwhole, basic = state.whole(), state.basic()\n{code}")
    assert changes["basic"][name] == changes["whole"][f"process: {name}"]
    assert changes["basic"][name][0] == old


def test_long_value_is_cut_and_a_removed_value_is_none() -> None:
    code = "import os; os.environ['LONG'] = 'x' * 9000; os.environ.pop('HOME', None)"
    changes = run(f"import os; os.environ['HOME'] = '/x'\nwhole = state.whole()\n{code}")["whole"]
    old, new = changes["environment variable: LONG"]
    assert (old, len(new or "")) == (None, 4000)
    assert changes["environment variable: HOME"] == ["/x", None]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux identifies open files")
def test_file_of_a_standard_stream_belongs_to_the_state() -> None:
    same = run("import os; os.dup2(os.dup(2), 2)")["whole"]
    changed = run("import os; os.dup2(os.open('/dev/zero', os.O_RDWR), 2); os.close(0)")["whole"]
    names = {f"process: file of descriptor {number}" for number in (0, 2)}
    assert same == {}
    assert set(changed) == names | {"process: sys.stderr"}
    assert changed["process: file of descriptor 0"][1] == "closed"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux identifies open files")
def test_stream_of_the_same_type_with_another_file_is_a_change() -> None:
    changed = run("import sys; sys.stderr = open('/dev/null', 'w', errors='backslashreplace')")
    old, new = changed["whole"]["process: sys.stderr"]
    assert (new or "").endswith(" /dev/null")
    assert old != new
    assert run("import io, sys; sys.stderr.flush()")["whole"] == {}


def test_python_without_ctypes_reads_the_other_state() -> None:
    without = "import os, sys; sys.modules['ctypes'] = None\nwhole = state.whole()"
    code = f"{without}\nos.environ['X'] = '1'\nstate.flush_native()"
    assert run(code)["whole"] == {"environment variable: X": [None, "1"]}
