"""Detect that a package uses its Python code because its extension modules do not load."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePath

from verification.models.cause import Cause, FactValue
from verification.models.evidence import CellEvidence
from verification.models.expectation import Expectation
from verification.rules import install_paths as paths
from verification.rules import loader_messages
from verification.rules.finding import finding
from verification.rules.loader_messages import MissingLibrary
from verification.wheel.library_names import is_extension_module

PURE_PYTHON_FALLBACK = "pure-python-fallback"


def pure_python_fallback(evidence: CellEvidence, expectation: Expectation) -> Iterator[Cause]:
    """Yield a cause if the package works, but the loader refused its extension modules.

    The import of the package can prove it: Python began to load a module of the package, the loader
    refused it, and the package handled the error. If other modules are loaded, the loader must have
    reported a missing library, because a package can try a module for another processor first.

    If the import does not prove it, the process must have mapped none of the modules. This alone is
    no proof, because a package can load an extension module at a later call. The loader must also
    have reported that it cannot load one of the modules, or subject.toml must declare the modules
    as libraries that the smoke test uses.
    """
    libraries, native = evidence.mapped, evidence.steps.native_call
    if libraries is None or native is None or not native.ok:
        return
    modules = _extension_modules(evidence, expectation)
    mapped = modules & set(map(paths.path_type(evidence), libraries))
    refused = [
        missing
        for missing in loader_messages.missing_libraries(evidence.loader)
        if missing.needed_by in modules
    ]
    if cause := _refused_at_import(evidence, modules, mapped, refused):
        yield cause
        return
    if not modules or mapped:
        return
    if refused:
        facts: dict[str, FactValue] = {
            "library": refused[0].library,
            "needed_by": refused[0].needed_by.name,
            "count": len(modules),
        }
        fault = finding(PURE_PYTHON_FALLBACK, "refused", **facts)
        yield fault.at(evidence, refused[0].needed_by.name)
    elif declared := _declared_modules(expectation.libraries):
        fault = finding(PURE_PYTHON_FALLBACK, "unmapped", modules=declared, count=len(modules))
        yield fault.at(evidence, "mapped libraries")


def _refused_at_import(
    evidence: CellEvidence,
    modules: frozenset[PurePath],
    mapped: frozenset[PurePath],
    missing: Sequence[MissingLibrary],
) -> Cause | None:
    """Return the cause if the loader refused modules at the import and the package handled this."""
    step = evidence.steps.import_package
    if step is None or step.value is None:
        return None
    kind = paths.path_type(evidence)
    tried = {kind(path): loaded for path, loaded in step.value.extension_modules.items()}
    own_modules = {path: loaded for path, loaded in tried.items() if path in modules}
    refused = sorted(
        path for path, loaded in own_modules.items() if not loaded and path not in mapped
    )
    if not refused:
        return None
    facts: dict[str, FactValue] = {"refused": len(refused), "count": len(modules)}
    if reported := next((each for each in missing if each.needed_by in refused), None):
        facts |= {"library": reported.library, "needed_by": reported.needed_by.name}
        fault = finding(PURE_PYTHON_FALLBACK, "import-library", **facts)
    elif len(refused) == len(own_modules):
        facts["needed_by"] = refused[0].name
        fault = finding(PURE_PYTHON_FALLBACK, "import", **facts)
    else:
        return None
    return fault.at(evidence, str(facts["needed_by"]))


def without_unmapped_modules(causes: Sequence[Cause]) -> Iterator[Cause]:
    """Yield the causes of loaded libraries, without those of extension modules that did not load.

    `pure_python_fallback` reports these."""
    for cause in causes:
        library = str(cause.facts.get("library", ""))
        is_unmapped = cause.name == "wrong-library-loaded" and "paths" not in cause.facts
        if not is_unmapped or not is_extension_module(library):
            yield cause


def _declared_modules(libraries: Sequence[str]) -> tuple[str, ...]:
    names = (library.rpartition("/")[2] for library in libraries)
    return tuple(name for name in names if is_extension_module(name))


def _extension_modules(evidence: CellEvidence, expectation: Expectation) -> frozenset[PurePath]:
    """Return the installed extension modules of the package."""
    return frozenset(
        path
        for path in paths.added_paths(evidence)
        if paths.is_within(path, expectation.module) and is_extension_module(path.name)
    )
