from __future__ import annotations

import pefile
import pytest

from tests.helpers.binaries import pe
from tests.helpers.sample_wheels import symbol, windows_core
from verification.wheel.errors import DebugFile, UnreadableBinary
from verification.wheel.pe import read


@pytest.mark.parametrize("machine", ["x86_64", "i686", "aarch64"])
def test_headers_and_tables_of_a_library_are_read(machine: str) -> None:
    binary = read(
        pe(
            machine=machine,
            name="a.dll",
            imports={"KERNEL32.dll": ["CreateFileW", "CloseHandle"], "b.dll": ["b_open"]},
            delayed={"SHELL32.dll": ["SHGetFolderPathW"]},
            exports=["a_open", "a_close"],
        )
    )
    assert (binary.format, binary.machine, binary.soname) == ("pe", machine, "a.dll")
    assert binary.needed == ("KERNEL32.dll", "b.dll")
    assert binary.delayed == ("SHELL32.dll",)
    assert binary.imports == (
        symbol("CreateFileW", "KERNEL32.dll"),
        symbol("CloseHandle", "KERNEL32.dll"),
        symbol("b_open", "b.dll"),
        symbol("SHGetFolderPathW", "SHELL32.dll"),
    )
    assert binary.exports == {"a_open", "a_close"}
    assert binary.unread is None


def test_library_without_tables_has_empty_fields() -> None:
    binary = read(pe())
    assert (binary.soname, binary.needed, binary.delayed) == (None, (), ())
    assert (binary.imports, binary.exports) == ((), frozenset())


def test_unknown_processor_is_a_number() -> None:
    data = pe(machine="x86_64")
    offset = data.index(b"PE\0\0") + 4
    assert read(data[:offset] + b"\x64\x50" + data[offset + 2 :]).machine == "0x5064"


def test_imports_by_number_are_left_out() -> None:
    data = pe(imports={"b.dll": ["b_open", "b_close"]})
    address = (0x1000 + data.index(b"\0\0b_open") - 0x400).to_bytes(8, "little")
    data = data.replace(address, (1 << 63 | 7).to_bytes(8, "little"))
    assert read(data).imports == (symbol("b_close", "b.dll"),)


def assert_damaged(data: bytes) -> None:
    with pytest.raises(UnreadableBinary) as damaged:
        read(data)
    assert damaged.type is UnreadableBinary
    assert damaged.value.cause == "damaged-library"


@pytest.mark.parametrize("data", [b"MZ", b"MZ" + bytes(200), windows_core()[:100]])
def test_damaged_file_is_unreadable(data: bytes) -> None:
    assert_damaged(data)


def _image() -> pefile.PE:
    return pefile.PE(data=windows_core(), fast_load=True)


@pytest.mark.parametrize("magic", [0, 0x107, 0x30B])
def test_unknown_optional_header_is_damaged(magic: int) -> None:
    image = _image()
    image.OPTIONAL_HEADER.Magic = magic
    assert_damaged(bytes(image.write()))


def test_file_without_sections_is_damaged() -> None:
    image = _image()
    image.FILE_HEADER.NumberOfSections = 0
    assert_damaged(bytes(image.write()))


@pytest.mark.parametrize("flags", [0x6000_0060, 0x4000_0040], ids=["code", "data"])
def test_file_without_the_bytes_of_its_sections_is_a_debug_file(flags: int) -> None:
    image = _image()
    image.sections[0].SizeOfRawData = 0
    image.sections[0].Characteristics = flags
    with pytest.raises(DebugFile):
        read(bytes(image.write()))


def test_file_with_data_and_without_code_is_read() -> None:
    image = _image()
    image.sections[0].Characteristics = 0x4000_0040
    assert read(bytes(image.write())).soname == "libquiver.dll"


def _manifest(*assemblies: str, optional: bool = False) -> str:
    option = ' optional="yes"' * optional
    return '<assembly xmlns="urn:schemas-microsoft-com:asm.v1">' + "".join(
        f"<dependency{option}><dependentAssembly>"
        f'<assemblyIdentity type="win32" name="{name}" version="9.0.0.0"/>'
        "</dependentAssembly></dependency>"
        for name in assemblies
    ) + "</assembly>"  # fmt: skip


def test_assemblies_of_the_manifest_are_read() -> None:
    names = ("Microsoft.VC90.CRT", "Microsoft.Windows.Common-Controls")
    binary = read(pe(imports={"b.dll": ["b"]}, exports=["a"], manifest=_manifest(*names)))
    assert binary.assemblies == names
    assert binary.needed == ("b.dll",)


@pytest.mark.parametrize(
    ("manifest", "number"),
    [
        ("", 2),
        (_manifest("Microsoft.VC90.CRT"), 1),  # the manifest of a program
        (_manifest("Microsoft.VC90.CRT", optional=True), 2),
        ("<!-- " + _manifest("Microsoft.VC90.CRT") + " --><x/>", 2),
        ("<assembly", 2),
    ],
)
def test_manifest_that_requires_nothing_has_no_assembly(manifest: str, number: int) -> None:
    assert read(pe(manifest=manifest, manifest_number=number)).assemblies == ()


def test_all_symbols_of_a_large_library_are_read() -> None:
    names = [f"function_{number:05}" for number in range(9000)]
    binary = read(pe(exports=names, imports={"b.dll": names}))
    assert binary.exports == set(names)
    assert len(binary.imports) == len(names)
