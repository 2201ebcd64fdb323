from __future__ import annotations

import pytest

from tests.helpers.sample_evidence import (
    API,
    CELL,
    CORE,
    DLL,
    FILES,
    LIBS,
    SITE,
    WINDOWS_SITE,
    Fields,
    evidence,
    missing_symbol_line,
)
from tests.helpers.sample_expectation import EXPECTATION, WINDOWS, names, only_cause
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
def test_symbol_that_a_bundled_library_lacks_is_not_found(library: str) -> None:
    observed = on_wine(missing_symbol_line(library, "quiver_x"))
    assert only_cause(process_libraries.unresolved_symbols(observed, WINDOWS)) == (
        "symbol-not-found",
        f"{CELL}: libquiver_c.dll",
        {"library": library, "symbol": "quiver_x", "needed_by": "libquiver_c.dll"},
    )
    assert list(process_libraries.unknown_to_wine(observed, WINDOWS)) == []


def test_symbol_that_wine_lacks_is_a_note() -> None:
    observed = on_wine(missing_symbol_line("KERNEL32.dll", "PssQuery"))
    (cause,) = process_libraries.unknown_to_wine(observed, WINDOWS)
    assert cause.severity == "note"
    assert only_cause([cause]) == (
        "unknown-to-wine",
        f"{CELL}: libquiver_c.dll",
        {"library": "KERNEL32.dll", "symbol": "PssQuery", "needed_by": "libquiver_c.dll"},
    )
    assert list(process_libraries.unresolved_symbols(observed, WINDOWS)) == []


def test_symbol_of_a_module_next_to_the_package_is_reported() -> None:
    module = f"{WINDOWS_SITE}\\_quiver_backend.pyd"
    line = missing_symbol_line("libquiver.dll", "quiver_x", module)

    def change(fields: Fields) -> None:
        fields["os"], fields["loader"] = "windows", [line]
        fields["installed"]["added"] = [module, CORE_DLL]
        fields["exercise"]["steps"]["record"]["value"]["files"] = [module, CORE_DLL]

    (cause,) = process_libraries.unresolved_symbols(evidence(change), WINDOWS)
    assert (cause.name, cause.facts["needed_by"]) == ("symbol-not-found", "_quiver_backend.pyd")


def test_imports_of_other_libraries_are_ignored() -> None:
    other = f"{WINDOWS_SITE}\\cffi\\_cffi.dll"
    lines = (
        missing_symbol_line("KERNEL32.dll", "x", other),
        missing_symbol_line("libquiver.dll", "y", other),
    )
    assert list(process_libraries.unknown_to_wine(on_wine(*lines), WINDOWS)) == []
    assert list(process_libraries.unresolved_symbols(on_wine(*lines), WINDOWS)) == []


def test_declared_functions_without_a_library_are_reported() -> None:
    def change(fields: Fields) -> None:
        value = fields["exercise"]["steps"]["native-call"]["value"]
        value["lacking"] = ["quiver_d", "quiver_b", "quiver_a", "quiver_c"]

    observed = evidence(change)
    assert only_cause(process_libraries.undefined_functions(observed, EXPECTATION)) == (
        "symbol-not-found",
        f"{CELL}: libquiver_c.so",
        {"count": 4, "symbols": ("quiver_a", "quiver_b", "quiver_c")},
    )
    none = EXPECTATION.model_copy(update={"libraries": ()})
    assert (
        only_cause(process_libraries.undefined_functions(observed, none))[1]
        == f"{CELL}: native-call"
    )


def test_package_with_all_functions_has_no_cause() -> None:
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
def test_import_of_another_package_is_reported(value: Fields, imported: str) -> None:
    observed = evidence(lambda f: f["exercise"]["steps"]["import"].update(value=value))
    assert only_cause(process_libraries.shadowed_import(observed, EXPECTATION)) == (
        "shadowed-import",
        f"{CELL}: import",
        {"module": "quiverdb", "imported": imported, "installed": (FILES[0],)},
    )


def test_namespace_package_of_the_installation_is_not_shadowed() -> None:
    folder = FILES[0].rpartition("/")[0]

    def change(fields: Fields) -> None:
        fields["exercise"]["steps"]["import"]["value"] = {"file": None, "folder": folder}
        fields["installed"]["added"].remove(FILES[0])
        fields["installed"]["added"].append(f"{folder}/part/__init__.py")

    assert list(process_libraries.shadowed_import(evidence(change), EXPECTATION)) == []


def test_package_that_is_not_installed_is_shadowed() -> None:
    observed = evidence(lambda fields: fields["installed"]["added"].remove(FILES[0]))
    assert only_cause(process_libraries.shadowed_import(observed, EXPECTATION)) == (
        "shadowed-import",
        f"{CELL}: import",
        {"module": "quiverdb", "imported": FILES[0], "installed": ()},
    )


def test_package_is_identified_by_its_import_name() -> None:
    other = EXPECTATION.model_copy(update={"project": "quiver-db", "package": "quiverdb"})
    assert list(process_libraries.shadowed_import(evidence(), other)) == []
    wrong = EXPECTATION.model_copy(update={"package": "quiver"})
    assert names(process_libraries.shadowed_import(evidence(), wrong)) == ["shadowed-import"]


MODULE = f"{SITE}/quiverdb.cpython-313-x86_64-linux-gnu.so"


@pytest.mark.parametrize(
    "file", [MODULE, f"{SITE}/quiverdb.py", f"{SITE}/quiverdb/__init__.abi3.so"]
)
def test_module_without_a_package_is_not_shadowed(file: str) -> None:
    def change(fields: Fields) -> None:
        fields["installed"]["added"] = [file, f"{SITE}/quiverdb-stubs/__init__.pyi"]
        fields["exercise"]["steps"]["import"]["value"] = {"file": file, "folder": SITE}

    assert list(process_libraries.shadowed_import(evidence(change), EXPECTATION)) == []


def test_import_of_another_module_without_a_package_is_reported() -> None:
    other = f"{PROJECT}/quiverdb.py"

    def change(fields: Fields) -> None:
        fields["installed"]["added"] = [MODULE]
        fields["exercise"]["steps"]["import"]["value"] = {"file": other, "folder": PROJECT}

    assert only_cause(process_libraries.shadowed_import(evidence(change), EXPECTATION)) == (
        "shadowed-import",
        f"{CELL}: import",
        {"module": "quiverdb", "imported": other, "installed": (MODULE,)},
    )


@pytest.mark.parametrize("change", ["missing", "without value"])
def test_failed_import_is_not_shadowed(change: str) -> None:
    def changed(fields: Fields) -> None:
        steps = fields["exercise"]["steps"]
        steps["import"]["value"] = None
        if change == "missing":
            del steps["import"]

    assert list(process_libraries.shadowed_import(evidence(changed), EXPECTATION)) == []


def test_paths_on_windows_ignore_case() -> None:
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


def test_bundled_libraries_that_are_loaded_once_have_no_cause() -> None:
    assert list(process_libraries.loaded_libraries(mapped(CORE, API, "/x.so"), EXPECTATION)) == []


@pytest.mark.parametrize("native_ok", [True, False])
def test_library_from_another_folder_is_the_wrong_one(native_ok: bool) -> None:
    observed = mapped("/opt/decoy/libquiver.so", CORE, API, native_ok=native_ok)
    assert only_cause(process_libraries.loaded_libraries(observed, EXPECTATION)) == (
        "wrong-library-loaded",
        f"{CELL}: mapped libraries",
        {"library": "libquiver.so", "paths": ("/opt/decoy/libquiver.so",)},
    )


def test_library_that_is_not_loaded_is_reported_after_a_native_call() -> None:
    assert only_cause(process_libraries.loaded_libraries(mapped(CORE, "/x.so"), EXPECTATION)) == (
        "wrong-library-loaded",
        f"{CELL}: mapped libraries",
        {"library": "libquiver_c.so"},
    )
    failed = mapped(CORE, native_ok=False)
    assert list(process_libraries.loaded_libraries(failed, EXPECTATION)) == []


def test_library_that_is_loaded_twice_is_a_duplicate() -> None:
    second = f"{LIBS}/libquiver.so.0"
    assert only_cause(
        process_libraries.loaded_libraries(mapped(CORE, API, second), EXPECTATION)
    ) == (
        "duplicate-library",
        f"{CELL}: mapped libraries",
        {"library": "libquiver.so", "count": 2, "paths": (CORE, second)},
    )
    failed = mapped(CORE, API, second, native_ok=False)
    assert list(process_libraries.loaded_libraries(failed, EXPECTATION)) == []


def test_each_library_is_checked() -> None:
    observed = mapped("/a/libquiver.so", "/a/libquiver_c.so")
    causes = process_libraries.loaded_libraries(observed, EXPECTATION)
    assert names(causes) == ["wrong-library-loaded"] * 2


def test_missing_step_or_native_call_has_no_cause() -> None:
    unmapped = evidence(lambda fields: fields["exercise"]["steps"]["mapped"].update(value=None))
    assert list(process_libraries.loaded_libraries(unmapped, EXPECTATION)) == []

    def change(fields: Fields) -> None:
        fields["exercise"]["steps"]["mapped"]["value"] = []
        del fields["exercise"]["steps"]["native-call"]

    assert list(process_libraries.loaded_libraries(evidence(change), EXPECTATION)) == []


def test_libraries_on_windows_ignore_case() -> None:
    def change(fields: Fields) -> None:
        fields["os"] = "windows"
        fields["installed"]["added"] = [DLL, CORE_DLL]
        fields["exercise"]["steps"]["mapped"]["value"] = [DLL.upper(), CORE_DLL.upper()]

    assert list(process_libraries.loaded_libraries(evidence(change), WINDOWS)) == []


def test_library_in_a_folder_is_found_by_its_path() -> None:
    core, other = f"{SITE}/quiverdb/core/_x.so", f"{SITE}/quiverdb/io/_x.so"
    expectation = EXPECTATION.model_copy(update={"libraries": ("core/_x.so",)})

    def observed(*paths: str) -> CellEvidence:
        def change(fields: Fields) -> None:
            fields["installed"]["added"] = [core, other]
            fields["exercise"]["steps"]["mapped"]["value"] = list(paths)

        return evidence(change)

    assert list(process_libraries.loaded_libraries(observed(core, other), expectation)) == []
    missing = observed(other)
    assert names(process_libraries.loaded_libraries(missing, expectation)) == [
        "wrong-library-loaded"
    ]
    outside = observed(core, "/opt/core/_x.so")
    assert only_cause(process_libraries.loaded_libraries(outside, expectation))[2] == {
        "library": "core/_x.so",
        "paths": ("/opt/core/_x.so",),
    }


def test_reading_of_the_probe_decides_which_libraries_are_loaded() -> None:
    def read(*libraries: str) -> CellEvidence:
        return evidence(lambda f: f["exercise"].update(maps={"libraries": [*libraries]}))

    assert list(process_libraries.loaded_libraries(read(CORE, API), EXPECTATION)) == []
    causes = process_libraries.loaded_libraries(read("/x.so"), EXPECTATION)
    assert set(names(causes)) == {"wrong-library-loaded"}
