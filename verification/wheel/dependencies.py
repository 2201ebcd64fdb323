"""The dependencies that a wheel declares, and the imports that no dependency provides."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from packaging.markers import Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import NormalizedName, canonicalize_name

from verification.models.cause import Cause
from verification.models.subject import Subject, Target
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
    """Return the declared dependencies that hold on the wheel's platform.

    One that holds for some patch releases of the Python only is left out: a machine has any.
    """
    environment = marker_environment(Target.of(identity.platform_tag), subject.python_version)
    texts = identity.metadata.get("requires_dist", ())
    return frozenset(
        canonicalize_name(requirement.name) for requirement in requirements(texts, environment)
    )


def marker_environment(target: Target, python: tuple[int, int]) -> dict[str, str]:
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
    """Yield the requirements that hold in an environment, with these extras.

    A requirement that holds only for some patch releases of the Python is left out.
    """
    for text in texts:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            # Declares nothing: an import of it is then a missing dependency.
            continue
        marker = requirement.marker
        if marker is None or any(
            _holds(marker, {**environment, "extra": extra}) for extra in ("", *extras)
        ):
            yield requirement


def faults(
    archive: Archive,
    identity: WheelIdentity,
    subject: Subject,
    modules: Mapping[NormalizedName, frozenset[str]],
    code: PackageCode,
) -> Iterator[Cause]:
    """Yield the imports that nothing provides.

    Counted is what runs on import, and of the package's own modules also what functions import.
    Where it may not run, the cause is a mere risk. ``modules`` are the top-level modules of the
    known distributions; any other is assumed to have a module of its own name. If it is declared,
    it may provide what is imported: the cause is a mere risk as well.
    """
    package = subject.import_package
    install_paths = archive.install_paths.values()
    if not any(path.startswith(f"{package}/") and path.endswith(".py") for path in install_paths):
        observed = f"holds no module of the package {package}"
        yield catalogue().cause("missing-dependency", where=archive.name, observed=observed)
        return
    declared = declared_dependencies(identity, subject)
    installed = installed_modules(archive, identity)
    available = stdlib.NAMES | installed | {name.replace("-", "_") for name in declared}
    available = available.union(*(modules.get(name, ()) for name in declared))
    unknown = sorted(declared - modules.keys()) if modules else []
    run = reachable_modules(code.links, package)
    certainly_run = reachable_modules(_certain_links(code), package)
    for path, imported in ((path, one) for path, every in code.imports.items() for one in every):
        top = imported.module.partition(".")[0]
        certain, is_risk = imported.certain, False
        if top == package:
            absent = _absent_module(imported, installed, code.names)
            if not absent:
                continue
            module = absent
            # What only some systems run may import what only their wheels have.
            certain = certain and path in certainly_run
            observed = f"imports {absent}, which is not in the wheel"
            observed += ", when a function is called" * imported.in_function
        elif imported.in_function or top in available:
            continue
        else:
            module = top
            names = ", ".join(sorted(declared)) or "nothing"
            observed = f"imports {top}, and the wheel requires {names}"
            if unknown:
                observed += f"; the modules of {', '.join(unknown)} are not known"
                is_risk = True
        if path not in run:
            observed += "; the package itself does not import this module"
        elif not certain:
            observed += "; under a condition"
        risk = is_risk or path not in run or not certain
        yield catalogue().cause(
            "missing-dependency", where=path, observed=observed, risk=risk, module=module
        )


def _certain_links(code: PackageCode) -> dict[str, set[str]]:
    return {
        path: {module for one in imports if one.certain for module in one.modules}
        for path, imports in code.imports.items()
    }


def _absent_module(
    imported: ImportedModule,
    installed: frozenset[str],
    names: Mapping[str, frozenset[str] | None],
) -> str | None:
    """Return the module of the package that is imported and is not in the wheel."""
    if imported.module not in installed:
        return imported.module
    defined = names.get(f"{imported.module.replace('.', '/')}/__init__.py")
    module = f"{imported.module}.{imported.name}"
    if not imported.name or defined is None or imported.name in defined or module in installed:
        return None
    return module


def _holds(marker: Marker, environment: Mapping[str, str]) -> bool:
    reads_patch = re.search("python_full_version|implementation_version", str(marker))
    versions = [f"{environment['python_version']}.{patch}" for patch in PATCHES]
    return all(
        marker.evaluate(
            {**environment, "python_full_version": version, "implementation_version": version}
        )
        for version in (versions if reads_patch else versions[:1])
    )


def _platform_machine(target: Target) -> str:
    """Return what `platform.machine()` returns there."""
    if target.system == "windows":
        return _WINDOWS_MACHINES.get(target.machine, target.machine)
    return "arm64" if (target.system, target.machine) == ("macos", "aarch64") else target.machine
