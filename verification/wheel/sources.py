"""Hash the source files of a package. They must be equal in all wheels of one release."""

from __future__ import annotations

import hashlib
import re
from pathlib import PurePosixPath

from verification.wheel.archive import Archive

# Modules that a build generates: versions, compiler settings, the loader for Windows.
_GENERATED = re.compile(r"version|config|build|_distributor_init")
_DELVEWHEEL_PATCH = re.compile(
    rb"^(?:\"{6} )?# start delvewheel patch\r?$.*?^# end delvewheel patch\r?$", re.M | re.S
)
_FOR_SOME_SYSTEMS = re.compile(
    r"win(32|64|dows|$)|linux|posix|unix|darwin|(^|_)(mac(osx?)?|nt)$|tests?$|^conftest$"
)


def digests(archive: Archive, package: str) -> dict[str, str]:
    """Return the sha256 of each module of the package, by its path.

    Line ends, blank lines, the order of imports and the patch of delvewheel do not count. Modules
    that a build generates are left out.
    """
    hashes = {}
    for install_path, member in archive.installed.items():
        path = PurePosixPath(install_path)
        if path.parts[:1] != (package,) or path.suffix != ".py":
            continue
        if not _GENERATED.search(path.name):
            data = member.data
            if data is None:  # too large; its bytes are then compared as they are
                hashes[install_path] = member.sha256
                continue
            lines = [line.rstrip() for line in _DELVEWHEEL_PATCH.sub(b"", data).splitlines()]
            lines.sort(key=_import_first)
            hashes[install_path] = hashlib.sha256(b"\n".join(filter(None, lines))).hexdigest()
    return hashes


def _import_first(line: bytes) -> tuple[bool, bytes]:
    """Return a sort key: imports at the left margin come first, the other lines keep their order.

    Generators write imports in the order of a set.
    """
    is_import = line.startswith((b"import ", b"from "))
    return not is_import, line if is_import else b""


def is_public(path: str) -> bool:
    """Return whether the module at this path is for users on every system."""
    parts = path.removesuffix("/__init__.py").removesuffix(".py").split("/")
    return not any(part.startswith("_") or _FOR_SOME_SYSTEMS.search(part) for part in parts)
