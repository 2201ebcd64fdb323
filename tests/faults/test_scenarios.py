"""Faults that show themselves in one way of installing or using only: its scenario must catch them.

Each wheel is judged in the ordinary way as well, and must pass there.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from containers import wheelhouse
from tests.faults import edits
from tests.faults.place import PIP, UV, WINDOWS, WINDOWS_PIP, Place
from tests.helpers import wheel_builder as wheels
from verification.session.run_cell import PlantedFault
from verification.subjects.subject import load as load_subject

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
# What is added to the package, and the cause by which its scenario must call it.
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


# Debian 13 has nothing to compile the Turkish locale from: C.UTF-8 with its comma stands for it.
COMMA = b"""#!/bin/sh -e
cp -r /usr/lib/locale/C.utf8 /usr/lib/locale/tr_TR.utf8
sed -i s/[.]/,/g /usr/lib/locale/tr_TR.utf8/LC_NUMERIC
"""
MACHINES = [
    *(pytest.param(name, "debian-13", id=name) for name in FAULTS),
    pytest.param("turkish-locale", "debian-12", id="turkish-itself"),  # it has the locale itself
]


@pytest.mark.parametrize(("name", "machine"), MACHINES)
def test_a_fault_of_one_scenario_is_caught_by_it_alone(
    place: Place, good_wheel: Path, tmp_path: Path, name: str, machine: str
) -> None:
    code, cause = FAULTS[name]
    wheel = wheels.mutate(good_wheel, tmp_path, **edits.added(code))
    planted = None
    if (name, machine) == ("turkish-locale", "debian-13"):
        planted = PlantedFault(files={"/usr/local/bin/localedef": COMMA})
    seen = place.at(machine).names(wheel, ["venv", name], planted=planted)

    assert seen["venv"] == set()
    assert seen[name] == {cause if cause != "use" else "use-not-supported"}


def test_a_package_that_must_know_its_users_account(
    place: Place, good_wheel: Path, tmp_path: Path
) -> None:
    # So do getpass.getuser() and Path("~user"), unless the environment says it.
    code = b"import pwd; _home = pwd.getpwuid(os.getuid()).pw_dir"
    wheel = wheels.mutate(good_wheel, tmp_path, **edits.added(code))
    seen = place.causes(wheel, ["venv", "root"])

    assert seen["venv"] == ()
    assert [cause.name for cause in seen["root"]] == ["permission"]
    assert "a user without an account gets 1" in seen["root"][0].message
    assert "uid not found: 1000660000" in seen["root"][0].message


def test_a_time_zone_that_is_no_whole_hour_from_another(
    place: Place, good_wheel: Path, tmp_path: Path
) -> None:
    code = (
        b"import time\n"
        b"_zones = {hours * 3600: f'UTC{hours:+d}' for hours in range(-12, 15)}\n"
        b"_zone = _zones[-time.timezone]"
    )
    wheel = wheels.mutate(good_wheel, tmp_path, **edits.added(code))
    seen = place.causes(wheel, ["venv", "umask-and-zone"])

    assert seen["venv"] == ()
    assert [cause.name for cause in seen["umask-and-zone"]] == ["use-not-supported"]
    assert "KeyError: 20700" in seen["umask-and-zone"][0].message


@pytest.mark.parametrize("place", [PIP, UV, WINDOWS], indirect=True, ids="-".join)
def test_a_dependency_that_nobody_locked(place: Place, tmp_path: Path) -> None:
    # uv stands for it: it is on the index, and no dependency. A lock that was made on Linux has
    # nothing of what Windows alone needs.
    marker = b'; sys_platform == "win32"' if place.plain == "system" else b""
    old = b"Requires-Dist: cffi"
    changes = edits.metadata(place.good, old, b"Requires-Dist: uv" + marker + b"\n" + old)
    wheel = wheels.mutate(place.good, tmp_path, **changes)
    names = [place.plain, "require-hashes", "offline"]
    seen = place.causes(wheel, names)

    assert seen[place.plain] == ()
    assert [cause.name for cause in seen["require-hashes"]] == ["missing-dependency"]
    assert [cause.name for cause in seen["offline"]] == ["missing-dependency"]
    assert "needs uv" in seen["offline"][0].message


@pytest.mark.parametrize("place", [PIP, UV, WINDOWS], indirect=True, ids="-".join)
def test_a_wheel_that_brings_a_stale_description_of_its_dependency(
    place: Place, tmp_path: Path
) -> None:
    stale = "Metadata-Version: 1.0\nName: cffi\nVersion: 1.0\n"
    wheel = wheels.mutate(place.good, tmp_path, add={"cffi-1.0.egg-info": stale})
    names = [place.plain, "twice"]
    seen = place.names(wheel, names)

    assert seen == {place.plain: set(), "twice": {"use-not-supported"}}


def test_an_earlier_release_that_leaves_what_the_new_one_cannot_bear(
    place: Place, good_wheel: Path, tmp_path: Path
) -> None:
    old = edits.earlier(good_wheel, tmp_path, **edits.added(KEEPS_STATE))
    new = wheels.mutate(good_wheel, tmp_path, **edits.added(REFUSES_STATE))
    seen = place.names(new, ["venv", "upgrade"], earlier=[old])

    # What the earlier one wrote is nobody's, and stays.
    assert seen == {"venv": set(), "upgrade": {"upgrade-broken", "uninstall-leftover"}}


@pytest.mark.parametrize("place", [PIP, WINDOWS_PIP], indirect=True, ids="-".join)
def test_a_release_that_cannot_read_what_an_earlier_one_wrote(place: Place, tmp_path: Path) -> None:
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
    old = edits.earlier(place.good, tmp_path, **edits.added(marks))
    new = wheels.mutate(place.good, tmp_path, **edits.added(refuses))
    names = [place.plain, "upgrade"]
    seen = place.causes(new, names, earlier=[old])

    assert seen[place.plain] == ()
    assert [cause.name for cause in seen["upgrade"]] == ["upgrade-broken"]
    assert "old_data" in seen["upgrade"][0].where
    assert "a file of an earlier release" in seen["upgrade"][0].message


def test_a_release_that_leaves_what_an_earlier_one_cannot_bear(
    place: Place, good_wheel: Path, tmp_path: Path
) -> None:
    old = edits.earlier(good_wheel, tmp_path, **edits.added(REFUSES_STATE))
    new = wheels.mutate(good_wheel, tmp_path, **edits.added(KEEPS_STATE))
    seen = place.names(new, ["upgrade", "downgrade"], earlier=[old])

    assert seen == {"upgrade": {"uninstall-leftover"}, "downgrade": {"upgrade-broken"}}


def _searching(data: bytes) -> bytes:
    """Return the loader with a core that is looked for on the search path first."""
    old = b"    core = _open(ffi, str(_LIBS_DIR / _CORE))\n"
    new = (
        b"    try:\n        core = _open(ffi, _CORE)\n"
        b"    except NativeLibraryError:\n        core = _open(ffi, str(_LIBS_DIR / _CORE))\n"
    )
    assert old in data
    return data.replace(old, new)


def test_a_loader_that_asks_the_search_path_first(
    place: Place, good_wheel: Path, tmp_path: Path
) -> None:
    wheel = wheels.mutate(good_wheel, tmp_path, edit={LOADER: _searching})
    seen = place.names(wheel, ["venv", "decoy"])

    # The decoy is no library of the package: what the other one needs is not in it.
    assert seen == {"venv": set(), "decoy": {"wrong-library-loaded", "symbol-not-found"}}


def _released(platform: str) -> Path:
    house = wheelhouse.from_release("0.13.5", "quiverdb", load_subject().locks)
    (wheel,) = (path for path in house.wheel_paths if platform in path.name)
    return wheel


def test_a_release_whose_code_gives_way_to_anothers(place: Place) -> None:
    runtimes = ["other-cpp-runtime", "preloaded-cpp-runtime"]
    names = ["venv", "other-sqlite", "preloaded-sqlite", *runtimes]
    seen = place.causes(_released("manylinux"), names)

    assert seen["venv"] == ()
    for name in names[1:]:
        assert {cause.name for cause in seen[name]} == {"symbol-interposition"}
        *_, symbols = seen[name]
        library = "/opt/other/libstdc++.so.6" if name in runtimes else "/libsqlite3.so.0"
        assert re.search(rf"answered by \S*{re.escape(library)}", symbols.message)


# It has the name of one of SQLite's functions, and calls it by a table of pointers.
TABLED = r"""
const char *sqlite3_libversion(void) { return "its own"; }
typedef const char *(*function)(void);
static function const volatile table[] = { sqlite3_libversion };
const char *asked(void) { return table[0](); }
"""


def test_a_function_in_a_table_that_gives_way_to_anothers(
    place: Place, good_wheel: Path, tmp_path: Path
) -> None:
    changes: dict[str, Any] = edits.added(
        b"import ctypes\n"
        b"ctypes.CDLL(os.path.join(os.path.dirname(__file__), '_libs', 'libextra.so'))"
    )
    changes["add"] = {"quiverdb/_libs/libextra.so": edits.compiled(place.found, TABLED)}
    wheel = wheels.mutate(good_wheel, tmp_path, **changes)
    names = ["venv", "other-sqlite", "preloaded-sqlite"]
    seen = place.causes(wheel, names)

    assert seen["venv"] == ()
    for name in names[1:]:
        (cause,) = seen[name]
        assert cause.name == "symbol-interposition"
        assert re.search(r"libversion of libextra.so is answered by \S*/libsqlite3", cause.message)


def test_a_release_that_takes_the_old_cpp_run_time_of_another_package(place: Place) -> None:
    names = ["system", "other-cpp-runtime"]
    seen = place.at(*WINDOWS).names(_released("win_amd64"), names)

    assert seen == {"system": {"missing-runtime-library"}, "other-cpp-runtime": {"runtime-too-old"}}


@pytest.mark.parametrize(
    ("installer", "code"),
    [
        ("uv-tool", b"if sys.prefix != sys.base_prefix: os.environ['VIRTUAL_ENV']"),
        ("uv-run", b"if '.cache' in __file__: raise RuntimeError('not where it ought to be')"),
    ],
)
def test_an_environment_that_is_not_where_the_package_takes_it_to_be(
    place: Place, good_wheel: Path, tmp_path: Path, installer: str, code: bytes
) -> None:
    wheel = wheels.mutate(good_wheel, tmp_path, **edits.added(code))
    ordinary = place.at(installer="uv").names(wheel, ["venv"])
    seen = place.at(installer=installer).names(wheel, ["managed"])

    assert ordinary == {"venv": set()}
    assert seen == {"managed": {"use-not-supported"}}


def test_a_requirement_that_the_newest_pip_alone_reads_otherwise(
    place: Place, good_wheel: Path, tmp_path: Path
) -> None:
    # "4.*" is no version: pip 24.1 and 25.1 compare the two as texts, to 26.3 neither is less.
    old = b"Requires-Dist: cffi>=2.0.0"
    changes = edits.metadata(good_wheel, old, old + b'; python_version < "4.*"')
    wheel = wheels.mutate(good_wheel, tmp_path, **changes)

    assert _by_pip(place, wheel) == {
        "pip": set(),
        "pip-oldest": set(),
        "pip-newest": {"missing-dependency"},
    }


def test_a_package_that_takes_what_pip_carries_for_itself(
    place: Place, good_wheel: Path, tmp_path: Path
) -> None:
    # It is there in every environment of today, and was not in the oldest pip.
    wheel = wheels.mutate(good_wheel, tmp_path, **edits.added(b"from pip._vendor import tomli_w"))

    assert _by_pip(place, wheel) == {
        "pip": set(),
        "pip-oldest": {"missing-dependency"},
        "pip-newest": set(),
    }


def _by_pip(place: Place, wheel: Path) -> dict[str, set[str]]:
    """Return the names of the causes in the ordinary way, by each pip."""
    return {
        name: place.at(installer=name).names(wheel, ["venv"])["venv"]
        for name in ("pip", "pip-oldest", "pip-newest")
    }


def test_an_earlier_release_whose_process_looks_for_its_files_later(
    place: Place, good_wheel: Path, tmp_path: Path
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
    seen = place.names(good_wheel, ["upgrade", "upgrade-in-use"], earlier=[old])

    assert seen == {"upgrade": set(), "upgrade-in-use": {"upgrade-broken"}}


def test_a_requirement_that_an_older_dependency_meets(
    place: Place, good_wheel: Path, tmp_path: Path
) -> None:
    newer = b"import cffi\nif cffi.__version_info__ < (2,): raise RuntimeError('too old')"
    lax = edits.metadata(good_wheel, b"Requires-Dist: cffi>=2.0.0", b"Requires-Dist: cffi")
    wheel = wheels.mutate(good_wheel, tmp_path, edit=lax["edit"] | edits.added(newer)["edit"])
    seen = place.names(wheel, ["venv", "old-cffi"])

    assert seen == {"venv": set(), "old-cffi": {"upgrade-broken"}}


def test_data_that_are_not_where_they_ought_to_be(
    place: Place, good_wheel: Path, tmp_path: Path
) -> None:
    # A log in the current folder, where it is not beside the database.
    stray = (
        b"_open = Database.open.__func__\n"
        b"def _logged(cls, path, **options):\n"
        b"    open('stray.log', 'w').close()\n"
        b"    return _open(cls, path, **options)\n"
        b"Database.open = classmethod(_logged)\n"
    )
    wheel = wheels.mutate(good_wheel, tmp_path, **edits.added(stray))
    seen = place.causes(wheel, ["venv", "space-path"])

    assert seen["venv"] == ()
    assert [cause.name for cause in seen["space-path"]] == ["path-not-supported"]
    assert "stray.log" in seen["space-path"][0].message


# Each of these shows itself in its own scenario of Windows alone, so one wheel has them all.
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


def test_faults_of_one_scenario_of_windows_each(
    place: Place, good_windows_wheel: Path, tmp_path: Path
) -> None:
    code = b"import multiprocessing, threading\n" + b"".join(
        b"if %s: raise RuntimeError('%s')\n" % (when, told.encode())
        for when, told in WINDOWS_FAULTS.values()
    )
    code += (
        b"if 'sqlite3' in sys.modules:\n"
        b"    Database.query_string = lambda self, sql: (\n"
        b"        sys.modules['sqlite3'].connect(':memory:').execute(sql).fetchone()[0])\n"
    )
    wheel = wheels.mutate(good_windows_wheel, tmp_path, **edits.added(code))
    names = ["system", "other-sqlite", *WINDOWS_FAULTS]
    seen = place.at(*WINDOWS).causes(wheel, names)

    assert seen.pop("system") == ()
    assert [cause.name for cause in seen.pop("other-sqlite")] == ["symbol-interposition"]
    for name, causes in seen.items():
        assert [cause.name for cause in causes] == [WINDOWS_CAUSES.get(name, "use-not-supported")]
        assert WINDOWS_FAULTS[name][1] in causes[0].message


def test_faults_that_pip_alone_shows_on_windows(
    place: Place, good_windows_wheel: Path, tmp_path: Path
) -> None:
    code = (
        b"_site = os.path.dirname(os.path.dirname(__file__))\n"
        b"if '~uiverdb' in os.listdir(_site): raise RuntimeError('it is here twice')\n"
        b"if 'Roaming' in _site: raise RuntimeError('a roaming profile')\n"
    )
    wheel = wheels.mutate(good_windows_wheel, tmp_path, **edits.added(code))
    names = ["user", "upgrade-in-use"]
    seen = place.at(*WINDOWS_PIP).causes(wheel, names)

    assert [cause.name for cause in seen["user"]] == ["path-not-supported"]
    assert "a roaming profile" in seen["user"][0].message
    assert [cause.name for cause in seen["upgrade-in-use"]] == ["upgrade-broken"]
    assert "it is here twice" in seen["upgrade-in-use"][0].message


def test_a_database_that_windows_locks_for_one_process_alone(
    place: Place, good_windows_wheel: Path, tmp_path: Path
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
    seen = place.at(*WINDOWS).causes(wheel, names)

    assert seen["system"] == ()
    assert [cause.name for cause in seen["two-interpreters"]] == ["use-not-supported"]
    assert "one of two writers ended with 1" in seen["two-interpreters"][0].message


def test_a_loader_that_asks_the_search_path_of_windows_first(
    place: Place, good_windows_wheel: Path, tmp_path: Path
) -> None:
    wheel = wheels.mutate(good_windows_wheel, tmp_path, edit={LOADER: _searching})
    names = ["system", "decoy"]
    seen = place.at(*WINDOWS).names(wheel, names)

    assert seen == {"system": set(), "decoy": {"wrong-library-loaded"}}
