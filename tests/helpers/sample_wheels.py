"""Write small good wheels of the subject. Tests plant faults in them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.helpers import wheel_builder as wheels
from tests.helpers.binaries import elf, pe
from verification.models.cause import Cause
from verification.models.inspection import Import, WheelInspection
from verification.models.subject import Subject
from verification.subjects import subject
from verification.wheel.archive import open_wheel
from verification.wheel.modules import Distributions
from verification.wheel.wheel_inspection import inspect_wheel

SUBJECT = subject.load()

LINUX_CORE = "quiverdb/_libs/libquiver.so"
LINUX_API = "quiverdb/_libs/libquiver_c.so"
WINDOWS_CORE = "quiverdb/_libs/libquiver.dll"
WINDOWS_API = "quiverdb/_libs/libquiver_c.dll"


def symbol(name: str, library: str | None = None, version: str | None = None) -> Import:
    """Return a symbol that a library imports."""
    return Import(symbol=name, library=library, version=version)


MEMCPY = symbol("memcpy", "libc.so.6", "GLIBC_2.14")
Files = dict[str, bytes | str]
PYTHON_FILES: Files = {
    "quiverdb/__init__.py": "from quiverdb._loader import load\n",
    "quiverdb/_loader.py": "import sys\n\nfrom cffi import FFI\n\n\ndef load():\n    return FFI\n",
    "quiverdb/py.typed": "",
}


def linux_core(**changes: Any) -> bytes:
    """Return a good core library for Linux. ``changes`` replace arguments of `binaries.elf`."""
    defaults: dict[str, Any] = {
        "soname": "libquiver.so",
        "needed": ["libstdc++.so.6", "libc.so.6", "ld-linux-x86-64.so.2"],
        "imports": [MEMCPY, symbol("_Znwm", "libstdc++.so.6", "GLIBCXX_3.4")],
        "exports": ["quiver_core_open"],
    }
    return elf(**(defaults | changes))


def linux_api(**changes: Any) -> bytes:
    """Return a good C API library for Linux. ``changes`` replace arguments of `binaries.elf`."""
    defaults: dict[str, Any] = {
        "soname": "libquiver_c.so",
        "needed": ["libquiver.so", "libc.so.6"],
        "run_path": "$ORIGIN",
        "imports": [MEMCPY, symbol("quiver_core_open")],
        "exports": ["quiver_version"],
    }
    return elf(**(defaults | changes))


def windows_core(**changes: Any) -> bytes:
    """Return a good core library for Windows. ``changes`` replace arguments of `binaries.pe`."""
    defaults: dict[str, Any] = {
        "name": "libquiver.dll",
        "imports": {
            "KERNEL32.dll": ["CreateFileW"],
            "VCRUNTIME140.dll": ["memcpy"],
            "VCRUNTIME140_1.dll": ["__CxxFrameHandler4"],
            "api-ms-win-crt-heap-l1-1-0.dll": ["malloc"],
        },
        "exports": ["quiver_core_open"],
    }
    return pe(**(defaults | changes))


def windows_api(**changes: Any) -> bytes:
    """Return a good C API library for Windows. ``changes`` replace arguments of `binaries.pe`."""
    defaults: dict[str, Any] = {
        "name": "libquiver_c.dll",
        "imports": {"libquiver.dll": ["quiver_core_open"], "KERNEL32.dll": ["CloseHandle"]},
        "exports": ["quiver_version"],
    }
    return pe(**(defaults | changes))


def linux_wheel(
    folder: Path, files: Mapping[str, bytes | str] | None = None, **changes: Any
) -> Path:
    """Write a good Linux wheel.

    ``files`` replace its files or add to them. ``changes`` are arguments of `wheel_builder.build`.
    """
    good = {**PYTHON_FILES, LINUX_CORE: linux_core(), LINUX_API: linux_api()}
    return wheels.build(folder, good | dict(files or {}), **changes)


def windows_wheel(
    folder: Path, files: Mapping[str, bytes | str] | None = None, **changes: Any
) -> Path:
    """Write a good Windows wheel; the arguments are those of `linux_wheel`."""
    good = {**PYTHON_FILES, WINDOWS_CORE: windows_core(), WINDOWS_API: windows_api()}
    return wheels.build(folder, good | dict(files or {}), **{"tag": wheels.WINDOWS_TAG, **changes})


def inspect(
    wheel: Path,
    subject: Subject = SUBJECT,
    distributions: Distributions | None = None,
    *,
    additional: bool = False,
    published: bool = True,
) -> WheelInspection:
    """Read a wheel and apply all rules to it; by default, without the rules for uploads."""
    return inspect_wheel(
        open_wheel(wheel), subject, distributions, additional=additional, published=published
    )


def only_cause(wheel: Path) -> Cause:
    """Return the cause of a wheel, which must have exactly one."""
    (cause,) = inspect(wheel).causes
    return cause
