"""Inspect a Windows machine: the libraries it loads, its settings, and its file system.

Runs on the machine with CPython 3.13: ``python inspect_windows.py PLANTED OUTPUT``. PLANTED is a
folder of libraries named ``needs-NAME``. Each imports the library NAME. The observations are
written to OUTPUT as JSON. Standard library only.
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

# On Linux, where mypy runs, these modules do not have the names of Windows.
registries: Any = winreg
windll: Any = ctypes.__dict__["WinDLL"]
kernel32 = windll("kernel32", use_last_error=True)
kernel32.LoadLibraryExW.restype = ctypes.c_void_p
kernel32.LoadLibraryExW.argtypes = (ctypes.c_wchar_p, ctypes.c_void_p, ctypes.c_uint32)
kernel32.GetModuleHandleW.restype = ctypes.c_void_p
kernel32.GetModuleFileNameW.argtypes = (ctypes.c_void_p, ctypes.c_wchar_p, ctypes.c_uint32)
_BUILTIN = b"Wine builtin DLL"


def load(name: str) -> int:
    """Load a library. Return 0, or the error code of Windows."""
    handle = kernel32.LoadLibraryExW(name, None, 0)
    return 0 if handle else int(ctypes.__dict__["get_last_error"]())


def version(path: str) -> str:
    """Return the version in a file's version resource, or an empty string (winver.h)."""
    library = windll("version")
    size = library.GetFileVersionInfoSizeW(ctypes.c_wchar_p(path), None)
    data = ctypes.create_string_buffer(size or 1)
    fixed_info, length = ctypes.POINTER(ctypes.c_uint32)(), ctypes.c_uint32()
    if not size or not library.GetFileVersionInfoW(ctypes.c_wchar_p(path), 0, size, data):
        return ""
    library.VerQueryValueW(
        data, ctypes.c_wchar_p("\\"), ctypes.byref(fixed_info), ctypes.byref(length)
    )
    high, low = fixed_info[2], fixed_info[3]
    return f"{high >> 16}.{high & 0xFFFF}.{low >> 16}"


def module(name: str) -> dict[str, Any]:
    """Return the path of a loaded library and the details of its file."""
    path = ctypes.create_unicode_buffer(4096)
    kernel32.GetModuleFileNameW(kernel32.GetModuleHandleW(ctypes.c_wchar_p(name)), path, 4096)
    content = Path(path.value).read_bytes()
    return {
        "path": path.value,
        "sha256": hashlib.sha256(content).hexdigest(),
        "builtin": content[64:].startswith(_BUILTIN),
        "version": version(path.value),
    }


def result_or_error(action: Callable[[], object]) -> object:
    """Call a function. Return its result, or the negative Windows error code (else: errno)."""
    try:
        return action()
    except OSError as error:
        return -(getattr(error, "winerror", None) or error.errno or 1)


def registry(root: int, path: str, name: str) -> object:
    """Return a value of the registry."""
    with registries.OpenKey(root, path) as key:
        return registries.QueryValueEx(key, name)[0]


def while_open(name: str, action: Callable[[], object]) -> object:
    """Call a function while Python has a file open. Return its result, or an error code."""
    with Path(name).open("w", encoding="utf-8"):
        return result_or_error(action)


def long_path(length: int) -> bool:
    """Return True if Python can write a file below a path of this length (without `\\\\?\\`)."""
    folder = Path.cwd()
    while len(str(folder)) < length:
        folder /= "long" * 10
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "file").write_text("x", "utf-8")
    return (folder / "file").exists()


def can_create(name: str) -> bool:
    """Create a file with this name. Return True if the folder then lists it."""
    Path(name).write_text("x", "utf-8")
    return name in os.listdir()


def can_create_by_code_page(name: str) -> bool:
    """Create a file with the function for names in the ANSI code page (fileapi.h)."""
    kernel32.CreateFileA.restype = ctypes.c_void_p
    encoded = name.encode("mbcs", "replace")
    handle = kernel32.CreateFileA(encoded, 0x40000000, 0, None, 2, 0, None)
    if handle == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.__dict__["get_last_error"](), name)
    return name in os.listdir()


def behaviour() -> dict[str, object]:
    """Return how the file system and the code pages behave."""
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
        "delete a read-only file": result_or_error(lambda: os.remove("read-only")),
        "delete a loaded library": result_or_error(lambda: os.remove("loaded.dll")),
        "rename a loaded library": result_or_error(lambda: os.rename("loaded.dll", "renamed.dll")),
        "another case": Path("case.txt").exists(),
        "a path of 300": result_or_error(lambda: long_path(300)),
        "a name in Latin-1": result_or_error(lambda: can_create("caf\u00e9")),
        "a name in Japanese": result_or_error(lambda: can_create("\u65e5\u672c")),
        "Latin-1 by code page": result_or_error(lambda: can_create_by_code_page("caf\u00e9")),
        "Japanese by code page": result_or_error(lambda: can_create_by_code_page("\u65e5\u672c")),
        "a name with a question mark": result_or_error(lambda: can_create("what?")),
        "a symbolic link": result_or_error(lambda: os.symlink("other", "link")),
        "a hard link": result_or_error(lambda: os.link("Case.TXT", "hard")),
        "write to System32": result_or_error(lambda: Path(r"C:\windows\system32\mine.txt").touch()),
        "ANSI code page": kernel32.GetACP(),
        "OEM code page": kernel32.GetOEMCP(),
    }


def main(planted: str, output: str) -> None:
    """Write the observations to the output file."""
    by_import = {
        path.name.removeprefix("needs-"): load(str(path))
        for path in sorted(Path(planted).iterdir())
    }
    by_name = {name: load(name) for name in by_import}
    environment = r"SYSTEM\CurrentControlSet\Control\Session Manager\Environment"
    drives = windll("kernel32").GetLogicalDrives()
    observed = {
        "by_import": by_import,
        "by_name": by_name,
        "loaded": {name: module(name) for name, code in by_name.items() if not code},
        "programs": {name: shutil.which(name) for name in ("python", "pip", "uv")},
        "path": os.environ["PATH"],
        "user path": registry(registries.HKEY_CURRENT_USER, "Environment", "Path"),
        "system path": registry(registries.HKEY_LOCAL_MACHINE, environment, "PATH"),
        "graphics": registry(registries.HKEY_CURRENT_USER, r"Software\Wine\Drivers", "Graphics"),
        "display": {key: os.environ.get(key) for key in ("DISPLAY", "WAYLAND_DISPLAY")},
        "mono and gecko": sorted(
            str(path)
            for folder in (r"C:\Program Files", r"C:\Program Files (x86)", r"C:\windows")
            for path in Path(folder).rglob("*")
            if any(word in str(path).lower() for word in ("mono", "gecko")) and path.is_file()
        ),
        "32-bit libraries": sorted(os.listdir(r"C:\windows\syswow64")),
        "drives": [chr(65 + bit) for bit in range(26) if drives >> bit & 1],
        "root of drive Z": sorted(os.listdir("Z:\\")),
        "root certificates": len(ssl.__dict__["enum_certificates"]("ROOT")),
        "administrator": bool(windll("shell32").IsUserAnAdmin()),
        "build": list(sys.__dict__["getwindowsversion"]())[:3],
        "behaviour": behaviour(),
    }
    Path(output).write_text(json.dumps(observed, indent=1), "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
