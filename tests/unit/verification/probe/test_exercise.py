"""The exercise, run in a new interpreter on a small installed package."""

from __future__ import annotations

import importlib
import shutil
import sqlite3
import sysconfig
import venv
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.sample_exercise import FILES, SMOKE, Result, exercise, install, value
from verification.models.evidence import (
    ClosedFile,
    EffectsValue,
    EntryPointFault,
    ExerciseStep,
    FileFault,
)
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
    assert started == [*NAMES, "written-files", "contacts", "end", "exit"]
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
    assert errors(exercise(folders[0], installed, plan={"prelude": code})) == {}
    failed = errors(exercise(folders[1], installed, smoke, plan={"prelude": code}))
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
    result = exercise(tmp_path, installed, smoke, plan={"seconds": {"exercise": 0.5}})
    assert result.code == 1
    assert "Timeout" in result.trace
    assert "line 3 in native_call" in result.trace


def test_the_code_before_the_import_runs_first_and_the_actions_run_last(
    tmp_path: Path, installed: Path
) -> None:
    uses = "def one(): return [1]\ndef two(): raise ValueError('no')\n"
    code = "import sys; assert 'sample' not in sys.modules"
    plan = {"uses": ["one", "two"], "prelude": code}
    result = exercise(tmp_path, installed, uses=uses, plan=plan)
    assert [line["step"] for line in result.lines if line.get("ok")][:2] == ["prelude", "import"]
    assert (result.steps.uses["one"].ok, result.steps.uses["one"].value) == (True, [1])
    assert result.steps.uses["two"].error is not None
    assert result.steps.uses["two"].error.message == "no"
    assert list(result.steps.by_name())[-2:] == ["one", "two"]


@pytest.mark.parametrize(("thread", "is_main"), [(False, True), (True, False)])
def test_the_steps_run_in_the_chosen_thread(
    tmp_path: Path, installed: Path, thread: bool, is_main: bool
) -> None:
    smoke = (
        "def native_call():\n    import threading\n"
        "    main = threading.current_thread() is threading.main_thread()\n"
        "    return {'version': str(main)}"
    )
    steps = exercise(tmp_path, installed, smoke, plan={"in_thread": thread}).steps
    assert value(steps.native_call).version == str(is_main)


def test_libraries_are_recorded_before_python_loads_them(tmp_path: Path, installed: Path) -> None:
    library = tmp_path / "libx.so"
    library.write_bytes(b"no library")
    smoke = f"def native_call():\n    import _sqlite3, ctypes\n    ctypes.CDLL({str(library)!r})\n"
    steps = exercise(tmp_path, installed, smoke).steps
    assert steps.native_call is not None
    assert steps.native_call.error is not None
    loaded = [Path(line) for line in (tmp_path / "data/loaded.txt").read_text().splitlines()]
    assert library in loaded
    assert [path for path in loaded if path.name.startswith(("_sqlite3.", "_ctypes."))]


def test_an_enabled_gil_is_a_change_of_the_process(tmp_path: Path, installed: Path) -> None:
    smoke = (
        "import sys\ngil = [False]\nsys._is_gil_enabled = lambda: gil[0]\n"
        "def native_call():\n    gil[0] = True\n    return {'version': '1'}"
    )
    before = "import sys\nsys._is_gil_enabled = lambda: False\n"
    changes = exercise(tmp_path, installed, smoke, plan={"prelude": before}).steps.process_state
    assert value(changes) == {"GIL": ("disabled", "enabled")}


def test_a_changed_state_of_the_process_is_recorded(tmp_path: Path, installed: Path) -> None:
    smoke = "def native_call():\n    import os\n    os.umask(0o77)\n    return {'version': '1'}"
    changes = value(exercise(tmp_path, installed, smoke).steps.process_state)
    assert list(changes) == ["umask"]
    assert changes["umask"][1] == "0o77"


def test_waiting_is_measured_separately_from_work(tmp_path: Path, installed: Path) -> None:
    smoke = "import time\ndef native_call(): time.sleep(0.5)\n"
    smoke += "def round_trip():\n    end = time.process_time() + 0.5\n"
    smoke += "    while time.process_time() < end: pass"
    steps = exercise(tmp_path, installed, smoke).steps
    sleep, work = steps.native_call, steps.round_trip
    assert sleep
    assert work
    assert sleep.seconds - (sleep.waited or 0) >= 0.4
    assert sleep.cpu_seconds is not None
    assert sleep.cpu_seconds < 0.4 < 0.5 <= (work.cpu_seconds or 0)


# ---- the observation ----


def observe(folder: Path, code: str = "", smoke: str = SMOKE, **environment: Any) -> Result:
    """Observe the import of a package with this code, and its first call."""
    texts = FILES | {"sample/__init__.py": FILES["sample/__init__.py"] + code}
    site = install(folder / "site", texts)
    return exercise(folder, site, smoke, second=True, **environment)


def changed(step: ExerciseStep[EffectsValue] | None) -> set[tuple[str, str, str | None]]:
    """Return kind, name and new value of each change."""
    return {(change.kind, change.name, change.new) for change in value(step).changes}


def test_package_that_changes_nothing_has_no_effects(tmp_path: Path) -> None:
    imports = (
        "logging, warnings, socket, ssl, threading, asyncio, multiprocessing, decimal, "
        "faulthandler, gc, signal, locale, time, ctypes, subprocess, unittest, urllib.request"
    )
    code = (
        f"import {imports}\n"
        "multiprocessing.Lock()\nasyncio.new_event_loop().close()\n"
        "logging.getLogger(__name__).addHandler(logging.NullHandler())\n"
    )
    result = observe(tmp_path, code)
    assert result.code == 0
    assert changed(result.steps.import_effects) == changed(result.steps.call_effects) == set()
    assert result.stdout == result.stderr == "\x1e\x1e\x1e"


P = "process"
FAULTS = {
    "import os; os.environ['X'] = '1'": ("environment variable", "X", "1"),
    "import os; del os.environ['REMOVED']": ("environment variable", "REMOVED", None),
    "import ctypes; ctypes.CDLL(None).setenv(b'X', b'1', 1)": (
        "native environment variable", "X", "1"),
    "import os, time; os.environ['TZ'] = 'XYZ-3'; time.tzset()": (P, "time zone", "XYZ -10800"),
    "import os; os.umask(0o77)": (P, "umask", "0o77"),
    "import os; os.chdir('/')": (P, "current folder", "/"),
    "import locale; locale.setlocale(locale.LC_ALL, 'C')": (P, "locale", "C"),
    "import logging; logging.basicConfig()": ("root log handler", "logging.StreamHandler", "1"),
    "import logging; logging.root.setLevel(10)": (P, "level of the root logger", "DEBUG"),
    "import logging; logging.disable(20)": (P, "disabled log levels", "20"),
    "import logging; logging.captureWarnings(True)": (
        P, "warnings.showwarning", "logging._showwarning"),
    "import sys; sys.path.insert(0, '/x')": ("import path", "/x", "first"),
    "import sys; sys.path.append('/x')": ("import path", "/x", "last"),
    "import warnings; warnings.simplefilter('ignore')": ("warning filter", "ignore Warning", "all"),
    "import warnings; warnings.filterwarnings('ignore', 'it is old')": (
        "warning filter", "ignore Warning it is old", "some"),
    "import warnings; warnings.resetwarnings()": (
        "warning filter", "ignore ResourceWarning", None),
    "import socket; socket.setdefaulttimeout(3)": (P, "default timeout of sockets", "3.0"),
    "import sys; sys.excepthook = lambda *_: None": (P, "sys.excepthook", "sample.<lambda>"),
    "import sys; sys.unraisablehook = print": (P, "sys.unraisablehook", "builtins.print"),
    "import sys; sys.displayhook = print": (P, "sys.displayhook", "builtins.print"),
    "import threading; threading.excepthook = print": (P, "threading.excepthook", "builtins.print"),
    "import sys; sys.setrecursionlimit(4321)": (P, "recursion limit", "4321"),
    "import sys; sys.setswitchinterval(1.5)": (P, "switch interval", "1.5"),
    "import sys; sys.settrace(lambda *_: None)": (P, "trace function", "sample.<lambda>"),
    "import signal; signal.signal(signal.SIGUSR1, print)": (
        P, "handler of SIGUSR1", "builtins.print"),
    "import faulthandler; faulthandler.enable()": (P, "faulthandler", "True"),
    "import multiprocessing; multiprocessing.set_start_method('forkserver')": (
        P, "start method of multiprocessing", "forkserver"),
    "import gc; gc.disable()": (P, "garbage collection", "disabled"),
    "import gc; gc.set_threshold(9, 9, 9)": (P, "garbage collection threshold", "(9, 9, 9)"),
    "import asyncio\nclass Policy(asyncio.DefaultEventLoopPolicy): pass\n"
    "asyncio.set_event_loop_policy(Policy())": (P, "event loop policy of asyncio", "sample.Policy"),
    "import builtins; builtins.print = None": ("builtin", "print", "None"),
    "import builtins; builtins.gettext = len": ("builtin", "gettext", "builtins.len"),
    "import sys, io; sys.stdout = io.StringIO()": (P, "sys.stdout", "_io.StringIO None None"),
    "import decimal; decimal.getcontext().prec = 5": (P, "context of decimal", "5 ROUND_HALF_EVEN"),
    "import ssl; ssl._create_default_https_context = ssl._create_unverified_context": (
        P, "certificate check of https", "ssl._create_unverified_context"),
    "import ctypes; ctypes.CDLL(None).fesetround(0x800)": (P, "rounding", "upward"),
}  # fmt: skip


@pytest.mark.parametrize("code", FAULTS)
def test_each_change_of_the_process_is_recorded(tmp_path: Path, code: str) -> None:
    steps = observe(tmp_path, code, REMOVED="1").steps
    assert FAULTS[code] in changed(steps.import_effects)
    assert changed(steps.call_effects) == set()


def test_change_of_the_first_call_is_recorded_there(tmp_path: Path) -> None:
    smoke = "def native_call():\n    import os; os.environ['X'] = '1'\n    return {'version': '1'}"
    steps = observe(tmp_path, "", smoke).steps
    assert changed(steps.import_effects) == set()
    assert changed(steps.call_effects) == {("environment variable", "X", "1")}


def test_change_of_another_package_does_not_count(tmp_path: Path) -> None:
    texts = FILES | {"sample/__init__.py": "__version__ = '1.2'\nimport other, readline\n"}
    texts |= {"other.py": "import os\nos.environ['OF_OTHER'] = '1'\nos.umask(0o77)\n"}
    site = install(tmp_path / "site", texts)
    record = site / "sample_package-1.2.dist-info" / "RECORD"
    lines = record.read_text().splitlines()
    record.write_text("\n".join(line for line in lines if not line.startswith("other.py")))
    variable = ("environment variable", "OF_OTHER", "1")

    before = exercise(tmp_path, site, second=True)
    assert variable in changed(before.steps.import_effects)
    assert value(before.steps.process_state) == {}
    used = exercise(tmp_path, site)  # it records the other modules
    (tmp_path / "data/second/steps.jsonl").unlink()
    after = exercise(tmp_path, site, second=True)
    assert changed(after.steps.import_effects) == set()
    assert "umask" in value(used.steps.process_state)
    assert value(after.steps.process_state).keys() == value(used.steps.process_state).keys()


PRINTS = "import ctypes, os\n_c = ctypes.CDLL(None)\n"


@pytest.mark.parametrize(
    ("code", "stdout", "stderr"),
    [
        (f"{PRINTS}_c.printf(b'native\\n'); print('python')", "\x1enative\n\x1e\x1e", "\x1e" * 3),
        (f"{PRINTS}os.write(2, b'native'); print('python')", "\x1e" * 3, "\x1enative\x1e\x1e"),
    ],
)
def test_only_output_past_the_streams_of_python_is_recorded(
    tmp_path: Path, code: str, stdout: str, stderr: str
) -> None:
    result = observe(tmp_path, code)
    assert (result.stdout, result.stderr) == (stdout, stderr)


def test_native_output_of_the_first_call_is_recorded_there(tmp_path: Path) -> None:
    smoke = (
        "def native_call():\n    print('smoke test')\n    import ctypes\n"
        "    ctypes.CDLL(None).puts(b'banner')\n    return {'version': '1'}"
    )
    assert observe(tmp_path, "", smoke).stdout == "\x1e\x1ebanner\n\x1e"


# ---- other hosts ----


@pytest.mark.parametrize(
    ("code", "how", "host", "port"),
    [
        ("socket.getaddrinfo('a.invalid', 443)", "lookup", "a.invalid", "443"),
        ("socket.gethostbyname('a.invalid')", "lookup", "a.invalid", ""),
        ("socket.create_connection(('192.0.2.1', 9), 0.01)", "connection", "192.0.2.1", "9"),
        ("socket.socket(type=socket.SOCK_DGRAM).sendto(b'', ('192.0.2.1', 9))",
         "datagram", "192.0.2.1", "9"),
    ],
)  # fmt: skip
def test_contact_with_another_host_is_recorded_with_its_step(
    tmp_path: Path, code: str, how: str, host: str, port: str
) -> None:
    text = f"import socket\ntry: {code}\nexcept OSError: pass\n"
    site = install(tmp_path / "site", FILES | {"sample/__init__.py": text})
    smoke = SMOKE.replace("sample.__version__", "'1'")
    (contact,) = value(exercise(tmp_path, site, smoke).steps.contacts)
    assert contact.model_dump() == {"step": "import", "how": how, "host": host, "port": port}


def test_contact_with_the_own_machine_is_not_recorded(tmp_path: Path) -> None:
    smoke = (
        "import socket\ndef native_call():\n"
        "    for name in ('localhost', socket.gethostname(), '127.0.0.1', None, '192.0.2.1'):\n"
        "        try: socket.getaddrinfo(name, 80)\n"
        "        except OSError: pass\n"
        "    with socket.create_server(('127.0.0.1', 0)) as server:\n"
        "        socket.create_connection(server.getsockname()).close()\n"
        "    with socket.socket(type=socket.SOCK_DGRAM) as own:\n"
        "        own.connect(('192.0.2.1', 80))\n"  # it only finds the address of this machine
        "    one, other = socket.socketpair()\n    one.close(); other.close()\n"
        "    return {'version': '1'}"
    )
    site = install(tmp_path / "site")
    steps = exercise(tmp_path, site, smoke).steps
    assert value(steps.native_call).version == "1"
    assert value(steps.contacts) == ()
