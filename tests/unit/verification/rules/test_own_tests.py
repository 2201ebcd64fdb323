from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from verification.rules import own_tests
from verification.rules.own_tests import judge, read

LEDGER = Path(own_tests.__file__).parents[1] / "probe" / "own_tests_plugin.py"
# The part of the package is played by a small module of the standard library.
SUBJECT = "colorsys"
GOOD = f"import {SUBJECT}\ndef test_a(): assert {SUBJECT}.rgb_to_hsv(1, 1, 1)\n"


def _ran(folder: Path, files: dict[str, str], *, seconds: float = 30) -> dict[str, Any]:
    """Run these tests with the real pytest, as the probe does; return the evidence."""
    (folder / "plugin").mkdir()
    (folder / "plugin" / "e2e_ledger.py").write_bytes(LEDGER.read_bytes())
    (folder / "tests").mkdir()
    for name, text in files.items():
        (folder / "tests" / name).write_text(text)
    ledger, trace = folder / "ledger.jsonl", folder / "trace.txt"
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:faulthandler"),
            *("-p", "e2e_ledger", "--rootdir=.", f"--basetemp={folder / 'scratch'}", "tests"),
        ],
        cwd=folder,
        env=kept
        | {
            "PYTHONPATH": str(folder / "plugin"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "E2E_LEDGER": str(ledger),
            "E2E_TRACE": str(trace),
            "E2E_SUBJECT": SUBJECT,
            "E2E_LIMIT_SECONDS": str(seconds),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    told = {"code": ended.returncode, "stdout": ended.stdout, "stderr": ended.stderr}
    text = ledger.read_text() if ledger.exists() else ""
    return {**told, "seconds": 1.0, "tool": {"code": 0}, "trace": trace.read_text(), **read(text)}


def _judged(told: dict[str, Any], **more: Any) -> list[tuple[str, str]]:
    how = {"died": None, "hung": False, "frame": "a.py:1 in a", **more}
    return [(cause.name, cause.where) for cause in judge(told, "cell", SUBJECT, **how)]


def test_every_outcome_is_counted_and_each_failure_named(tmp_path: Path) -> None:
    tests = GOOD + (
        "import pytest\n"
        "def test_bad():\n    value = 1\n    assert value == 2\n"
        "@pytest.fixture\ndef broken():\n    yield\n    raise OSError('no end')\n"
        "def test_end(broken): pass\n"
        "@pytest.mark.skip(reason='no time')\ndef test_skip(): pass\n"
        "def test_skip_in(): pytest.skip('no place')\n"
        "@pytest.mark.xfail(reason='known')\ndef test_xfail(): raise OSError\n"
        "@pytest.mark.xfail\ndef test_xpass(): pass\n"
    )
    told = _ran(tmp_path, {"test_it.py": tests})

    assert told["counts"] == {
        "failed": 1, "error": 1, "uncollected": 0, "passed": 1, "xpassed": 1, "xfailed": 1,
        "skipped": 2, "deselected": 0,
    }  # fmt: skip
    assert told["collected"] == told["begun"] == 7
    assert told["end"]["imported"]
    assert [(one["node"], one["outcome"]) for one in told["failures"]] == [
        ("tests/test_it.py::test_bad", "failed"),
        ("tests/test_it.py::test_end", "error"),
    ]
    assert "E       assert 1 == 2" in told["failures"][0]["text"]
    assert _judged(told) == [
        ("own-tests-failed", "cell: tests/test_it.py::test_bad"),
        ("own-tests-failed", "cell: tests/test_it.py::test_end"),
    ]
    assert own_tests.sentence(told) == (
        "1 passed, 1 failed, 1 error, 1 xpassed, 1 xfailed, 2 skipped"
    )
    assert own_tests.reasons(told) == [
        "1 skipped: no place", "1 skipped: no time", "1 xfailed: known",
    ]  # fmt: skip


def test_a_good_run_has_no_cause(tmp_path: Path) -> None:
    told = _ran(tmp_path, {"test_it.py": GOOD})
    assert (told["code"], _judged(told), own_tests.sentence(told)) == (0, [], "1 passed")
    assert "Warning" not in told["stdout"] + told["stderr"]


@pytest.mark.parametrize(
    ("files", "where", "says"),
    [
        ({}, "own tests", "no test ran (none found)"),
        (
            {"test_it.py": "import pytest\npytest.skip('not here', allow_module_level=True)"},
            "own tests",
            "no test ran (1 skipped)",
        ),
        (
            {"test_it.py": GOOD, "conftest.py": "import nowhere"},
            "own tests",
            "pytest ended with 4 before any test: ModuleNotFoundError: No module named 'nowhere'",
        ),
        (
            {"test_it.py": GOOD, "test_b.py": "import nowhere"},
            "tests/test_b.py",
            "ModuleNotFoundError: No module named 'nowhere'",
        ),
        (
            {"test_it.py": GOOD + "import pytest\ndef test_b(): pytest.exit('enough')\n"
                           "def test_c(): pass\n"},
            "own tests",
            "2 of 3 tests ran, then pytest ended with 2",
        ),
        ({"test_it.py": "def test_a(): pass"}, "own tests", "none of the tests imported colorsys"),
        (
            {
                "test_it.py": GOOD,
                "conftest.py": "def pytest_sessionfinish(session): session.exitstatus = 9",
            },
            "own tests",
            "no test failed, and pytest ended with 9",
        ),
        (
            {
                "test_it.py": GOOD,
                "conftest.py": "def pytest_collection_modifyitems(items):\n    raise OSError('x')",
            },
            "own tests",
            "pytest failed: ",
        ),
    ],
    ids=["empty", "skipped", "conftest", "file", "exit", "other", "code", "internal"],
)  # fmt: skip
def test_a_run_that_runs_nothing_or_not_all_is_no_pass(
    tmp_path: Path, files: dict[str, str], where: str, says: str
) -> None:
    told = _ran(tmp_path, files)
    (cause,) = judge(told, "cell", SUBJECT, died=None, hung=False, frame="")
    assert (cause.name, cause.where) == ("own-tests-not-run", f"cell: {where}")
    assert says in cause.message


def test_tests_that_their_own_settings_leave_out_are_told(tmp_path: Path) -> None:
    ini = "[pytest]\naddopts = -k test_a\n"
    told = _ran(tmp_path, {"test_it.py": GOOD + "def test_b(): pass\n", "pytest.ini": ini})
    assert own_tests.sentence(told) == "1 passed, 1 deselected"
    assert told["left_out"][0]["node"] == "tests/test_it.py::test_b"


def test_an_interpreter_that_ends_in_a_test_crashed_there(tmp_path: Path) -> None:
    told = _ran(tmp_path, {"test_it.py": GOOD + "def test_b(): import os; os._exit(0)\n"})
    assert told["code"] == 0
    assert _judged(told) == [("crash", "cell: tests/test_it.py::test_b")]


def test_a_signal_and_a_hang_are_told_with_the_test_and_the_stack(tmp_path: Path) -> None:
    tests = GOOD + "def test_b(): import time; time.sleep(60)\n"
    told = _ran(tmp_path, {"test_it.py": tests}, seconds=2)
    assert told["code"] == -14
    assert 'test_it.py", line 3 in test_b' in told["trace"]
    assert _judged(told, hung=True) == [("hang", "cell: tests/test_it.py::test_b")]
    assert _judged(told, died=("crash", "killed")) == [("crash", "cell: tests/test_it.py::test_b")]


def test_many_failures_are_told_by_five_and_a_number() -> None:
    lines = [{"kind": "collected", "number": 8}]
    for number in range(8):
        node = f"t.py::test_{number}"
        lines += [{"kind": "begun", "node": node}, {"kind": "ended", "node": node}]
        lines.append({"kind": "report", "node": node, "outcome": "failed", "text": "E   no"})
    lines.append({"kind": "end", "code": 1, "file": "x", "imported": True})
    told = read("\n".join(map(json.dumps, lines))) | {"code": 1, "stdout": "", "stderr": ""}
    causes = list(judge(told, "cell", SUBJECT, died=None, hung=False, frame=""))
    assert [cause.name for cause in causes] == ["own-tests-failed"] * 6
    assert causes[-1].message.startswith("3 more (t.py::test_5, t.py::test_6, t.py::test_7)")


def test_a_line_that_was_cut_short_is_passed_over_and_a_strange_one_is_not() -> None:
    assert read('{"kind": "collected", "number": 3}\n{"kind": "be')["collected"] == 3
    with pytest.raises(ValueError, match="a line of the kind 'other'"):
        read('{"kind": "other"}')


def test_pytest_that_cannot_be_had_is_the_testbeds_failure() -> None:
    tool = {"code": 1, "stdout": "", "stderr": "ERROR: No matching distribution"}
    told = {"tool": tool, **read("")}
    (cause,) = judge(told, "cell", SUBJECT, died=None, hung=False, frame="")
    assert (cause.name, cause.severity) == ("machine-lost", "testbed")
    assert "No matching distribution" in cause.message


def test_the_folder_is_taken_without_what_python_left_there(tmp_path: Path) -> None:
    assert own_tests.unusable(tmp_path / "x") == "there is no such folder"
    assert own_tests.unusable(tmp_path) == "there is no test_*.py in it"
    for name in ("deep/test_a.py", "deep/data.sql", "__pycache__/a.pyc"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    found = own_tests.files(tmp_path)
    assert list(found) == ["deep/data.sql", "deep/test_a.py"]
    assert own_tests.unusable(tmp_path) == ""
    assert own_tests.digest(found) == own_tests.digest(dict(reversed(found.items())))
    assert own_tests.digest(found) != own_tests.digest(found | {"deep/data.sql": b"x"})
