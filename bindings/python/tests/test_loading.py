"""When, from where and how loudly the native libraries are loaded."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import quiverdb
from quiverdb import NativeLibraryError, QuiverError

SUFFIX = ".dll" if sys.platform == "win32" else ".so"
CORE = f"libquiver{SUFFIX}"
C_API = f"libquiver_c{SUFFIX}"

SAY_VERSION = """
import sys
sys.path.insert(0, sys.argv[1])
import quiverdb, quiverdb._loader
assert quiverdb.__file__.startswith(sys.argv[1]), quiverdb.__file__
try:
    print(quiverdb.version(), quiverdb._loader._load_source)
except quiverdb.QuiverError as error:
    print(type(error).__name__, error)
"""

Python = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a folder with a copy of the installed package, to be damaged."""
    folder = tmp_path / "copied"
    shutil.copytree(Path(quiverdb.__file__).parent, folder / "quiverdb")
    return folder


def libs(copy: Path) -> Path:
    return copy / "quiverdb" / "_libs"


def test_importing_loads_nothing_and_the_first_call_loads_what_is_bundled(python: Python):
    done = python(
        "import quiverdb, quiverdb._loader as loader\n"
        "print(repr(loader._load_source))\n"
        "quiverdb.version()\n"
        "print(repr(loader._load_source))\n"
    )
    assert done.stdout.split() == ["''", "'bundled'"], done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, which only Linux has")
def test_the_libraries_mapped_are_the_bundled_ones_and_only_after_the_first_call(python: Python):
    done = python(
        "import quiverdb, pathlib\n"
        "def mapped():\n"
        "    lines = pathlib.Path('/proc/self/maps').read_text().splitlines()\n"
        "    return sorted({line.split(maxsplit=5)[5] for line in lines if 'libquiver' in line})\n"
        "print(mapped())\n"
        "quiverdb.version()\n"
        "print(mapped())\n"
    )
    folder = Path(quiverdb.__file__).resolve().parent / "_libs"
    assert done.stdout.splitlines() == [
        "[]",
        str([str(folder / CORE), str(folder / C_API)]),
    ], done.stderr


def test_a_copy_works_from_a_path_with_spaces_and_other_scripts(
    python: Python, copy: Path, tmp_path: Path
):
    moved = copy.rename(tmp_path / "José Müller 量子")
    done = python(SAY_VERSION, str(moved))
    assert done.stdout.split() == [quiverdb.version(), "bundled"], done.stderr


@pytest.mark.parametrize(("missing", "there"), [(CORE, C_API), (C_API, CORE)])
def test_half_a_bundle_is_an_error_that_names_the_missing_file(
    python: Python, copy: Path, missing: str, there: str
):
    (libs(copy) / missing).unlink()
    done = python(SAY_VERSION, str(copy))
    assert done.stdout.startswith("NativeLibraryError"), done.stderr
    assert f"{libs(copy) / missing} is missing" in done.stdout
    assert f"{there} is there" in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="uses LD_LIBRARY_PATH")
def test_half_a_bundle_is_never_completed_from_the_search_path(python: Python, copy: Path):
    (libs(copy) / CORE).unlink()
    bundle = Path(quiverdb.__file__).parent / "_libs"
    done = python(SAY_VERSION, str(copy), LD_LIBRARY_PATH=str(bundle))
    assert done.stdout.startswith("NativeLibraryError"), done.stderr


@pytest.mark.parametrize("damaged", [CORE, C_API])
def test_a_damaged_library_is_named_with_what_the_system_says(
    python: Python, copy: Path, damaged: str
):
    (libs(copy) / damaged).write_bytes(b"not a library")
    done = python(SAY_VERSION, str(copy))
    assert done.stdout.startswith("NativeLibraryError"), done.stderr
    assert f"{libs(copy) / damaged} cannot be loaded: " in done.stdout
    assert sys.platform == "win32" or "file too short" in done.stdout


def test_without_a_bundle_and_elsewhere_the_error_says_both(python: Python, copy: Path):
    shutil.rmtree(libs(copy))
    done = python(SAY_VERSION, str(copy), LD_LIBRARY_PATH="")
    assert done.stdout.startswith("NativeLibraryError"), done.stderr
    assert f"{libs(copy)} holds neither {CORE} nor {C_API}" in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="uses LD_LIBRARY_PATH")
def test_the_development_fallback_works_and_warns(python: Python, copy: Path):
    shutil.rmtree(libs(copy))
    bundle = Path(quiverdb.__file__).parent / "_libs"
    done = python(SAY_VERSION, str(copy), LD_LIBRARY_PATH=str(bundle), PYTHONWARNINGS="default")
    assert done.stdout.split() == [quiverdb.version(), "development"], done.stderr
    assert "RuntimeWarning: quiverdb bundles no native libraries" in done.stderr


def test_a_load_error_is_both_a_quiver_error_and_an_import_error():
    assert issubclass(NativeLibraryError, QuiverError)
    assert issubclass(NativeLibraryError, ImportError)


@pytest.mark.skipif(sys.platform != "linux", reason="symbols are interposed only there")
def test_another_sqlite_in_the_process_changes_nothing(python: Python):
    done = python(
        "import sqlite3, ctypes, ctypes.util\n"
        "name = ctypes.util.find_library('sqlite3')\n"
        "if name: ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)\n"
        "import quiverdb, pathlib\n"
        "pathlib.Path('s.sql').write_text('CREATE TABLE Configuration (id INTEGER PRIMARY KEY,'\n"
        "    ' label TEXT UNIQUE NOT NULL, version TEXT)')\n"
        "with quiverdb.Database.from_schema(':memory:', 's.sql') as db:\n"
        "    print(db.query_string('SELECT sqlite_version()'))\n"
    )
    assert done.stdout.strip() == "3.50.4", done.stderr
