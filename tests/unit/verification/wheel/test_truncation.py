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
    """Return the ELF file with an executable section that has no bytes in the file."""
    (header,) = struct.unpack_from("<Q", data, 40)
    names = data.rindex(b"\0.dynstr\0")
    offset = data.index(b"\0" + name + b"\0", names) + 1 - names
    changed = bytearray(data)
    while struct.unpack_from("<I", changed, header)[0] != offset:
        header += 64
    struct.pack_into("<IQ", changed, header + 4, 8, 6)  # NOBITS; allocated and executable
    return bytes(changed)


@pytest.mark.parametrize("machine", ["x86_64", "i686", "s390x"])
def test_complete_elf_file_ends_with_its_section_headers(machine: str) -> None:
    data = linux_core(machine=machine)
    ends = elf_ends(data)
    assert ends.segments < ends.sections == len(data)
    assert not ends.debug_only
    elf_files.read(data)


def test_elf_file_without_section_headers_is_a_risk_and_without_segments_is_damaged() -> None:
    data = linux_core()
    ends = elf_ends(data)
    with pytest.raises(CutOffSections) as cut_off:
        elf_files.read(data[: ends.segments])
    assert cut_off.value.risk
    for size in (60, 300, ends.segments - 1):
        with pytest.raises(UnreadableBinary) as damaged:
            elf_files.read(data[:size])
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
def test_complete_elf_file_is_read(data: bytes) -> None:
    assert elf_files.read(data).soname == "libquiver.so"


def test_elf_file_with_only_debug_information_is_a_debug_file() -> None:
    data = _without_code(linux_core())
    assert elf_ends(data).debug_only
    with pytest.raises(DebugFile):
        elf_files.read(data)


def test_object_file_is_not_damaged() -> None:
    with pytest.raises(ObjectFile):
        elf_files.read(elf(kind=1))


def _changed_section(data: bytes, **values: int) -> bytes:
    image = pefile.PE(data=data, fast_load=True)
    for name, value in values.items():
        setattr(image.sections[0], name, value)
    return bytes(image.write())


def _missing(data: bytes) -> list[str]:
    return list(missing_pe_sections(pefile.PE(data=data, fast_load=True), len(data)))


@pytest.mark.parametrize("size", [0x200, 0x400, -0x200])
def test_section_after_the_end_of_a_pe_file_is_missing(size: int) -> None:
    data = windows_core()[:size]
    assert _missing(data) == [".rdata"]
    with pytest.raises(UnreadableBinary, match=r"\.rdata"):
        pe_files.read(data)


GOOD = pe(exports=["quiver_version"])
HEALTHY = {
    "unchanged": GOOD,
    "with additional data": GOOD + b"overlay" * 1000,
    "without padding": GOOD.rstrip(b"\0"),
    "with a section without bytes": _changed_section(
        GOOD, SizeOfRawData=0, PointerToRawData=0x10000
    ),
    "with a section larger than in memory": _changed_section(GOOD, SizeOfRawData=0x8000000)
    + bytes(0x1000),
}


@pytest.mark.parametrize("data", HEALTHY.values(), ids=HEALTHY)
def test_complete_pe_file_misses_no_section(data: bytes) -> None:
    assert _missing(data) == []
