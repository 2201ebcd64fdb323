"""The modules that wheels install."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from packaging.utils import NormalizedName, parse_wheel_filename

from verification.wheel.archive import Archive
from verification.wheel.identity import WheelIdentity

# A module's file: its name ends at the first dot, as in x.cpython-313-x86_64-linux-gnu.so.
_MODULE = re.compile(
    r"(?P<name>[^.]+)(?:\.py|(?:\.(?:(?:cpython-|cp)(?P<abi>3\d+[a-z]*)|abi3)[^.]*)?\.(?:so|pyd))"
)


def top_level_modules(wheels: Iterable[Path]) -> dict[NormalizedName, frozenset[str]]:
    """Return the top-level modules of each of these wheels, by the name of the distribution.

    Files that are not wheels are left out.
    """
    found = {}
    for path in wheels:
        if path.suffix != ".whl":
            continue
        with zipfile.ZipFile(path) as archive:
            tops = {name.partition("/")[0] for name in archive.namelist()}
        found[parse_wheel_filename(path.name)[0]] = frozenset(
            top.partition(".")[0] for top in tops if not top.endswith((".dist-info", ".libs"))
        )
    return found


def installed_modules(archive: Archive, identity: WheelIdentity) -> frozenset[str]:
    """Return the full names of the modules and folders that a wheel installs.

    Without the extension modules for another ABI: a Python looks for the names of its own ABI.
    """
    abis = {tag.abi.removeprefix("cp") for tag in identity.tags if tag.abi.startswith("cp")}
    found = set()
    for install_path in archive.install_paths.values():
        path = PurePosixPath(install_path)
        found |= {".".join(parent.parts) for parent in path.parents}
        module = _MODULE.fullmatch(path.name)
        if module and (not abis or module["abi"] is None or module["abi"] in abis):
            found.add(".".join((*path.parts[:-1], module["name"])))
    return frozenset(found)
