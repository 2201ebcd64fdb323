"""Remove the libraries from Wine that a clean Windows does not have.

Runs during the build of an image: ``clean.py WINE LIST HIDDEN``.

- WINE is the folder with Wine's libraries.
- LIST is the list of the libraries of a clean Windows, windows_libraries.txt.
- HIDDEN is the output: the names of the removed libraries, one per line.

A library that is not in the list is removed, so a new library of a newer Wine is removed as well.
"""

from __future__ import annotations

import fnmatch
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

_IN_SUBFOLDERS = {"wbemdisp.dll", "wbemprox.dll", "wmiutils.dll"}
"""Windows has these in System32\\wbem. Python needs them to find the version of Windows."""
_WINE_INTERNAL = re.compile(r"(wine[a-z0-9]*|ntdll|win32u)\.dll")
"""Libraries that Wine needs internally. No wheel imports them by name."""
_SUFFIX = b".dll\0"
_NAME_CHARACTERS = frozenset(bytes([code]) for code in range(33, 127))


def read_list(text: str) -> list[str]:
    """Return the names and patterns of the list for 64-bit libraries."""
    rows = (line.split() for line in text.splitlines() if not line.startswith("#"))
    return [row[0] for row in rows if len(row) == 1]


def is_allowed(name: str, listed: Iterable[str]) -> bool:
    """Return True if a clean Windows has the library, or if Wine does not run without it."""
    return (
        name in _IN_SUBFOLDERS
        or bool(_WINE_INTERNAL.fullmatch(name))
        or any(fnmatch.fnmatchcase(name, pattern) for pattern in listed)
    )


def private_name(name: str) -> str:
    """Return the name with ``_`` as its first letter. Only Wine uses this name.

    The length is the same, because the name is replaced inside the binaries that import the
    library.
    """
    return f"_{name[1:]}"


def imports(content: bytes) -> dict[str, list[int]]:
    """Return the lower-case names of libraries in a program, with their offsets.

    In the import table of a program, the name of a library is text that ends with a zero (PE
    format, "Import Directory Table"). So a name can be replaced by a name of the same length.
    """
    offsets: dict[str, list[int]] = {}
    end = content.find(_SUFFIX)
    while end >= 0:
        start = end
        while content[start - 1 : start] in _NAME_CHARACTERS:
            start -= 1
        name = content[start : end + 4].decode("ascii").lower()
        offsets.setdefault(name, []).append(start)
        end = content.find(_SUFFIX, end + 1)
    return offsets


def hide(folder: Path, keeps: Callable[[str], bool]) -> list[str]:
    """Remove the libraries from ``folder`` that ``keeps`` rejects. Return their sorted names.

    A library that other libraries of Wine import stays in the folder with a private name.
    """
    hidden = {path.name.lower(): path for path in folder.glob("*.dll")}
    hidden = {name: path for name, path in hidden.items() if not keeps(name)}
    importers: dict[str, list[str]] = {}
    for path in sorted(set(folder.iterdir()) - set(hidden.values())):
        # Nobody opens the control panel on a machine, so its imports do not count.
        if path.suffix == ".cpl" or not path.is_file():
            continue
        content = bytearray(path.read_bytes())
        for name, offsets in imports(bytes(content)).items():
            if name in hidden:
                importers.setdefault(name, []).append(path.name)
                for offset in offsets:
                    content[offset : offset + 1] = b"_"
        if any(path.name in names for names in importers.values()):
            path.write_bytes(content)
    for name, path in hidden.items():
        if name in importers:
            print(f"renamed {name} to {private_name(name)} for {', '.join(importers[name])}")
            path.rename(folder / private_name(name))
        else:
            path.unlink()
    return sorted(hidden)


def main(arguments: list[str]) -> int:
    """Clean a folder with the list. Return 1 if no library was removed."""
    wine, list_file, output = map(Path, arguments)
    listed = read_list(list_file.read_text("utf-8"))
    hidden = hide(wine, lambda name: is_allowed(name, listed))
    output.write_text("".join(f"{name}\n" for name in hidden), "utf-8")
    print(f"{len(hidden)} libraries removed")
    return 0 if hidden else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
