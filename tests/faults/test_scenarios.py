"""Faults that only one scenario shows. The same wheel passes the ordinary scenario."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from containers import wheelhouse
from tests.faults import edits
from tests.faults.cell_runs import PIP, UV, WINDOWS, WINDOWS_PIP, ScenarioRunner
from tests.helpers import wheel_builder as wheels
from verification.session.run_cell import PlantedFault

pytestmark = pytest.mark.recorded

LOADER = "quiverdb/_loader.py"
DATABASE = (
    b"_plain_open = Database.open.__func__\n"
    b"_held = []\n"
    b"def _open(cls, path, **options):\n"
    b"    import fcntl\n"
    b"    _held.append(open(str(path) + '.lock', 'w'))\n"
    b"    fcntl.flock(_held[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
    b"    return _plain_open(cls, path, **options)\n"
    b"Database.open = classmethod(_open)\n"
)
STATE = b"_state = os.path.join(os.path.dirname(__file__), 'state.txt')\n"
REFUSES_STATE = STATE + b"if os.path.exists(_state): raise RuntimeError('a state of old')\n"
KEEPS_STATE = STATE + b"open(_state, 'w').close()\n"
# The code that is added to the package, and the cause that its scenario reports.
FAULTS = {
    "user": (b"if sys.prefix == sys.base_prefix: raise RuntimeError('no environment')", "use"),
    "target": (
        b"import sysconfig\n"
        b"if not os.path.isdir(os.path.join(sysconfig.get_path('purelib'), 'quiverdb')):\n"
        b"    raise RuntimeError('not where it ought to be')",
        "use",
    ),
    "read-only": (
        b"_cache = os.path.join(os.path.dirname(__file__), 'cache.txt')\n"
        b"open(_cache, 'w').close(); os.remove(_cache)",
        "permission",
    ),
    "noexec-temp": (
        b"import ctypes, shutil, tempfile\n"
        b"with tempfile.TemporaryDirectory() as _folder:\n"
        b"    _copy = os.path.join(_folder, 'copy.so')\n"
        b"    _libs = os.path.join(os.path.dirname(__file__), '_libs')\n"
        b"    shutil.copy(os.path.join(_libs, 'libquiver.so'), _copy)\n"
        b"    ctypes.CDLL(_copy)",
        "use",
    ),
    "space-path": (
        b"if os.system('test -d ' + os.path.dirname(__file__)): raise OSError('no folder')",
        "path-not-supported",
    ),
    "non-ascii-path": (b"__file__.encode('ascii')", "path-not-supported"),
    "long-path": (b"if len(__file__) > 255: raise OSError('too long')", "path-not-supported"),
    "root": (
        b"_libs = os.path.join(os.path.dirname(__file__), '_libs')\n"
        b"if os.geteuid() == 0: os.chmod(_libs, 0o700)",
        "permission",
    ),
    "interrupted": (
        b"_site = os.listdir(os.path.dirname(os.path.dirname(__file__)))\n"
        b"if [name for name in _site if name.endswith('uiverdb')] != ['quiverdb']:\n"
        b"    raise RuntimeError('it is here twice')",
        "upgrade-broken",
    ),
    "preloaded-sqlite": (
        b"import ctypes\n"
        b"def _answered(self, sql):\n"
        b"    ask = ctypes.CDLL(None).sqlite3_sourceid\n"
        b"    ask.restype = ctypes.c_char_p\n"
        b"    return ask().decode()\n"
        b"if 'sqlite' in os.environ.get('LD_PRELOAD', ''): Database.query_string = _answered",
        "symbol-interposition",
    ),
    "thread": (b"import signal; signal.signal(signal.SIGUSR1, signal.SIG_DFL)", "use"),
    "other-folder": (
        b"from pathlib import Path\n"
        b"from quiverdb import _loader\n"
        b"_loader._LIBS_DIR = Path(os.path.relpath(_loader._LIBS_DIR))",
        "use",
    ),
    "isolated": (b"sys.path.index('')", "use"),
    "optimized": (b"_usage = __doc__ % ()", "optimization-not-supported"),
    "no-streams": (b"_is_terminal = sys.stdout.isatty()", "streams-assumed"),
    "fork": (b"os.register_at_fork(after_in_child=lambda: os._exit(3))", "use"),
    "spawn": (
        b"import multiprocessing\n"
        b"if multiprocessing.parent_process(): raise RuntimeError('a child')",
        "use",
    ),
    "two-interpreters": (DATABASE, "use"),
    "zip": (b"open(os.path.join(os.path.dirname(__file__), 'py.typed')).close()", "use"),
    "frozen": (b"import inspect; inspect.getsource(sys.modules[__name__])", "use"),
    "c-utf8-locale": (
        b"_locale = os.environ.get('LC_ALL', '')\n"
        b"if _locale.endswith('UTF-8'): _country = _locale.split('_')[1]",
        "use",
    ),
    "c-locale": (b"import locale; '\\xfa'.encode(locale.getpreferredencoding(False))", "use"),
    "turkish-locale": (b"float(f'{1.5:n}')", "use"),
    "umask-and-zone": (
        b"if not os.stat(__file__).st_mode & 0o004: raise RuntimeError('not for all')",
        "use",
    ),
}


# Debian 13 has no source of the Turkish locale. C.UTF-8 with a decimal comma replaces it.
COMMA = b"""#!/bin/sh -e
cp -r /usr/lib/locale/C.utf8 /usr/lib/locale/tr_TR.utf8
sed -i s/[.]/,/g /usr/lib/locale/tr_TR.utf8/LC_NUMERIC
"""
MACHINES = [
    *(pytest.param(name, "debian-13", id=name) for name in FAULTS),
    pytest.param("turkish-locale", "debian-12", id="turkish-locale-debian-12"),  # has the locale
]


@pytest.mark.parametrize(("name", "machine"), MACHINES)
def test_fault_is_reported_only_by_its_scenario(
    scenario_runner: ScenarioRunner, good_wheel: Path, tmp_path: Path, name: str, machine: str
) -> None:
    code, cause = FAULTS[name]
    wheel = wheels.mutate(good_wheel, tmp_path, **edits.added(code))
    planted = None
    if (name, machine) == ("turkish-locale", "debian-13"):
        planted = PlantedFault(files={"/usr/local/bin/localedef": COMMA})
    causes = scenario_runner.on(machine).cause_names(wheel, ["venv", name], planted=planted)

    assert causes["venv"] == set()
    assert causes[name] == {cause if cause != "use" else "use-not-supported"}


def test_lookup_of_the_user_account_is_reported(
    scenario_runner: ScenarioRunner, good_wheel: Path, tmp_path: Path
) -> None:
    # getpass.getuser() and Path("~user") read the account as well, unless variables name the user.
    code = b"import pwd; _home = pwd.getpwuid(os.getuid()).pw_dir"
    wheel = wheels.mutate(good_wheel, tmp_path, **edits.added(code))
    causes = scenario_runner.causes(wheel, ["venv", "root"])

    assert causes["venv"] == ()
    assert [cause.name for cause in causes["root"]] == ["permission"]
    assert causes["root"][0].where == "debian-13-pip-root: as_another_user"
    assert "uid not found: 1000660000" in causes["root"][0].message


def test_failure_in_a_fractional_time_zone_is_reported(
    scenario_runner: ScenarioRunner, good_wheel: Path, tmp_path: Path
) -> None:
    code = (
        b"import time\n"
        b"_zones = {hours * 3600: f'UTC{hours:+d}' for hours in range(-12, 15)}\n"
        b"_zone = _zones[-time.timezone]"
    )
    wheel = wheels.mutate(good_wheel, tmp_path, **edits.added(code))
    causes = scenario_runner.causes(wheel, ["venv", "umask-and-zone"])

    assert causes["venv"] == ()
    assert [cause.name for cause in causes["umask-and-zone"]] == ["use-not-supported"]
    assert causes["umask-and-zone"][0].facts["error"] == "KeyError"
    assert "20700" in causes["umask-and-zone"][0].message


@pytest.mark.parametrize("scenario_runner", [PIP, UV, WINDOWS], indirect=True, ids="-".join)
def test_unlocked_dependency_is_reported(scenario_runner: ScenarioRunner, tmp_path: Path) -> None:
    # uv is on the index and is not a dependency. A lock file from Linux does not contain what only
    # Windows needs.
    marker = b'; sys_platform == "win32"' if scenario_runner.ordinary_scenario == "system" else b""
    old = b"Requires-Dist: cffi"
    changes = edits.metadata(
        scenario_runner.good_wheel, old, b"Requires-Dist: uv" + marker + b"\n" + old
    )
    wheel = wheels.mutate(scenario_runner.good_wheel, tmp_path, **changes)
    names = [scenario_runner.ordinary_scenario, "require-hashes", "offline"]
    causes = scenario_runner.causes(wheel, names)

    assert causes[scenario_runner.ordinary_scenario] == ()
    assert [cause.name for cause in causes["require-hashes"]] == ["missing-dependency"]
    assert [cause.name for cause in causes["offline"]] == ["missing-dependency"]
    assert str(causes["offline"][0].facts["requirement"]).startswith("uv")


@pytest.mark.parametrize("scenario_runner", [PIP, UV, WINDOWS], indirect=True, ids="-".join)
def test_stale_egg_info_of_a_dependency_is_reported(
    scenario_runner: ScenarioRunner, tmp_path: Path
) -> None:
    stale = "Metadata-Version: 1.0\nName: cffi\nVersion: 1.0\n"
    wheel = wheels.mutate(scenario_runner.good_wheel, tmp_path, add={"cffi-1.0.egg-info": stale})
    names = [scenario_runner.ordinary_scenario, "twice"]
    cause_names = scenario_runner.cause_names(wheel, names)

    assert cause_names == {scenario_runner.ordinary_scenario: set(), "twice": {"use-not-supported"}}


def test_state_that_breaks_an_upgrade_is_reported(
    scenario_runner: ScenarioRunner, good_wheel: Path, tmp_path: Path
) -> None:
    old = edits.earlier(good_wheel, tmp_path, **edits.added(KEEPS_STATE))
    new = wheels.mutate(good_wheel, tmp_path, **edits.added(REFUSES_STATE))
    cause_names = scenario_runner.cause_names(new, ["venv", "upgrade"], earlier=[old])

    # No installer removes the file that the earlier release wrote.
    assert cause_names == {"venv": set(), "upgrade": {"upgrade-broken", "uninstall-leftover"}}


@pytest.mark.parametrize("scenario_runner", [PIP, WINDOWS_PIP], indirect=True, ids="-".join)
def test_unreadable_data_of_an_earlier_release_are_reported(
    scenario_runner: ScenarioRunner, tmp_path: Path
) -> None:
    marks = (
        b"import sqlite3\n_close = Database.close\n"
        b"def close(self):\n"
        b"    path = self.path()\n"
        b"    _close(self)\n"
        b"    mark = sqlite3.connect(path)\n"
        b"    mark.execute('PRAGMA user_version = 99')\n"
        b"    mark.close()\n"
        b"Database.close = close\n"
    )
    refuses = (
        b"import sqlite3\n_open = Database.open.__func__\n"
        b"def _read(cls, path, **options):\n"
        b"    look = sqlite3.connect(path)\n"
        b"    (version,) = look.execute('PRAGMA user_version').fetchone()\n"
        b"    look.close()\n"
        b"    if version == 99: raise QuiverError('a file of an earlier release')\n"
        b"    return _open(cls, path, **options)\n"
        b"Database.open = classmethod(_read)\n"
    )
    old = edits.earlier(scenario_runner.good_wheel, tmp_path, **edits.added(marks))
    new = wheels.mutate(scenario_runner.good_wheel, tmp_path, **edits.added(refuses))
    names = [scenario_runner.ordinary_scenario, "upgrade"]
    causes = scenario_runner.causes(new, names, earlier=[old])

    assert causes[scenario_runner.ordinary_scenario] == ()
    assert [cause.name for cause in causes["upgrade"]] == ["upgrade-broken"]
    assert causes["upgrade"][0].where.endswith("-upgrade: old_data")
    assert "a file of an earlier release" in causes["upgrade"][0].message


def test_state_that_breaks_a_downgrade_is_reported(
    scenario_runner: ScenarioRunner, good_wheel: Path, tmp_path: Path
) -> None:
    old = edits.earlier(good_wheel, tmp_path, **edits.added(REFUSES_STATE))
    new = wheels.mutate(good_wheel, tmp_path, **edits.added(KEEPS_STATE))
    cause_names = scenario_runner.cause_names(new, ["upgrade", "downgrade"], earlier=[old])

    assert cause_names == {"upgrade": {"uninstall-leftover"}, "downgrade": {"upgrade-broken"}}


def _searching(data: bytes) -> bytes:
    """Return a loader that opens the core library from the search path first."""
    old = b"    core = _open(ffi, str(_LIBS_DIR / _CORE))\n"
    new = (
        b"    try:\n        core = _open(ffi, _CORE)\n"
        b"    except NativeLibraryError:\n        core = _open(ffi, str(_LIBS_DIR / _CORE))\n"
    )
    assert old in data
    return data.replace(old, new)


def test_library_from_the_search_path_is_reported(
    scenario_runner: ScenarioRunner, good_wheel: Path, tmp_path: Path
) -> None:
    wheel = wheels.mutate(good_wheel, tmp_path, edit={LOADER: _searching})
    cause_names = scenario_runner.cause_names(wheel, ["venv", "decoy"])

    # The decoy does not have the symbols that the other library needs.
    assert cause_names == {"venv": set(), "decoy": {"wrong-library-loaded", "symbol-not-found"}}


def _released(platform: str) -> Path:
    release = wheelhouse.from_release("0.13.5", "quiverdb")
    (wheel,) = (path for path in release.wheel_paths if platform in path.name)
    return wheel


def test_symbol_interposition_of_a_release_is_reported(scenario_runner: ScenarioRunner) -> None:
    runtimes = ["other-cpp-runtime", "preloaded-cpp-runtime"]
    names = ["venv", "other-sqlite", "preloaded-sqlite", *runtimes]
    causes = scenario_runner.causes(_released("manylinux"), names)

    assert causes["venv"] == ()
    for name in names[1:]:
        assert {cause.name for cause in causes[name]} == {"symbol-interposition"}
        *_, symbols = causes[name]
        assert symbols.where == f"debian-13-pip-{name}: own_symbols"
        library = "/opt/other/libstdc++.so.6" if name in runtimes else "/libsqlite3.so.0"
        assert library in symbols.message


# The library calls a function with the name of a function of SQLite by a table of pointers.
FUNCTION_TABLE = r"""
const char *sqlite3_libversion(void) { return "its own"; }
typedef const char *(*function)(void);
static function const volatile table[] = { sqlite3_libversion };
const char *asked(void) { return table[0](); }
"""


def test_interposed_function_in_a_pointer_table_is_reported(
    scenario_runner: ScenarioRunner,
    compile_library: Callable[[str], bytes],
    good_wheel: Path,
    tmp_path: Path,
) -> None:
    changes: dict[str, Any] = edits.added(
        b"import ctypes\n"
        b"ctypes.CDLL(os.path.join(os.path.dirname(__file__), '_libs', 'libextra.so'))"
    )
    changes["add"] = {"quiverdb/_libs/libextra.so": compile_library(FUNCTION_TABLE)}
    wheel = wheels.mutate(good_wheel, tmp_path, **changes)
    names = ["venv", "other-sqlite", "preloaded-sqlite"]
    causes = scenario_runner.causes(wheel, names)

    assert causes["venv"] == ()
    for name in names[1:]:
        (cause,) = causes[name]
        assert cause.name == "symbol-interposition"
        for data in ("sqlite3_libversion", "libextra.so", "/libsqlite3.so.0"):
            assert data in cause.message


def test_old_cpp_runtime_of_another_package_is_reported(scenario_runner: ScenarioRunner) -> None:
    names = ["system", "other-cpp-runtime"]
    cause_names = scenario_runner.on(*WINDOWS).cause_names(_released("win_amd64"), names)

    assert cause_names == {
        "system": {"missing-runtime-library"},
        "other-cpp-runtime": {"runtime-too-old"},
    }


@pytest.mark.parametrize(
    ("installer", "code", "cause"),
    [
        (
            "uv-tool",
            b"if sys.prefix != sys.base_prefix: os.environ['VIRTUAL_ENV']",
            "environment-assumed",
        ),
        (
            "uv-run",
            b"if '.cache' in __file__: raise RuntimeError('not where it ought to be')",
            "use-not-supported",
        ),
    ],
    ids=["uv-tool", "uv-run"],
)
def test_assumption_about_the_environment_is_reported(
    scenario_runner: ScenarioRunner,
    good_wheel: Path,
    tmp_path: Path,
    installer: str,
    code: bytes,
    cause: str,
) -> None:
    wheel = wheels.mutate(good_wheel, tmp_path, **edits.added(code))
    ordinary = scenario_runner.on(installer="uv").cause_names(wheel, ["venv"])
    managed = scenario_runner.on(installer=installer).cause_names(wheel, ["managed"])

    assert ordinary == {"venv": set()}
    assert managed == {"managed": {cause}}


def test_marker_that_the_newest_pip_reads_differently_is_reported(
    scenario_runner: ScenarioRunner, good_wheel: Path, tmp_path: Path
) -> None:
    # "4.*" is not a version. pip 24.1 and 25.1 compare it as text. For pip 26.3 neither is less.
    old = b"Requires-Dist: cffi>=2.0.0"
    changes = edits.metadata(good_wheel, old, old + b'; python_version < "4.*"')
    wheel = wheels.mutate(good_wheel, tmp_path, **changes)

    assert _by_pip(scenario_runner, wheel) == {
        "pip": set(),
        "pip-oldest": set(),
        "pip-newest": {"missing-dependency"},
    }


def test_import_of_a_package_that_pip_vendors_is_reported(
    scenario_runner: ScenarioRunner, good_wheel: Path, tmp_path: Path
) -> None:
    # Every current pip vendors it, and the oldest pip does not.
    wheel = wheels.mutate(good_wheel, tmp_path, **edits.added(b"from pip._vendor import tomli_w"))

    assert _by_pip(scenario_runner, wheel) == {
        "pip": set(),
        "pip-oldest": {"missing-dependency"},
        "pip-newest": set(),
    }


def _by_pip(scenario_runner: ScenarioRunner, wheel: Path) -> dict[str, set[str]]:
    """Run the ordinary scenario with three versions of pip. Return cause names, by installer."""
    return {
        name: scenario_runner.on(installer=name).cause_names(wheel, ["venv"])["venv"]
        for name in ("pip", "pip-oldest", "pip-newest")
    }


def test_late_file_access_of_an_earlier_release_is_reported(
    scenario_runner: ScenarioRunner, good_wheel: Path, tmp_path: Path
) -> None:
    late = (
        b"_version = version\n"
        b"def version():\n"
        b"    open(os.path.join(os.path.dirname(__file__), 'late.txt')).close()\n"
        b"    return _version()\n"
    )
    old = edits.earlier(
        good_wheel, tmp_path, add={"quiverdb/late.txt": "late"}, **edits.added(late)
    )
    cause_names = scenario_runner.cause_names(
        good_wheel, ["upgrade", "upgrade-in-use"], earlier=[old]
    )

    assert cause_names == {"upgrade": set(), "upgrade-in-use": {"upgrade-broken"}}


def test_requirement_that_an_old_dependency_meets_is_reported(
    scenario_runner: ScenarioRunner, good_wheel: Path, tmp_path: Path
) -> None:
    newer = b"import cffi\nif cffi.__version_info__ < (2,): raise RuntimeError('too old')"
    lax = edits.metadata(good_wheel, b"Requires-Dist: cffi>=2.0.0", b"Requires-Dist: cffi")
    wheel = wheels.mutate(good_wheel, tmp_path, edit=lax["edit"] | edits.added(newer)["edit"])
    cause_names = scenario_runner.cause_names(wheel, ["venv", "old-cffi"])

    assert cause_names == {"venv": set(), "old-cffi": {"upgrade-broken"}}


def test_file_in_the_current_folder_is_reported(
    scenario_runner: ScenarioRunner, good_wheel: Path, tmp_path: Path
) -> None:
    # A log in the current folder instead of the folder of the database.
    stray = (
        b"_open = Database.open.__func__\n"
        b"def _logged(cls, path, **options):\n"
        b"    open('stray.log', 'w').close()\n"
        b"    return _open(cls, path, **options)\n"
        b"Database.open = classmethod(_logged)\n"
    )
    wheel = wheels.mutate(good_wheel, tmp_path, **edits.added(stray))
    causes = scenario_runner.causes(wheel, ["venv", "space-path"])

    assert causes["venv"] == ()
    assert [cause.name for cause in causes["space-path"]] == ["path-not-supported"]
    assert "stray.log" in causes["space-path"][0].message


# Each fault affects only one scenario of Windows, so that one wheel can have all of them.
WINDOWS_FAULTS = {
    "space-path": (b"' ' in __file__ and chr(252) not in __file__", "no spaces"),
    "long-path": (b"len(__file__) > 180", "no long paths"),
    "non-ascii-home": (b"chr(252) in sys.prefix", "an environment beyond ASCII"),
    "target": (b"os.environ.get('PYTHONPATH')", "a folder on the path"),
    "thread": (b"threading.current_thread() is not threading.main_thread()", "another thread"),
    "spawn": (b"multiprocessing.parent_process()", "not in one of these"),
    "zip": (b"'.zip' in __file__", "no archive"),
    "frozen": (b"getattr(sys, 'frozen', False)", "no frozen program"),
}
WINDOWS_CAUSES = {
    "space-path": "path-not-supported",
    "long-path": "path-not-supported",
    "non-ascii-home": "path-not-supported",
}


def test_windows_faults_are_reported_only_by_their_scenarios(
    scenario_runner: ScenarioRunner, good_windows_wheel: Path, tmp_path: Path
) -> None:
    code = b"import multiprocessing, threading\n" + b"".join(
        b"if %s: raise RuntimeError('%s')\n" % (condition, error.encode())
        for condition, error in WINDOWS_FAULTS.values()
    )
    code += (
        b"if 'sqlite3' in sys.modules:\n"
        b"    Database.query_string = lambda self, sql: (\n"
        b"        sys.modules['sqlite3'].connect(':memory:').execute(sql).fetchone()[0])\n"
    )
    wheel = wheels.mutate(good_windows_wheel, tmp_path, **edits.added(code))
    names = ["system", "other-sqlite", *WINDOWS_FAULTS]
    causes = scenario_runner.on(*WINDOWS).causes(wheel, names)

    assert causes.pop("system") == ()
    assert [cause.name for cause in causes.pop("other-sqlite")] == ["symbol-interposition"]
    for name, (cause,) in causes.items():
        assert cause.name == WINDOWS_CAUSES.get(name, "use-not-supported")
        assert WINDOWS_FAULTS[name][1] in cause.message


def test_missing_docstrings_and_streams_on_windows_are_reported(
    scenario_runner: ScenarioRunner, good_windows_wheel: Path, tmp_path: Path
) -> None:
    code = b"_usage = __doc__ % ()\n_is_terminal = sys.stdout.isatty()\n"
    wheel = wheels.mutate(good_windows_wheel, tmp_path, **edits.added(code))
    names = ["system", "optimized", "no-streams"]

    assert scenario_runner.on(*WINDOWS).cause_names(wheel, names) == {
        "system": set(),
        "optimized": {"optimization-not-supported"},
        "no-streams": {"streams-assumed"},
    }


@pytest.mark.parametrize("scenario_runner", [PIP, WINDOWS], indirect=True, ids="-".join)
def test_good_wheel_works_without_docstrings_and_streams(scenario_runner: ScenarioRunner) -> None:
    names = ["optimized", "no-streams"]
    cause_names = scenario_runner.cause_names(scenario_runner.good_wheel, names)
    assert cause_names == {"optimized": set(), "no-streams": set()}


def test_faults_that_only_pip_shows_on_windows(
    scenario_runner: ScenarioRunner, good_windows_wheel: Path, tmp_path: Path
) -> None:
    code = (
        b"_site = os.path.dirname(os.path.dirname(__file__))\n"
        b"if '~uiverdb' in os.listdir(_site): raise RuntimeError('it is here twice')\n"
        b"if 'Roaming' in _site: raise RuntimeError('a roaming profile')\n"
    )
    wheel = wheels.mutate(good_windows_wheel, tmp_path, **edits.added(code))
    names = ["user", "upgrade-in-use"]
    causes = scenario_runner.on(*WINDOWS_PIP).causes(wheel, names)

    assert [cause.name for cause in causes["user"]] == ["path-not-supported"]
    assert "a roaming profile" in causes["user"][0].message
    assert [cause.name for cause in causes["upgrade-in-use"]] == ["upgrade-broken"]
    assert "it is here twice" in causes["upgrade-in-use"][0].message


def test_exclusive_database_lock_on_windows_is_reported(
    scenario_runner: ScenarioRunner, good_windows_wheel: Path, tmp_path: Path
) -> None:
    code = (
        b"_plain_open = Database.open.__func__\n"
        b"_held = []\n"
        b"def _open(cls, path, **options):\n"
        b"    import msvcrt\n"
        b"    _held.append(open(str(path) + '.lock', 'w'))\n"
        b"    msvcrt.locking(_held[-1].fileno(), msvcrt.LK_NBLCK, 1)\n"
        b"    return _plain_open(cls, path, **options)\n"
        b"Database.open = classmethod(_open)\n"
    )
    wheel = wheels.mutate(good_windows_wheel, tmp_path, **edits.added(code))
    names = ["system", "two-interpreters"]
    causes = scenario_runner.on(*WINDOWS).causes(wheel, names)

    assert causes["system"] == ()
    assert [cause.name for cause in causes["two-interpreters"]] == ["use-not-supported"]
    assert "OSError" in causes["two-interpreters"][0].message


def test_library_from_the_search_path_of_windows_is_reported(
    scenario_runner: ScenarioRunner, good_windows_wheel: Path, tmp_path: Path
) -> None:
    wheel = wheels.mutate(good_windows_wheel, tmp_path, edit={LOADER: _searching})
    names = ["system", "decoy"]
    cause_names = scenario_runner.on(*WINDOWS).cause_names(wheel, names)

    assert cause_names == {"system": set(), "decoy": {"wrong-library-loaded"}}
