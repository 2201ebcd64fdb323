"""Find the declared dependencies of a wheel, and the imports that nothing provides."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NamedTuple

from packaging.markers import Marker, UndefinedComparison
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import NormalizedName, canonicalize_name

from verification.models.cause import Cause, FactValue
from verification.models.release import PATCHES
from verification.models.subject import PlatformTarget, Subject
from verification.rules.catalogue import catalogue
from verification.wheel import stdlib
from verification.wheel.archive import Archive
from verification.wheel.identity import WheelIdentity
from verification.wheel.imports import ImportedModule, PackageCode, reachable_modules
from verification.wheel.modules import Distributions, extension_modules, installed_modules

DEVELOPER_FOLDERS = frozenset({"benchmarks", "examples", "test", "testing", "tests"})
"""The names of the folders with code for developers of a package."""
_SYS_PLATFORM = {"windows": "win32", "macos": "darwin"}
_PLATFORM_SYSTEM = {"windows": "Windows", "macos": "Darwin"}
_WINDOWS_MACHINES = {"x86_64": "AMD64", "aarch64": "ARM64", "i686": "x86"}


def declared_dependencies(identity: WheelIdentity, subject: Subject) -> frozenset[NormalizedName]:
    """Return the declared dependencies that apply on the wheel's platform.

    A dependency that applies only to some patch releases of the Python is left out, because a
    machine can have any patch release.
    """
    return _names(identity, subject)


def run_environment(identity: WheelIdentity, subject: Subject) -> dict[str, str]:
    """Return the marker variables of the wheel's system with the subject's Python.

    A wheel for any platform has only the variables of the Python.
    """
    target = PlatformTarget.of(identity.platform_tag)
    environment = marker_environment(target, subject.python_version)
    if target.system in ("any", "unknown"):
        for name in ("sys_platform", "platform_system", "os_name", "platform_machine"):
            del environment[name]
    return environment


def marker_environment(target: PlatformTarget, python: tuple[int, int]) -> dict[str, str]:
    """Return the marker variables of a system with this CPython (PEP 508)."""
    return {
        "python_version": ".".join(map(str, python)),
        "sys_platform": _SYS_PLATFORM.get(target.system, "linux"),
        "platform_system": _PLATFORM_SYSTEM.get(target.system, "Linux"),
        "os_name": "nt" if target.system == "windows" else "posix",
        "platform_machine": _platform_machine(target),
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }


def requirements(
    texts: Iterable[str], environment: Mapping[str, str], extras: Iterable[str] = ()
) -> Iterator[Requirement]:
    """Yield the requirements that apply in an environment, with these extras.

    A requirement that applies only to some patch releases of the Python is left out.
    """
    for text in texts:
        try:
            requirement = Requirement(text)
            marker = requirement.marker
            applies = marker is None or any(
                _applies(marker, {**environment, "extra": extra}) for extra in ("", *extras)
            )
        except (InvalidRequirement, UndefinedComparison):
            # An invalid requirement declares nothing. An import of it is a missing dependency.
            continue
        if applies:
            yield requirement


class _Missing(NamedTuple):
    """An import that nothing provides."""

    path: str
    module: str
    note: str
    """What the message says about the import, in addition to the module."""
    risk: bool
    in_function: bool = False


def causes(
    archive: Archive,
    identity: WheelIdentity,
    subject: Subject,
    distributions: Distributions | None,
    code: PackageCode,
) -> Iterator[Cause]:
    """Yield a cause for each module that the package imports and nothing provides.

    The check covers the imports that run when a module is imported. An import in a function counts
    only if it imports a module of the package. An import whose failure the code handles does not
    count. If the import may never run, the cause is a risk.

    ``distributions`` are the known ones; None if none is known. A distribution is assumed to have a
    module of its name. If the wheel requires a distribution that is not known, it may provide any
    missing module, so the cause is a risk.
    """
    package = subject.import_package
    if not has_package(archive, identity, package):
        message = f"contains no module of the package {package}"
        yield _fault(archive.name, message, package, risk=False)
        return
    required = _Required.of(identity, subject, distributions)
    imports = _Imports.of(code, package)
    yield from _removed_modules(imports, subject, required)
    missing: dict[tuple[str, bool], list[_Missing]] = {}
    for fault in (
        *_missing_modules(archive, identity, code, imports),
        *_undeclared(archive, identity, subject, imports, required),
    ):
        missing.setdefault((fault.module, fault.risk), []).append(fault)
    for (module, risk), faults in missing.items():
        if risk and (module, False) in missing:
            continue
        paths = sorted({fault.path for fault in faults})
        first = next(fault for fault in faults if fault.path == paths[0])
        message = f"imports {module}, {first.note}"
        message += f"; {len(paths)} files import it" if len(paths) > 1 else ""
        facts: dict[str, FactValue] = {"files": len(paths)} if len(paths) > 1 else {}
        if all(fault.in_function for fault in faults):
            facts["in_function"] = True
        yield _fault(first.path, message, module, risk=risk, **facts)


class _Required(NamedTuple):
    """What the distributions that a wheel requires provide."""

    names: frozenset[NormalizedName]
    modules: frozenset[str]
    """Their top-level modules."""
    unknown: tuple[str, ...]
    """The distributions whose modules are unknown."""
    optional: frozenset[str]
    """The top-level modules of the distributions that an extra requires."""

    @classmethod
    def of(
        cls,
        identity: WheelIdentity,
        subject: Subject,
        distributions: Distributions | None,
    ) -> _Required:
        """Return what the distributions that this wheel requires provide."""
        known = distributions or {}
        names = declared_dependencies(identity, subject)
        extras = _names(identity, subject, _extras(identity)) - names
        return cls(
            names,
            _provided(names, known),
            tuple(sorted(names - known.keys())) if distributions is not None else (),
            _provided(extras, known),
        )

    def provides(self, module: str) -> bool:
        """Return whether a required distribution provides a top-level module.

        setuptools provides `distutils` with a hook of the import system.
        """
        has_distutils = "setuptools" in self.names
        return module in self.modules or (module == "distutils" and has_distutils)


@dataclass(frozen=True)
class _Imports:
    """The imports of a package, and the files that run."""

    package: str
    unhandled: tuple[tuple[str, ImportedModule], ...]
    """The path and the import of each import whose failure the package does not handle.

    A file that the package imports only where it handles the failure is left out, with all files
    that only such a file imports."""
    run_in_use: frozenset[str]
    """The files that may run when the package is imported or used, under any condition."""
    always_run_in_use: frozenset[str]
    """Those of `run_in_use` whose imports are under no condition, except a call of a function."""
    run_on_import: frozenset[str]
    """The files that may run when the package is imported."""
    always_run_on_import: frozenset[str]
    """Those of `run_on_import` whose imports are under no condition."""
    compiled: frozenset[str]
    """The files that an extension module of the same name replaces."""

    @classmethod
    def of(cls, code: PackageCode, package: str) -> _Imports:
        """Return the imports of the package with this code."""

        def files(*, in_functions: bool, certain: bool) -> frozenset[str]:
            links = _links(code, in_functions=in_functions, certain=certain)
            return frozenset(reachable_modules(links, package))

        run_in_use = frozenset(reachable_modules(code.links, package))
        run_unhandled = files(in_functions=True, certain=False)
        unhandled = (
            (path, imported)
            for path, imports in code.imports.items()
            if path in run_unhandled or path not in run_in_use
            for imported in imports
        )
        return cls(
            package,
            tuple(unhandled),
            run_in_use=run_in_use,
            always_run_in_use=files(in_functions=True, certain=True),
            run_on_import=files(in_functions=False, certain=False),
            always_run_on_import=files(in_functions=False, certain=True),
            compiled=code.compiled,
        )


def has_package(archive: Archive, identity: WheelIdentity, package: str) -> bool:
    """Return whether a wheel has code of a package: a module of Python or an extension module."""
    python = any(
        path == f"{package}.py" or (path.startswith(f"{package}/") and path.endswith(".py"))
        for path in archive.install_paths.values()
    )
    extensions = extension_modules(archive, identity)
    return python or bool({package, f"{package}.__init__"} & extensions)


def _missing_modules(
    archive: Archive, identity: WheelIdentity, code: PackageCode, imports: _Imports
) -> Iterator[_Missing]:
    """Yield the imported modules of the package that the wheel does not contain."""
    installed = installed_modules(archive, identity)
    extensions = extension_modules(archive, identity)
    for path, imported in imports.unhandled:
        if imported.module.partition(".")[0] != imports.package:
            continue
        module = _absent_module(imported, installed, extensions, code.names)
        if module is None:
            continue
        # Code for some systems may import modules that only their wheels have.
        certain = imported.certain and path in imports.always_run_in_use
        note = "but the wheel does not contain it"
        note += "; the import is in a function" * imported.in_function
        note += _condition(certain=certain, executed=path in imports.run_in_use)
        yield _Missing(path, module, note, not certain, imported.in_function)


def _undeclared(
    archive: Archive,
    identity: WheelIdentity,
    subject: Subject,
    imports: _Imports,
    required: _Required,
) -> Iterator[_Missing]:
    """Yield the imported modules of other distributions that the wheel does not require."""
    package = subject.import_package
    available = stdlib.NAMES | installed_modules(archive, identity) | required.modules
    requires = ", ".join(sorted(required.names)) or "no distribution"
    for path, imported in imports.unhandled:
        module = imported.module.partition(".")[0]
        if module == package or imported.in_function or module in available:
            continue
        is_compiled = path in imports.compiled
        certain = imported.certain and path in imports.always_run_on_import and not is_compiled
        if not certain and (
            module in required.optional | stdlib.OTHER_PYTHON_MODULES or is_for_developers(path)
        ):
            continue
        note = f"but the wheel requires only {requires}"
        if required.unknown:
            note += f"; {', '.join(required.unknown)} may provide it: its modules are unknown"
        if is_compiled:
            note += "; an extension module replaces this file"
        else:
            note += _condition(certain=certain, executed=path in imports.run_on_import)
        yield _Missing(path, module, note, risk=not certain or bool(required.unknown))


def _condition(*, certain: bool, executed: bool) -> str:
    """Return what makes an import uncertain, as a part of a message."""
    if not executed:
        return "; importing the package does not run this file"
    return "" if certain else "; the import is under a condition"


def _removed_modules(imports: _Imports, subject: Subject, required: _Required) -> Iterator[Cause]:
    """Yield a cause for each import of a module that the standard library no longer has.

    A distribution can provide the module.
    """
    python = ".".join(map(str, subject.python_version))
    for path, imported in imports.unhandled:
        module = imported.module.partition(".")[0]
        removed = stdlib.REMOVED.get(module)
        if removed is None or subject.python_version < removed or imported.in_function:
            continue
        if required.unknown or required.provides(module):
            continue
        if imported.certain and path in imports.always_run_on_import:
            message = f"imports {module}, which the standard library of Python {python} does not"
            message += f" have: {'.'.join(map(str, removed))} removed it"
            yield catalogue().cause(
                "standard-library-mismatch", path, message, module=module, python=python
            )


def is_for_developers(path: str) -> bool:
    """Return whether a file is a test, an example or a benchmark, by the name of its folder."""
    parts = path.removesuffix(".py").split("/")
    return bool(DEVELOPER_FOLDERS.intersection(parts[:-1])) or parts[-1] == "conftest"


def _provided(names: Iterable[NormalizedName], distributions: Distributions) -> frozenset[str]:
    """Return the top-level modules of distributions. Each is assumed to have one of its name."""
    known = (distributions[name].modules for name in names if name in distributions)
    provided = frozenset[str]().union(*known)
    return provided.union(*((name.replace("-", "_"), name.partition("-")[0]) for name in names))


def _extras(identity: WheelIdentity) -> frozenset[str]:
    """Return the extras of a wheel: those that it declares, and those of its requirements."""
    texts = " ".join(identity.metadata.get("requires_dist", ()))
    named = re.findall(r"""\bextra\s*==\s*["']([^"']+)["']""", texts)
    return frozenset((*identity.metadata.get("provides_extra", ()), *named))


def _names(
    identity: WheelIdentity, subject: Subject, extras: Iterable[str] = ()
) -> frozenset[NormalizedName]:
    target = PlatformTarget.of(identity.platform_tag)
    environment = marker_environment(target, subject.python_version)
    texts = identity.metadata.get("requires_dist", ())
    return frozenset(
        canonicalize_name(requirement.name)
        for requirement in requirements(texts, environment, extras)
    )


def _fault(where: str, message: str, module: str, *, risk: bool, **facts: FactValue) -> Cause:
    return catalogue().cause(
        "missing-dependency", where, message, risk=risk, module=module, **facts
    )


def _links(code: PackageCode, *, in_functions: bool, certain: bool) -> dict[str, set[str]]:
    """Return the modules that each file imports without handling a failure."""
    return {
        path: {
            module
            for imported in imports
            if (imported.certain or not certain) and (in_functions or not imported.in_function)
            for module in imported.modules
        }
        for path, imports in code.imports.items()
    }


def _absent_module(
    imported: ImportedModule,
    installed: frozenset[str],
    extensions: frozenset[str],
    names: Mapping[str, frozenset[str] | None],
) -> str | None:
    """Return the imported module of the package if the wheel does not contain it, else None.

    An extension module may create modules below its own name.
    """
    parents = [
        str(parent).replace("/", ".")
        for parent in PurePosixPath(imported.module.replace(".", "/")).parents
    ]
    if extensions.intersection(parents):
        return None
    if imported.module not in installed:
        return imported.module
    defined = names.get(f"{imported.module.replace('.', '/')}/__init__.py")
    module = f"{imported.module}.{imported.name}"
    may_exist = defined is None or imported.name in defined or module in installed
    return module if imported.name and not may_exist else None


def _applies(marker: Marker, environment: Mapping[str, str]) -> bool:
    """Return whether a marker is true for all patch releases of the environment's Python."""
    reads_patch = re.search("python_full_version|implementation_version", str(marker))
    versions = [f"{environment['python_version']}.{patch}" for patch in PATCHES]
    return all(
        marker.evaluate(
            {**environment, "python_full_version": version, "implementation_version": version}
        )
        for version in (versions if reads_patch else versions[:1])
    )


def _platform_machine(target: PlatformTarget) -> str:
    """Return the result of `platform.machine()` on a target."""
    if target.system == "windows":
        return _WINDOWS_MACHINES.get(target.machine, target.machine)
    return "arm64" if (target.system, target.machine) == ("macos", "aarch64") else target.machine
