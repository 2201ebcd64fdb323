"""Take from Wine what a clean Windows does not have.

Run while an image is built: ``clean.py WINE ALLOWED HIDDEN``. WINE
is the folder with Wine's own libraries, ALLOWED the delvewheel wheel, whose lists say what every
Windows has; the names of what was taken are written to HIDDEN, one a line.

What is on neither list is taken, so that a newer Wine cannot bring a library in unseen.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

# delvewheel lists what Windows 7 to 11 have in common. These came with later ones and are in
# System32 of every Windows 10 (22H2) and 11.
_LATER = """
    amsi appxdeploymentclient atlthunk bcp47langs bluetoothapis coml2 coremessaging cryptowinrt
    d3d12 d3dcompiler_47 dataexchange dcomp directmanipulation dxcore gdiplus geolocation
    graphicscapture hrtfapo mfasfsrcsnk mferror mfmediaengine mfmp4srcsnk mfsrcsnk msauddecmft
    msvcp_win msvproc ninput olepro32 riched32 rometadata rtworkq shcore threadpoolwinrt
    twinapi.appcore tzres ucrtbase websocket win32u wintypes wldp wofutil xaudio2_8 xaudio2_9
    xinput1_4 xinputuap
"""
SINCE_WINDOWS_10 = frozenset(f"{name}.dll" for name in _LATER.split())
_IN_SUBFOLDERS = {"wbemdisp.dll", "wbemprox.dll", "wmiutils.dll"}
"""Windows has these in System32\\wbem; without them Python cannot ask which Windows it is on."""
_WINDOWS_RUNTIME = re.compile(r"windows\.[a-z.]+\.dll")
"""The system's own implementations of the Windows Runtime, since Windows 8."""
_WINES_OWN = re.compile(r"(wine[a-z0-9]*|ntdll|win32u)\.dll")
"""No wheel asks for these by name, and Wine's own libraries are made of them."""
_END = b".dll\0"
_LETTERS = frozenset(bytes([code]) for code in range(33, 127))
_C_RUNTIMES_OF_WINDOWS = {"msvcrt.dll", "msvcp60.dll", "msvcp_win.dll", "ucrtbase.dll"}


def is_on_windows(
    name: str,
    common: frozenset[str],
    patterns: Iterable[re.Pattern[str]],
    redistributable: re.Pattern[str],
) -> bool:
    """Return whether a clean Windows 10 or 11 has the library of this name.

    ``common``, ``patterns`` and ``redistributable`` are delvewheel's.
    """
    if redistributable.fullmatch(name):
        return name in _C_RUNTIMES_OF_WINDOWS
    return (
        name in common
        or name in SINCE_WINDOWS_10
        or name in _IN_SUBFOLDERS
        or any(pattern.fullmatch(name) for pattern in patterns)
        or bool(_WINDOWS_RUNTIME.fullmatch(name))
        or bool(_WINES_OWN.fullmatch(name))
    )


def private_name(name: str) -> str:
    """Return the name, of the same length, under which Wine alone finds a library."""
    return f"_{name[1:]}"


def imports(content: bytes) -> dict[str, list[int]]:
    """Return where a program names libraries, by their lower-case names.

    Such names are plain text that ends with a zero in a program's import table (PE format, "Import
    Directory Table"), so another one of the same length can stand in its place.
    """
    found: dict[str, list[int]] = {}
    end = content.find(_END)
    while end >= 0:
        begin = end
        while content[begin - 1 : begin] in _LETTERS:
            begin -= 1
        name = content[begin : end + 4].decode("ascii").lower()
        found.setdefault(name, []).append(begin)
        end = content.find(_END, end + 1)
    return found


def hide(folder: Path, is_allowed: Callable[[str], bool]) -> list[str]:
    """Take every library that is not allowed from ``folder``; return their names, sorted.

    One that Wine's own libraries are made of stays, under a private name.
    """
    hidden = {path.name.lower(): path for path in folder.glob("*.dll")}
    hidden = {name: path for name, path in hidden.items() if not is_allowed(name)}
    needed: dict[str, list[str]] = {}
    for path in sorted(set(folder.iterdir()) - set(hidden.values())):
        # The control panel asks for some; nobody opens it here.
        if path.suffix == ".cpl" or not path.is_file():
            continue
        content = bytearray(path.read_bytes())
        for name, places in imports(bytes(content)).items():
            if name in hidden:
                needed.setdefault(name, []).append(path.name)
                for place in places:
                    content[place : place + 1] = b"_"
        if any(path.name in users for users in needed.values()):
            path.write_bytes(content)
    for name, path in hidden.items():
        if name in needed:
            print(f"{name} is now {private_name(name)}, for {', '.join(needed[name])}")
            path.rename(folder / private_name(name))
        else:
            path.unlink()
    return sorted(hidden)


def main(arguments: list[str]) -> int:
    """Clean one folder, with the lists of one delvewheel."""
    wine, allowed, told = arguments
    sys.path.insert(0, allowed)
    from delvewheel import _dll_list

    def is_allowed(name: str) -> bool:
        return is_on_windows(
            name,
            frozenset(_dll_list.ignore_names_x64),
            _dll_list.ignore_regexes,
            _dll_list.vc_redist,
        )

    hidden = hide(Path(wine), is_allowed)
    Path(told).write_text("".join(f"{name}\n" for name in hidden), "utf-8")
    print(f"{len(hidden)} libraries hidden")
    return 0 if hidden else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
