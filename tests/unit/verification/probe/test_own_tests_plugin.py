"""The pytest plugin, in a run of the real pytest as the probe starts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from verification import probe
from verification.models.evidence import OwnTestsRecord, TestOutcome
from verification.models.machine import PLAN, PLUGIN
from verification.session.own_tests import read_test_events

SOURCE = Path(probe.__file__).with_name("own_tests_plugin.py")
# A small module of the standard library represents the package.
PACKAGE = "colorsys"
GOOD = f"import {PACKAGE}\ndef test_a(): assert {PACKAGE}.rgb_to_hsv(1, 1, 1)\n"


class Result(NamedTuple):
    """The exit code, output and trace of pytest with the plugin, and the plugin's record."""

    code: int
    output: str
    trace: str
    record: OwnTestsRecord


def run(folder: Path, files: dict[str, str], *, seconds: float = 30) -> Result:
    (folder / "plugin").mkdir()
    (folder / "plugin" / f"{PLUGIN}.py").write_bytes(SOURCE.read_bytes())
    (folder / "tests").mkdir()
    for name, text in files.items():
        (folder / "tests" / name).write_text(text)
    test_events, trace = folder / "test-events.jsonl", folder / "trace.txt"
    files_written = {"test_events": str(test_events), "trace": str(trace)}
    plan = {"package": PACKAGE, "seconds": {"tests": seconds}, "tests": files_written}
    (folder / PLAN).write_text(json.dumps(plan))
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    result = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:faulthandler"),
            *(
                "-p",
                PLUGIN,
                "-o",
                "required_plugins=",
                "--rootdir=.",
                f"--basetemp={folder / 'scratch'}",
                "tests",
            ),
        ],
        cwd=folder,
        env=inherited
        | {
            "PYTHONPATH": str(folder / "plugin"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # a machine has no other plugins
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    text = test_events.read_text() if test_events.exists() else ""
    output = result.stdout + result.stderr
    return Result(result.returncode, output, trace.read_text(), read_test_events(text))


def counts(record: OwnTestsRecord) -> dict[str, int]:
    return {str(outcome): number for outcome, number in record.counts.items() if number}


def test_options_of_the_settings_that_need_a_plugin_are_left_out(tmp_path: Path) -> None:
    settings = "--cov=x --cov-report xml -n 4 --own 1 --import-mode=importlib"
    (tmp_path / "pytest.ini").write_text(
        f"[pytest]\naddopts = {settings}\nrequired_plugins = pytest-cov\n"
    )
    own = "def pytest_addoption(parser): parser.addoption('--own')\n"
    test = (
        GOOD + "def test_option(pytestconfig):\n    assert pytestconfig.getoption('own') == '1'\n"
    )
    test += "    assert pytestconfig.getoption('importmode') == 'importlib'\n"
    result = run(tmp_path, {"conftest.py": own, "test_a.py": test})
    assert (result.code, counts(result.record)) == (0, {"passed": 2})


def test_each_outcome_is_counted_and_each_failure_is_named(tmp_path: Path) -> None:
    tests = GOOD + (
        "import pytest\n"
        "def test_bad():\n    value = 1\n    assert value == 2\n"
        "@pytest.fixture\ndef broken():\n    yield\n    raise OSError('no end')\n"
        "def test_end(broken): pass\n"
        "@pytest.mark.skip(reason='no time')\ndef test_skip(): pass\n"
        "def test_skip_in(): pytest.skip('no network')\n"
        "@pytest.mark.xfail(reason='known')\ndef test_xfail(): raise OSError\n"
        "@pytest.mark.xfail\ndef test_xpass(): pass\n"
        "def test_deselected(): pass\n"
    )
    files = {
        "test_it.py": tests,
        "test_module.py": "import pytest\npytest.skip('not here', allow_module_level=True)",
        "pytest.ini": "[pytest]\naddopts = -k 'not test_deselected'\n",
    }
    record = run(tmp_path, files).record

    assert set(record.counts) == set(TestOutcome)
    assert counts(record) == {
        "failed": 1, "error": 1, "passed": 1, "xpassed": 1, "xfailed": 1, "skipped": 3,
        "deselected": 1,
    }  # fmt: skip
    assert record.collected == record.begun == 7
    assert record.end is not None
    assert record.end.imported
    assert [(failure.node, failure.outcome) for failure in record.failures] == [
        ("tests/test_it.py::test_bad", "failed"),
        ("tests/test_it.py::test_end", "error"),
    ]
    assert "E       assert 1 == 2" in record.failures[0].text
    assert [(test.node.rpartition("/")[2], test.reason) for test in record.left_out] == [
        ("test_module.py", "not here"),
        ("test_it.py::test_deselected", ""),
        ("test_it.py::test_skip", "no time"),
        ("test_it.py::test_skip_in", "no network"),
        ("test_it.py::test_xfail", "known"),
    ]


def test_a_good_run_is_recorded_without_a_warning(tmp_path: Path) -> None:
    result = run(tmp_path, {"test_it.py": GOOD})
    assert (result.code, counts(result.record), result.record.within) == (0, {"passed": 1}, "")
    assert (result.record.failures, result.record.internal) == ((), "")
    assert result.record.pytest == pytest.__version__
    assert "Warning" not in result.output


def test_a_run_without_tests_records_zero_tests_and_no_import(tmp_path: Path) -> None:
    record = run(tmp_path, {}).record
    assert (record.collected, counts(record)) == (0, {})
    assert record.end is not None
    assert (record.end.code, record.end.imported) == (5, False)
    assert record.end.file is not None
    assert record.end.file.endswith("colorsys.py")


def test_a_conftest_that_fails_leaves_no_record(tmp_path: Path) -> None:
    result = run(tmp_path, {"test_it.py": GOOD, "conftest.py": "import nowhere"})
    assert (result.code, result.record.end, result.record.begun) == (4, None, 0)
    assert "No module named 'nowhere'" in result.output


def test_a_file_that_cannot_be_imported_is_uncollected(tmp_path: Path) -> None:
    record = run(tmp_path, {"test_it.py": GOOD, "test_b.py": "import nowhere"}).record
    (failure,) = record.failures
    assert (failure.node, failure.outcome) == ("tests/test_b.py", "uncollected")
    assert "No module named 'nowhere'" in failure.text


def test_if_a_test_ends_the_run_fewer_tests_start_than_were_collected(tmp_path: Path) -> None:
    tests = GOOD + "import pytest\ndef test_b(): pytest.exit('enough')\ndef test_c(): pass\n"
    record = run(tmp_path, {"test_it.py": tests}).record
    assert (record.begun, record.collected) == (2, 3)
    assert record.end is not None
    assert record.end.code == 2


def test_an_internal_error_of_pytest_is_recorded(tmp_path: Path) -> None:
    plugin = "def pytest_collection_modifyitems(items):\n    raise OSError('x')"
    record = run(tmp_path, {"test_it.py": GOOD, "conftest.py": plugin}).record
    assert "OSError: x" in record.internal


def test_if_the_interpreter_ends_the_running_test_is_known(tmp_path: Path) -> None:
    tests = GOOD + "def test_b(): import os; os._exit(0)\n"
    result = run(tmp_path, {"test_it.py": tests})
    assert (result.code, result.record.end) == (0, None)
    assert result.record.within == "tests/test_it.py::test_b"


def test_if_a_test_hangs_the_test_and_its_stack_are_known(tmp_path: Path) -> None:
    tests = GOOD + "def test_b(): import time; time.sleep(60)\n"
    result = run(tmp_path, {"test_it.py": tests}, seconds=1)
    assert result.code == -14
    assert result.record.within == "tests/test_it.py::test_b"
    assert 'test_it.py", line 3 in test_b' in result.trace
