"""Check which libraries and which copy of the package the process loaded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePath, PurePosixPath

from verification.models.cause import Cause, FactValue
from verification.models.evidence import CellEvidence
from verification.models.expectation import Expectation
from verification.rules import install_paths as paths
from verification.rules import loader_messages
from verification.rules.finding import Finding, finding


def unresolved_symbols(evidence: CellEvidence, expectation: Expectation) -> Iterator[Cause]:
    """Yield a cause for each import of the package that an installed library does not export."""
    installed = {path.name.lower() for path in paths.added_paths(evidence)}
    for stub in _package_stubs(evidence, expectation):
        if stub.library.lower() in installed:
            fault = finding("symbol-not-found", "import", **_stub_facts(stub))
            yield fault.at(evidence, stub.needed_by.name)


def unknown_to_wine(evidence: CellEvidence, expectation: Expectation) -> Iterator[Cause]:
    """Yield a note for each Windows function that the package imports and Wine does not have."""
    installed = {path.name.lower() for path in paths.added_paths(evidence)}
    for stub in _package_stubs(evidence, expectation):
        if stub.library.lower() not in installed:
            note = finding("unknown-to-wine", "import", **_stub_facts(stub))
            yield note.at(evidence, stub.needed_by.name)


def _stub_facts(stub: loader_messages.StubSymbol) -> dict[str, str]:
    return {"library": stub.library, "symbol": stub.symbol, "needed_by": stub.needed_by.name}


def _package_stubs(
    evidence: CellEvidence, expectation: Expectation
) -> Iterator[loader_messages.StubSymbol]:
    files = paths.package_files(evidence, expectation)
    for stub in loader_messages.stub_symbols(evidence.loader):
        if stub.needed_by in files or paths.is_within(stub.needed_by, expectation.module):
            yield stub


def shadowed_import(evidence: CellEvidence, expectation: Expectation) -> Iterator[Cause]:
    """Yield a cause if the import loaded another file than the installed one."""
    step = evidence.steps.import_package
    if step and step.value:
        folder = step.value.folder
        if not step.value.file and folder and _is_namespace(folder, evidence):
            return
        file = step.value.file or f"{folder} (a folder without code)"
        yield from shadowed_by(file, "import", evidence, expectation)


def shadowed_by(
    file: str, location: str, evidence: CellEvidence, expectation: Expectation
) -> Iterator[Cause]:
    """Yield a cause if this imported file is not the installed one."""
    kind, module = paths.path_type(evidence), expectation.module
    installed = tuple(
        path for path in evidence.installed.added if paths.is_module_file(kind(path), module)
    )
    if kind(file) not in map(kind, installed):
        form = "other" if installed else "not-installed"
        fault = finding("shadowed-import", form, module=module, imported=file, installed=installed)
        yield fault.at(evidence, location)


def _is_namespace(folder: str, evidence: CellEvidence) -> bool:
    """Return whether a folder without code is a namespace package of the installation (PEP 420).

    Such a package has no `__init__.py`. The installation adds packages inside its folder.
    """
    kind = paths.path_type(evidence)
    return any(
        paths.is_module_file(path, path.parent.name) and path.parent.parent == kind(folder)
        for path in map(kind, evidence.installed.added)
    )


def undefined_functions(evidence: CellEvidence, expectation: Expectation) -> Iterator[Cause]:
    """Yield a cause for the functions that the package declares and its libraries do not export."""
    step = evidence.steps.native_call
    missing = sorted(step.value.lacking) if step and step.value else []
    if missing:
        facts: dict[str, FactValue] = {"count": len(missing), "symbols": tuple(missing[:3])}
        fault = finding("symbol-not-found", "declared", **facts)
        yield fault.at(evidence, ("native-call", *expectation.libraries)[-1])


def loaded_libraries(evidence: CellEvidence, expectation: Expectation) -> Iterator[Cause]:
    """Yield a cause for each library of the package loaded from elsewhere, twice or not at all."""
    mapped, native = evidence.mapped, evidence.steps.native_call
    if mapped is None:
        return
    for library in expectation.libraries:
        fault = _loaded(library, mapped, evidence, is_required=bool(native and native.ok))
        if fault:
            yield fault.at(evidence, "mapped libraries")


def _loaded(
    library: str, mapped: Sequence[str], evidence: CellEvidence, *, is_required: bool
) -> Finding | None:
    kind, installed = paths.path_type(evidence), paths.added_paths(evidence)
    copies = tuple(path for path in mapped if _is_copy(kind(path), library))
    outside = tuple(path for path in copies if kind(path) not in installed)
    if outside:
        return finding("wrong-library-loaded", "outside", library=library, paths=outside)
    if is_required and len(copies) > 1:
        facts: dict[str, FactValue] = {"count": len(copies), "paths": copies}
        return finding("duplicate-library", "mapped", library=library, **facts)
    if is_required and not copies:
        return finding("wrong-library-loaded", "unmapped", library=library)
    return None


def _is_copy(path: PurePath, library: str) -> bool:
    """Return whether a path ends with a library, which can have a folder (`core/_x.so`)."""
    kind, parent = type(path), path.parent.parts
    folder = kind(PurePosixPath(library).parent)
    tail = kind(*parent[len(parent) - len(folder.parts) :])
    return tail == folder and paths.is_bundled(path.name, (library,))
