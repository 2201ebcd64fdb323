"""Find code of a wheel that runs at each start of Python (CPython, the module `site`)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from verification.models.cause import Cause
from verification.rules.catalogue import catalogue
from verification.wheel.archive import Archive

_CUSTOMIZE = ("sitecustomize", "usercustomize")
_MODULE = re.compile(rf"({'|'.join(_CUSTOMIZE)})(/__init__)?(\.[\w-]+)?\.(py|pyc|so|pyd)")
_CODE = ("import ", "import\t")
"""The beginnings of the lines of a `.pth` file that Python executes."""


def causes(archive: Archive) -> Iterator[Cause]:
    """Yield a cause for each file whose code runs at each start of Python.

    A `.pth` file that only adds folders to `sys.path` runs no code.
    """
    for path, member in archive.installed.items():
        if match := _MODULE.fullmatch(path):
            module = match[1]
            message = f"is the module {module}, which each start of Python imports"
            yield catalogue().cause("startup-code", path, message, code=f"import {module}")
        elif _is_path_file(path) and (lines := code_lines(path, member.data or b"")):
            number, code = lines[0]
            more = f", and {len(lines) - 1} more such lines" if len(lines) > 1 else ""
            message = f"has code in line {number}, which each start of Python executes{more}: "
            yield catalogue().cause(
                "startup-code",
                path,
                f"{message}{code[:200]}",
                line=number,
                code=code[:200],
                lines=len(lines),
            )


def code_lines(path: str, data: bytes) -> list[tuple[int, str]]:
    """Return the numbers and the lines of a `.pth` file that Python executes.

    Python reads only the `.pth` files in the folder of the packages itself. Since version 3.13 it
    ignores those whose name begins with a dot.
    """
    if not _is_path_file(path):
        return []
    # Python 3.13 divides the text with `str.splitlines`, also at a form feed.
    lines = enumerate(data.decode("utf-8-sig", errors="replace").splitlines(), 1)
    return [(number, line.strip()) for number, line in lines if line.startswith(_CODE)]


def _is_path_file(path: str) -> bool:
    return PurePosixPath(path).name == path and path.endswith(".pth") and not path.startswith(".")
