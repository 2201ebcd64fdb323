"""Find what prevents the libraries of a wheel from loading on a Linux system of its tag.

auditwheel's policy data defines the libraries and symbol versions that every system of a manylinux
or musllinux tag has (PEP 600, PEP 656).
"""

from __future__ import annotations

import functools
import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

from auditwheel.architecture import Architecture
from auditwheel.libc import Libc
from auditwheel.policy import Policy, WheelPolicies

from verification.models.cause import Cause, FactValue
from verification.models.inspection import Import, Library
from verification.models.subject import Target
from verification.rules.catalogue import catalogue
from verification.wheel.native_code import NativeCode
from verification.wheel.wording import listing

_ORIGIN = re.compile(r"\$ORIGIN\b|\$\{ORIGIN\}")

# The dynamic linker is always there: it is what loads the rest.
_LINKER = re.compile(r"ld-linux.*|ld64\.so\.\d|ld-musl-.*")

# Libraries whose every symbol has a version when linked against: a symbol without one that a
# library needs beside these is not theirs.
_VERSIONED = {
    "libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libutil.so.1",
    "libresolv.so.2", "libmvec.so.1", "libgcc_s.so.1", "libstdc++.so.6",
}  # fmt: skip

# A library that was not linked against libm, libpthread or the interpreter takes their symbols
# without a version from the process. Names like theirs are left to the machines to decide.
_MAYBE_SYSTEM = re.compile(
    r"_*[a-z0-9]+(_r|_l|_chk)?"
    r"|(pthread|sem|shm|mq|aio|timer|thrd|mtx|cnd|tss|clock|posix)_\w+"
    r"|_*Py\w+"
    r"|__\w+|_Unwind_\w+|_ZN?K?St\w+|_ZN?K?S[abdios]\w+|_Zn[wa]\w+|_Zd[la]\w+"
    r"|_ZT[ISV]N?St\w+|_ZN?K?9__gnu_cxx\w+|_ZN?K?10__cxxabiv1\w+|_ZT[ISV]N10__cxxabiv1\w+"
)


def faults(code: NativeCode) -> Iterator[Cause]:
    """Yield what keeps the libraries of a wheel from loading on a system of its tag."""
    policy = _policy(code.target)
    for library in code.matching:
        yield from _missing_libraries(library, code, policy)
        yield from _too_new(library, code, policy)
        yield from _missing_symbols(library, code)
        if library.instruction_set > 1:
            version = f"x86-64-v{library.instruction_set}"
            observed = f"asks for a processor of {version}, and {code.tag} is for every x86-64"
            yield _fault("illegal-instruction", library, observed, processor=version)
        foreign = [path for path in library.run_paths if path and not _ORIGIN.match(path)]
        if foreign:
            folders = listing(foreign)
            observed = f"looks for libraries in {folders}, a folder of the machine that built it"
            yield _fault("foreign-run-path", library, observed, folders=tuple(foreign))
        if library.executable_stack:
            yield _fault("executable-stack", library, "asks for an executable stack")


def interposition(libraries: Iterable[Library], prefixes: Iterable[str]) -> Iterator[Cause]:
    """Yield the libraries whose embedded third-party code another copy could take over."""
    prefixes = tuple(prefixes)
    for library in libraries:
        for prefix in prefixes:
            exposed = [name for name in library.interposable if name.startswith(prefix)]
            if exposed:
                observed = (
                    f"exports {len(exposed)} {prefix}* symbols and binds its own calls to them"
                )
                observed += f" when it is loaded ({listing(exposed)})"
                yield _fault("symbol-interposition", library, observed, risk=True, prefix=prefix)


@functools.cache
def _policy(target: Target) -> Policy | None:
    """Return what the tag promises: its own policy, or else that of the next older tag."""
    if target.libc is None:
        return None
    libc, name = Libc.GLIBC, "manylinux"
    musl_policy = None
    if target.system == "musl":
        libc, name = Libc.MUSL, "musllinux"
        musl_policy = f"musllinux_{target.libc[0]}_{target.libc[1]}"
    try:
        architecture = Architecture(target.machine)
        policies = WheelPolicies(libc=libc, arch=architecture, musl_policy=musl_policy)
    except (ValueError, LookupError, AssertionError):
        return None
    fitting = [
        (policy_libc, policy)
        for policy in policies
        if policy.name.startswith(f"{name}_")
        and (policy_libc := Target.of(policy.name).libc)
        and policy_libc <= target.libc
    ]
    return max(fitting, key=lambda pair: pair[0], default=(None, None))[1]


def _missing_libraries(
    library: Library, code: NativeCode, policy: Policy | None
) -> Iterator[Cause]:
    for name in library.needed:
        if _LINKER.fullmatch(name) or (policy and name in policy.whitelist):
            continue
        if re.sub(r"\.so\..*", ".so", name) in code.absent:
            continue  # the absent library has a cause of its own
        carriers = _carriers(code, name)
        if carriers and not _is_found(carriers, name, code):
            observed = f"needs {name}, and no run path leads to {carriers[0].path}"
            yield _fault("missing-runtime-library", library, observed, library=name)
        elif not carriers and policy:
            observed = (
                f"needs {name}, which the wheel does not carry and {code.tag} does not promise"
            )
            yield _fault("missing-runtime-library", library, observed, library=name)


def _carriers(code: NativeCode, name: str) -> list[Library]:
    """Return the libraries that answer to a needed name: by soname or by file name."""
    return [
        library
        for library in code.libraries
        if name == library.soname or name in map(posixpath.basename, library.paths)
    ]


def _is_found(carriers: Iterable[Library], name: str, code: NativeCode) -> bool:
    """Return whether the linker finds one of the carriers.

    It does if the package loaded it before (the linker knows it by its soname), or if the run path
    of any library that needs it leads there.
    """
    return any(
        set(code.declared) & set(carrier.paths)
        or any(
            name in library.needed and _reaches(library, carrier, name)
            for library in code.libraries
        )
        for carrier in carriers
    )


def _reaches(library: Library, carrier: Library, name: str) -> bool:
    folders = {
        posixpath.normpath(_ORIGIN.sub(posixpath.dirname(path), run_path))
        for path in library.paths
        for run_path in library.run_paths
    }
    return any(
        posixpath.basename(path) == name and posixpath.dirname(path) in folders
        for path in carrier.paths
    )


def _too_new(library: Library, code: NativeCode, policy: Policy | None) -> Iterator[Cause]:
    """Yield the symbol versions above what the tag promises: one cause for each kind."""
    if policy is None:
        return
    excess: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for source, versions in library.versions.items():
        for version in versions:
            kind, _, number = version.partition("_")
            promised = policy.symbol_versions.get(kind)
            if promised is None or number in promised:
                continue
            # A tag may lie between two that auditwheel knows; for glibc its number decides.
            numbered = kind == "GLIBC" and re.fullmatch(r"[\d.]+", number)
            if not numbered or _number(number) > (code.target.libc or ()):
                excess[_floor_of(kind)].append((version, source))
    for cause, newer in excess.items():
        version, source = max(newer, key=lambda pair: (_number(pair[0]), pair))
        users = sorted(wanted.symbol for wanted in library.imports if wanted.version == version)
        by = f" ({listing(users, 2)})" if users else ""
        others = len(newer) - 1
        more = f" and {others} more such version{'s' * (others > 1)}" if others else ""
        observed = f"needs {version} of {source}{by}{more}, above {code.tag}"
        yield _fault(cause, library, observed, library=source, version=version)


def _floor_of(kind: str) -> str:
    match kind:
        case "GLIBC":
            return "glibc-floor"
        case "GLIBCXX" | "CXXABI" | "GCC" | "LIBATOMIC":
            return "libstdcxx-floor"
        case _:
            return "runtime-too-old"


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(digits) for digits in re.findall(r"\d+", version))


def _missing_symbols(library: Library, code: NativeCode) -> Iterator[Cause]:
    """Yield the symbols that nothing can provide, where that is certain.

    Certain is: no library of the wheel exports it; all needed libraries are in the wheel or have
    versions on all their symbols; and the symbol is none that the system could have.
    """
    carriers = {name: _carriers(code, name) for name in library.needed}
    known = {other.paths for other in code.matching if other.unread is None}
    if any(other.paths not in known for others in carriers.values() for other in others):
        return  # what such a library exports is not known
    exported = frozenset[str]().union(*(other.exports for other in code.libraries))
    families = {_family(symbol) for symbol in exported} - {None}
    closed = all(
        others or name in _VERSIONED or _LINKER.fullmatch(name) for name, others in carriers.items()
    )

    def is_certain(wanted: Import) -> bool:
        if wanted.library and carriers.get(wanted.library):
            return True
        if not closed or wanted.version or _MAYBE_SYSTEM.fullmatch(wanted.symbol):
            return False
        # Without libc among the needed libraries, its symbols have no versions either.
        return "libc.so.6" in library.needed or _family(wanted.symbol) in families

    missing = [
        wanted.symbol
        for wanted in library.imports
        if wanted.symbol not in exported and is_certain(wanted)
    ]
    if missing:
        observed = f"needs {listing(sorted(missing))}, which no library it loads provides"
        yield _fault("symbol-not-found", library, observed, symbols=tuple(sorted(missing)))


def _family(symbol: str) -> str | None:
    """Return what similar symbols have in common: a prefix such as `zlib_`, or a C++ name."""
    if cpp := re.match(r"_ZN?K?(\d{1,3})", symbol):  # the length of the name comes first
        return symbol[cpp.end() :][: int(cpp[1])]
    prefix = re.match(r"[A-Za-z0-9]+_", symbol)
    return prefix[0] if prefix else None


def _fault(
    name: str, user: Library, observed: str, *, risk: bool = False, **facts: FactValue
) -> Cause:
    return catalogue().cause(name, where=user.path, observed=observed, risk=risk, **facts)
