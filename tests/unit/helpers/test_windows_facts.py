"""The command that writes the facts about Windows."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

from tests.helpers import windows_facts
from tests.helpers.binaries import pe


def _object(sections: dict[str, bytes], symbols: dict[str, int]) -> bytes:
    """Return a COFF object. A symbol is defined in the section with its number, or nowhere (0)."""
    body, rows = b"", b""
    start = 20 + 40 * len(sections)
    for name, data in sections.items():
        rows += struct.pack("<8s8xII16x", name.encode(), len(data), start + len(body))
        body += data
    strings, table = b"", b""
    for name, section in symbols.items():
        table += struct.pack("<IIIhHBB", 0, 4 + len(strings), 0, section, 0, 2, 0)
        strings += name.encode() + b"\0"
    head = struct.pack("<HHIIIHH", 0x8664, len(sections), 0, start + len(body), len(symbols), 0, 0)
    return head + rows + body + table + struct.pack("<I", 4 + len(strings)) + strings


def _archive(*objects: bytes) -> bytes:
    members = b""
    for data in (b"\0\0\0\0", *objects):
        head = f"{'x/':<16}{0:<12}{0:<6}{0:<6}{0:<8}{len(data):<10}`\n"
        members += head.encode() + data + b"\n" * (len(data) % 2)
    return b"!<arch>\n" + members


def test_functions_of_an_import_library_are_read(tmp_path: Path) -> None:
    head = "lib64_liba_a"
    functions = [
        _object({".idata$6": b"\1\0" + name + b"\0"}, {f"_head_{head}": 0, "__imp_x": 1})
        for name in (b"AOpen", b"AClose")
    ]
    tail = _object({".idata$7": b"A.DLL\0"}, {f"{head}_iname": 1})
    (tmp_path / "liba.a").write_bytes(_archive(*functions, tail))
    (tmp_path / "libscript.a").write_text("INPUT(-la)")
    assert windows_facts.import_libraries(tmp_path) == {"a.dll": {"AOpen", "AClose"}}


def test_exports_of_a_folder_are_read(tmp_path: Path) -> None:
    (tmp_path / "B.dll").write_bytes(pe(exports=["b"]))
    (tmp_path / "c.dll").write_bytes(pe())
    (tmp_path / "d.exe").write_bytes(pe(exports=["d"]))
    assert windows_facts.exports(tmp_path) == {"b.dll": {"b"}, "c.dll": set()}


def test_documented_functions_are_read(tmp_path: Path) -> None:
    text = "@winfunctype('KERNEL32.dll')\r\ndef Beep(a: int) -> int: ...\r\n"
    wheel = tmp_path / "m-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("a.py", text)
        archive.writestr("b.txt", text.replace("Beep", "Other"))
    assert windows_facts.documented(wheel) == {"kernel32.dll": {"Beep"}}


def test_table_has_only_listed_libraries_and_separates_the_other_sources() -> None:
    mingw = {"a.dll": {"x", "?decorated"}, "msvcp140.dll": {"y"}, "api-ms-win-a-l1-1-0.dll": {"z"}}
    table = windows_facts.function_table({"a.dll"}, mingw, [{"a.dll": {"x", "new"}}])
    assert table == {"a.dll": (["x"], ["new"]), "api-ms-win-a-l1-1-0.dll": (["z"], [])}


def test_page_gives_a_reason_for_each_name_that_is_not_in_the_list() -> None:
    names = frozenset({"a.dll", "opencl.dll", "msvcp140.dll", "xaudio2_7.dll", "old.dll"})
    source = windows_facts.Source("source", "1", names, {})
    page = windows_facts.page({"a.dll"}, (source,), {"a.dll": (["x"], [])})
    listed = page.partition("## Names")[2].partition("## Functions")[0]
    lines = {line.partition("**: ")[0] for line in listed.splitlines() if line.startswith("**")}
    assert len(lines) == 4
    assert all(f"`{name}`" in listed for name in names - {"a.dll"})
