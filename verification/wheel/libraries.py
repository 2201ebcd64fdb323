"""Native libraries: what one is, whatever its format."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

_MAGIC = {
    b"\x7fELF": "elf",
    b"MZ": "pe",
    b"\xcf\xfa\xed\xfe": "mach-o",
    b"\xca\xfe\xba\xbe": "mach-o",
}

_LIBRARY = re.compile(r"\.(so(\.[\w.]+)?|dll|pyd|dylib)$")
FORMATS = {"linux": "elf", "musl": "elf", "windows": "pe", "macos": "mach-o"}


class UnreadableLibrary(ValueError):
    """The bytes are no library of the format that they begin like."""


@dataclass(frozen=True)
class Import:
    """A symbol that a library takes from elsewhere."""

    symbol: str
    library: str | None = None  # the file the linker bound it to, where the format says so
    version: str | None = None


@dataclass(frozen=True)
class Library:
    """A native library in a wheel, under all the names its bytes have there."""

    paths: tuple[str, ...]
    sha256: str
    size: int
    format: str
    machine: str = "unknown"
    soname: str | None = None
    needed: tuple[str, ...] = ()
    delayed: tuple[str, ...] = ()  # needed on first use only (Windows)
    run_paths: tuple[str, ...] = ()
    versions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    imports: tuple[Import, ...] = ()
    exports: frozenset[str] = frozenset()
    interposable: tuple[str, ...] = ()  # exported, and used by itself through the dynamic linker
    executable_stack: bool = False
    instruction_set: int = 1  # the version of x86-64 that it needs
    unread: str | None = None  # what could not be read of it, and so was not checked

    @property
    def named(self) -> bool:
        """Whether its name says that it is a library: of other files the first bytes may lie."""
        names = (path.rpartition("/")[2].lower() for path in self.paths)
        return any(_LIBRARY.search(name) for name in names)

    @property
    def path(self) -> str:
        """The name it goes by in messages."""
        return self.paths[0]

    def to_dict(self) -> dict[str, object]:
        """Return the facts as JSON-able data; symbols as counts, since there are thousands."""
        return {
            "paths": list(self.paths),
            "sha256": self.sha256,
            "size": self.size,
            "format": self.format,
            "machine": self.machine,
            "soname": self.soname,
            "needed": list(self.needed),
            "delayed": list(self.delayed),
            "run_paths": list(self.run_paths),
            "versions": {name: list(versions) for name, versions in self.versions.items()},
            "imports": len(self.imports),
            "exports": len(self.exports),
            "interposable": len(self.interposable),
            "executable_stack": self.executable_stack,
            "instruction_set": self.instruction_set,
            "unread": self.unread,
        }


def format_of(data: bytes) -> str | None:
    """Return the format of native code by its first bytes, or None for other data."""
    return next((kind for magic, kind in _MAGIC.items() if data.startswith(magic)), None)


def some(names: Iterable[str], limit: int = 3) -> str:
    """Return a short enumeration: the first few, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - limit} more" if len(listed) > limit else ""
    return ", ".join(listed[:limit]) + more
