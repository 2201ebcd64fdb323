"""List the modules that wheels install."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from packaging.utils import NormalizedName, parse_wheel_filename

from verification.wheel.archive import Archive
from verification.wheel.identity import WheelIdentity

# The file of a module. The module name ends at the first dot: x.cpython-313-x86_64-linux-gnu.so.
_MODULE = re.compile(
    r"(?P<name>[^.]+)(?:\.py|(?:\.(?:(?:cpython-|cp)(?P<abi>3\d+[a-z]*)|abi3)[^.]*)?\.(?:so|pyd))"
)


def top_level_modules(wheels: Iterable[Path]) -> dict[NormalizedName, frozenset[str]]:
    """Return the top-level modules of each wheel, by the name of the distribution.

    Files that are not wheels are left out.
    """
    modules = {}
    for path in wheels:
        if path.suffix != ".whl":
            continue
        with zipfile.ZipFile(path) as archive:
            tops = {name.partition("/")[0] for name in archive.namelist()}
        modules[parse_wheel_filename(path.name)[0]] = frozenset(
            top.partition(".")[0] for top in tops if not top.endswith((".dist-info", ".libs"))
        )
    return modules


def installed_modules(archive: Archive, identity: WheelIdentity) -> frozenset[str]:
    """Return the full names of the modules and folders that a wheel installs.

    Extension modules for another ABI than the wheel's are left out, because Python does not import
    them.
    """
    paths = map(PurePosixPath, archive.install_paths.values())
    folders = {".".join(parent.parts) for path in paths for parent in path.parents}
    return frozenset(folders | {name for name, _ in _modules(archive, identity)})


def extension_modules(archive: Archive, identity: WheelIdentity) -> frozenset[str]:
    """Return the full names of the extension modules that a wheel installs, without other ABIs."""
    return frozenset(name for name, is_native in _modules(archive, identity) if is_native)


def without_flag_m(abis: Iterable[str]) -> set[str]:
    """Return the ABIs until Python 3.7 without their flag m, such as `cp37` for `cp37m`.

    A tag has the flag, and the suffix of a module on Windows does not (PEP 3149).
    """
    return {abi.removesuffix("m") for abi in abis if re.fullmatch(r"(?:cp)?3\dm", abi)}


def _modules(archive: Archive, identity: WheelIdentity) -> Iterator[tuple[str, bool]]:
    """Yield the full name of each module, and whether it is an extension module."""
    abis = {tag.abi.removeprefix("cp") for tag in identity.tags if tag.abi.startswith("cp")}
    abis |= without_flag_m(abis)
    for install_path in archive.install_paths.values():
        path = PurePosixPath(install_path)
        module = _MODULE.fullmatch(path.name)
        if module and (not abis or module["abi"] is None or module["abi"] in abis):
            yield ".".join((*path.parts[:-1], module["name"])), path.suffix != ".py"
