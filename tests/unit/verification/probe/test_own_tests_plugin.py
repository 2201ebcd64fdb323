from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from verification import probe
from verification.models.evidence import OwnTestsRecord, TestOutcome
from verification.session.own_tests import read_ledger

PLUGIN = Path(probe.__file__).with_name("own_tests_plugin.py")
# A small module of the standard library stands for the package.
PACKAGE = "colorsys"
GOOD = f"import {PACKAGE}\ndef test_a(): assert {PACKAGE}.rgb_to_hsv(1, 1, 1)\n"


class Ended(NamedTuple):
    """A run of tests with the real pytest, as the probe starts it."""

    code: int
    output: str
    trace: str
    record: OwnTestsRecord


def run(folder: Path, files: dict[str, str], *, seconds: float = 30) -> Ended:
    (folder / "plugin").mkdir()
    (folder / "plugin" / "e2e_ledger.py").write_bytes(PLUGIN.read_bytes())
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
            "E2E_SUBJECT": PACKAGE,
            "E2E_LIMIT_SECONDS": str(seconds),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    text = ledger.read_text() if ledger.exists() else ""
    return Ended(
        ended.returncode, ended.stdout + ended.stderr, trace.read_text(), read_ledger(text)
    )


def counts(record: OwnTestsRecord) -> dict[str, int]:
    return {str(outcome): number for outcome, number in record.counts.items() if number}


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
    record = run(tmp_path, {"test_it.py": tests}).record

    assert set(record.counts) == set(TestOutcome)
    assert counts(record) == {
        "failed": 1, "error": 1, "passed": 1, "xpassed": 1, "xfailed": 1, "skipped": 2,
    }  # fmt: skip
    assert record.collected == record.begun == 7
    assert record.end is not None
    assert record.end.imported
    assert [(one.node, one.outcome) for one in record.failures] == [
        ("tests/test_it.py::test_bad", "failed"),
        ("tests/test_it.py::test_end", "error"),
    ]
    assert "E       assert 1 == 2" in record.failures[0].text
    assert [(one.outcome, one.reason) for one in record.left_out] == [
        ("skipped", "no time"),
        ("skipped", "no place"),
        ("xfailed", "known"),
    ]


def test_a_good_run_is_recorded_without_a_warning(tmp_path: Path) -> None:
    ended = run(tmp_path, {"test_it.py": GOOD})
    assert (ended.code, counts(ended.record), ended.record.within) == (0, {"passed": 1}, "")
    assert (ended.record.failures, ended.record.internal) == ((), "")
    assert ended.record.pytest == pytest.__version__
    assert "Warning" not in ended.output


def test_no_tests_are_recorded_as_none(tmp_path: Path) -> None:
    record = run(tmp_path, {}).record
    assert (record.collected, counts(record)) == (0, {})
    assert record.end is not None
    assert record.end.code == 5


def test_a_module_that_is_skipped_is_recorded(tmp_path: Path) -> None:
    tests = "import pytest\npytest.skip('not here', allow_module_level=True)"
    record = run(tmp_path, {"test_it.py": tests}).record
    assert (record.begun, counts(record)) == (0, {"skipped": 1})


def test_a_conftest_that_fails_is_before_every_record(tmp_path: Path) -> None:
    ended = run(tmp_path, {"test_it.py": GOOD, "conftest.py": "import nowhere"})
    assert (ended.code, ended.record.end, ended.record.begun) == (4, None, 0)
    assert "No module named 'nowhere'" in ended.output


def test_a_file_that_cannot_be_read_is_uncollected(tmp_path: Path) -> None:
    record = run(tmp_path, {"test_it.py": GOOD, "test_b.py": "import nowhere"}).record
    (failure,) = record.failures
    assert (failure.node, failure.outcome) == ("tests/test_b.py", "uncollected")
    assert "No module named 'nowhere'" in failure.text


def test_a_run_that_a_test_ends_has_run_fewer_than_were_collected(tmp_path: Path) -> None:
    tests = GOOD + "import pytest\ndef test_b(): pytest.exit('enough')\ndef test_c(): pass\n"
    record = run(tmp_path, {"test_it.py": tests}).record
    assert (record.begun, record.collected) == (2, 3)
    assert record.end is not None
    assert record.end.code == 2


def test_tests_that_do_not_import_the_package_are_recorded(tmp_path: Path) -> None:
    end = run(tmp_path, {"test_it.py": "def test_a(): pass"}).record.end
    assert end is not None
    assert not end.imported
    assert end.file is not None
    assert end.file.endswith("colorsys.py")


def test_the_failure_of_pytest_itself_is_recorded(tmp_path: Path) -> None:
    plugin = "def pytest_collection_modifyitems(items):\n    raise OSError('x')"
    record = run(tmp_path, {"test_it.py": GOOD, "conftest.py": plugin}).record
    assert "OSError: x" in record.internal


def test_tests_that_their_own_settings_leave_out_are_recorded(tmp_path: Path) -> None:
    ini = "[pytest]\naddopts = -k test_a\n"
    tests = GOOD + "def test_b(): pass\n"
    record = run(tmp_path, {"test_it.py": tests, "pytest.ini": ini}).record
    assert counts(record) == {"passed": 1, "deselected": 1}
    assert record.left_out[0].node == "tests/test_it.py::test_b"


def test_an_interpreter_that_ends_in_a_test_leaves_it_open(tmp_path: Path) -> None:
    tests = GOOD + "def test_b(): import os; os._exit(0)\n"
    ended = run(tmp_path, {"test_it.py": tests})
    assert (ended.code, ended.record.end) == (0, None)
    assert ended.record.within == "tests/test_it.py::test_b"


def test_a_hang_leaves_its_test_open_and_its_stack(tmp_path: Path) -> None:
    tests = GOOD + "def test_b(): import time; time.sleep(60)\n"
    ended = run(tmp_path, {"test_it.py": tests}, seconds=2)
    assert ended.code == -14
    assert ended.record.within == "tests/test_it.py::test_b"
    assert 'test_it.py", line 3 in test_b' in ended.trace
