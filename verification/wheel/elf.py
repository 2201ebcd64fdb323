"""Read the headers and symbol tables of ELF files (System V ABI, Linux Standard Base)."""

from __future__ import annotations

import contextlib
import io
import itertools
import mmap
import struct
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, NamedTuple, cast

from elftools.common.exceptions import ELFError
from elftools.construct.core import ConstructError
from elftools.elf.dynamic import DynamicSegment, DynamicTag
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection
from elftools.elf.sections import Section
from elftools.elf.segments import NoteSegment

from verification.models.inspection import Binary, Import
from verification.wheel.errors import (
    CutOffSections,
    DebugFile,
    ObjectFile,
    Program,
    UnreadableBinary,
)
from verification.wheel.truncation import elf_ends

# The exceptions of pyelftools for a damaged file. It does not check offsets, sizes and links.
_DAMAGE = (
    ELFError,
    ConstructError,
    struct.error,
    zlib.error,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)

_MACHINES = {
    "EM_X86_64": "x86_64",
    "EM_386": "i686",
    "EM_AARCH64": "aarch64",
    "EM_ARM": "armv7l",
    "EM_PPC64": "ppc64le",
    "EM_S390": "s390x",
    "EM_RISCV": "riscv64",
}
_TEXT_TAGS = {  # the attribute of pyelftools that has the tag's value
    "DT_NEEDED": "needed",
    "DT_SONAME": "soname",
    "DT_RPATH": "rpath",
    "DT_RUNPATH": "runpath",
}
_DF_SYMBOLIC, _DF_TEXTREL = 0x2, 0x4
_DF_1_PIE = 0x0800_0000
_PF_X = 0x1
_ISA_NEEDED = "GNU_PROPERTY_X86_ISA_1_NEEDED"
_GLOBAL, _WEAK, _UNIQUE = 1, 2, 10  # symbol bindings; _UNIQUE is a GNU extension
_DEFAULT, _PROTECTED = 0, 3  # the visibilities of exported symbols


class _Dynamic(NamedTuple):
    """The dynamic section."""

    needed: tuple[str, ...]
    soname: str | None
    rpath: tuple[str, ...]
    runpath: tuple[str, ...]
    symbolic: bool
    """The library binds calls to its own symbols itself; no other library can replace them."""
    text_relocations: bool


class _Symbols(NamedTuple):
    """The dynamic symbols."""

    imports: tuple[Import, ...] = ()
    exports: frozenset[str] = frozenset()
    interposable: tuple[str, ...] = ()


class _Versions(NamedTuple):
    """The symbol versions that a file needs from other libraries."""

    by_library: Mapping[str, tuple[str, ...]]
    by_index: Mapping[int, tuple[str, str]]
    """The library and the version of each version index."""


def read(data: bytes | mmap.mmap) -> Binary:
    """Return the contents of the headers and symbol tables of an ELF file.

    Raises:
        UnreadableBinary: the file is damaged, or no loader loads files of its type.
    """
    try:
        ends = elf_ends(data)
    except _DAMAGE as error:
        raise UnreadableBinary(f"a damaged ELF file ({_reason(error)})") from error
    if ends.debug_only:
        raise DebugFile("it has only the debug information of another file")
    if len(data) < ends.segments:
        reason = f"{len(data)} bytes, but its segments end at byte {ends.segments}"
        raise UnreadableBinary(f"a damaged ELF file ({reason})")
    if len(data) < ends.sections:
        reason = f"{len(data)} bytes, but its section headers end at byte {ends.sections}"
        raise CutOffSections(f"a damaged ELF file ({reason})")
    try:
        elf = _open(data)
        is_object, fault = elf["e_type"] == "ET_REL", _fault(elf)
        if not is_object and not fault:
            return _binary(elf)
    except _DAMAGE as error:
        raise UnreadableBinary(f"a damaged ELF file ({_reason(error)})") from error
    if is_object:
        raise ObjectFile("it is an object file for the linker")
    raise UnreadableBinary(f"a damaged ELF file ({fault})")


def check_library(data: bytes | mmap.mmap) -> None:
    """Check that a readable ELF file is a library (glibc, elf/dl-load.c).

    Raises:
        Program: the file is a program.
    """
    elf = _open(data)
    if elf["e_type"] == "ET_EXEC":
        raise Program("it is a program")
    if any(
        tag.entry.d_tag == "DT_FLAGS_1" and tag.entry.d_val & _DF_1_PIE
        for tag in _dynamic_tags(elf)
    ):
        raise Program("it is a position-independent program")


def _open(data: bytes | mmap.mmap) -> ELFFile:
    if isinstance(data, mmap.mmap):
        data.seek(0)
        return ELFFile(cast(IO[bytes], data))
    return ELFFile(io.BytesIO(data))


def _fault(elf: ELFFile) -> str | None:
    """Return why no system can load the file, although it is complete, or None."""
    kind = elf["e_type"]
    types = {segment["p_type"] for segment in elf.iter_segments()}
    if {elf["e_ident"]["EI_VERSION"], elf["e_version"]} != {"EV_CURRENT"}:
        return "its version is not 1"
    if kind not in ("ET_DYN", "ET_EXEC"):
        return f"its type is {kind}; a library has ET_DYN"
    if "PT_LOAD" not in types:
        return "it has no segment to load"
    if kind == "ET_DYN" and "PT_DYNAMIC" not in types:
        return "it has no dynamic segment"
    return None


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def _binary(elf: ELFFile) -> Binary:
    dynamic = _dynamic(elf)
    versions = _versions(elf)
    dynsym = elf.get_section_by_name(".dynsym")
    symbols = _symbols(elf, dynsym, versions, dynamic) if dynsym is not None else _Symbols()
    return Binary(
        format="elf",
        machine=_MACHINES.get(elf["e_machine"], str(elf["e_machine"])),
        soname=dynamic.soname,
        needed=dynamic.needed,
        rpath=dynamic.rpath,
        runpath=dynamic.runpath,
        versions=versions.by_library,
        executable_stack=_executable_stack(elf),
        text_relocations=dynamic.text_relocations,
        instruction_set=_instruction_set(elf),
        unread=None if dynsym is not None else "no section headers, so its symbols were not read",
        imports=symbols.imports,
        exports=symbols.exports,
        interposable=symbols.interposable,
    )


def _dynamic(elf: ELFFile) -> _Dynamic:
    texts: dict[str, list[str]] = defaultdict(list)
    symbolic = text_relocations = False
    for tag in _dynamic_tags(elf):
        kind, value = tag.entry.d_tag, tag.entry.d_val
        if kind in _TEXT_TAGS:
            texts[kind].append(getattr(tag, _TEXT_TAGS[kind]))
        flags = value if kind == "DT_FLAGS" else 0
        symbolic |= kind == "DT_SYMBOLIC" or bool(flags & _DF_SYMBOLIC)
        text_relocations |= kind == "DT_TEXTREL" or bool(flags & _DF_TEXTREL)
    return _Dynamic(
        needed=tuple(texts["DT_NEEDED"]),
        soname=next(iter(texts["DT_SONAME"]), None),
        rpath=_folders(texts["DT_RPATH"]),
        runpath=_folders(texts["DT_RUNPATH"]),
        symbolic=symbolic,
        text_relocations=text_relocations,
    )


def _folders(run_paths: Iterable[str]) -> tuple[str, ...]:
    return tuple(folder for run_path in run_paths for folder in run_path.split(":"))


def _dynamic_tags(elf: ELFFile) -> Iterator[DynamicTag]:
    for segment in elf.iter_segments(type="PT_DYNAMIC"):
        assert isinstance(segment, DynamicSegment)
        yield from segment.iter_tags()


def _symbols(elf: ELFFile, dynsym: Section, versions: _Versions, dynamic: _Dynamic) -> _Symbols:
    imports: list[Import] = []
    exports: set[str] = set()
    interposable: set[str] = set()
    bound = set() if dynamic.symbolic else _relocated(elf)
    indexes = _version_indexes(elf)
    for number, (name, info, other, section) in enumerate(_symbol_table(elf, dynsym)):
        binding, visibility = info >> 4, other & 3
        if not name:
            continue
        if section == 0:
            # A weak reference may stay unresolved.
            if binding == _GLOBAL:
                index = indexes[number] & 0x7FFF if number < len(indexes) else 0
                library, version = versions.by_index.get(index, (None, None))
                imports.append(Import(symbol=name, library=library, version=version))
        elif binding in (_GLOBAL, _WEAK, _UNIQUE) and visibility in (_DEFAULT, _PROTECTED):
            exports.add(name)
            if number in bound and visibility == _DEFAULT:
                interposable.add(name)
    return _Symbols(tuple(imports), frozenset(exports), tuple(sorted(interposable)))


def _symbol_table(elf: ELFFile, dynsym: Section) -> Iterator[tuple[str, int, int, int]]:
    """Yield name, info, other and section index of each dynamic symbol.

    This function uses struct because the objects of pyelftools take a second for a real library.
    """
    names = elf.get_section(dynsym["sh_link"]).data()
    layout = struct.Struct(_order(elf) + ("IBBHQQ" if elf.elfclass == 64 else "IIIBBH"))
    for entry in layout.iter_unpack(dynsym.data()):
        if elf.elfclass == 64:
            start, info, other, section, _, _ = entry
        else:
            start, _, _, info, other, section = entry
        name = names[start : names.index(b"\0", start)]
        yield name.decode("utf-8", errors="replace"), info, other, section


def _versions(elf: ELFFile) -> _Versions:
    section = elf.get_section_by_name(".gnu.version_r")
    if not isinstance(section, GNUVerNeedSection):
        return _Versions({}, {})
    by_library: dict[str, tuple[str, ...]] = {}
    by_index: dict[int, tuple[str, str]] = {}
    # pyelftools needs minutes for a damaged count. An entry has at least 16 bytes.
    maximum = section["sh_size"] // 16
    if section["sh_info"] > maximum:
        raise ELFError(f"{section['sh_info']} needed versions in {section['sh_size']} bytes")
    for need, entries in section.iter_versions():
        versions = list(itertools.islice(entries, maximum))
        library = str(need.name)
        by_library[library] = tuple(sorted(str(version.name) for version in versions))
        by_index |= {version["vna_other"]: (library, str(version.name)) for version in versions}
    return _Versions(by_library, by_index)


def _version_indexes(elf: ELFFile) -> Sequence[int]:
    """Return the version index of each dynamic symbol."""
    section = elf.get_section_by_name(".gnu.version")
    if section is None:
        return ()
    data = section.data()
    return struct.unpack(f"{_order(elf)}{len(data) // 2}H", data)


def _relocated(elf: ELFFile) -> set[int]:
    """Return the numbers of the dynamic symbols that are bound when the library is loaded."""
    wide = elf.elfclass == 64
    numbers: set[int] = set()
    for section in elf.iter_sections():
        if section["sh_type"] not in ("SHT_RELA", "SHT_REL"):
            continue
        entry_format = ("QQq" if wide else "IIi")[: 3 if section["sh_type"] == "SHT_RELA" else 2]
        layout = struct.Struct(_order(elf) + entry_format)
        numbers |= {entry[1] >> (32 if wide else 8) for entry in layout.iter_unpack(section.data())}
    return numbers


def _order(elf: ELFFile) -> str:
    return "<" if elf.little_endian else ">"


def _executable_stack(elf: ELFFile) -> bool:
    # Without the header, the default of the kernel applies: executable on x86, not on the other
    # processors. glibc 2.41 refuses an executable stack in both cases (see its NEWS).
    for segment in elf.iter_segments(type="PT_GNU_STACK"):
        return bool(segment["p_flags"] & _PF_X)
    return elf["e_machine"] in ("EM_386", "EM_X86_64")


def _instruction_set(elf: ELFFile) -> int:
    """Return the x86-64 version that the library needs; 1 means every x86-64 processor.

    A property of the note .note.gnu.property has one bit for each version (x86-64 psABI, "Program
    Property").
    """
    if elf["e_machine"] != "EM_X86_64":
        return 1
    needed = 0
    with contextlib.suppress(*_DAMAGE):  # notes of other vendors can have any form
        for segment in elf.iter_segments(type="PT_NOTE"):
            assert isinstance(segment, NoteSegment)
            for note in segment.iter_notes():
                if note["n_type"] == "NT_GNU_PROPERTY_TYPE_0" and note["n_name"] == "GNU":
                    for prop in note["n_desc"]:
                        if prop.pr_type == _ISA_NEEDED:
                            needed |= prop.pr_data
    return max(1, needed.bit_length())
