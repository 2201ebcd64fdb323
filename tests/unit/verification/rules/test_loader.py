from __future__ import annotations

from typing import Any

import pytest

from verification.rules import loader

SITE = "C:\\users\\user\\AppData\\Local\\Programs\\Python\\Python313\\Lib\\site-packages"
LIBS = f"{SITE}\\quiverdb\\_libs"
CORE = f"{LIBS}\\libquiver.dll"
LIBRARIES = ("libquiver.dll", "libquiver_c.dll")
WIDE = CORE.replace("\\", "\\\\")
LOST = f'err:module:import_dll Library MSVCP140.dll (which is needed by L"{WIDE}") not found'
STUB = (
    "warn:module:import_dll No implementation for libquiver.dll.quiver_x imported from "
    f'L"{WIDE}", setting to 00007FFFFE530000'
)


def _evidence(*told: str, added: tuple[str, ...] = (CORE,)) -> dict[str, Any]:
    return {"os": "windows", "installed": {"added": list(added)}, "loader": list(told)}


def _cffi(number: str, path: str = CORE) -> str:
    return f"OSError: cannot load library '{path}': error {number}"


@pytest.mark.parametrize(
    ("number", "cause", "seen"),
    [
        ("0xc1", "wrong-architecture", "libquiver.dll is no library of this machine (error 0xc1)"),
        ("0x7f", "symbol-not-found", "it needs a symbol that nothing loaded provides"),
        ("0x5", "permission", "Windows does not let the user load it"),
        ("0x45a", "crash", "its initialisation failed while it was loaded"),
        ("0x3e6", "crash", "it touched memory that is not its own while it was loaded"),
        ("0xc0000005", "crash", "the code that runs when it is loaded died"),
        ("0x7e", "missing-runtime-library", "a library that it imports was not found"),
    ],
)
def test_windows_numbers_have_names(number: str, cause: str, seen: str) -> None:
    found = loader.explain(_cffi(number), _evidence(), LIBRARIES)

    assert found is not None
    assert found[0] == cause
    assert seen in found[1]


def test_wine_names_the_library_that_is_missing_and_who_asked_for_it() -> None:
    found = loader.explain(_cffi("0x7e"), _evidence(LOST, LOST), LIBRARIES)

    assert found == (
        "missing-runtime-library",
        "libquiver.dll imports MSVCP140.dll, which was not found (error 0x7e)",
    )
    assert len(loader.missing([LOST, LOST])) == 1


def test_an_import_of_a_bundled_library_that_is_missing_is_the_packages_own_fault() -> None:
    lost = LOST.replace("MSVCP140.dll", "LIBQUIVER.dll")
    found = loader.explain(_cffi("0x7e"), _evidence(lost), LIBRARIES)

    assert found is not None
    assert found[0] == "missing-bundled-library"


@pytest.mark.parametrize(
    ("path", "cause"),
    [("libquiver_c.dll", "missing-bundled-library"), ("other.dll", "missing-runtime-library")],
)
def test_a_library_that_is_nowhere(path: str, cause: str) -> None:
    found = loader.explain(_cffi("0x7e", path), _evidence(), LIBRARIES)

    assert found == (cause, f"{path} is neither in the package nor on the system (error 0x7e)")


def test_windows_paths_are_one_whatever_their_case() -> None:
    found = loader.explain(_cffi("0x7e", CORE.upper()), _evidence(), LIBRARIES)

    assert found is not None
    assert "LIBQUIVER.DLL is there" in found[1]


def test_ctypes_speaks_of_the_same() -> None:
    message = f"FileNotFoundError: Could not find module '{CORE}' (or one of its dependencies)."
    found = loader.explain(message, _evidence(LOST), LIBRARIES)

    assert found is not None
    assert found[0] == "missing-runtime-library"


def test_a_stub_tells_the_symbol_its_library_and_who_asked_for_it() -> None:
    (stub,) = loader.stubs([STUB, STUB, LOST])

    assert (stub.library, stub.symbol) == ("libquiver.dll", "quiver_x")
    assert str(stub.needed_by) == CORE


@pytest.mark.parametrize("message", ["ValueError: no", "QuiverError: error 0x7e in row 3", ""])
def test_what_no_loader_says_is_left_to_others(message: str) -> None:
    assert loader.explain(message, _evidence(), LIBRARIES) is None
