"""The source files of a package that must be equal in all wheels of one release."""

from __future__ import annotations

import hashlib
import re
from pathlib import PurePosixPath

from verification.wheel.archive import Archive

# What the build writes into the package: versions, the compiler, what Windows is to load.
_WRITTEN_BY_BUILD = re.compile(r"version|config|build|_distributor_init")
_DELVEWHEEL_PATCH = re.compile(
    rb"^(?:\"{6} )?# start delvewheel patch\r?$.*?^# end delvewheel patch\r?$", re.M | re.S
)
_FOR_SOME_SYSTEMS = re.compile(
    r"win(32|64|dows|$)|linux|posix|unix|darwin|(^|_)(mac(osx?)?|nt)$|tests?$|^conftest$"
)


def digests(archive: Archive, package: str) -> dict[str, str]:
    """Return the sha256 of each module of the package, by its path.

    Line ends, blank lines and delvewheel's patch do not count. Modules that the build writes are
    left out.
    """
    found = {}
    for install_path, data in archive.installed.items():
        path = PurePosixPath(install_path)
        if path.parts[:1] != (package,) or path.suffix != ".py":
            continue
        if not _WRITTEN_BY_BUILD.search(path.name):
            lines = (line.rstrip() for line in _DELVEWHEEL_PATCH.sub(b"", data).splitlines())
            found[install_path] = hashlib.sha256(b"\n".join(filter(None, lines))).hexdigest()
    return found


def is_public(path: str) -> bool:
    """Return whether users import the module at this path, on every system."""
    parts = path.removesuffix("/__init__.py").removesuffix(".py").split("/")
    return not any(part.startswith("_") or _FOR_SOME_SYSTEMS.search(part) for part in parts)
