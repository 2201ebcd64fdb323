"""Read the headers and tables of PE files (Microsoft's PE Format)."""

from __future__ import annotations

import pefile

from verification.models.inspection import Binary, Import
from verification.wheel.errors import UnreadableBinary
from verification.wheel.truncation import missing_pe_sections
from verification.wheel.wording import listing

_MACHINES = {0x14C: "i686", 0x8664: "x86_64", 0xAA64: "aarch64"}
_TABLES = ("EXPORT", "IMPORT", "DELAY_IMPORT")


def read(data: bytes) -> Binary:
    """Return what a PE file says.

    Raises:
        UnreadableBinary: the file is damaged.
    """
    try:
        image = pefile.PE(data=data, fast_load=True)
        image.parse_data_directories(
            [pefile.DIRECTORY_ENTRY[f"IMAGE_DIRECTORY_ENTRY_{name}"] for name in _TABLES]
        )
    except (pefile.PEFormatError, AttributeError, IndexError, ValueError) as error:
        raise UnreadableBinary(f"a damaged PE file ({error})") from error
    if missing := list(missing_pe_sections(image, len(data))):
        reason = f"it ends at byte {len(data)}, before the end of {listing(missing)}"
        raise UnreadableBinary(f"a damaged PE file ({reason})")
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
        imports=tuple(
            Import(symbol=_text(symbol.name), library=_text(entry.dll))
            for entry in (*needed, *delayed)
            for symbol in entry.imports
            if symbol.name  # the others are imported by number
        ),
        exports=frozenset(
            _text(symbol.name) for symbol in (exports.symbols if exports else ()) if symbol.name
        ),
    )


def _text(name: bytes) -> str:
    return name.decode("utf-8", errors="replace")
