from __future__ import annotations

import pytest

from tests.helpers.sample_evidence import API, CORE, DLL, LIBS, PACKAGE, SITE, Fields, evidence
from tests.helpers.sample_expectation import EXPECTATION, WINDOWS
from verification.models.evidence import CellEvidence
from verification.rules.finding import Finding
from verification.rules.load_path import wrong_load_path

NO_FILE = "cannot open shared object file: No such file or directory"
TAIL = "Additionally, ctypes.util.find_library() did not manage to locate a library called"
WINDOWS_CORE = DLL.replace("libquiver_c", "libquiver")
FOLDER = DLL.rpartition("\\")[0]
WINE = 'warn:module:import_dll No implementation for KERNEL32.dll.X imported from L"python.dll"'
NOT_FOUND = f'err:module:import_dll Library X.dll (which is needed by L"{WINDOWS_CORE}") not found'


def _linux(*files: str) -> CellEvidence:
    def change(fields: Fields) -> None:
        if files:
            fields["exercise"]["steps"]["record"]["value"]["files"] = list(files)
            fields["installed"]["added"] = list(files)

    return evidence(change)


def _windows(*loader: str, files: tuple[str, ...] = (WINDOWS_CORE, DLL)) -> CellEvidence:
    def change(fields: Fields) -> None:
        fields["os"], fields["loader"] = "windows", list(loader)
        fields["installed"]["added"] = list(files)
        fields["exercise"]["steps"]["record"]["value"]["files"] = list(files)

    return evidence(change)


def _cffi(library: str, reason: str = "") -> str:
    reason = reason or f"{library}: {NO_FILE}"
    return f"OSError: cannot load library '{library}': {reason}.  {TAIL} '{library}'"


def _paths(fault: Finding | None) -> tuple[object, object] | None:
    if fault is None:
        return None
    assert fault.name == "wrong-load-path"
    return fault.facts["sought"], fault.facts["path"]


@pytest.mark.parametrize(
    ("message", "sought"),
    [
        (_cffi(f"{LIBS}/lib/libquiver.so"), f"{LIBS}/lib/libquiver.so"),
        (_cffi("libquiver.so"), "libquiver.so"),
        (f"OSError: {PACKAGE}/lib/libquiver.so: {NO_FILE}", f"{PACKAGE}/lib/libquiver.so"),
        (
            f"OSError: Error loading shared library {PACKAGE}/x/libquiver.so: No such file or",
            f"{PACKAGE}/x/libquiver.so",
        ),
        (
            "OSError: cannot load library 'libquiver.so': Error loading shared library "
            "libquiver.so: No such file or directory",
            "libquiver.so",
        ),
        (
            f"FileNotFoundError: [Errno 2] No such file or directory: '{PACKAGE}/libquiver.so'",
            f"{PACKAGE}/libquiver.so",
        ),
        (
            f"RuntimeError: {PACKAGE}/native holds no libquiver.so ({_cffi('libquiver.so')})",
            f"{PACKAGE}/native/libquiver.so",
        ),
        (f"RuntimeError: {LIBS}/libquiver.so.1 is missing.", f"{LIBS}/libquiver.so.1"),
        (
            f"RuntimeError: Cannot load native libraries. Searched: {PACKAGE}/native (not found), "
            "system PATH. Missing: libquiver.so",
            f"{PACKAGE}/native/libquiver.so",
        ),
    ],
)
def test_wrong_path_is_reported_with_the_installed_path(message: str, sought: str) -> None:
    assert _paths(wrong_load_path(message, "", _linux(), EXPECTATION)) == (sought, CORE)


def test_installed_library_may_have_a_hash_in_its_name() -> None:
    hashed = f"{SITE}/quiverdb.libs/libquiver-0a1b2c3d.so"
    observed = _linux(hashed, API)
    assert _paths(wrong_load_path(_cffi(CORE), "", observed, EXPECTATION)) == (CORE, hashed)


def test_reported_library_may_be_installed_under_another_name() -> None:
    hashed = f"{LIBS}/libquiver-0a1b2c3d.so"
    message = f"RuntimeError: Searched: {LIBS} (not found), system PATH. Missing: libquiver.so"
    observed = _linux(hashed, API)
    assert _paths(wrong_load_path(message, "", observed, EXPECTATION)) == ("libquiver.so", hashed)


NO_WRONG_PATH = [
    f"RuntimeError: Searched: {LIBS} (not found). Missing: libquiver.so",
    _cffi(CORE, f"libz.so.1: {NO_FILE}"),
    _cffi(API, f"libquiver.so: {NO_FILE}"),
    _cffi(CORE, f"{CORE}: invalid ELF header"),
    _cffi(CORE),
    _cffi(CORE.replace("/lib/python", "/lib64/python")),
    _cffi(CORE.replace("_libs/", "x/../_libs/")),
    _cffi("libz.so.1"),
    _cffi("/opt/lib/libquiver.so"),
    f"OSError: libquiver.so: {NO_FILE}",
    f"ImportError: libquiver.so: {NO_FILE}",
    f"RuntimeError: {PACKAGE}/data.json is missing",
    f"RuntimeError: {CORE}: undefined symbol: x. Searched: {PACKAGE}/native",
    "RuntimeError: no",
]


def test_needed_or_installed_library_has_no_wrong_path() -> None:
    observed = _linux()
    wrong = [m for m in NO_WRONG_PATH if wrong_load_path(m, "", observed, EXPECTATION)]
    assert wrong == []


def test_library_outside_the_wheel_has_no_wrong_path() -> None:
    reported = f"RuntimeError: {CORE} is missing"
    others = f"{reported}, libquiver_c.so is there. Install quiverdb again."
    for message in (_cffi(CORE), _cffi("libquiver.so"), reported, others):
        assert wrong_load_path(message, "", _linux(API), EXPECTATION) is None
        assert wrong_load_path(message, "", _linux(f"{PACKAGE}/x.py"), EXPECTATION) is None


def test_name_without_folder_counts_if_the_code_has_it() -> None:
    message = f"OSError: libquiver.so: {NO_FILE}"
    trace = 'File "_loader.py", line 3\n    ctypes.CDLL("libquiver.so")\n'
    for code, expected in ((trace, ("libquiver.so", CORE)), ("    ctypes.CDLL(path)\n", None)):
        traceback = f"{code}\n{message}"
        assert _paths(wrong_load_path(message, traceback, _linux(), EXPECTATION)) == expected


@pytest.mark.parametrize(
    ("message", "sought"),
    [
        (_cffi(f"{FOLDER}\\lib\\libquiver.dll", "error 0x7e"), f"{FOLDER}\\lib\\libquiver.dll"),
        (
            f"FileNotFoundError: Could not find module '{FOLDER}\\x\\libquiver.dll' (or one of its",
            f"{FOLDER}\\x\\libquiver.dll",
        ),
        (_cffi("libquiver.dll", "error 0x7e"), "libquiver.dll"),
        ("FileNotFoundError: Could not find module 'libquiver.dll' (or one of", "libquiver.dll"),
    ],
)
def test_wrong_path_on_windows_is_reported(message: str, sought: str) -> None:
    fault = wrong_load_path(message, "", _windows(WINE), WINDOWS)
    assert _paths(fault) == (sought, WINDOWS_CORE)
    assert wrong_load_path(message, "", _windows(WINE, NOT_FOUND), WINDOWS) is None


def test_windows_does_not_name_the_missing_library() -> None:
    assert wrong_load_path(_cffi("libquiver.dll", "error 0x7e"), "", _windows(), WINDOWS) is None


@pytest.mark.parametrize("path", [WINDOWS_CORE, WINDOWS_CORE.upper(), f"Z:{WINDOWS_CORE[2:]}"])
def test_installed_library_on_windows_has_no_wrong_path(path: str) -> None:
    assert wrong_load_path(_cffi(path, "error 0x7e"), "", _windows(WINE), WINDOWS) is None


@pytest.mark.parametrize(("number", "folder"), [(2, "bin"), (3, "native\\x")])
def test_missing_folder_of_the_dll_search_is_a_wrong_path(number: int, folder: str) -> None:
    path = f"{FOLDER}\\{folder}"
    message = f"FileNotFoundError: [WinError {number}] not found: {path!r}"
    trace = "    os.add_dll_directory(str(folder))\n"
    fault = wrong_load_path(message, trace, _windows(), WINDOWS)
    assert _paths(fault) == (path, WINDOWS_CORE)
    assert wrong_load_path(message, "    open(path)\n", _windows(), WINDOWS) is None
    reported = f"RuntimeError: Cannot load native libraries: {message}"
    assert _paths(wrong_load_path(reported, "", _windows(), WINDOWS)) == (path, WINDOWS_CORE)
