"""Apply all rules to one wheel.

The inspection collects all faults. It lists everything that it cannot check as unverified.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set

from verification.models.cause import Cause, sorted_causes
from verification.models.inspection import WheelInspection
from verification.models.subject import PlatformTarget, Subject
from verification.rules.catalogue import catalogue
from verification.wheel import (
    contents,
    dependencies,
    entry_points,
    file_names,
    identity,
    imports,
    linux,
    native_code,
    private_files,
    python_abi,
    record,
    scripts,
    sources,
    startup_code,
    top_level,
    unused_files,
    upload,
    windows,
)
from verification.wheel.archive import Archive
from verification.wheel.identity import WheelIdentity
from verification.wheel.modules import Distributions
from verification.wheel.native_code import NativeCode
from verification.wheel.tags import has_cpython, parse_tags, subject_for_wheel

CHECKS = (
    *("identity", "record", "file-names", "top-level", "unused-files", "private-files"),
    *("startup-code", "scripts", "entry-points", "dependencies", "native-code", "python-abi"),
    *("contents", "upload"),
)
"""The names of the checks of every wheel: the modules with their rules."""
_CPYTHON_CHECKS = ("dependencies", "python-abi")
"""The checks that need to know the libraries and the names of modules of the interpreter."""
_OTHER_INTERPRETER = "imports and needed libraries: the wheel is for another interpreter"
_SYSTEM_CHECKS = {"linux": "linux", "musl": "linux", "windows": "windows"}


def inspect_wheel(
    archive: Archive,
    subject: Subject,
    distributions: Distributions | None = None,
    *,
    additional: bool = False,
    published: bool = False,
) -> WheelInspection:
    """Inspect one wheel.

    ``distributions`` are those that the wheel may depend on; None if none is known.

    An ``additional`` wheel is one that the subject does not declare. Its own tags decide which
    Python and which platforms it must support. A ``published`` wheel is not uploaded again.
    """
    if additional:
        subject = subject_for_wheel(archive.name, subject)
    wheel_identity = identity.identify(archive, subject)
    environment = dependencies.run_environment(wheel_identity, subject)
    code = imports.read_package(archive, subject.import_package, environment)
    declared = native_code.declared_paths(archive, wheel_identity.platform, subject)
    libraries, unloadable = native_code.gather(archive, declared)
    known = distributions or {}
    provided = frozenset[str]().union(*(other.libraries for other in known.values()))
    native = NativeCode(tuple(libraries), wheel_identity.platform_tag, declared, provided)
    requires = wheel_identity.metadata.get("requires_dist", ())
    wheel_contents = contents.read(archive, libraries, requires)
    causes = [
        *unloadable,
        *identity.causes(archive, wheel_identity, subject, additional=additional),
        *record.causes(archive),
        *file_names.causes(archive, wheel_identity, subject),
        *top_level.causes(archive, wheel_identity, subject, known),
        *unused_files.causes(archive, wheel_identity),
        *private_files.causes(archive),
        *startup_code.causes(archive),
        *scripts.causes(archive, wheel_identity),
        *contents.causes(wheel_contents, subject.contents),
        *entry_points.causes(archive, wheel_identity, subject),
        *native_code.causes(archive, wheel_identity, subject, native, additional=additional),
    ]
    if not published:
        causes += upload.causes(archive)
    is_for_cpython = has_cpython(wheel_identity.tags)
    if is_for_cpython:
        causes += dependencies.causes(archive, wheel_identity, subject, distributions, code)
        causes += python_abi.causes(native, wheel_identity.tags)
        optional = code.optional(subject.import_package)
        causes += (
            _of_optional_module(cause, optional)
            for cause in _system_causes(archive, wheel_identity, subject, native)
        )
    return WheelInspection(
        file=archive.name,
        sha256=archive.sha256,
        size=archive.size,
        name=wheel_identity.name,
        version=wheel_identity.version,
        tags=tuple(sorted(map(str, wheel_identity.tags))),
        platform=wheel_identity.platform.tag if wheel_identity.platform else None,
        requires_python=wheel_identity.metadata.get("requires_python"),
        requires=tuple(requires),
        extras=tuple(wheel_identity.metadata.get("provides_extra", ())),
        libraries=tuple(library.summary() for library in libraries),
        files=archive.names,
        contents=wheel_contents,
        sources=sources.digests(archive, subject.import_package),
        additional=additional,
        unverified=(
            *(f"imports of {path}: {reason}" for path, reason in code.unparsed.items()),
            *(f"{library.path}: {library.unread}" for library in libraries if library.unread),
            *(() if is_for_cpython else (_OTHER_INTERPRETER,)),
        ),
        causes=sorted_causes(_located(causes, archive.name) if additional else causes),
    )


def _system_causes(
    archive: Archive, identity: WheelIdentity, subject: Subject, native: NativeCode
) -> Iterator[Cause]:
    """Yield the reasons why the libraries cannot load on the system of the wheel."""
    match native.target.system if identity.platform else None:
        case "linux" | "musl":
            yield from linux.causes(native)
            yield from linux.interposition(native.matching, subject.embedded)
        case "windows":
            yield from windows.causes(archive, native, subject, identity.tags)
        case _:
            pass


def _of_optional_module(cause: Cause, optional: Set[str]) -> Cause:
    """Return a missing library as a risk if only an optional extension module needs it.

    The package does without such a module. Other causes are returned unchanged.
    """
    module = cause.where.partition(".")[0].replace("/", ".")
    if cause.name != "missing-runtime-library" or module not in optional:
        return cause
    return catalogue().cause(cause.name, cause.where, cause.message, risk=True, **cause.facts)


def check_names(wheel: WheelInspection, *, published: bool = False) -> tuple[str, ...]:
    """Return the names of the checks that the inspection of a wheel made."""
    checks = tuple(name for name in CHECKS if not (published and name == "upload"))
    if not has_cpython(parse_tags(wheel.tags)):
        return tuple(name for name in checks if name not in _CPYTHON_CHECKS)
    system = PlatformTarget.of(wheel.platform).system if wheel.platform else ""
    return (*checks, *filter(None, [_SYSTEM_CHECKS.get(system)]))


def _located(causes: Iterable[Cause], wheel: str) -> Iterator[Cause]:
    """Yield the causes with the name of the wheel, because a platform can have several wheels."""
    for cause in causes:
        where = cause.where if wheel in cause.where else f"{wheel}: {cause.where}"
        yield cause.model_copy(update={"where": where})
