from __future__ import annotations

import struct

import pytest

from tests.helpers.binaries import macho, universal_macho
from verification.wheel.errors import UnreadableBinary
from verification.wheel.macho import read

UNIVERSAL = universal_macho(macho(), macho(machine="x86_64"))
WIDE = universal_macho(macho(), macho(machine="x86_64"), wide=True)


@pytest.mark.parametrize(
    ("data", "machine"),
    [
        (macho(), "aarch64"),
        (macho(machine="x86_64"), "x86_64"),
        (macho(machine="arm64_32"), "0x200000c"),
        (macho() + b"a signature" * 100, "aarch64"),
        (macho(size=0), "aarch64"),
        (UNIVERSAL, "universal"),
        (WIDE, "universal"),
    ],
)
def test_processor_of_a_complete_file_is_read(data: bytes, machine: str) -> None:
    binary = read(data)
    assert (binary.format, binary.machine) == ("mach-o", machine)
    assert binary.unread


@pytest.mark.parametrize("data", [macho(), UNIVERSAL, WIDE], ids=["thin", "universal", "wide"])
def test_file_that_is_cut_off_anywhere_is_damaged(data: bytes) -> None:
    for size in range(4, len(data)):
        with pytest.raises(UnreadableBinary) as damaged:
            read(data[:size])
        assert (damaged.value.cause, damaged.value.risk) == ("damaged-library", False)


@pytest.mark.parametrize("length", [0, 7, 73, 0xFFFFFFFF])
def test_load_command_with_an_impossible_size_is_damaged(length: int) -> None:
    data = bytearray(macho())
    struct.pack_into("<I", data, 36, length)
    with pytest.raises(UnreadableBinary):
        read(bytes(data))


@pytest.mark.parametrize(
    "data",
    [
        macho()[:32] + bytes(len(macho()) - 32),
        universal_macho(),
        b"\xca\xfe\xba\xbe\0\0\0\x34" + b"a class of Java" * 20,
    ],
    ids=["zeros", "no slice", "a class of Java"],
)
def test_other_data_that_starts_like_a_library_is_unreadable(data: bytes) -> None:
    with pytest.raises(UnreadableBinary):
        read(data)
