"""Read the headers and tables of PE files (Microsoft's PE Format)."""

from __future__ import annotations

import contextlib
import mmap
import struct
import xml.etree.ElementTree as ET
from collections.abc import Iterator

import pefile

from verification.models.inspection import Binary, Import
from verification.wheel.errors import DebugFile, UnreadableBinary
from verification.wheel.truncation import missing_pe_sections
from verification.wheel.wording import listing

_MACHINES = {0x14C: "i686", 0x8664: "x86_64", 0xAA64: "aarch64"}
_MAGIC = (0x10B, 0x20B)  # PE32, PE32+
_CODE = 0x2000_0020  # a section with code, or executable
_TABLES = ("EXPORT", "IMPORT", "DELAY_IMPORT", "RESOURCE")
_MOST_SYMBOLS = 1 << 16  # the export table numbers its entries with 16 bits
_DLL = 0x2000
_MANIFEST = 24  # RT_MANIFEST (winuser.h)
_IN_PROGRAM, _IN_LIBRARY = 1, 2  # the manifest that Windows uses (winuser.h)
_ASSEMBLY = "{urn:schemas-microsoft-com:asm.v1}"

# The exceptions of pefile for a damaged file. It does not check all offsets, sizes and links.
_DAMAGE = (
    pefile.PEFormatError,
    struct.error,
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)

# pefile ends the import tables after 8192 symbols. This limit does not exist on Windows.
pefile.MAX_IMPORT_SYMBOLS = _MOST_SYMBOLS


def read(data: bytes | mmap.mmap) -> Binary:
    """Return the contents of the headers and tables of a PE file.

    Raises:
        UnreadableBinary: the file is damaged, or has only debug information.
    """
    try:
        image = pefile.PE(data=data, fast_load=True, max_symbol_exports=_MOST_SYMBOLS)
        fault = _fault(image, len(data))
        if not fault:
            image.parse_data_directories(
                [pefile.DIRECTORY_ENTRY[f"IMAGE_DIRECTORY_ENTRY_{name}"] for name in _TABLES]
            )
    except _DAMAGE as error:
        raise UnreadableBinary(f"a damaged PE file ({error})") from error
    if fault:
        raise UnreadableBinary(f"a damaged PE file ({fault})")
    if _is_debug_only(image):
        raise DebugFile("it has only the debug information of another file")
    needed = list(getattr(image, "DIRECTORY_ENTRY_IMPORT", ()))
    delayed = list(getattr(image, "DIRECTORY_ENTRY_DELAY_IMPORT", ()))
    exports = getattr(image, "DIRECTORY_ENTRY_EXPORT", None)
    machine = image.FILE_HEADER.Machine
    return Binary(
        format="pe",
        machine=_MACHINES.get(machine, hex(machine)),
        soname=_text(exports.name) if exports and exports.name else None,
        needed=tuple(_text(entry.dll) for entry in needed),
        delayed=tuple(_text(entry.dll) for entry in delayed),
        assemblies=tuple(dict.fromkeys(_assemblies(image))),
        imports=tuple(
            Import(symbol=_text(symbol.name), library=_text(entry.dll))
            for entry in (*needed, *delayed)
            for symbol in entry.imports
            if symbol.name  # imports by number have no name
        ),
        exports=frozenset(
            _text(symbol.name) for symbol in (exports.symbols if exports else ()) if symbol.name
        ),
    )


def _fault(image: pefile.PE, size: int) -> str | None:
    """Return why Windows does not load a file of ``size`` bytes, or None."""
    magic = image.OPTIONAL_HEADER.Magic
    if magic not in _MAGIC:
        return f"its optional header starts with {magic:#x} instead of 0x10b or 0x20b"
    if not image.FILE_HEADER.NumberOfSections:
        return "it has no sections"
    if missing := list(missing_pe_sections(image, size)):
        return f"{size} bytes, but this is before the end of {listing(missing)}"
    return None


def _assemblies(image: pefile.PE) -> Iterator[str]:
    """Yield the assemblies that the manifest requires (Microsoft, Assembly Manifests).

    There are none if the resources are damaged. Windows reads them only for the manifest.
    """
    used = _IN_LIBRARY if image.FILE_HEADER.Characteristics & _DLL else _IN_PROGRAM
    with contextlib.suppress(*_DAMAGE):
        for manifest in _manifests(image, used):
            yield from required_assemblies(manifest)


def required_assemblies(manifest: bytes) -> Iterator[str]:
    """Yield the assemblies that a manifest requires; none if it cannot be parsed."""
    try:
        root = ET.fromstring(manifest)  # noqa: S314 - expat limits the expansion of entities
    except (ET.ParseError, ValueError):
        return
    for dependency in root.iterfind(f"{_ASSEMBLY}dependency"):
        identity = dependency.find(f"{_ASSEMBLY}dependentAssembly/{_ASSEMBLY}assemblyIdentity")
        if identity is not None and dependency.get("optional") != "yes":
            yield identity.get("name", "")


def _manifests(image: pefile.PE, number: int) -> Iterator[bytes]:
    """Yield the manifests with this number in the resources of the file."""
    resources = getattr(image, "DIRECTORY_ENTRY_RESOURCE", None)
    for kind in resources.entries if resources else ():
        if kind.id == _MANIFEST:
            for entry in kind.directory.entries:
                if entry.id == number:
                    for language in entry.directory.entries:
                        data = language.data.struct
                        yield image.get_data(data.OffsetToData, data.Size)


def _is_debug_only(image: pefile.PE) -> bool:
    """Return whether the file has no bytes for its code sections.

    In a file without code sections, all sections count.
    """
    code = [section for section in image.sections if section.Characteristics & _CODE]
    return not any(section.SizeOfRawData for section in code or image.sections)


def _text(name: bytes) -> str:
    return name.decode("utf-8", errors="replace")
