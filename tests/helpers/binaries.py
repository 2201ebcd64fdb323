"""Write native libraries for tests without a compiler.

Their headers and tables are like those of real libraries (needed libraries, symbols, versions).
They contain no code and cannot run.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from verification.models.inspection import Import

_PE_MACHINES = {"x86_64": 0x8664, "i686": 0x14C, "aarch64": 0xAA64}

_MACHO_MACHINES = {"x86_64": 0x1000007, "aarch64": 0x100000C, "arm64_32": 0x200000C}

_PE_SECTION = 0x1000  # the address of the only section in memory
_PE_HEADERS = 0x400  # the offset of the only section in the file


@dataclass(frozen=True)
class ElfSymbol:
    """An entry of the dynamic symbol table (gABI, "Symbol Table")."""

    name: str
    binding: int = 1
    """1 global, 2 weak, 10 unique (GNU)."""
    visibility: int = 0
    """0 default, 2 hidden, 3 protected."""
    section: int = 1
    """0 if the symbol is undefined: another library must export it."""
    version: int = 1
    """1 if the symbol has no version."""


def elf(
    *,
    machine: str = "x86_64",
    kind: int = 3,
    soname: str | None = None,
    needed: Iterable[str] = (),
    run_path: str | None = None,
    rpath: str | None = None,
    imports: Iterable[Import] = (),
    exports: Iterable[str | ElfSymbol] = (),
    interposable: Iterable[str] = (),
    symbolic: bool = False,
    text_relocations: bool = False,
    flags: int = 0,
    flags_1: int = 0,
    executable_stack: bool = False,
    stack_header: bool = True,
    section_headers: bool = True,
    note: bytes = b"",
    with_addends: bool = True,
) -> bytes:
    """Return a shared library (System V ABI, gABI chapters 4 and 5).

    `interposable` are the exports that the library calls through the dynamic linker. `kind` is the
    type of the file, 1 for an object file. `note` is the content of the PT_NOTE segment.
    """
    form = _ELF_FORMS[machine]
    strings = _Strings()
    imported = list(imports)
    versioned = _group(imported)
    numbers: dict[tuple[str, str], int] = {}
    for library, versions in versioned.items():
        for version in versions:
            numbers[library, version] = len(numbers) + 2  # 0 and 1 are local and unversioned
    symbols = [
        ElfSymbol(
            needed_symbol.symbol,
            section=0,
            version=numbers.get((needed_symbol.library or "", needed_symbol.version or ""), 1),
        )
        for needed_symbol in imported
    ]
    symbols += [ElfSymbol(name) if isinstance(name, str) else name for name in exports]
    indexes = {symbol.name: number for number, symbol in enumerate(symbols, 1)}
    table = bytes(form.symbol_size) + b"".join(form.symbol(symbol, strings) for symbol in symbols)
    versym = form.pack(f"{len(symbols) + 1}H", 0, *(symbol.version for symbol in symbols))
    relocations = b"".join(form.relocation(indexes[name], with_addends) for name in interposable)
    verneed = _verneed(form, versioned, numbers, strings)
    texts = [(1, name) for name in needed]
    texts += [(tag, text) for tag, text in ((14, soname), (15, rpath), (29, run_path)) if text]
    tags = [(tag, strings.add(text)) for tag, text in texts]
    tags += [(16, 0)] * symbolic + [(22, 0)] * text_relocations + [(30, flags)] * bool(flags)
    tags += [(0x6FFFFFFB, flags_1)] * bool(flags_1)

    header_size = form.header_size + 4 * form.segment_size
    relocation_type = 4 if with_addends else 9
    contents = {  # name: type, link, entry size, data
        ".dynstr": (3, 0, 0, bytes(strings.data)),
        ".dynsym": (11, 1, form.symbol_size, table),
        ".gnu.version": (0x6FFFFFFF, 2, 2, versym),
        ".gnu.version_r": (0x6FFFFFFE, 1, 0, verneed),
        ".rela.plt": (relocation_type, 2, form.word * (3 if with_addends else 2), relocations),
        ".note": (7, 0, 0, note),
    }
    offsets, body = {}, bytearray()
    for name, (_, _, _, data) in contents.items():
        body += bytes(-len(body) % 8)
        offsets[name] = header_size + len(body)
        body += data
    body += bytes(-len(body) % 8)
    tags += [(5, offsets[".dynstr"]), (10, len(strings.data)), (6, offsets[".dynsym"]), (0, 0)]
    dynamic = b"".join(form.pack(form.words(2), *tag) for tag in tags)
    dynamic_offset = header_size + len(body)
    body += dynamic

    names = _Strings()
    sections = bytearray(form.section_size)
    for name, (section_type, link, entry, data) in contents.items():
        # For symbols: the first symbol that is not local. For versions: the number of libraries.
        info = {".dynsym": 1, ".gnu.version_r": len(versioned)}.get(name, 0)
        offset, size = offsets[name], len(data)
        sections += form.section(names.add(name), section_type, 2, offset, size, link, info, entry)
    sections += form.section(
        names.add(".dynamic"), 6, 2, dynamic_offset, len(dynamic), 1, 0, 2 * form.word
    )
    name_offset = names.add(".shstrtab")
    names_offset = header_size + len(body)
    body += names.data
    sections += form.section(name_offset, 3, 0, names_offset, len(names.data), 0, 0, 0)
    body += bytes(-len(body) % 8)
    sections_offset = header_size + len(body)
    count = len(sections) // form.section_size
    header = b"\x7fELF" + bytes([form.word // 4, 2 if form.order == ">" else 1, 1]) + bytes(9)
    header += form.pack(
        f"HHI{form.words(3)}IHHHHHH",
        kind, form.machine, 1, 0, form.header_size, sections_offset if section_headers else 0, 0,
        form.header_size, form.segment_size, 4, form.section_size,
        count if section_headers else 0, count - 1 if section_headers else 0,
    )  # fmt: skip
    end = header_size + len(body)
    stack = 0x6474E551 if stack_header else 0
    header += form.segment(1, 5, 0, end)
    header += form.segment(2, 6, dynamic_offset, len(dynamic))
    header += form.segment(stack, 7 if executable_stack else 6, 0, 0)
    header += form.segment(4 if note else 0, 4, offsets[".note"], len(note))
    return header + bytes(body) + (bytes(sections) if section_headers else b"")


def property_note(*properties: tuple[int, int], name: bytes = b"GNU\0") -> bytes:
    """Return the note .note.gnu.property of a 64-bit file with these types and values."""
    data = b"".join(struct.pack("<III4x", kind, 4, value) for kind, value in properties)
    return struct.pack("<III", len(name), len(data), 5) + name + data


def pe(
    *,
    machine: str = "x86_64",
    name: str = "library.dll",
    imports: Mapping[str, Sequence[str]] | None = None,
    delayed: Mapping[str, Sequence[str]] | None = None,
    exports: Iterable[str] = (),
    entry: bytes = b"",
    manifest: str = "",
    manifest_number: int = 2,
) -> bytes:
    """Return a DLL that imports and exports these names (Microsoft's PE Format, PE32+ or PE32).

    ``manifest`` is a manifest in its resources, with this number.
    ``entry`` is machine code that runs when the DLL is loaded. By default, no code runs.
    """
    wide = machine != "i686"
    section = _Section()
    code = section.put(b"\xc3" + bytes(7))
    start = section.put(entry) if entry else 0
    exported = _pe_exports(section, name, sorted(exports), code)
    imported = _pe_imports(section, imports or {}, wide=wide)
    delay_imported = _pe_delayed(section, delayed or {}, wide=wide)
    directories = [(0, 0)] * 16
    directories[0], directories[1], directories[13] = exported, imported, delay_imported
    if manifest:
        directories[2] = _pe_manifest(section, manifest.encode(), manifest_number)

    size = len(section.data)
    raw = size + -size % 0x200
    magic, base = (0x20B, "Q") if wide else (0x10B, "I")
    optional = struct.pack("<HBBIIIII", magic, 14, 0, raw, 0, 0, start, _PE_SECTION)
    optional += b"" if wide else struct.pack("<I", _PE_SECTION)
    optional += struct.pack(f"<{base}II", 0x10000000, 0x1000, 0x200)
    optional += struct.pack("<HHHHHHI", 6, 0, 0, 0, 6, 0, 0)
    optional += struct.pack("<IIIHH", _PE_SECTION + raw + 0x1000, _PE_HEADERS, 0, 2, 0x160)
    optional += struct.pack(f"<4{base}", 0x100000, 0x1000, 0x100000, 0x1000)
    optional += struct.pack("<II", 0, 16)
    optional += b"".join(struct.pack("<II", *directory) for directory in directories)
    coff = struct.pack("<HHIIIHH", _PE_MACHINES[machine], 1, 0, 0, 0, len(optional), 0x2022)
    header = struct.pack("<8sIIIIIIHHI", b".rdata", size, _PE_SECTION, raw, _PE_HEADERS,
                         0, 0, 0, 0, 0x60000060)  # fmt: skip
    head = b"MZ" + bytes(58) + struct.pack("<I", 64) + b"PE\0\0" + coff + optional + header
    return head.ljust(_PE_HEADERS, b"\0") + bytes(section.data).ljust(raw, b"\0")


def _pe_manifest(section: _Section, manifest: bytes, number: int) -> tuple[int, int]:
    """Put a resource directory with one manifest into the section. Return its address and size."""
    data = section.put(manifest)
    levels = [24, number, 1033]  # RT_MANIFEST, the number, a language
    table = b""
    for depth, identifier in enumerate(levels, 1):
        child = 24 * depth | (depth < len(levels)) << 31
        table += struct.pack("<IIHHHHII", 0, 0, 0, 0, 0, 1, identifier, child)
    table += struct.pack("<IIII", data, len(manifest), 0, 0)
    return section.put(table), len(table)


def macho(*, machine: str = "aarch64", size: int = 64) -> bytes:
    """Return a thin library with one segment of ``size`` bytes (Apple's mach-o/loader.h)."""
    start = 32 + 72  # the header and the only load command
    header = struct.pack("<IIIIIIII", 0xFEEDFACF, _MACHO_MACHINES[machine], 0, 6, 1, 72, 0, 0)
    segment = struct.pack("<II16sQQQQIIII", 0x19, 72, b"__TEXT", 0, size, start, size, 5, 5, 0, 0)
    return header + segment + bytes(size)


def universal_macho(*slices: bytes, wide: bool = False) -> bytes:
    """Return a universal file of thin libraries (Apple's mach-o/fat.h).

    With ``wide``, the table of the libraries has 64-bit offsets.
    """
    row = struct.Struct(">IIQQII" if wide else ">IIIII")
    head = struct.pack(">II", 0xCAFEBABF if wide else 0xCAFEBABE, len(slices))
    offset = len(head) + row.size * len(slices)
    for library in slices:
        (processor,) = struct.unpack_from("<4xI", library)
        head += row.pack(processor, 0, offset, len(library), 0, *[0] * wide)
        offset += len(library)
    return head + b"".join(slices)


@dataclass(frozen=True)
class _ElfForm:
    """The ELF format of a processor: 32 or 64 bits, little- or big-endian."""

    machine: int
    word: int = 8
    """The size of an address, in bytes."""
    order: str = "<"

    @property
    def header_size(self) -> int:
        return 40 + 3 * self.word

    @property
    def segment_size(self) -> int:
        return 8 + 6 * self.word

    @property
    def section_size(self) -> int:
        return 16 + 6 * self.word

    @property
    def symbol_size(self) -> int:
        return 8 + 2 * self.word

    def words(self, count: int) -> str:
        return f"{count}{'Q' if self.word == 8 else 'I'}"

    def pack(self, layout: str, *values: int) -> bytes:
        return struct.pack(f"{self.order}{layout}", *values)

    def symbol(self, symbol: ElfSymbol, strings: _Strings) -> bytes:
        name, info = strings.add(symbol.name), symbol.binding << 4 | 2
        value, size = (0x1000, 8) if symbol.section else (0, 0)
        if self.word == 8:
            return self.pack("IBBHQQ", name, info, symbol.visibility, symbol.section, value, size)
        return self.pack("IIIBBH", name, value, size, info, symbol.visibility, symbol.section)

    def relocation(self, symbol: int, with_addend: bool) -> bytes:
        info = symbol << (32 if self.word == 8 else 8) | 7
        return self.pack(self.words(3 if with_addend else 2), 0x2000, info, *[0] * with_addend)

    def section(
        self,
        name: int,
        kind: int,
        flags: int,
        offset: int,
        size: int,
        link: int,
        info: int,
        entry: int,
    ) -> bytes:
        layout = f"II{self.words(4)}II{self.words(2)}"
        return self.pack(layout, name, kind, flags, offset, offset, size, link, info, 8, entry)

    def segment(self, kind: int, flags: int, offset: int, size: int) -> bytes:
        if self.word == 8:
            return self.pack("IIQQQQQQ", kind, flags, offset, offset, offset, size, size, 8)
        return self.pack("IIIIIIII", kind, offset, offset, offset, size, size, flags, 8)


_ELF_FORMS = {
    "x86_64": _ElfForm(62),
    "aarch64": _ElfForm(183),
    "i686": _ElfForm(3, word=4),
    "armv7l": _ElfForm(40, word=4),
    "ppc64le": _ElfForm(21),
    "s390x": _ElfForm(22, order=">"),
    "riscv64": _ElfForm(243),
    "loongarch64": _ElfForm(258),
}


class _Strings:
    """A table of zero-terminated strings."""

    def __init__(self) -> None:
        self.data = bytearray(1)

    def add(self, text: str) -> int:
        """Add a string, and return its offset in the table."""
        offset = len(self.data)
        self.data += text.encode() + b"\0"
        return offset


class _Section:
    """The content of a PE section."""

    def __init__(self) -> None:
        self.data = bytearray()

    def put(self, data: bytes) -> int:
        """Append data, and return its address in memory."""
        self.data += bytes(-len(self.data) % 8)
        address = _PE_SECTION + len(self.data)
        self.data += data
        return address

    def text(self, text: str) -> int:
        return self.put(text.encode() + b"\0")


def _group(imports: Iterable[Import]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for symbol in imports:
        if symbol.library and symbol.version:
            versions = grouped.setdefault(symbol.library, [])
            if symbol.version not in versions:
                versions.append(symbol.version)
    return grouped


def _verneed(
    form: _ElfForm,
    versioned: Mapping[str, Sequence[str]],
    numbers: Mapping[tuple[str, str], int],
    strings: _Strings,
) -> bytes:
    data = b""
    for position, (library, versions) in enumerate(versioned.items(), 1):
        following = 16 + 16 * len(versions) if position < len(versioned) else 0
        data += form.pack("HHIII", 1, len(versions), strings.add(library), 16, following)
        for version_position, version in enumerate(versions, 1):
            next_version = 16 if version_position < len(versions) else 0
            number = numbers[library, version]
            data += form.pack("IHHII", 0, 0, number, strings.add(version), next_version)
    return data


def _pe_exports(section: _Section, name: str, exports: Sequence[str], code: int) -> tuple[int, int]:
    if not exports:
        return 0, 0
    count = len(exports)
    functions = section.put(struct.pack(f"<{count}I", *[code] * count))
    names = section.put(struct.pack(f"<{count}I", *map(section.text, exports)))
    ordinals = section.put(struct.pack(f"<{count}H", *range(count)))
    title = section.text(name)
    layout = (0, 0, 0, 0, title, 1, count, count, functions, names, ordinals)
    return section.put(struct.pack("<IIHHIIIIIII", *layout)), 40


def _pe_thunks(section: _Section, symbols: Sequence[str], *, wide: bool) -> int:
    addresses = [section.put(b"\0\0" + symbol.encode() + b"\0") for symbol in symbols]
    return section.put(struct.pack(f"<{len(addresses) + 1}{'Q' if wide else 'I'}", *addresses, 0))


def _pe_imports(
    section: _Section, imports: Mapping[str, Sequence[str]], *, wide: bool
) -> tuple[int, int]:
    if not imports:
        return 0, 0
    rows = b""
    for library, symbols in imports.items():
        lookup = _pe_thunks(section, symbols, wide=wide)
        address = _pe_thunks(section, symbols, wide=wide)
        rows += struct.pack("<IIIII", lookup, 0, 0, section.text(library), address)
    rows += bytes(20)
    return section.put(rows), len(rows)


def _pe_delayed(
    section: _Section, delayed: Mapping[str, Sequence[str]], *, wide: bool
) -> tuple[int, int]:
    if not delayed:
        return 0, 0
    rows = b""
    for library, symbols in delayed.items():
        lookup = _pe_thunks(section, symbols, wide=wide)
        address = _pe_thunks(section, symbols, wide=wide)
        handle = section.put(bytes(8))
        rows += struct.pack("<8I", 1, section.text(library), handle, address, lookup, 0, 0, 0)
    rows += bytes(32)
    return section.put(rows), len(rows)
