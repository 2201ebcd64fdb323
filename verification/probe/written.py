"""Record the files and folders that the smoke test itself makes, in all processes of a machine.

The file ``data/written.jsonl`` has the path of each one as a JSON string. Python reports
each file that it opens to an audit hook (PEP 578). It does not report files that native code opens:
they count as the package's. Standard library only, any CPython from 3.8.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import types
from typing import Dict, List, Optional

_PATH_NUMBERS: Dict[str, int] = {
    "open": 0,
    "os.mkdir": 0,
    "sqlite3.connect": 0,
    "os.rename": 1,
    "os.link": 1,
    "os.symlink": 1,
}
"""The audit events of new files and folders, and which argument is the path (CPython, audit events
table)."""
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_STANDARD_LIBRARY = os.path.dirname(os.__file__)
_PACKAGES = ("site-packages", "dist-packages")
_RECORDING = "_records_written_files"


def record() -> None:
    """Record the files that the smoke test of this folder writes in this process from now on."""
    if hasattr(sys, _RECORDING):
        return  # a hook cannot be removed, so it is added once
    setattr(sys, _RECORDING, True)
    sys.addaudithook(_hook)


def paths() -> List[str]:
    """Return the absolute paths that all processes recorded, each once."""
    try:
        with open(_RECORD, encoding="utf-8") as file:
            return sorted({str(json.loads(line)) for line in file})
    except FileNotFoundError:
        return []


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    number = _PATH_NUMBERS.get(event)
    if number is None or (event == "open" and not _is_write(*arguments)):
        return
    path = arguments[number]
    if isinstance(path, (str, bytes, os.PathLike)) and _is_of_smoke_test(sys._getframe(1)):
        # The exception of a hook would stop the call. Another user cannot write the file.
        with contextlib.suppress(OSError), open(_RECORD, "a", encoding="utf-8") as file:
            file.write(json.dumps(os.path.abspath(os.fsdecode(path))) + "\n")


def _is_write(_: object, mode: object = None, flags: object = 0, *__: object) -> bool:
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return isinstance(flags, int) and bool(flags & _WRITES)


def _is_of_smoke_test(frame: Optional[types.FrameType]) -> bool:
    """Return True if the smoke test or an action calls only the standard library.

    The innermost frame outside the standard library decides. The import system writes bytecode,
    whoever imports. Compiled code has no frame, so it counts as its caller.
    """
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith("<frozen importlib"):
            return False
        if not _is_standard(name):
            return name in _FILES
        frame = frame.f_back
    return False


def _is_standard(name: str) -> bool:
    if name.startswith("<frozen "):
        return True
    inside = name.startswith(_STANDARD_LIBRARY + os.sep)
    return inside and not any(folder in name[len(_STANDARD_LIBRARY) :] for folder in _PACKAGES)


_FOLDER = os.path.dirname(record.__code__.co_filename)
_FILES = [os.path.join(_FOLDER, name) for name in ("calls.py", "actions.py", "own_actions.py")]
_RECORD = os.path.join(_FOLDER, "data", "written.jsonl")
