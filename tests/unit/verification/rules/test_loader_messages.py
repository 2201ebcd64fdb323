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
LOST = f'err:module:import_dll Library MSVCP140.dll (which is needed by L"{WIDE}") not found'
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


def explained(message: str) -> tuple[str, str, dict[str, FactValue]]:
    return parts(loader_messages.explain(message, evidence(), LIBRARIES))


def parts(fault: Finding | None) -> tuple[str, str, dict[str, FactValue]]:
    assert fault is not None
    assert not fault.risk
    return fault.name, fault.observed, dict(fault.facts)


# ---- Windows ----


@pytest.mark.parametrize(
    ("number", "cause", "observed"),
    [
        ("0xc1", "wrong-architecture", "{} is no library of this machine (error 0xc1)"),
        ("0x7f", "symbol-not-found", "{}: error 0x7f: it needs a symbol that nothing loaded"
         " provides"),
        ("0x5", "permission", "{}: error 0x5: Windows does not let the user load it"),
        ("0x45a", "crash", "{}: error 0x45a: its initialisation failed while it was loaded"),
        ("0x3e6", "crash", "{}: error 0x3e6: it touched memory that is not its own while it was"
         " loaded"),
        ("0xc0000000", "crash", "{}: error 0xc0000000: the code that runs when it is loaded died"),
    ],
)  # fmt: skip
def test_each_error_number_of_windows_has_a_cause(number: str, cause: str, observed: str) -> None:
    facts = {"library": "libquiver.dll", "error": int(number, 16)}
    expected = (cause, observed.format("libquiver.dll"), facts)
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
def test_a_library_whose_section_wine_does_not_find_in_the_file_is_damaged(
    path: str, cause: str
) -> None:
    fault = loader_messages.explain(cffi("0xc1"), on_windows(CUT_OFF.format(path)), DLLS)
    assert parts(fault)[0] == cause


@pytest.mark.parametrize("number", ["0x2a", "0xbfffffff"])
def test_another_error_number_has_no_cause(number: str) -> None:
    assert loader_messages.explain(cffi(number), on_windows(), DLLS) is None


@pytest.mark.parametrize(
    "message",
    [
        cffi("0x7e"),
        f"FileNotFoundError: Could not find module '{DLL}' (or one of its dependencies).",
        "ImportError: DLL load failed while importing _core: The specified module could not be",
    ],
)
def test_wine_names_the_missing_library_and_the_one_that_imports_it(message: str) -> None:
    expected = (
        "missing-runtime-library",
        "libquiver.dll imports MSVCP140.dll, which was not found (error 0x7e)",
        {"library": "MSVCP140.dll", "needed_by": "libquiver.dll"},
    )
    assert parts(loader_messages.explain(message, on_windows(LOST, LOST), DLLS)) == expected
    assert len(loader_messages.missing_libraries([LOST, LOST])) == 1


def test_a_bundled_library_that_is_missing_is_the_packages_own_fault() -> None:
    lost = LOST.replace("MSVCP140.dll", "LIBQUIVER.dll")
    fault = loader_messages.explain(cffi("0x7e"), on_windows(lost), DLLS)
    assert parts(fault)[0] == "missing-bundled-library"


def test_a_failed_import_without_wines_lines_has_no_cause() -> None:
    message = "ImportError: DLL load failed while importing _core: x"
    assert loader_messages.explain(message, on_windows(), DLLS) is None


@pytest.mark.parametrize("path", [DLL, DLL.upper(), "D:\\elsewhere\\libquiver.dll"])
def test_a_library_that_is_there_lacks_one_that_it_imports(path: str) -> None:
    name = path.rpartition("\\")[2]
    observed = f"{name} is there, and a library that it imports was not found (error 0x7e)"
    expected = ("missing-runtime-library", observed, {"needed_by": name})
    assert parts(loader_messages.explain(cffi("0x7e", path), on_windows(), DLLS)) == expected


@pytest.mark.parametrize(
    ("path", "cause"),
    [("libquiver_c.dll", "missing-bundled-library"), ("other.dll", "missing-runtime-library")],
)
def test_a_library_can_be_nowhere(path: str, cause: str) -> None:
    observed = f"{path} is neither in the package nor on the system (error 0x7e)"
    fault = loader_messages.explain(cffi("0x7e", path), on_windows(), DLLS)
    assert parts(fault) == (cause, observed, {"library": path})


def test_a_function_that_the_library_does_not_export_is_a_missing_symbol() -> None:
    message = "AttributeError: function/symbol 'quiver_x' not found in library 'a/libquiver.dll': x"
    assert explained(message) == (
        "symbol-not-found",
        "libquiver.dll does not export quiver_x",
        {"library": "libquiver.dll", "symbol": "quiver_x"},
    )


def test_a_stub_has_the_symbol_its_library_and_the_one_that_imports_it() -> None:
    (stub,) = loader_messages.stub_symbols([STUB, STUB, LOST])
    assert (stub.library, stub.symbol) == ("libquiver.dll", "quiver_x")
    assert str(stub.needed_by) == DLL


def test_a_called_function_that_wine_knows_by_name_only_is_listed_once() -> None:
    line = "wine: Call from 00006FFF to unimplemented function ucrtbase.dll.crealf, aborting"
    assert loader_messages.called_stubs([line, LOST, line]) == [("ucrtbase.dll", "crealf")]


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
def test_a_newer_version_of_a_system_library_is_a_floor(
    family: str, version: str, cause: str
) -> None:
    message = f"/lib/x.so.6: version `{family}_{version}' not found (required by {CORE})"
    assert explained(message) == (
        cause,
        f"libquiver.so needs {family}_{version}, the machine has older",
        {"library": "libquiver.so", "version": f"{family}_{version}"},
    )


def test_a_version_of_another_library_is_a_missing_symbol() -> None:
    assert explained(f"{CORE}: version `QUIVER_2' not found (required by {API})") == (
        "symbol-not-found",
        "libquiver_c.so needs QUIVER_2, which nothing loaded provides",
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
def test_a_library_for_another_processor_has_a_cause(reason: str, cause: str) -> None:
    expected = (cause, f"libquiver.so: {reason}", {"library": "libquiver.so"})
    assert explained(f"{CORE}: {reason}") == expected


def test_a_versioned_symbol_that_is_not_defined_is_missing() -> None:
    message = f"{API}: symbol quiver_x, version V1 not defined in file libquiver.so with link time"
    assert explained(message) == (
        "symbol-not-found",
        f"{API} needs quiver_x of libquiver.so, which does not have it",
        {"library": "libquiver.so", "symbol": "quiver_x", "needed_by": API},
    )


def test_a_library_that_needs_an_executable_stack_is_refused() -> None:
    message = f"{CORE}: cannot enable executable stack as shared object requires: Invalid argument"
    assert explained(message) == (
        "executable-stack",
        f"{CORE}: cannot enable executable stack",
        {"library": "libquiver.so"},
    )


def test_an_undefined_symbol_is_missing() -> None:
    assert explained(f"{API}: undefined symbol: quiver_core_open") == (
        "symbol-not-found",
        "libquiver_c.so needs quiver_core_open, which nothing loaded provides",
        {"symbol": "quiver_core_open", "needed_by": "libquiver_c.so"},
    )


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
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
    ],
)
def test_a_file_that_is_no_library_has_a_cause(reason: str, cause: str) -> None:
    observed = f"libquiver.so is no library of this machine ({reason})"
    assert explained(f"{CORE}: {reason}") == (cause, observed, {"library": "libquiver.so"})


def test_a_library_that_is_there_and_not_taken_is_for_another_processor() -> None:
    message = f"{CORE}: {NO_FILE}"
    observed = f"libquiver.so is there and the loader does not take it: {message[:200]}"
    assert explained(message) == ("wrong-architecture", observed, {"library": "libquiver.so"})


@pytest.mark.parametrize(
    ("library", "cause"),
    [
        ("libquiver.so", "missing-bundled-library"),
        ("libquiver.so.0", "missing-bundled-library"),
        ("libsqlite3.so.0", "missing-runtime-library"),
        ("libquiver_core.so.1", "missing-runtime-library"),
    ],
)
def test_a_library_that_is_not_found_is_bundled_or_the_systems(library: str, cause: str) -> None:
    message = f"{library}: {NO_FILE}"
    observed = f"{library} is not found: {message}"
    assert explained(message) == (cause, observed, {"library": library})


# ---- cffi and the package's own message ----


@pytest.mark.parametrize(
    ("path", "state"),
    [
        ("libquiver.so", "is neither in the package nor on the system"),
        (CORE, "is there and cannot be loaded"),
    ],
)
def test_cffi_cannot_locate_a_library(path: str, state: str) -> None:
    message = f"ctypes.util.find_library() did not manage to locate a library called '{path}'"
    observed = f"{path} {state}: {message}"
    assert explained(message) == ("missing-bundled-library", observed, {"library": path})


@pytest.mark.parametrize(
    "words",
    [
        f"{API} is missing, libquiver.so is there",
        f"{API} was not found",
        f"{API} does not exist",
        "Searched: system PATH. Missing: libquiver_c.so",
    ],
)
def test_a_package_can_report_itself_that_a_library_is_missing(words: str) -> None:
    message = f"quiverdb is installed incompletely: {words}"
    expected = ("missing-bundled-library", message, {"library": "libquiver_c.so"})
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
def test_what_cffi_adds_to_the_loaders_words_changes_no_name(message: str, name: str) -> None:
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
def test_a_message_that_no_loader_wrote_has_no_cause(message: str) -> None:
    assert loader_messages.explain(message, on_windows(), DLLS) is None
    assert loader_messages.explain(message, evidence(), LIBRARIES) is None
