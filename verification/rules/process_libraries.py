"""Check which libraries and which package the process loaded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from verification.models.cause import Cause
from verification.models.evidence import CellEvidence
from verification.models.expectation import Expectation
from verification.rules import install_paths as paths
from verification.rules import loader_messages
from verification.rules.finding import Finding, finding


def unresolved_symbols(evidence: CellEvidence, expectation: Expectation) -> Iterator[Cause]:
    """Yield the symbols that a library of the package imports from another that has them not."""
    own = {path.name.lower() for path in paths.added_paths(evidence)}
    for stub in _own_stubs(evidence, expectation):
        if stub.library.lower() in own:
            name = stub.needed_by.name
            observed = f"{name} imports {stub.symbol} of {stub.library}, which does not export it; "
            observed += "Windows refuses to load such a library, Wine does not"
            facts = {"library": stub.library, "symbol": stub.symbol, "needed_by": name}
            yield finding("symbol-not-found", observed, **facts).at(evidence, name)


def unknown_to_wine(evidence: CellEvidence, expectation: Expectation) -> Iterator[Cause]:
    """Yield, as a note, what a library of the package imports from Windows that Wine lacks."""
    own = {path.name.lower() for path in paths.added_paths(evidence)}
    for stub in _own_stubs(evidence, expectation):
        if stub.library.lower() not in own:
            name = stub.needed_by.name
            observed = f"{name} imports {stub.symbol} of {stub.library}, which Wine has not; "
            observed += "whether every Windows has it was not verified"
            facts = {"library": stub.library, "symbol": stub.symbol, "needed_by": name}
            yield finding("unknown-to-wine", observed, **facts).at(evidence, name)


def _own_stubs(
    evidence: CellEvidence, expectation: Expectation
) -> Iterator[loader_messages.StubSymbol]:
    for stub in loader_messages.stub_symbols(evidence.loader):
        if paths.is_within(stub.needed_by, expectation.module):
            yield stub


def shadowed_import(evidence: CellEvidence, expectation: Expectation) -> Iterator[Cause]:
    """Yield that another package was imported than the one that was installed."""
    step = evidence.steps.import_package
    if step and step.value:
        file = step.value.file or f"{step.value.folder} (a folder without code)"
        yield from shadowed_by(file, "import", evidence, expectation)


def shadowed_by(
    file: str, location: str, evidence: CellEvidence, expectation: Expectation
) -> Iterator[Cause]:
    """Yield that this imported file is not the one that was installed."""
    kind, module = paths.path_type(evidence), expectation.module
    installed = [
        path
        for path in evidence.installed.added
        if kind(path).parts[-2:] == (module, "__init__.py")
    ]
    if kind(file) not in map(kind, installed):
        observed = f"`import {module}` took {file}, installed is {', '.join(installed) or 'none'}"
        fault = finding("shadowed-import", observed, imported=file, installed=tuple(installed))
        yield fault.at(evidence, location)


def undefined_functions(evidence: CellEvidence, expectation: Expectation) -> Iterator[Cause]:
    """Yield the functions that the package declares and its libraries do not export."""
    step = evidence.steps.native_call
    lacking = sorted(step.value.lacking) if step and step.value else []
    if lacking:
        observed = f"{len(lacking)} functions that the package declares are in no library of it, "
        observed += f"first {', '.join(lacking[:3])}"
        fault = finding("symbol-not-found", observed, count=len(lacking), symbol=lacking[0])
        yield fault.at(evidence, ("native-call", *expectation.libraries)[-1])


def loaded_libraries(evidence: CellEvidence, expectation: Expectation) -> Iterator[Cause]:
    """Yield the libraries of the package that were loaded from elsewhere, twice or not at all."""
    step, native = evidence.steps.mapped, evidence.steps.native_call
    if step is None or step.value is None:
        return
    for library in expectation.libraries:
        if fault := _loaded(library, step.value, evidence, must=bool(native and native.ok)):
            yield fault.at(evidence, "mapped libraries")


def _loaded(
    library: str, mapped: Sequence[str], evidence: CellEvidence, *, must: bool
) -> Finding | None:
    kind, installed = paths.path_type(evidence), paths.added_paths(evidence)
    copies = tuple(path for path in mapped if paths.is_bundled(kind(path).name, (library,)))
    strange = tuple(path for path in copies if kind(path) not in installed)
    if strange:
        observed = f"{library} was loaded from {', '.join(strange)}, outside the package"
        return finding("wrong-library-loaded", observed, library=library, paths=strange)
    if must and len(copies) > 1:
        observed = f"{library} is mapped {len(copies)} times: {', '.join(copies)}"
        return finding("duplicate-library", observed, library=library, paths=copies)
    if must and not copies:
        observed = f"{library} is not in the process after native calls; mapped are {list(mapped)}"
        return finding("wrong-library-loaded", observed[:400], library=library)
    return None
