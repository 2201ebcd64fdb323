"""Find the declared dependencies of a wheel, and the imports that no dependency provides."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from packaging.markers import Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import NormalizedName, canonicalize_name

from verification.models.cause import Cause
from verification.models.subject import PlatformTarget, Subject
from verification.rules.catalogue import catalogue
from verification.wheel import stdlib
from verification.wheel.archive import Archive
from verification.wheel.identity import PATCHES, WheelIdentity
from verification.wheel.imports import ImportedModule, PackageCode, reachable_modules
from verification.wheel.modules import installed_modules

_SYS_PLATFORM = {"windows": "win32", "macos": "darwin"}
_PLATFORM_SYSTEM = {"windows": "Windows", "macos": "Darwin"}
_WINDOWS_MACHINES = {"x86_64": "AMD64", "aarch64": "ARM64", "i686": "x86"}


def declared_dependencies(identity: WheelIdentity, subject: Subject) -> frozenset[NormalizedName]:
    """Return the declared dependencies that apply on the wheel's platform.

    A dependency that applies only to some patch releases of the Python is left out, because a
    machine can have any patch release.
    """
    environment = marker_environment(
        PlatformTarget.of(identity.platform_tag), subject.python_version
    )
    texts = identity.metadata.get("requires_dist", ())
    return frozenset(
        canonicalize_name(requirement.name) for requirement in requirements(texts, environment)
    )


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
        except InvalidRequirement:
            # An invalid requirement declares nothing. An import of it is a missing dependency.
            continue
        marker = requirement.marker
        if marker is None or any(
            _applies(marker, {**environment, "extra": extra}) for extra in ("", *extras)
        ):
            yield requirement


def causes(
    archive: Archive,
    identity: WheelIdentity,
    subject: Subject,
    modules: Mapping[NormalizedName, frozenset[str]],
    code: PackageCode,
) -> Iterator[Cause]:
    """Yield a cause for each import that nothing provides.

    The check covers the imports that run when a module is imported. An import in a function counts
    only if it imports a module of the package. If the import may never run, the cause is a risk.

    ``modules`` are the top-level modules of the known distributions. A distribution that is not in
    it is assumed to have a module of its name. If the wheel requires such a distribution, it may
    provide any missing module, so the cause is a risk.
    """
    package = subject.import_package
    install_paths = archive.install_paths.values()
    if not any(path.startswith(f"{package}/") and path.endswith(".py") for path in install_paths):
        message = f"contains no module of the package {package}"
        yield _fault(archive.name, message, package, risk=False)
        return
    declared = declared_dependencies(identity, subject)
    installed = installed_modules(archive, identity)
    available = stdlib.NAMES | installed | {name.replace("-", "_") for name in declared}
    available = available.union(*(modules.get(name, ()) for name in declared))
    unknown = sorted(declared - modules.keys()) if modules else []
    executed = reachable_modules(code.links, package)
    always_executed = reachable_modules(_unconditional_links(code), package)
    requires = ", ".join(sorted(declared)) or "nothing"
    for path, imports in code.imports.items():
        for imported in imports:
            top = imported.module.partition(".")[0]
            certain = imported.certain
            if top == package:
                if not (module := _absent_module(imported, installed, code.names)):
                    continue
                # Code for some systems may import modules that only their wheels have.
                certain = certain and path in always_executed
                message = f"imports {module}, but the wheel does not contain it"
                message += "; the import is in a function" * imported.in_function
                providers = []
            elif imported.in_function or top in available:
                continue
            else:
                module, providers = top, unknown
                message = f"imports {top}, but the wheel requires only {requires}"
                if unknown:
                    message += f"; {', '.join(unknown)} may provide it: its modules are unknown"
            if path not in executed:
                message += "; importing the package does not run this file"
            elif not certain:
                message += "; the import is under a condition"
            risk = bool(providers) or path not in executed or not certain
            yield _fault(path, message, module, risk=risk)


def _fault(where: str, message: str, module: str, *, risk: bool) -> Cause:
    return catalogue().cause("missing-dependency", where, message, risk=risk, module=module)


def _unconditional_links(code: PackageCode) -> dict[str, set[str]]:
    return {
        path: {module for imported in imports if imported.certain for module in imported.modules}
        for path, imports in code.imports.items()
    }


def _absent_module(
    imported: ImportedModule,
    installed: frozenset[str],
    names: Mapping[str, frozenset[str] | None],
) -> str | None:
    """Return the imported module of the package if the wheel does not contain it, else None."""
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
