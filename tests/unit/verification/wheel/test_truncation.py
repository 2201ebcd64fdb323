from __future__ import annotations

import struct

import pefile
import pytest

from tests.helpers.binaries import elf, pe
from tests.helpers.sample_wheels import linux_core, windows_core
from verification.wheel import elf as elf_files
from verification.wheel import pe as pe_files
from verification.wheel.errors import CutOffSections, DebugFile, ObjectFile, UnreadableBinary
from verification.wheel.truncation import elf_ends, missing_pe_sections


def _without_code(data: bytes, name: bytes = b".dynsym") -> bytes:
    """Return the ELF file with one section that is executable and has no bytes in the file."""
    (at,) = struct.unpack_from("<Q", data, 40)
    names = data.rindex(b"\0.dynstr\0")
    offset = data.index(b"\0" + name + b"\0", names) + 1 - names
    changed = bytearray(data)
    while struct.unpack_from("<I", changed, at)[0] != offset:
        at += 64
    struct.pack_into("<IQ", changed, at + 4, 8, 6)  # NOBITS; allocated and executable
    return bytes(changed)


@pytest.mark.parametrize("machine", ["x86_64", "i686", "s390x"])
def test_a_whole_elf_file_ends_where_its_headers_say(machine: str) -> None:
    data = linux_core(machine=machine)
    ends = elf_ends(data)
    assert ends.segments < ends.sections == len(data)
    assert not ends.debug_only
    elf_files.read(data)


def test_what_is_cut_off_decides_whether_a_loader_meets_it() -> None:
    data = linux_core()
    ends = elf_ends(data)
    with pytest.raises(CutOffSections) as cut_off:
        elf_files.read(data[: ends.segments])
    assert cut_off.value.risk
    for keep in (60, 300, ends.segments - 1):
        with pytest.raises(UnreadableBinary) as damaged:
            elf_files.read(data[:keep])
        assert (damaged.value.cause, damaged.value.risk) == ("damaged-library", False)


@pytest.mark.parametrize(
    "data",
    [
        linux_core() + b"an overlay" * 1000,
        linux_core(section_headers=False),
        linux_core(section_headers=False) + bytes(5000),
    ],
    ids=["overlay", "stripped of its section headers", "both"],
)
def test_an_odd_elf_file_that_is_whole_is_read(data: bytes) -> None:
    assert elf_files.read(data).soname == "libquiver.so"


def test_the_debug_information_of_another_file_is_not_damaged() -> None:
    data = _without_code(linux_core())
    assert elf_ends(data).debug_only
    with pytest.raises(DebugFile):
        elf_files.read(data)


def test_an_object_file_is_not_damaged() -> None:
    with pytest.raises(ObjectFile):
        elf_files.read(elf(kind=1))


def _changed_section(data: bytes, **values: int) -> bytes:
    image = pefile.PE(data=data, fast_load=True)
    for name, value in values.items():
        setattr(image.sections[0], name, value)
    return bytes(image.write())


def _missing(data: bytes) -> list[str]:
    return list(missing_pe_sections(pefile.PE(data=data, fast_load=True), len(data)))


@pytest.mark.parametrize("keep", [0x200, 0x400, -0x200])
def test_a_section_beyond_the_end_of_a_pe_file_is_named(keep: int) -> None:
    data = windows_core()[:keep]
    assert _missing(data) == [".rdata"]
    with pytest.raises(UnreadableBinary, match=r"^a damaged PE file \(.*\.rdata\)$"):
        pe_files.read(data)


GOOD = pe(exports=["quiver_version"])
HEALTHY = {
    "as it was linked": GOOD,
    "with a signature or an archive behind it": GOOD + b"overlay" * 1000,
    "without the padding of the last sector": GOOD.rstrip(b"\0"),
    "with a section that has memory only": _changed_section(
        GOOD, SizeOfRawData=0, PointerToRawData=0x10000
    ),
    "with more in the headers than in memory": _changed_section(GOOD, SizeOfRawData=0x8000000)
    + bytes(0x1000),
}


@pytest.mark.parametrize("data", HEALTHY.values(), ids=HEALTHY)
def test_a_pe_file_that_is_whole_has_every_section(data: bytes) -> None:
    assert _missing(data) == []
