"""The libraries that the image of the Windows machines removes from Wine."""

from __future__ import annotations

from pathlib import Path

import pytest

from containers import recipe as recipes
from tests.helpers.image_scripts import load_script
from verification.wheel import windows_facts

clean = load_script("windows-wine", "clean")
LISTED = clean.read_list(windows_facts.LIBRARIES.read_text("utf-8"))


def test_clean_windows_does_not_have_runtimes_and_unknown_libraries() -> None:
    names = """
        msvcp140.dll msvcp140_1.dll msvcp120.dll concrt140.dll vcomp140.dll vcruntime140.dll
        vcruntime140_1.dll msvcr70.dll msvcr120.dll mfc140u.dll ucrtbased.dll atl100.dll
        d3dcompiler_43.dll zlib1.dll opencl.dll vulkan-1.dll libcrypto.dll msvcrt40.dll
        something_new.dll
    """
    assert [name for name in names.split() if clean.is_allowed(name, LISTED)] == []


def test_clean_windows_has_its_system_libraries() -> None:
    names = """
        kernel32.dll ucrtbase.dll msvcrt.dll msvcp_win.dll ntdll.dll shcore.dll
        api-ms-win-crt-runtime-l1-1-0.dll windows.gaming.input.dll d3dcompiler_47.dll
        combase.dll wined3d.dll wbemprox.dll
    """
    assert [name for name in names.split() if not clean.is_allowed(name, LISTED)] == []


def test_machine_and_inspection_have_the_same_list() -> None:
    """The machine keeps what the inspection accepts, and libraries that only Wine needs."""
    accepted = [name for name in LISTED if windows_facts.has_library(name, "win_amd64")]
    assert accepted == LISTED
    copied = dict(recipes.load("windows-wine").files())
    assert copied["copies/verification/wheel/windows_libraries.txt"] == windows_facts.LIBRARIES


def test_private_name_has_the_same_length() -> None:
    assert clean.private_name("zlib1.dll") == "_lib1.dll"


def test_imports_are_names_of_libraries_with_their_offsets() -> None:
    content = b"MZ\0A.dll\0\x80Bc.DLL\0a.dll\0not.dll"
    assert clean.imports(content) == {"a.dll": [3, 17]}
    assert clean.imports(b"MZ") == {}


def test_name_at_the_start_of_a_file_has_offset_0() -> None:
    assert clean.imports(b"a.dll\0") == {"a.dll": [0]}


def test_hidden_library_that_wine_imports_gets_a_private_name(tmp_path: Path) -> None:
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


def test_library_that_only_the_control_panel_imports_is_removed(tmp_path: Path) -> None:
    (tmp_path / "zlib1.dll").write_bytes(b"MZ")
    (tmp_path / "main.cpl").write_bytes(b"MZ\0zlib1.dll\0")
    assert clean.hide(tmp_path, lambda _: False) == ["zlib1.dll"]
    assert [path.name for path in tmp_path.iterdir()] == ["main.cpl"]
    assert (tmp_path / "main.cpl").read_bytes() == b"MZ\0zlib1.dll\0"


@pytest.mark.parametrize(
    ("library", "code", "hidden"), [("msvcp140.dll", 0, "msvcp140.dll\n"), ("kernel32.dll", 1, "")]
)
def test_names_of_hidden_libraries_are_written_and_an_empty_list_is_an_error(
    tmp_path: Path, library: str, code: int, hidden: str
) -> None:
    folder = tmp_path / "wine"
    folder.mkdir()
    (folder / library).write_bytes(b"MZ")
    output = tmp_path / "hidden.txt"
    assert clean.main([str(folder), str(windows_facts.LIBRARIES), str(output)]) == code
    assert output.read_text("utf-8") == hidden
    assert (folder / library).exists() is bool(code)
