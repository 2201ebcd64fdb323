from __future__ import annotations

import io
import struct

import pytest
from elftools.elf.elffile import ELFFile

from tests.helpers.binaries import ElfSymbol, elf, property_note
from tests.helpers.sample_wheels import MEMCPY, linux_core, symbol
from verification.wheel.elf import check_library, read
from verification.wheel.errors import ObjectFile, Program, UnreadableBinary

ISA_NEEDED, ISA_USED = 0xC0008002, 0xC0010002


def test_headers_and_symbols_of_a_library_are_read() -> None:
    data = elf(
        soname="liba.so",
        needed=["libb.so", "libc.so.6"],
        run_path="$ORIGIN:$ORIGIN/../lib",
        imports=[MEMCPY, symbol("b_open"), symbol("b_close", "libb.so", "B_1")],
        exports=["a_open"],
        interposable=["a_open"],
    )
    binary = read(data)
    assert (binary.format, binary.machine) == ("elf", "x86_64")
    assert binary.soname == "liba.so"
    assert binary.needed == ("libb.so", "libc.so.6")
    assert binary.runpath == ("$ORIGIN", "$ORIGIN/../lib")
    assert binary.versions == {"libc.so.6": ("GLIBC_2.14",), "libb.so": ("B_1",)}
    assert binary.imports == (MEMCPY, symbol("b_open"), symbol("b_close", "libb.so", "B_1"))
    assert binary.exports == {"a_open"}
    assert binary.interposable == ("a_open",)
    assert not binary.executable_stack
    assert binary.instruction_set == 1
    assert binary.unread is None


def test_text_relocations_are_read() -> None:
    assert read(elf(text_relocations=True)).text_relocations
    assert read(elf(flags=0x4)).text_relocations  # DF_TEXTREL
    assert not read(elf(flags=0xA, symbolic=True)).text_relocations  # DF_SYMBOLIC, DF_BIND_NOW


def test_library_without_symbols_has_empty_fields() -> None:
    binary = read(elf())
    assert (binary.soname, binary.needed, binary.runpath) == (None, (), ())
    assert (binary.versions, binary.imports, binary.exports) == ({}, (), frozenset())


@pytest.mark.parametrize(
    "machine", ["x86_64", "i686", "aarch64", "armv7l", "ppc64le", "s390x", "riscv64"]
)
def test_library_for_each_processor_is_read(machine: str) -> None:
    imports = [MEMCPY, symbol("b_open"), symbol("exp", "libm.so.6", "GLIBC_2.29")]
    exports = [ElfSymbol("a_open"), ElfSymbol("a_weak", binding=2)]
    data = elf(machine=machine, imports=imports, exports=exports, interposable=["a_weak"])
    binary = read(data)
    assert binary.machine == machine
    assert binary.imports == tuple(imports)
    assert binary.exports == {"a_open", "a_weak"}
    assert binary.interposable == ("a_weak",)
    assert not binary.executable_stack


def test_unknown_processor_has_its_elf_name() -> None:
    assert read(elf(machine="loongarch64")).machine == "EM_LOONGARCH"


def test_rpath_and_runpath_are_read() -> None:
    binary = read(elf(rpath="/a:/b", run_path="/c"))
    assert (binary.rpath, binary.runpath) == (("/a", "/b"), ("/c",))


def test_symbol_versions_are_sorted() -> None:
    imports = [symbol(name, "libc.so.6", f"GLIBC_2.{name}") for name in ("3", "1", "2")]
    assert read(elf(imports=imports)).versions == {
        "libc.so.6": ("GLIBC_2.1", "GLIBC_2.2", "GLIBC_2.3")
    }


# ---- symbols ----


@pytest.mark.parametrize(
    ("entry", "is_exported", "is_interposable"),
    [
        (ElfSymbol("a"), True, True),
        (ElfSymbol("a", binding=2), True, True),
        (ElfSymbol("a", binding=10), True, True),
        (ElfSymbol("a", binding=0), False, False),
        (ElfSymbol("a", visibility=3), True, False),
        (ElfSymbol("a", visibility=2), False, False),
        (ElfSymbol("a", visibility=1), False, False),
        (ElfSymbol("a", visibility=0x60), True, True),  # the other bits depend on the processor
    ],
)
def test_binding_and_visibility_decide_whether_a_symbol_is_exported(
    entry: ElfSymbol, *, is_exported: bool, is_interposable: bool
) -> None:
    binary = read(elf(exports=[entry], interposable=["a"]))
    assert binary.exports == ({"a"} if is_exported else set())
    assert binary.interposable == (("a",) if is_interposable else ())
    assert binary.imports == ()


@pytest.mark.parametrize(("binding", "is_imported"), [(1, True), (2, False), (0, False)])
def test_only_global_undefined_symbols_are_imported(binding: int, *, is_imported: bool) -> None:
    binary = read(elf(exports=[ElfSymbol("a", binding=binding, section=0)]))
    assert binary.imports == ((symbol("a"),) if is_imported else ())
    assert binary.exports == frozenset()


def test_symbol_of_a_hidden_version_has_its_version() -> None:
    entry = ElfSymbol("old_memcpy", section=0, version=0x8002)
    (_, imported) = read(elf(imports=[MEMCPY], exports=[entry])).imports
    assert imported == symbol("old_memcpy", "libc.so.6", "GLIBC_2.14")


def test_symbols_without_a_name_are_ignored() -> None:
    binary = read(elf(exports=[ElfSymbol(""), ElfSymbol("", section=0), "a"]))
    assert (binary.imports, binary.exports) == ((), frozenset({"a"}))


@pytest.mark.parametrize("with_addends", [True, False])
@pytest.mark.parametrize("machine", ["x86_64", "i686", "s390x"])
def test_only_symbols_that_are_bound_at_load_time_are_interposable(
    machine: str, *, with_addends: bool
) -> None:
    exports = [f"a{number}" for number in range(300)]
    calls = ["a299", "a1"]
    data = elf(machine=machine, exports=exports, interposable=calls, with_addends=with_addends)
    assert read(data).interposable == ("a1", "a299")


@pytest.mark.parametrize(("flags", "is_bound"), [(2, True), (0xA, True), (8, False)])
def test_symbolic_library_has_no_interposable_symbols(flags: int, *, is_bound: bool) -> None:
    interposable = read(elf(exports=["a"], interposable=["a"], flags=flags)).interposable
    assert interposable == (() if is_bound else ("a",))
    assert read(elf(exports=["a"], interposable=["a"], symbolic=True)).interposable == ()


def test_symbols_of_a_library_without_section_headers_are_unread() -> None:
    binary = read(elf(soname="liba.so", needed=["libc.so.6"], section_headers=False))
    assert binary.unread
    assert (binary.soname, binary.needed) == ("liba.so", ("libc.so.6",))


# ---- the stack and the processor ----


@pytest.mark.parametrize("machine", ["x86_64", "i686", "aarch64"])
def test_stack_header_decides_whether_the_stack_is_executable(machine: str) -> None:
    assert not read(elf(machine=machine)).executable_stack
    assert read(elf(machine=machine, executable_stack=True)).executable_stack


@pytest.mark.parametrize(
    ("machine", "executable"), [("x86_64", True), ("i686", True), ("aarch64", False)]
)
def test_stack_without_header_is_executable_on_x86(machine: str, *, executable: bool) -> None:
    assert read(elf(machine=machine, stack_header=False)).executable_stack == executable


@pytest.mark.parametrize(("bits", "version"), [(0, 1), (1, 1), (3, 2), (7, 3), (8, 4), (4, 3)])
def test_needed_processor_version_is_the_highest_bit(bits: int, version: int) -> None:
    note = property_note((ISA_USED, 15)) + property_note((ISA_NEEDED, bits))
    assert read(elf(note=note)).instruction_set == version
    assert read(elf(note=property_note((ISA_USED, 15), (ISA_NEEDED, bits)))).instruction_set == (
        version
    )


def test_bits_of_several_notes_are_combined() -> None:
    note = property_note((ISA_NEEDED, 2)) + property_note((ISA_NEEDED, 1))
    assert read(elf(note=note)).instruction_set == 2


@pytest.mark.parametrize(
    "note",
    [
        property_note((ISA_NEEDED, 8), name=b"XYZ\0"),
        struct.pack("<III4s", 4, 8, 1, b"GNU\0") + bytes(8),
        b"\xff" * 40,
    ],
)
def test_other_notes_are_ignored(note: bytes) -> None:
    assert read(elf(note=note)).instruction_set == 1


def test_processor_version_is_only_for_x86_64() -> None:
    note = property_note((ISA_NEEDED, 8))
    assert read(elf(note=note, machine="aarch64")).instruction_set == 1


# ---- damage ----


@pytest.mark.parametrize("data", [b"\x7fELF", b"\x7fELF\x02\x01\x01" * 20, linux_core()[:200]])
def test_damaged_file_is_unreadable(data: bytes) -> None:
    with pytest.raises(UnreadableBinary) as damaged:
        read(data)
    assert damaged.value.cause == "damaged-library"


def test_object_file_is_unreadable() -> None:
    with pytest.raises(ObjectFile):
        read(elf(kind=1))


def test_version_count_beyond_the_file_is_refused_at_once() -> None:
    data = linux_core()
    file = ELFFile(io.BytesIO(data))
    number = next(
        n for n in range(file.num_sections()) if file.get_section(n).name == ".gnu.version_r"
    )
    offset = file["e_shoff"] + number * file["e_shentsize"] + 44  # sh_info
    with pytest.raises(UnreadableBinary, match="4294967295"):
        read(_changed(data, offset, "<I", 0xFFFFFFFF))


def _changed(data: bytes, offset: int, layout: str, value: int) -> bytes:
    changed = bytearray(data)
    struct.pack_into(layout, changed, offset, value)
    return bytes(changed)


def _without_segment(data: bytes, kind: int) -> bytes:
    headers = range(64, 64 + 4 * 56, 56)
    offset = next(header for header in headers if struct.unpack_from("<I", data, header) == (kind,))
    return _changed(data, offset, "<I", 0)


UNLOADABLE = {
    "ident version": _changed(linux_core(), 6, "<B", 0),
    "version": _changed(linux_core(), 20, "<I", 0),
    "no type": linux_core(kind=0),
    "core dump": linux_core(kind=4),
    "no segments": _changed(linux_core(), 56, "<H", 0),
    "nothing to load": _without_segment(linux_core(), 1),
    "no dynamic segment": _without_segment(linux_core(), 2),
    "zeros": linux_core()[:64] + bytes(len(linux_core()) - 64),
}


@pytest.mark.parametrize("data", UNLOADABLE.values(), ids=UNLOADABLE)
def test_complete_file_that_no_system_loads_is_damaged(data: bytes) -> None:
    with pytest.raises(UnreadableBinary) as damaged:
        read(data)
    assert (damaged.value.cause, damaged.value.risk) == ("damaged-library", False)


def test_program_is_readable_but_not_a_library() -> None:
    static = _without_segment(linux_core(kind=2), 2)
    independent = linux_core(flags_1=0x0800_0001)
    for data in (linux_core(kind=2), static, independent):
        assert read(data).format == "elf"
        with pytest.raises(Program):
            check_library(data)
    check_library(linux_core())
    check_library(linux_core(flags_1=1))
