"""Remove the libraries from Wine that a clean Windows does not have.

Runs during the build of an image: ``clean.py WINE DELVEWHEEL HIDDEN``.

- WINE is the folder with Wine's libraries.
- DELVEWHEEL is the wheel of delvewheel. It lists the libraries that all Windows versions have.
- HIDDEN is the output: the names of the removed libraries, one per line.

A library that is not in the lists is removed, so a new library of a newer Wine is removed as well.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

# delvewheel lists the libraries of all versions from Windows 7 to 11. The following libraries are
# newer. They are in System32 of Windows 10 (22H2) and 11.
_NEWER = """
    amsi appxdeploymentclient atlthunk bcp47langs bluetoothapis coml2 coremessaging cryptowinrt
    d3d12 d3dcompiler_47 dataexchange dcomp directmanipulation dxcore gdiplus geolocation
    graphicscapture hrtfapo mfasfsrcsnk mferror mfmediaengine mfmp4srcsnk mfsrcsnk msauddecmft
    msvcp_win msvproc ninput olepro32 riched32 rometadata rtworkq shcore threadpoolwinrt
    twinapi.appcore tzres ucrtbase websocket win32u wintypes wldp wofutil xaudio2_8 xaudio2_9
    xinput1_4 xinputuap
"""
SINCE_WINDOWS_10 = frozenset(f"{name}.dll" for name in _NEWER.split())
_IN_SUBFOLDERS = {"wbemdisp.dll", "wbemprox.dll", "wmiutils.dll"}
"""Windows has these in System32\\wbem. Python needs them to find the version of Windows."""
_WINDOWS_RUNTIME = re.compile(r"windows\.[a-z.]+\.dll")
"""The libraries of the Windows Runtime, since Windows 8."""
_WINE_INTERNAL = re.compile(r"(wine[a-z0-9]*|ntdll|win32u)\.dll")
"""Libraries that Wine needs internally. No wheel imports them by name."""
_SUFFIX = b".dll\0"
_NAME_CHARACTERS = frozenset(bytes([code]) for code in range(33, 127))
_C_RUNTIMES_OF_WINDOWS = {"msvcrt.dll", "msvcp60.dll", "msvcp_win.dll", "ucrtbase.dll"}


def is_on_windows(
    name: str,
    common: frozenset[str],
    patterns: Iterable[re.Pattern[str]],
    redistributable: re.Pattern[str],
) -> bool:
    """Return True if a clean Windows 10 or 11 has the library with this name.

    ``common``, ``patterns`` and ``redistributable`` are the lists of delvewheel.
    """
    if redistributable.fullmatch(name):
        return name in _C_RUNTIMES_OF_WINDOWS
    return (
        name in common
        or name in SINCE_WINDOWS_10
        or name in _IN_SUBFOLDERS
        or any(pattern.fullmatch(name) for pattern in patterns)
        or bool(_WINDOWS_RUNTIME.fullmatch(name))
        or bool(_WINE_INTERNAL.fullmatch(name))
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


def hide(folder: Path, is_allowed: Callable[[str], bool]) -> list[str]:
    """Remove the libraries from ``folder`` that are not allowed. Return their sorted names.

    A library that other libraries of Wine import stays in the folder with a private name.
    """
    hidden = {path.name.lower(): path for path in folder.glob("*.dll")}
    hidden = {name: path for name, path in hidden.items() if not is_allowed(name)}
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
    """Clean a folder with the lists of delvewheel. Return 1 if no library was removed."""
    wine, delvewheel, output = arguments
    sys.path.insert(0, delvewheel)
    from delvewheel import _dll_list

    def is_allowed(name: str) -> bool:
        return is_on_windows(
            name,
            frozenset(_dll_list.ignore_names_x64),
            _dll_list.ignore_regexes,
            _dll_list.vc_redist,
        )

    hidden = hide(Path(wine), is_allowed)
    Path(output).write_text("".join(f"{name}\n" for name in hidden), "utf-8")
    print(f"{len(hidden)} libraries removed")
    return 0 if hidden else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
