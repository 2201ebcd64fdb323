"""List the modules that wheels install, and the libraries that dependencies provide."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from packaging.utils import NormalizedName, parse_wheel_filename

from verification.wheel.archive import Archive, open_wheel
from verification.wheel.errors import BadWheel
from verification.wheel.identity import WheelIdentity
from verification.wheel.library_names import is_library_name

# The file of a module. The module name ends at the first dot: x.cpython-313-x86_64-linux-gnu.so.
_MODULE = re.compile(
    r"(?P<name>[^.]+)(?:\.py|(?:\.(?:(?:cpython-|cp)(?P<abi>3\d+[a-z]*)|abi3)[^.]*)?\.(?:so|pyd))"
)


class Distribution(NamedTuple):
    """What a distribution installs that other distributions can use."""

    modules: frozenset[str]
    """Its top-level modules."""
    libraries: frozenset[str] = frozenset()
    """The lower-case file names of its libraries."""
    portions: frozenset[str] = frozenset()
    """The packages and modules that it adds to namespace packages, such as google.protobuf."""

    @property
    def own_modules(self) -> frozenset[str]:
        """The full names of what no other distribution may install."""
        shared = {portion.partition(".")[0] for portion in self.portions}
        return self.modules - shared | self.portions


Distributions = Mapping[NormalizedName, Distribution]
"""The distributions that a wheel may depend on, by name."""


def read_distributions(wheels: Iterable[Path]) -> Distributions:
    """Return what each distribution installs, with all its wheels together.

    Files that are not wheels are left out.
    """
    found: dict[NormalizedName, Distribution] = {}
    for path in wheels:
        if path.suffix != ".whl":
            continue
        try:
            paths = open_wheel(path).names
        except BadWheel:
            continue
        tops = {path.partition("/")[0] for path in paths}
        modules = {
            top.partition(".")[0] for top in tops if not top.endswith((".dist-info", ".libs"))
        }
        files = {path.rpartition("/")[2].lower() for path in paths}
        name = parse_wheel_filename(path.name)[0]
        others = found.get(name, Distribution(frozenset()))
        found[name] = Distribution(
            others.modules | modules,
            others.libraries.union(filter(is_library_name, files)),
            others.portions.union(_portions(paths)),
        )
    return found


def _portions(paths: Iterable[str]) -> Iterator[str]:
    """Yield what a wheel with these files adds to namespace packages (PEP 420)."""
    parents = {path.rpartition("/")[0] for path in paths if "/__init__." in path}
    for path in paths:
        folder, _, name = path.rpartition("/")
        parts = folder.split("/")
        folders = ("/".join(parts[: number + 1]) for number in range(len(parts)))
        package = next((parent for parent in folders if parent in parents), None)
        module = _MODULE.fullmatch(name)
        if package is None and folder and module:
            package = f"{folder}/{module['name']}"
        if package and "/" in package and all(map(str.isidentifier, package.split("/"))):
            yield package.replace("/", ".")


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
