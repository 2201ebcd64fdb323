"""The exercise, run in a new interpreter on a small installed package."""

from __future__ import annotations

import importlib
import shutil
import sqlite3
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.helpers.sample_exercise import FILES, SMOKE, Result, exercise, install, value
from verification.models.evidence import ClosedFile, EntryPointFault, FileFault
from verification.scenarios import scenarios

NAMES = [
    "import", "native-call", "run-times", "round-trip", "closed-file", "failing-calls",
    "process-state", "mapped", "distributions", "record", "entry-points",
]  # fmt: skip


def errors(result: Result) -> dict[str, str]:
    """Return the class of the exception of each failed step, by its name."""
    steps = result.steps.by_name().items()
    return {name: step.error.type for name, step in steps if step.error}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder with the installed package."""
    return install(tmp_path_factory.mktemp("installed"))


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory, installed: Path) -> Result:
    """Return the result of an exercise without a fault."""
    return exercise(tmp_path_factory.mktemp("exercise"), installed)


def test_all_steps_are_recorded_in_order(result: Result) -> None:
    assert result.code == 0
    started = [line["step"] for line in result.lines if line.get("begun")]
    assert started == [*NAMES, "written-files", "end"]
    assert [line["step"] for line in result.lines if "ok" in line] == started
    assert all(step.ok for step in result.steps.by_name().values())


def test_the_values_of_the_subject_are_recorded(result: Result) -> None:
    native_call = value(result.steps.native_call)
    assert native_call.version == value(result.steps.import_package).version == "1.2"
    assert (native_call.source, native_call.lacking) == (None, ())
    round_trip = value(result.steps.round_trip)
    # The first value counts the native calls: both functions are in one module.
    assert round_trip.returned["Plant"].rows == ((1, 2**63 - 1),)
    assert round_trip.not_offered == ()


def test_correct_installed_files_have_no_fault(result: Result) -> None:
    record = value(result.steps.record)
    assert record.checked == len(FILES)
    assert (record.wrong, record.unreadable) == ((), ())
    assert record.tags == ("py3-none-any",)
    assert value(result.steps.distributions)["sample-package"].version == "1.2"


def test_wrong_installed_files_and_entry_points_are_recorded(tmp_path: Path) -> None:
    broken = install(tmp_path / "installed")
    (broken / "sample/core.py").write_text("def")
    (broken / "sample_package-1.2.dist-info/WHEEL").unlink()
    steps = exercise(tmp_path, broken).steps
    record = value(steps.record)
    assert [fault.file for fault in record.wrong] == [
        "sample/core.py",
        "sample_package-1.2.dist-info/WHEEL",
    ]
    assert record.wrong[1] == FileFault(
        file="sample_package-1.2.dist-info/WHEEL", observed="FileNotFoundError"
    )
    assert [fault.file for fault in record.unreadable] == ["sample/core.py"]
    (fault,) = value(steps.entry_points)
    assert isinstance(fault, EntryPointFault)
    assert (fault.name, fault.value) == ("sample", "sample.core:run")
    assert fault.observed.startswith("SyntaxError")


def test_warnings_scripts_and_startup_code_are_recorded(tmp_path: Path) -> None:
    site = tmp_path / "installed"
    files = {
        **FILES,
        "sample/core.py": "def run(): return 1 is 1\n",
        "sample/unused.py": "\n\nx = 1 is 1\n",
        "bin/old": "#!/opt/nowhere/python -E\n",
        "bin/good": "#!/bin/sh\n",
        "sitecustomize.py": "ran = True\n",
        "sample/usercustomize.py": "",
        "paths.pth": "/srv/x\n",
        "code.pth": "import sample\n",
    }
    smoke = f"import sample.core\n{SMOKE}"
    record = value(exercise(tmp_path, install(site, files), smoke).steps.record)

    warned = [(warning.file, warning.line, warning.imported) for warning in record.warned]
    assert warned == [("sample/core.py", 1, True), ("sample/unused.py", 3, False)]
    script = FileFault(file=str(site / "bin/old"), observed="/opt/nowhere/python")
    assert record.scripts == (script,)
    # Python reads .pth files only in the folder of the packages, not in those of PYTHONPATH.
    code = FileFault(file=str(site / "sitecustomize.py"), observed="import sitecustomize")
    assert record.startup == (code,)


def test_code_of_a_path_file_that_python_executes_is_recorded(tmp_path: Path) -> None:
    home = tmp_path / "venv"
    venv.create(home)
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(home)}))
    files = {**FILES, "code.pth": "/srv/x\nimport sys; exec('sys.x = 1')\nimport os\n"}
    installed = install(site, files)
    result = exercise(tmp_path, installed, python=str(home / "bin/python"))
    record = value(result.steps.record)

    code = FileFault(file=str(site / "code.pth"), observed="import sys; exec('sys.x = 1')")
    assert record.startup == (code,)


def test_only_the_package_loses_its_assertions(tmp_path: Path) -> None:
    files = {**FILES, "sample/__init__.py": "__version__ = '1.2'\nassert False\n"}
    installed = install(tmp_path / "installed", files)
    smoke = SMOKE.replace("import sample", "import sample; assert False")
    failed = errors(exercise(tmp_path, installed, smoke, PYTHONOPTIMIZE="2"))
    assert failed["native-call"] == "AssertionError"
    assert "import" not in failed


def test_the_exercise_works_without_streams(tmp_path: Path, installed: Path) -> None:
    code = scenarios.load()["linux"]["no-streams"].code_before_import
    smoke = SMOKE.replace("import sample", "import sys; sys.stdout.write('x'); import sample")
    folders = [tmp_path / name for name in ("good", "bad")]
    for folder in folders:
        folder.mkdir()
    assert errors(exercise(folders[0], installed, E2E_PRELUDE=code)) == {}
    failed = errors(exercise(folders[1], installed, smoke, E2E_PRELUDE=code))
    assert failed["native-call"] == "AttributeError"


def test_extension_module_whose_failure_the_package_handles_is_recorded(tmp_path: Path) -> None:
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    names = ("_refused", "_without_init", "_absent")
    code = "".join(
        f"try:\n    from . import {name}\nexcept ImportError:\n    pass\n" for name in names
    )
    folder = install(tmp_path / "installed", FILES | {"sample/__init__.py": code})
    refused, loaded = (folder / "sample" / f"{name}{suffix}" for name in names[:2])
    refused.write_text("no library", "utf-8")
    # The loader accepts this library. Python then finds no function for the module.
    shutil.copy(importlib.import_module("_hashlib").__file__ or "", loaded)
    modules = value(exercise(tmp_path, folder).steps.import_package).extension_modules
    of_package = {path: done for path, done in modules.items() if path.startswith(str(folder))}
    assert of_package == {str(refused): False, str(loaded): True}


@pytest.mark.parametrize(
    ("smoke", "errors"),
    [
        (
            "def native_call(): return 3\ndef round_trip(): return [1]",
            {"native-call": "TypeError", "round-trip": "TypeError"},
        ),
        (
            "def native_call(): return {}\ndef round_trip(tables): return {'written': {}}",
            {"native-call": "TypeError", "round-trip": "KeyError"},
        ),
        (
            "def native_call(): pass\ndef round_trip(tables): pass",
            {"native-call": "TypeError", "round-trip": "TypeError"},
        ),
        (
            "def round_trip(tables): return {'returned': {1, 2}}",  # JSON has no sets
            {"native-call": "AttributeError", "round-trip": "TypeError"},
        ),
        ("raise OSError(7, 'broken')", {"native-call": "OSError", "round-trip": "OSError"}),
    ],
)
def test_a_faulty_function_of_the_subject_is_recorded(
    tmp_path: Path, installed: Path, smoke: str, errors: dict[str, str]
) -> None:
    result = exercise(tmp_path, installed, smoke)
    failed = {name: step.error for name, step in result.steps.by_name().items() if not step.ok}
    assert result.code == 0
    for name, error_type in errors.items():
        error = failed[name]
        assert error is not None
        assert error.type == error_type
        assert error.number == (7 if error_type == "OSError" else None)
    assert result.steps.end is not None


def test_a_round_trip_without_tables_has_no_value(tmp_path: Path, installed: Path) -> None:
    step = exercise(tmp_path, installed, "def round_trip(): pass").steps.round_trip
    assert step is not None
    assert (step.ok, step.value) == (True, None)


OPEN_DATABASE = """
import sqlite3
references = []
def round_trip():
    connection = sqlite3.connect("data.db")
    connection.execute("CREATE TABLE t (x)")
    connection.commit()
    references.append(connection)
"""
CLOSED_DATABASE = OPEN_DATABASE.replace("references.append(connection)", "connection.close()")


def closed_file(tmp_path: Path, installed: Path, smoke: str) -> ClosedFile:
    """Run an exercise with this smoke test. Return its record of the closed database file."""
    return value(exercise(tmp_path, installed, smoke).steps.closed_file)


def test_a_closed_file_can_be_renamed_and_deleted_and_is_copied(
    tmp_path: Path, installed: Path
) -> None:
    # Another file of the package with a similar name is open.
    smoke = CLOSED_DATABASE + "    references.append(open('data.db.lock', 'w'))"
    assert closed_file(tmp_path, installed, smoke) == ClosedFile()
    with sqlite3.connect(tmp_path / "data.db") as connection:
        assert connection.execute("SELECT * FROM t").fetchall() == []
    connection.close()
    assert not (tmp_path / "data.db.renamed").exists()


def test_an_open_file_is_recorded(tmp_path: Path, installed: Path) -> None:
    expected = ClosedFile(handles=("data.db",))
    assert closed_file(tmp_path, installed, OPEN_DATABASE) == expected


def test_a_deleted_file_that_is_open_is_recorded(tmp_path: Path, installed: Path) -> None:
    smoke = CLOSED_DATABASE + (
        "    import os; references.append(open('data.db')); os.remove('data.db')\n"
        "    open('data.db', 'w').close()"
    )
    assert closed_file(tmp_path, installed, smoke) == ClosedFile(handles=("data.db (deleted)",))


def test_files_that_sqlite_did_not_remove_are_recorded(tmp_path: Path, installed: Path) -> None:
    smoke = OPEN_DATABASE.replace(
        "    connection.commit()", "    connection.execute('PRAGMA journal_mode=WAL')"
    )
    smoke = smoke.replace(
        "    references", "    connection.execute('INSERT INTO t VALUES (1)')\n    references"
    )
    assert "data.db-wal" in closed_file(tmp_path, installed, smoke).remains


def test_a_file_that_cannot_be_renamed_is_recorded(tmp_path: Path, installed: Path) -> None:
    smoke = "import os\ndef round_trip(): os.mkdir('data.db.renamed'); open('data.db', 'w').close()"
    assert "IsADirectoryError" in closed_file(tmp_path, installed, smoke).refused
    assert (tmp_path / "data.db").is_file()


def test_a_package_without_a_database_has_no_closed_file(result: Result) -> None:
    step = result.steps.closed_file
    assert step is not None
    assert (step.ok, step.value) == (True, None)


def test_each_call_that_must_fail_is_recorded(tmp_path: Path, installed: Path) -> None:
    calls = {
        "int('x')": ("ValueError", True),
        "open('')": ("FileNotFoundError", False),
        "exit(1)": ("SystemExit", False),
        "None": ("", False),
    }
    # Without site there is no built-in exit().
    smoke = "import sys\nexit = sys.exit\ndef failing_calls():\n" + "".join(
        f"    yield {call!r}, ValueError, lambda: {call}\n" for call in calls
    )
    records = value(exercise(tmp_path, installed, smoke).steps.failing_calls)
    assert {record.call: (record.raised, record.as_expected) for record in records} == calls
    assert {record.expected for record in records} == {"ValueError"}


def test_a_subject_without_failing_calls_has_no_records(result: Result) -> None:
    assert value(result.steps.failing_calls) == ()


def test_after_a_crash_earlier_steps_are_recorded(tmp_path: Path, installed: Path) -> None:
    smoke = "def native_call():\n    import faulthandler\n    faulthandler._sigsegv()"
    result = exercise(tmp_path, installed, smoke)
    assert result.code == -11
    assert list(result.steps.by_name()) == ["import", "native-call"]
    assert result.steps.by_name()["native-call"].begun
    assert "line 3 in native_call" in result.trace


def test_a_hang_ends_with_its_stack(tmp_path: Path, installed: Path) -> None:
    smoke = "def native_call():\n    import time\n    time.sleep(60)"
    result = exercise(tmp_path, installed, smoke, E2E_LIMIT_SECONDS="0.5")
    assert result.code == 1
    assert "Timeout" in result.trace
    assert "line 3 in native_call" in result.trace


def test_the_code_before_the_import_runs_first_and_the_actions_run_last(
    tmp_path: Path, installed: Path
) -> None:
    uses = "def one(): return [1]\ndef two(): raise ValueError('no')\n"
    code = "import sys; assert 'sample' not in sys.modules"
    result = exercise(tmp_path, installed, uses=uses, E2E_USES="one two", E2E_PRELUDE=code)
    assert [line["step"] for line in result.lines if line.get("ok")][:2] == ["prelude", "import"]
    assert (result.steps.uses["one"].ok, result.steps.uses["one"].value) == (True, [1])
    assert result.steps.uses["two"].error is not None
    assert result.steps.uses["two"].error.message == "no"
    assert list(result.steps.by_name())[-2:] == ["one", "two"]


@pytest.mark.parametrize(("thread", "is_main"), [("", True), ("thread", False)])
def test_the_steps_run_in_the_chosen_thread(
    tmp_path: Path, installed: Path, thread: str, is_main: bool
) -> None:
    smoke = (
        "def native_call():\n    import threading\n"
        "    main = threading.current_thread() is threading.main_thread()\n"
        "    return {'version': str(main)}"
    )
    steps = exercise(tmp_path, installed, smoke, E2E_IN=thread).steps
    assert value(steps.native_call).version == str(is_main)


def test_libraries_are_recorded_before_python_loads_them(tmp_path: Path, installed: Path) -> None:
    library = tmp_path / "libx.so"
    library.write_bytes(b"no library")
    smoke = f"def native_call():\n    import _sqlite3, ctypes\n    ctypes.CDLL({str(library)!r})\n"
    steps = exercise(tmp_path, installed, smoke).steps
    assert steps.native_call is not None
    assert steps.native_call.error is not None
    loaded = [Path(line) for line in (tmp_path / "loaded.txt").read_text().splitlines()]
    assert library in loaded
    assert [path for path in loaded if path.name.startswith(("_sqlite3.", "_ctypes."))]


def test_an_enabled_gil_is_a_change_of_the_process(tmp_path: Path, installed: Path) -> None:
    smoke = (
        "import sys\ngil = [False]\nsys._is_gil_enabled = lambda: gil[0]\n"
        "def native_call():\n    gil[0] = True\n    return {'version': '1'}"
    )
    before = "import sys\nsys._is_gil_enabled = lambda: False\n"
    changes = exercise(tmp_path, installed, smoke, E2E_PRELUDE=before).steps.process_state
    assert value(changes) == {"GIL": ("disabled", "enabled")}


def test_a_changed_state_of_the_process_is_recorded(tmp_path: Path, installed: Path) -> None:
    smoke = "def native_call():\n    import os\n    os.umask(0o77)\n    return {'version': '1'}"
    changes = value(exercise(tmp_path, installed, smoke).steps.process_state)
    assert list(changes) == ["umask"]
    assert changes["umask"][1] == "0o77"
