"""Find top-level files and folders that a wheel should not install."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from packaging.utils import canonicalize_name

from verification.models.cause import Cause
from verification.models.subject import Subject
from verification.rules.catalogue import catalogue
from verification.wheel import startup_code
from verification.wheel.archive import Archive
from verification.wheel.identity import WheelIdentity
from verification.wheel.library_names import is_extension_module, is_library_name
from verification.wheel.modules import Distribution, Distributions
from verification.wheel.wording import byte_size, listing

# Names that many projects use for what is not their package. Two wheels with such a folder or
# module overwrite each other's files.
_COMMON_NAMES = frozenset(
    (
        *("bench", "benchmark", "benchmarks", "bin", "build", "ci", "cmake", "conf", "config"),
        *("conftest", "data", "demo", "demos", "dist", "doc", "docs", "etc", "example", "examples"),
        *("home", "include", "lib", "lib64", "man", "misc", "noxfile", "opt", "sample", "samples"),
        *("script", "scripts", "setup", "share", "src", "tasks", "test", "testing", "tests"),
        *("third_party", "tmp", "tool", "tools", "usr", "util", "utils", "var", "vendor"),
        *("versioneer",),
    )
)
_INSTALLERS = {
    canonicalize_name(name): Distribution(frozenset(modules))
    for name, modules in (
        ("pip", ["pip"]),
        ("setuptools", ["setuptools", "pkg_resources", "_distutils_hack", "distutils-precedence"]),
        ("wheel", ["wheel"]),
        ("uv", ["uv"]),
    )
}
"""The modules of the distributions that install and build others."""
_INSTALL_SCHEMES = ("data", "headers", "scripts")
"""The folders of `.data` with install paths outside the packages (PEP 427)."""
_HASHED = re.compile(r"-[0-9a-f]{8,}(\.|$)")
"""The part of a library's name that auditwheel and delvewheel add to make it unique."""


def causes(
    archive: Archive,
    identity: WheelIdentity,
    subject: Subject,
    distributions: Distributions,
) -> Iterator[Cause]:
    """Yield one cause for each top-level file or folder that a wheel should not install.

    A second package or module is allowed if its name is one that other projects do not use, with
    its stubs (PEP 561). Scripts, headers and data in `.data` are allowed as well. Other files with
    the name of the package are a risk, and so is a `.pth` file: each start of Python reads it. The
    module `startup_code` reports a `.pth` file with code.

    ``distributions`` are the other distributions. A file or folder with the name of one of their
    modules overwrites it. Several may add to one namespace package. Every environment can have the
    distributions of `_INSTALLERS`.
    """
    owners = {
        module: name
        for name, distribution in {**_INSTALLERS, **distributions}.items()
        if name != canonicalize_name(identity.name)
        for module in distribution.own_modules
    }
    groups = _names_by_top_level(archive)
    for top, names in groups.items():
        if top == subject.import_package or _is_expected(top, names, archive, identity, subject):
            continue
        size = byte_size(sum(archive.files[name].size for name in names if name in archive.files))
        files = f"{len(names)} file{'s' * (len(names) > 1)}, {size} ({listing(names, 2)})"
        where = top if top in map(archive.install_paths.get, names) else f"{top}/"
        modules = {module for name in names for module in _modules(archive.install_paths[name])}
        if owner := next((owners[module] for module in sorted(modules & owners.keys())), None):
            message = f"overwrites a module of {owner}, which is also installed: {files}"
            yield catalogue().cause(
                "dependency-overwritten",
                where,
                message,
                files=len(names),
                distribution=owner,
            )
        elif not _is_importable(top, names, archive, groups) and not _has_code(top, archive):
            message = f"is installed next to the package: {files}"
            own = top.endswith(".pth") or _has_own_name(top, identity, subject)
            yield catalogue().cause("stray-top-level", where, message, risk=own, files=len(names))


def _modules(path: str) -> Iterator[str]:
    """Yield the full names of the module at a path and of the packages around it."""
    *folders, name = PurePosixPath(path).parts or (path,)
    parts = (*folders, name.partition(".")[0])
    yield from (".".join(parts[: number + 1]) for number in range(len(parts)))


def _names_by_top_level(archive: Archive) -> Mapping[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for name, path in archive.install_paths.items():
        parts = PurePosixPath(path).parts or (name,)
        top = parts[0]
        if top.endswith(".data") and len(parts) > 2:
            top = f"{top}/{parts[1]}"  # headers, scripts and data have other install paths
        groups[top].append(name)
    return groups


def _is_expected(
    top: str, names: Sequence[str], archive: Archive, identity: WheelIdentity, subject: Subject
) -> bool:
    """Return whether the tools that build and repair wheels put the files there."""
    if top.endswith(".dist-info"):
        return True
    folder, _, scheme = top.partition("/")
    if folder.endswith(".data") and scheme in _INSTALL_SCHEMES:
        return scheme != "data" or not any(map(_is_misplaced_data, names))
    if is_library_name(top) and _HASHED.search(top):
        return True  # next to a top-level extension module
    # The folder where auditwheel, delvewheel and delocate put the libraries that they bundle.
    project, dot, suffix = top.rpartition(".")
    if dot and suffix in ("libs", "dylibs"):
        known = {canonicalize_name(identity.name), canonicalize_name(subject.name)}
        paths = map(PurePosixPath, archive.install_paths.values())
        modules = {path.parts[0] for path in paths if path.parts}
        return canonicalize_name(project) in known or project in {
            module.partition(".")[0] for module in modules if module != top
        }
    return False


def _is_misplaced_data(name: str) -> bool:
    """Return whether a file of the scheme `data` is not in a folder for such files.

    Its folder is the environment itself. The folder of packages has another path in each kind of
    environment: `pip install --user` on Windows does not install to `lib/site-packages`.
    """
    parts = PurePosixPath(name).parts[2:]
    return (
        len(parts) == 1
        or "site-packages" in parts
        or parts[0] in _COMMON_NAMES - {"bin", "data", "etc", "include", "lib", "man", "share"}
    )


def _has_code(top: str, archive: Archive) -> bool:
    """Return whether this is a `.pth` file with code, which `startup_code` reports."""
    member = archive.installed.get(top)
    return member is not None and bool(startup_code.code_lines(top, member.data or b""))


def _has_own_name(top: str, identity: WheelIdentity, subject: Subject) -> bool:
    """Return whether the name of the project or of its package is a word of a file's name."""
    words = re.split(r"[\W_]+", top.lower())
    return any(
        name.lower() in (top.lower(), *words) for name in (identity.name, subject.import_package)
    )


def _is_importable(
    top: str, names: Sequence[str], archive: Archive, groups: Mapping[str, list[str]]
) -> bool:
    """Return whether this is a package, a module or stubs, under an uncommon name."""
    stem = top.partition(".")[0]
    if stem.lower() in _COMMON_NAMES:
        return False
    if is_extension_module(top):
        return True
    if top.endswith("-stubs"):  # PEP 561
        modules = {other.partition(".")[0] for other in groups}
        return top.removesuffix("-stubs") in modules
    paths = [archive.install_paths[name] for name in names]
    return stem.isidentifier() and any(
        path.endswith((".py", ".pyi")) or is_extension_module(path) or _is_plain_module(path)
        for path in paths
    )


def _is_plain_module(path: str) -> bool:
    """Return whether a file is an extension module at the top level without an ABI in its name."""
    name, dot, suffix = path.partition(".")
    return bool(dot) and suffix == "so" and name.isidentifier() and not name.startswith("lib")
