from __future__ import annotations

import pytest

from tests.helpers.sample_evidence import API, CORE, Fields, evidence
from verification.models.cause import FactValue
from verification.models.evidence import CellEvidence
from verification.rules import loader_messages
from verification.rules.finding import Finding

SITE = "C:\\users\\user\\AppData\\Local\\Programs\\Python\\Python313\\Lib\\site-packages"
DLL = f"{SITE}\\quiverdb\\_libs\\libquiver.dll"
DLLS = ("libquiver.dll", "libquiver_c.dll")
WIDE = DLL.replace("\\", "\\\\")
NOT_FOUND = f'err:module:import_dll Library MSVCP140.dll (which is needed by L"{WIDE}") not found'
STUB = (
    "warn:module:import_dll No implementation for libquiver.dll.quiver_x imported from "
    f'L"{WIDE}", setting to 00007FFFFE530000'
)
LIBRARIES = ("libquiver.so", "libquiver_c.so")
NO_FILE = "cannot open shared object file: No such file or directory"


def on_windows(*lines: str, added: tuple[str, ...] = (DLL,)) -> CellEvidence:
    def change(fields: Fields) -> None:
        fields["os"], fields["loader"] = "windows", list(lines)
        fields["installed"]["added"] = list(added)

    return evidence(change)


def cffi(number: str, path: str = DLL) -> str:
    return f"OSError: cannot load library '{path}': error {number}"


Parts = tuple[str, dict[str, FactValue]]


def explained(message: str) -> Parts:
    return parts(loader_messages.explain(message, evidence(), LIBRARIES))


def parts(fault: Finding | None) -> Parts:
    """Return name and facts of a fault."""
    assert fault is not None
    assert not fault.risk
    return fault.name, dict(fault.facts)


# ---- Windows ----


@pytest.mark.parametrize(
    ("number", "cause"),
    [
        ("0xc1", "wrong-architecture"),
        ("0x7f", "symbol-not-found"),
        ("0x5", "permission"),
        ("0x45a", "crash"),
        ("0x3e6", "crash"),
        ("0xc0000000", "crash"),
    ],
)
def test_error_code_of_windows_has_a_cause(number: str, cause: str) -> None:
    expected = (cause, {"library": "libquiver.dll", "error": int(number, 16)})
    assert parts(loader_messages.explain(cffi(number), on_windows(), DLLS)) == expected
    message = f"[WinError {int(number, 16)}] no '{DLL}' x"
    assert parts(loader_messages.explain(message, on_windows(), DLLS)) == expected


CUT_OFF = (
    'err:module:map_image_into_view Could not map L"{}" section .text, file probably truncated'
)


@pytest.mark.parametrize(
    ("path", "cause"),
    [(f"\\\\??\\\\{WIDE}", "damaged-library"), ("C:\\\\other.dll", "wrong-architecture")],
)
def test_library_without_its_section_is_damaged(path: str, cause: str) -> None:
    fault = loader_messages.explain(cffi("0xc1"), on_windows(CUT_OFF.format(path)), DLLS)
    facts: dict[str, FactValue] = {"library": "libquiver.dll", "error": 193}
    facts |= {"section": ".text"} if cause == "damaged-library" else {}
    assert parts(fault) == (cause, facts)


@pytest.mark.parametrize("number", ["0x2a", "0xbfffffff"])
def test_other_error_code_has_no_cause(number: str) -> None:
    assert loader_messages.explain(cffi(number), on_windows(), DLLS) is None


@pytest.mark.parametrize(
    "message",
    [
        cffi("0x7e"),
        f"FileNotFoundError: Could not find module '{DLL}' (or one of its dependencies).",
        "ImportError: DLL load failed while importing _core: The specified module could not be",
    ],
)
def test_wine_names_the_missing_library_and_its_user(message: str) -> None:
    expected = (
        "missing-runtime-library",
        {"library": "MSVCP140.dll", "needed_by": "libquiver.dll"},
    )
    assert (
        parts(loader_messages.explain(message, on_windows(NOT_FOUND, NOT_FOUND), DLLS)) == expected
    )
    assert len(loader_messages.missing_libraries([NOT_FOUND, NOT_FOUND])) == 1


def test_missing_bundled_library_on_windows_has_its_cause() -> None:
    line = NOT_FOUND.replace("MSVCP140.dll", "LIBQUIVER.dll")
    fault = loader_messages.explain(cffi("0x7e"), on_windows(line), DLLS)
    assert parts(fault)[0] == "missing-bundled-library"


def test_failed_import_without_lines_of_wine_has_no_cause() -> None:
    message = "ImportError: DLL load failed while importing _core: x"
    assert loader_messages.explain(message, on_windows(), DLLS) is None


@pytest.mark.parametrize("path", [DLL, DLL.upper(), "D:\\elsewhere\\libquiver.dll"])
def test_installed_library_that_does_not_load_misses_a_runtime_library(path: str) -> None:
    expected = ("missing-runtime-library", {"needed_by": path.rpartition("\\")[2]})
    assert parts(loader_messages.explain(cffi("0x7e", path), on_windows(), DLLS)) == expected


@pytest.mark.parametrize(
    ("path", "cause"),
    [("libquiver_c.dll", "missing-bundled-library"), ("other.dll", "missing-runtime-library")],
)
def test_library_that_is_not_installed_is_missing(path: str, cause: str) -> None:
    fault = loader_messages.explain(cffi("0x7e", path), on_windows(), DLLS)
    assert parts(fault) == (cause, {"library": path})


def test_function_that_is_not_exported_is_a_missing_symbol() -> None:
    message = "AttributeError: function/symbol 'quiver_x' not found in library 'a/libquiver.dll': x"
    assert explained(message) == (
        "symbol-not-found",
        {"library": "libquiver.dll", "symbol": "quiver_x"},
    )


def test_stub_has_symbol_library_and_user() -> None:
    (stub,) = loader_messages.stub_symbols([STUB, STUB, NOT_FOUND])
    assert (stub.library, stub.symbol) == ("libquiver.dll", "quiver_x")
    assert str(stub.needed_by) == DLL


def test_called_stub_is_listed_once() -> None:
    line = "wine: Call from 00006FFF to unimplemented function ucrtbase.dll.crealf, aborting"
    assert loader_messages.called_stubs([line, NOT_FOUND, line]) == [("ucrtbase.dll", "crealf")]


# ---- glibc ----


@pytest.mark.parametrize(
    ("family", "version", "cause"),
    [
        ("GLIBC", "2.99", "glibc-floor"),
        ("GLIBC", "ABI_DT_RELR", "glibc-floor"),
        ("GLIBCXX", "3.4.99", "libstdcxx-floor"),
        ("CXXABI", "1.3.99", "libstdcxx-floor"),
        ("GCC", "99.0.0", "libstdcxx-floor"),
        ("LIBATOMIC", "1.9", "libstdcxx-floor"),
    ],
)
def test_newer_version_of_a_system_library_is_a_floor(
    family: str, version: str, cause: str
) -> None:
    message = f"/lib/x.so.6: version `{family}_{version}' not found (required by {CORE})"
    assert explained(message) == (
        cause,
        {"library": "libquiver.so", "version": f"{family}_{version}"},
    )


def test_version_of_another_library_is_a_missing_symbol() -> None:
    assert explained(f"{CORE}: version `QUIVER_2' not found (required by {API})") == (
        "symbol-not-found",
        {"library": "libquiver_c.so", "version": "QUIVER_2"},
    )


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        ("CPU ISA level is lower than required", "illegal-instruction"),
        ("ELF file OS ABI invalid", "wrong-architecture"),
        ("ELF file data encoding not little-endian", "wrong-architecture"),
        ("internal error: wrong ELF machine", "wrong-architecture"),
    ],
)
def test_library_for_another_processor_has_a_cause(reason: str, cause: str) -> None:
    expected = (cause, {"library": "libquiver.so", "reason": reason})
    assert explained(f"{CORE}: {reason}") == expected


def test_undefined_versioned_symbol_is_missing() -> None:
    message = f"{API}: symbol quiver_x, version V1 not defined in file libquiver.so with link time"
    assert explained(message) == (
        "symbol-not-found",
        {"library": "libquiver.so", "symbol": "quiver_x", "needed_by": API},
    )


def test_library_with_an_executable_stack_has_a_cause() -> None:
    message = f"{CORE}: cannot enable executable stack as shared object requires: Invalid argument"
    assert explained(message) == (
        "executable-stack",
        {"library": "libquiver.so", "message": f"{CORE}: cannot enable executable stack"},
    )


@pytest.mark.parametrize(
    "refusal", ["make segment writable for relocation", "restore segment prot after reloc"]
)
def test_library_with_refused_text_relocations_has_a_cause(refusal: str) -> None:
    assert explained(f"{CORE}: cannot {refusal}: Permission denied") == (
        "text-relocations",
        {"library": "libquiver.so", "message": f"{CORE}: cannot {refusal}"},
    )


def test_undefined_symbol_is_missing() -> None:
    assert explained(f"{API}: undefined symbol: quiver_core_open") == (
        "symbol-not-found",
        {"symbol": "quiver_core_open", "needed_by": "libquiver_c.so"},
    )


BAD_FILES = [
    ("invalid ELF header", "damaged-library"),
    ("file too short", "damaged-library"),
    ("ELF load command past end of file", "damaged-library"),
    ("cannot read file data", "damaged-library"),
    ("object file has no dynamic section", "damaged-library"),
    ("object file has no loadable segments", "damaged-library"),
    ("cannot dynamically load executable", "damaged-library"),
    ("cannot dynamically load position-independent executable", "damaged-library"),
    ("ELF file version does not match current one", "damaged-library"),
    ("ELF file version ident does not match current one", "damaged-library"),
    ("nonzero padding in e_ident", "damaged-library"),
    ("ELF load command alignment not page-aligned", "damaged-library"),
    ("ELF load command address/offset not page-aligned", "damaged-library"),
    ("ELF load command address/offset not properly aligned", "damaged-library"),
    ("only ET_DYN and ET_EXEC can be loaded", "missing-bundled-library"),
    ("ELF file's phentsize not the expected size", "damaged-library"),
    ("wrong ELF class: ELFCLASS32", "wrong-architecture"),
]


def test_file_that_is_not_a_library_has_a_cause() -> None:
    observed = [(reason, explained(f"{CORE}: {reason}")) for reason, _ in BAD_FILES]
    assert observed == [
        (reason, (cause, {"library": "libquiver.so", "reason": reason}))
        for reason, cause in BAD_FILES
    ]


def test_installed_library_that_is_skipped_is_for_another_processor() -> None:
    message = f"{CORE}: {NO_FILE}"
    facts = {"library": "libquiver.so", "message": message[:200]}
    assert explained(message) == ("wrong-architecture", facts)


def test_installed_library_that_the_package_removed_differs_from_record() -> None:
    def remove(fields: Fields) -> None:
        wrong = {"file": CORE[CORE.index("quiverdb/_libs") :], "observed": "FileNotFoundError"}
        fields["exercise"]["steps"]["record"]["value"]["wrong"] = [wrong]

    fault = loader_messages.explain(f"{CORE}: {NO_FILE}", evidence(remove), ("libquiver.so",))
    assert fault
    assert (fault.name, fault.facts["difference"]) == ("record-mismatch", "FileNotFoundError")


@pytest.mark.parametrize(
    ("library", "cause"),
    [
        ("libquiver.so", "missing-bundled-library"),
        ("libquiver.so.0", "missing-bundled-library"),
        ("libsqlite3.so.0", "missing-runtime-library"),
        ("libquiver_core.so.1", "missing-runtime-library"),
    ],
)
def test_missing_library_is_bundled_or_of_the_system(library: str, cause: str) -> None:
    message = f"{library}: {NO_FILE}"
    assert explained(message) == (cause, {"library": library, "message": message})


# ---- cffi, and messages of the package ----


@pytest.mark.parametrize("path", ["libquiver.so", CORE])
def test_library_that_cffi_cannot_locate_is_missing(path: str) -> None:
    message = f"ctypes.util.find_library() did not manage to locate a library called '{path}'"
    facts = {"library": path, "message": message}
    assert explained(message) == ("missing-bundled-library", facts)


@pytest.mark.parametrize(
    "report",
    [
        f"{API} is missing, libquiver.so is there",
        f"{API} was not found",
        f"{API} does not exist",
        "Searched: system PATH. Missing: libquiver_c.so",
    ],
)
def test_message_of_the_package_names_the_missing_library(report: str) -> None:
    message = f"quiverdb is installed incompletely: {report}"
    facts = {"library": "libquiver_c.so", "message": message}
    expected = ("missing-bundled-library", facts)
    assert explained(message) == expected


@pytest.mark.parametrize(
    ("message", "name"),
    [
        (f"{CORE}: version `GLIBC_2.99' not found (required by {CORE})", "glibc-floor"),
        (f"{CORE}: undefined symbol: quiver_core_open", "symbol-not-found"),
        (f"{CORE}: invalid ELF header", "damaged-library"),
        (f"{CORE}: object file has no dynamic section", "damaged-library"),
        (f"{CORE}: failed to map segment from shared object", "missing-bundled-library"),
        ("libz.so.1: cannot open shared object file", "missing-runtime-library"),
    ],
)
def test_text_of_cffi_after_a_loader_message_is_ignored(message: str, name: str) -> None:
    tail = "Additionally, ctypes.util.find_library() did not manage to locate a library called"
    assert explained(f"cannot load library '{CORE}': {message}.  {tail} '{CORE}'")[0] == name


@pytest.mark.parametrize(
    "message",
    [
        "ValueError: no",
        "QuiverError: error 0x7e in row 3",
        f"{CORE}: cannot create shared object descriptor: Cannot allocate memory",
        f"{CORE}: failed to map segment from shared object",
        "",
    ],
)
def test_message_that_comes_from_no_loader_has_no_cause(message: str) -> None:
    assert loader_messages.explain(message, on_windows(), DLLS) is None
    assert loader_messages.explain(message, evidence(), LIBRARIES) is None
