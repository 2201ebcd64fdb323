"""The parts of the Windows machines' recipe that decide what is clean and what is genuine."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from delvewheel import _dll_list

RECIPE = Path(__file__).parents[5] / "containers" / "images" / "windows-wine"


def _load(name: str) -> ModuleType:
    # The recipe's folder is no package: its scripts are copied into the image as they are.
    spec = importlib.util.spec_from_file_location(f"windows_wine_{name}", RECIPE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


clean = _load("clean")
signatures = _load("signatures")


def _is_on_windows(name: str) -> bool:
    return bool(
        clean.is_on_windows(
            name,
            frozenset(_dll_list.ignore_names_x64),
            _dll_list.ignore_regexes,
            _dll_list.vc_redist,
        )
    )


@pytest.mark.parametrize(
    "name",
    [
        "msvcp140.dll", "msvcp140_1.dll", "msvcp120.dll", "concrt140.dll", "vcomp140.dll",
        "vcruntime140.dll", "vcruntime140_1.dll", "msvcr70.dll", "msvcr120.dll", "mfc140u.dll",
        "ucrtbased.dll", "atl100.dll", "d3dcompiler_43.dll", "zlib1.dll", "opencl.dll",
        "something_new.dll",
    ],
)  # fmt: skip
def test_a_clean_windows_lacks(name: str) -> None:
    assert not _is_on_windows(name)


@pytest.mark.parametrize(
    "name",
    [
        "kernel32.dll", "ucrtbase.dll", "msvcrt.dll", "msvcp_win.dll", "ntdll.dll", "shcore.dll",
        "api-ms-win-crt-runtime-l1-1-0.dll", "windows.gaming.input.dll", "d3dcompiler_47.dll",
        "combase.dll", "wined3d.dll", "wbemprox.dll",
    ],
)  # fmt: skip
def test_a_clean_windows_has(name: str) -> None:
    assert _is_on_windows(name)


def test_a_hidden_library_that_wine_is_made_of_stays_under_a_private_name(tmp_path: Path) -> None:
    (tmp_path / "zlib1.dll").write_bytes(b"MZ zlib")
    (tmp_path / "msvcp140.dll").write_bytes(b"MZ runtime\0concrt140.dll\0")
    (tmp_path / "concrt140.dll").write_bytes(b"MZ")
    (tmp_path / "user32.dll").write_bytes(b"MZ\0\0ZLIB1.dll\0\0kernel32.dll\0xzlib1.dll\0")
    hidden = clean.hide(tmp_path, lambda name: name == "user32.dll")
    assert hidden == ["concrt140.dll", "msvcp140.dll", "zlib1.dll"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["_lib1.dll", "user32.dll"]
    assert (tmp_path / "user32.dll").read_bytes() == (
        b"MZ\0\0_LIB1.dll\0\0kernel32.dll\0xzlib1.dll\0"
    )


def _told(organisation: str, *, stamped: bool = True, end: str = "Succeeded") -> str:
    stamp = "Timestamp Server Signature verification: ok\n" if stamped else ""
    return (
        "Signer's certificate:\n\t------------------\n\tSigner #0:\n"
        f"\t\tSubject: /C=US/O={organisation}/CN=Somebody\n{stamp}{end}\n"
    )


PYTHON = "Python Software Foundation"


def test_a_signature_by_its_publisher_is_accepted() -> None:
    assert signatures.fault(_told(PYTHON), 0, PYTHON) is None


@pytest.mark.parametrize(
    ("output", "code", "seen"),
    [
        ("No signature found\nFailed\n", 1, "no signature"),
        ("Calculated message digest : AB    MISMATCH!!!\nFailed\n", 1, "changed after"),
        (_told("Someone Else"), 0, "signed by /C=US/O=Someone Else"),
        (_told(PYTHON, end="Error: self-signed\nFailed"), 1, "does not hold: Error: self-signed"),
        (_told(PYTHON, stamped=False), 0, "no time stamp"),
    ],
)
def test_a_signature_is_refused(output: str, code: int, seen: str) -> None:
    assert re.search(re.escape(seen), signatures.fault(output, code, PYTHON) or "")


def test_python_brings_two_libraries_of_microsofts_and_no_more() -> None:
    expected = ("python", "microsoft")
    assert signatures.publisher("vcruntime140_1.dll", expected) == "Microsoft Corporation"
    assert signatures.publisher("msvcp140.dll", expected) == PYTHON
    assert signatures.publisher("msvcp140.dll", ("microsoft",)) == "Microsoft Corporation"


def test_a_bundle_without_the_pinned_roots_is_refused() -> None:
    with pytest.raises(ValueError, match="DigiCert Trusted Root G4"):
        signatures.pinned_roots("")


def test_only_what_windows_could_load_counts_as_a_program(tmp_path: Path) -> None:
    (tmp_path / "a.pyd").write_bytes(b"MZ")
    (tmp_path / "b.txt").write_bytes(b"text")
    assert [path.name for path in signatures.programs(tmp_path)] == ["a.pyd"]


def test_a_program_that_is_missing_and_one_too_many_are_told() -> None:
    assert list(signatures.strays({"a.dll", "c.dll"}, "a.dll\nb.dll\n")) == [
        "b.dll: it is missing",
        "c.dll: it is not one of the 2 programs expected here",
    ]
    assert list(signatures.strays({"a.dll", "b.dll"}, "a.dll\nb.dll\n")) == []


@pytest.mark.parametrize(
    "recipe", ["windows-wine", "windows-wine-vcredist", "windows-wine-vcredist-old"]
)
def test_every_recipe_lists_its_programs(recipe: str) -> None:
    listed = (RECIPE.parent / recipe / "programs.txt").read_text("utf-8").split()
    assert len(listed) == len(set(listed)) > 10
    assert [name for name in listed if not name.endswith((".dll", ".exe", ".pyd"))] == []
