"""Native libraries for tests, written byte by byte: no compiler is needed.

They say what real ones say to whoever reads them (needed libraries, symbols, versions), and hold no
code: they cannot be run.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence

from verification.wheel.libraries import Import

_ELF_MACHINES = {"x86_64": 62, "aarch64": 183}
_PE_MACHINES = {"x86_64": 0x8664, "i686": 0x14C, "aarch64": 0xAA64}

_PE_SECTION = 0x1000  # where the only section is in memory
_PE_HEADERS = 0x400  # and in the file


def elf(
    *,
    machine: str = "x86_64",
    soname: str | None = None,
    needed: Iterable[str] = (),
    run_path: str | None = None,
    imports: Iterable[Import] = (),
    exports: Iterable[str] = (),
    own_calls: Iterable[str] = (),
    symbolic: bool = False,
    executable_stack: bool = False,
    stack_header: bool = True,
    section_headers: bool = True,
) -> bytes:
    """Return a 64-bit little-endian shared library (System V ABI, gABI chapters 4 and 5).

    `own_calls` are the exports that it binds through the dynamic linker.
    """
    strings = _Strings()
    imported, exported = list(imports), list(exports)
    versioned = _group(imported)
    numbers: dict[tuple[str, str], int] = {}
    for library, versions in versioned.items():
        for version in versions:
            numbers[library, version] = len(numbers) + 2  # 0 and 1 are local and unversioned

    symbols, versym = bytearray(24), bytearray(struct.pack("<H", 0))
    for wanted in imported:
        symbols += struct.pack("<IBBHQQ", strings.add(wanted.symbol), 0x12, 0, 0, 0, 0)
        key = (wanted.library or "", wanted.version or "")
        versym += struct.pack("<H", numbers.get(key, 1))
    places = {}
    for name in exported:
        places[name] = len(symbols) // 24
        symbols += struct.pack("<IBBHQQ", strings.add(name), 0x12, 0, 1, 0x1000, 8)
        versym += struct.pack("<H", 1)
    relocations = b"".join(
        struct.pack("<QQq", 0x2000, places[name] << 32 | 7, 0) for name in own_calls
    )
    verneed = _verneed(versioned, numbers, strings)
    tags = [(1, strings.add(name)) for name in needed]
    tags += [(14, strings.add(soname))] if soname else []
    tags += [(29, strings.add(run_path))] if run_path else []
    tags += [(30, 2)] if symbolic else []

    header_size = 64 + 3 * 56
    contents = {  # name: type, link, entry size, data
        ".dynstr": (3, 0, 0, bytes(strings.data)),
        ".dynsym": (11, 1, 24, bytes(symbols)),
        ".gnu.version": (0x6FFFFFFF, 2, 2, bytes(versym)),
        ".gnu.version_r": (0x6FFFFFFE, 1, 0, verneed),
        ".rela.plt": (4, 2, 24, relocations),
    }
    offsets, body = {}, bytearray()
    for name, (_, _, _, data) in contents.items():
        body += bytes(-len(body) % 8)
        offsets[name] = header_size + len(body)
        body += data
    body += bytes(-len(body) % 8)
    tags += [(5, offsets[".dynstr"]), (10, len(strings.data)), (6, offsets[".dynsym"]), (0, 0)]
    dynamic = b"".join(struct.pack("<QQ", *tag) for tag in tags)
    dynamic_at = header_size + len(body)
    body += dynamic

    names = _Strings()
    sections = bytearray(64)
    for name, (kind, link, entry, data) in contents.items():
        # For symbols: the first that is not local; for versions: how many libraries follow.
        info = {".dynsym": 1, ".gnu.version_r": len(versioned)}.get(name, 0)
        sections += struct.pack(
            "<IIQQQQIIQQ",
            names.add(name), kind, 2, offsets[name], offsets[name], len(data), link, info, 8, entry,
        )  # fmt: skip
    sections += struct.pack(
        "<IIQQQQIIQQ",
        names.add(".dynamic"), 6, 2, dynamic_at, dynamic_at, len(dynamic), 1, 0, 8, 16,
    )  # fmt: skip
    name_place = names.add(".shstrtab")
    names_at = header_size + len(body)
    body += names.data
    sections += struct.pack(
        "<IIQQQQIIQQ", name_place, 3, 0, 0, names_at, len(names.data), 0, 0, 1, 0
    )
    body += bytes(-len(body) % 8)
    sections_at = header_size + len(body)
    count = len(sections) // 64
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack(
        "<HHIQQQIHHHHHH",
        3, _ELF_MACHINES[machine], 1, 0, 64, sections_at if section_headers else 0, 0,
        64, 56, 3, 64, count if section_headers else 0, count - 1 if section_headers else 0,
    )  # fmt: skip
    end = header_size + len(body)
    stack = 0x6474E551 if stack_header else 0
    header += struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, end, end, 0x1000)
    header += struct.pack(
        "<IIQQQQQQ", 2, 6, dynamic_at, dynamic_at, dynamic_at, len(dynamic), len(dynamic), 8
    )
    header += struct.pack("<IIQQQQQQ", stack, 7 if executable_stack else 6, 0, 0, 0, 0, 0, 16)
    return header + bytes(body) + (bytes(sections) if section_headers else b"")


def pe(
    *,
    machine: str = "x86_64",
    name: str = "library.dll",
    imports: Mapping[str, Sequence[str]] | None = None,
    delayed: Mapping[str, Sequence[str]] | None = None,
    exports: Iterable[str] = (),
    entry: bytes = b"",
) -> bytes:
    """Return a DLL that imports and exports these names (Microsoft's PE Format, PE32+ or PE32).

    ``entry`` is machine code that runs when it is loaded; without it none does.
    """
    wide = machine != "i686"
    section = _Section()
    code = section.put(b"\xc3" + bytes(7))
    start = section.put(entry) if entry else 0
    exported = _pe_exports(section, name, sorted(exports), code)
    imported = _pe_imports(section, imports or {}, wide=wide)
    late = _pe_delayed(section, delayed or {}, wide=wide)
    directories = [(0, 0)] * 16
    directories[0], directories[1], directories[13] = exported, imported, late

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


class _Strings:
    """A table of zero-terminated strings."""

    def __init__(self) -> None:
        self.data = bytearray(1)

    def add(self, text: str) -> int:
        place = len(self.data)
        self.data += text.encode() + b"\0"
        return place


class _Section:
    """The bytes of a PE section, placed one after the other."""

    def __init__(self) -> None:
        self.data = bytearray()

    def put(self, data: bytes) -> int:
        self.data += bytes(-len(self.data) % 8)
        place = _PE_SECTION + len(self.data)
        self.data += data
        return place

    def text(self, text: str) -> int:
        return self.put(text.encode() + b"\0")


def _group(imports: Iterable[Import]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for wanted in imports:
        if wanted.library and wanted.version:
            versions = grouped.setdefault(wanted.library, [])
            if wanted.version not in versions:
                versions.append(wanted.version)
    return grouped


def _verneed(
    versioned: Mapping[str, Sequence[str]],
    numbers: Mapping[tuple[str, str], int],
    strings: _Strings,
) -> bytes:
    data = b""
    for position, (library, versions) in enumerate(versioned.items(), 1):
        following = 16 + 16 * len(versions) if position < len(versioned) else 0
        data += struct.pack("<HHIII", 1, len(versions), strings.add(library), 16, following)
        for place, version in enumerate(versions, 1):
            after = 16 if place < len(versions) else 0
            number = numbers[library, version]
            data += struct.pack("<IHHII", 0, 0, number, strings.add(version), after)
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
    places = [section.put(b"\0\0" + symbol.encode() + b"\0") for symbol in symbols]
    return section.put(struct.pack(f"<{len(places) + 1}{'Q' if wide else 'I'}", *places, 0))


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
