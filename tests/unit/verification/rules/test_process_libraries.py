from __future__ import annotations

import pytest

from tests.helpers.sample_evidence import (
    API,
    CELL,
    CORE,
    DLL,
    FILES,
    LIBS,
    WINDOWS_SITE,
    Fields,
    evidence,
    stub,
)
from tests.helpers.sample_expectation import EXPECTATION, WINDOWS, names, only
from verification.models.evidence import CellEvidence
from verification.rules import process_libraries

PROJECT = "/home/user/project"
CORE_DLL = f"{WINDOWS_SITE}\\quiverdb\\_libs\\libquiver.dll"


def on_wine(*lines: str) -> CellEvidence:
    def change(fields: Fields) -> None:
        fields["os"], fields["loader"] = "windows", list(lines)
        fields["installed"]["added"] = [DLL, CORE_DLL]

    return evidence(change)


# ---- symbols ----


@pytest.mark.parametrize("library", ["libquiver.dll", "LIBQUIVER.dll"])
def test_a_symbol_that_an_own_library_lacks_is_the_packages_fault(library: str) -> None:
    observed = on_wine(stub(library, "quiver_x"))
    assert only(process_libraries.unresolved_symbols(observed, WINDOWS)) == (
        "symbol-not-found",
        f"{CELL}: libquiver_c.dll",
        f"libquiver_c.dll imports quiver_x of {library}, which does not export it; Windows refuses "
        "to load such a library, Wine does not",
        {"library": library, "symbol": "quiver_x", "needed_by": "libquiver_c.dll"},
    )
    assert list(process_libraries.unknown_to_wine(observed, WINDOWS)) == []


def test_a_symbol_that_wine_lacks_is_a_note() -> None:
    observed = on_wine(stub("KERNEL32.dll", "PssQuery"))
    (cause,) = process_libraries.unknown_to_wine(observed, WINDOWS)
    assert cause.severity == "note"
    assert only([cause]) == (
        "unknown-to-wine",
        f"{CELL}: libquiver_c.dll",
        "libquiver_c.dll imports PssQuery of KERNEL32.dll, which Wine has not; whether every "
        "Windows has it was not verified",
        {"library": "KERNEL32.dll", "symbol": "PssQuery", "needed_by": "libquiver_c.dll"},
    )
    assert list(process_libraries.unresolved_symbols(observed, WINDOWS)) == []


def test_what_other_libraries_import_is_not_the_packages_fault() -> None:
    other = f"{WINDOWS_SITE}\\cffi\\_cffi.dll"
    lines = (stub("KERNEL32.dll", "x", other), stub("libquiver.dll", "y", other))
    assert list(process_libraries.unknown_to_wine(on_wine(*lines), WINDOWS)) == []
    assert list(process_libraries.unresolved_symbols(on_wine(*lines), WINDOWS)) == []


def test_functions_that_are_declared_and_in_no_library_are_reported() -> None:
    def change(fields: Fields) -> None:
        value = fields["exercise"]["steps"]["native-call"]["value"]
        value["lacking"] = ["quiver_d", "quiver_b", "quiver_a", "quiver_c"]

    observed = evidence(change)
    assert only(process_libraries.undefined_functions(observed, EXPECTATION)) == (
        "symbol-not-found",
        f"{CELL}: libquiver_c.so",
        "4 functions that the package declares are in no library of it, first quiver_a, quiver_b, "
        "quiver_c",
        {"count": 4, "symbol": "quiver_a"},
    )
    none = EXPECTATION.model_copy(update={"libraries": ()})
    assert only(process_libraries.undefined_functions(observed, none))[1] == f"{CELL}: native-call"


def test_a_package_that_lacks_no_function_is_good() -> None:
    assert list(process_libraries.undefined_functions(evidence(), EXPECTATION)) == []
    without = evidence(lambda fields: fields["exercise"]["steps"]["native-call"].update(value=None))
    assert list(process_libraries.undefined_functions(without, EXPECTATION)) == []


# ---- the imported package ----


@pytest.mark.parametrize(
    ("value", "imported"),
    [
        ({"file": f"{PROJECT}/quiverdb.py", "folder": PROJECT}, f"{PROJECT}/quiverdb.py"),
        (
            {"file": None, "folder": f"{PROJECT}/quiverdb"},
            f"{PROJECT}/quiverdb (a folder without code)",
        ),
    ],
)
def test_another_package_that_is_imported_is_named(value: Fields, imported: str) -> None:
    observed = evidence(lambda f: f["exercise"]["steps"]["import"].update(value=value))
    assert only(process_libraries.shadowed_import(observed, EXPECTATION)) == (
        "shadowed-import",
        f"{CELL}: import",
        f"`import quiverdb` took {imported}, installed is {FILES[0]}",
        {"imported": imported, "installed": (FILES[0],)},
    )


def test_a_package_that_was_not_installed_is_shadowed() -> None:
    observed = evidence(lambda fields: fields["installed"]["added"].remove(FILES[0]))
    found = only(process_libraries.shadowed_import(observed, EXPECTATION))
    assert found[2] == f"`import quiverdb` took {FILES[0]}, installed is none"


def test_the_package_is_known_by_the_name_that_is_imported() -> None:
    other = EXPECTATION.model_copy(update={"project": "quiver-db", "package": "quiverdb"})
    assert list(process_libraries.shadowed_import(evidence(), other)) == []
    wrong = EXPECTATION.model_copy(update={"package": "quiver"})
    assert names(process_libraries.shadowed_import(evidence(), wrong)) == ["shadowed-import"]


@pytest.mark.parametrize("change", ["missing", "without value"])
def test_an_import_that_failed_shadows_nothing(change: str) -> None:
    def changed(fields: Fields) -> None:
        steps = fields["exercise"]["steps"]
        steps["import"]["value"] = None
        if change == "missing":
            del steps["import"]

    assert list(process_libraries.shadowed_import(evidence(changed), EXPECTATION)) == []


def test_paths_on_windows_are_the_same_in_any_case() -> None:
    file = f"{WINDOWS_SITE}\\quiverdb\\__init__.py"

    def change(fields: Fields) -> None:
        fields["os"] = "windows"
        fields["installed"]["added"] = [file]
        fields["exercise"]["steps"]["import"]["value"] |= {"file": file.upper()}

    assert list(process_libraries.shadowed_import(evidence(change), WINDOWS)) == []


# ---- the libraries in the process ----


def mapped(*paths: str, native_ok: bool = True) -> CellEvidence:
    def change(fields: Fields) -> None:
        fields["exercise"]["steps"]["mapped"]["value"] = list(paths)
        fields["exercise"]["steps"]["native-call"]["ok"] = native_ok
        fields["installed"]["added"].append(f"{LIBS}/libquiver.so.0")

    return evidence(change)


def test_own_libraries_that_are_loaded_once_are_good() -> None:
    assert list(process_libraries.loaded_libraries(mapped(CORE, API, "/x.so"), EXPECTATION)) == []


@pytest.mark.parametrize("native_ok", [True, False])
def test_a_library_from_elsewhere_is_the_wrong_one(native_ok: bool) -> None:
    observed = mapped("/opt/decoy/libquiver.so", CORE, API, native_ok=native_ok)
    assert only(process_libraries.loaded_libraries(observed, EXPECTATION)) == (
        "wrong-library-loaded",
        f"{CELL}: mapped libraries",
        "libquiver.so was loaded from /opt/decoy/libquiver.so, outside the package",
        {"library": "libquiver.so", "paths": ("/opt/decoy/libquiver.so",)},
    )


def test_a_library_that_was_not_loaded_is_reported_after_a_native_call() -> None:
    found = only(process_libraries.loaded_libraries(mapped(CORE, "/x.so"), EXPECTATION))
    mapped_now = [CORE, "/x.so"]
    assert found == (
        "wrong-library-loaded",
        f"{CELL}: mapped libraries",
        f"libquiver_c.so is not in the process after native calls; mapped are {mapped_now}",
        {"library": "libquiver_c.so"},
    )
    failed = mapped(CORE, native_ok=False)
    assert list(process_libraries.loaded_libraries(failed, EXPECTATION)) == []


def test_a_library_that_is_mapped_twice_is_a_duplicate() -> None:
    second = f"{LIBS}/libquiver.so.0"
    assert only(process_libraries.loaded_libraries(mapped(CORE, API, second), EXPECTATION)) == (
        "duplicate-library",
        f"{CELL}: mapped libraries",
        f"libquiver.so is mapped 2 times: {CORE}, {second}",
        {"library": "libquiver.so", "paths": (CORE, second)},
    )
    failed = mapped(CORE, API, second, native_ok=False)
    assert list(process_libraries.loaded_libraries(failed, EXPECTATION)) == []


def test_each_library_is_judged() -> None:
    found = process_libraries.loaded_libraries(
        mapped("/a/libquiver.so", "/a/libquiver_c.so"), EXPECTATION
    )
    assert names(found) == ["wrong-library-loaded"] * 2


def test_without_the_step_or_the_native_call_nothing_is_missed() -> None:
    unmapped = evidence(lambda fields: fields["exercise"]["steps"]["mapped"].update(value=None))
    assert list(process_libraries.loaded_libraries(unmapped, EXPECTATION)) == []

    def change(fields: Fields) -> None:
        fields["exercise"]["steps"]["mapped"]["value"] = []
        del fields["exercise"]["steps"]["native-call"]

    assert list(process_libraries.loaded_libraries(evidence(change), EXPECTATION)) == []


def test_modules_on_windows_are_the_packages_in_any_case() -> None:
    def change(fields: Fields) -> None:
        fields["os"] = "windows"
        fields["installed"]["added"] = [DLL, CORE_DLL]
        fields["exercise"]["steps"]["mapped"]["value"] = [DLL.upper(), CORE_DLL.upper()]

    assert list(process_libraries.loaded_libraries(evidence(change), WINDOWS)) == []
