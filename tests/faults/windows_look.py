"""Look at a Windows machine from within: what loads, from where, and how its file system behaves.

Runs there, on CPython 3.13: ``python windows_look.py PLANTED OUT``. PLANTED has libraries that are
named ``needs-NAME``, each of which asks for the library NAME; what was seen is written to OUT as
JSON. Standard library only.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import shutil
import ssl
import sys
import tempfile
import winreg
from collections.abc import Callable
from pathlib import Path
from typing import Any

# mypy checks as on Linux, where these modules lack what Windows has.
registries: Any = winreg
windll: Any = ctypes.__dict__["WinDLL"]
kernel32 = windll("kernel32", use_last_error=True)
kernel32.LoadLibraryExW.restype = ctypes.c_void_p
kernel32.LoadLibraryExW.argtypes = (ctypes.c_wchar_p, ctypes.c_void_p, ctypes.c_uint32)
kernel32.GetModuleHandleW.restype = ctypes.c_void_p
kernel32.GetModuleFileNameW.argtypes = (ctypes.c_void_p, ctypes.c_wchar_p, ctypes.c_uint32)
_BUILTIN = b"Wine builtin DLL"


def load(name: str) -> int:
    """Load a library; return 0, or Windows' error."""
    handle = kernel32.LoadLibraryExW(name, None, 0)
    return 0 if handle else int(ctypes.__dict__["get_last_error"]())


def version(path: str) -> str:
    """Return the version in a file's version resource, or nothing (winver.h)."""
    library = windll("version")
    size = library.GetFileVersionInfoSizeW(ctypes.c_wchar_p(path), None)
    data = ctypes.create_string_buffer(size or 1)
    found, length = ctypes.POINTER(ctypes.c_uint32)(), ctypes.c_uint32()
    if not size or not library.GetFileVersionInfoW(ctypes.c_wchar_p(path), 0, size, data):
        return ""
    library.VerQueryValueW(data, ctypes.c_wchar_p("\\"), ctypes.byref(found), ctypes.byref(length))
    high, low = found[2], found[3]
    return f"{high >> 16}.{high & 0xFFFF}.{low >> 16}"


def module(name: str) -> dict[str, Any]:
    """Return where a loaded library is from and what file that is."""
    path = ctypes.create_unicode_buffer(4096)
    kernel32.GetModuleFileNameW(kernel32.GetModuleHandleW(ctypes.c_wchar_p(name)), path, 4096)
    content = Path(path.value).read_bytes()
    return {
        "path": path.value,
        "sha256": hashlib.sha256(content).hexdigest(),
        "builtin": content[64:].startswith(_BUILTIN),
        "version": version(path.value),
    }


def tried(action: Callable[[], object]) -> object:
    """Return what an action returns, or the number of Windows' error (Python's, where none)."""
    try:
        return action()
    except OSError as error:
        return -(getattr(error, "winerror", None) or error.errno or 1)


def registry(root: int, path: str, name: str) -> object:
    """Return a value of the registry."""
    with registries.OpenKey(root, path) as key:
        return registries.QueryValueEx(key, name)[0]


def while_open(name: str, action: Callable[[], object]) -> object:
    """Try an action while a file is open as Python opens it."""
    with Path(name).open("w", encoding="utf-8"):
        return tried(action)


def long_path(length: int) -> bool:
    """Write a file below a path of so many characters, without the prefix for long ones."""
    folder = Path.cwd()
    while len(str(folder)) < length:
        folder /= "long" * 10
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "file").write_text("x", "utf-8")
    return (folder / "file").exists()


def named(name: str) -> bool:
    """Write a file of this name and find it in the folder."""
    Path(name).write_text("x", "utf-8")
    return name in os.listdir()


def named_by_code_page(name: str) -> bool:
    """Make a file through the function that takes names in the ANSI code page (fileapi.h)."""
    kernel32.CreateFileA.restype = ctypes.c_void_p
    encoded = name.encode("mbcs", "replace")
    handle = kernel32.CreateFileA(encoded, 0x40000000, 0, None, 2, 0, None)
    if handle == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.__dict__["get_last_error"](), name)
    return name in os.listdir()


def behaviour() -> dict[str, object]:
    """Return how the file system and the code pages behave, in a new folder."""
    os.chdir(tempfile.mkdtemp())
    shutil.copy(Path(sys.prefix) / "DLLs" / "sqlite3.dll", "loaded.dll")
    load(str(Path("loaded.dll").absolute()))
    Path("other").write_text("x", "utf-8")
    Path("read-only").write_text("x", "utf-8")
    Path("read-only").chmod(0o444)
    Path("Case.TXT").write_text("x", "utf-8")
    return {
        "delete an open file": while_open("open", lambda: os.remove("open")),
        "replace an open file": while_open("open", lambda: os.replace("other", "open")),
        "rename an open file": while_open("open", lambda: os.rename("open", "renamed")),
        "delete a read-only file": tried(lambda: os.remove("read-only")),
        "delete a loaded library": tried(lambda: os.remove("loaded.dll")),
        "rename a loaded library": tried(lambda: os.rename("loaded.dll", "renamed.dll")),
        "another case": Path("case.txt").exists(),
        "a path of 300": tried(lambda: long_path(300)),
        "a name in Latin-1": tried(lambda: named("caf\u00e9")),
        "a name in Japanese": tried(lambda: named("\u65e5\u672c")),
        "Latin-1 by code page": tried(lambda: named_by_code_page("caf\u00e9")),
        "Japanese by code page": tried(lambda: named_by_code_page("\u65e5\u672c")),
        "a name with a question mark": tried(lambda: named("what?")),
        "a symbolic link": tried(lambda: os.symlink("other", "link")),
        "a hard link": tried(lambda: os.link("Case.TXT", "hard")),
        "write to System32": tried(lambda: Path(r"C:\windows\system32\mine.txt").touch()),
        "ANSI code page": kernel32.GetACP(),
        "OEM code page": kernel32.GetOEMCP(),
    }


def main(planted: str, out: str) -> None:
    """Look, and write down what was seen."""
    needing = {
        path.name.removeprefix("needs-"): load(str(path))
        for path in sorted(Path(planted).iterdir())
    }
    by_name = {name: load(name) for name in needing}
    environment = r"SYSTEM\CurrentControlSet\Control\Session Manager\Environment"
    drives = windll("kernel32").GetLogicalDrives()
    seen = {
        "needing": needing,
        "by_name": by_name,
        "loaded": {name: module(name) for name, code in by_name.items() if not code},
        "where": {name: shutil.which(name) for name in ("python", "pip", "uv")},
        "path": os.environ["PATH"],
        "user path": registry(registries.HKEY_CURRENT_USER, "Environment", "Path"),
        "system path": registry(registries.HKEY_LOCAL_MACHINE, environment, "PATH"),
        "graphics": registry(registries.HKEY_CURRENT_USER, r"Software\Wine\Drivers", "Graphics"),
        "display": {key: os.environ.get(key) for key in ("DISPLAY", "WAYLAND_DISPLAY")},
        "programs": sorted(
            str(path)
            for folder in (r"C:\Program Files", r"C:\Program Files (x86)", r"C:\windows")
            for path in Path(folder).rglob("*")
            if any(word in str(path).lower() for word in ("mono", "gecko")) and path.is_file()
        ),
        "32-bit": sorted(os.listdir(r"C:\windows\syswow64")),
        "drives": [chr(65 + bit) for bit in range(26) if drives >> bit & 1],
        "linux": sorted(os.listdir("Z:\\")),
        "roots": len(ssl.__dict__["enum_certificates"]("ROOT")),
        "administrator": bool(windll("shell32").IsUserAnAdmin()),
        "build": list(sys.__dict__["getwindowsversion"]())[:3],
        "behaviour": behaviour(),
    }
    Path(out).write_text(json.dumps(seen, indent=1), "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
