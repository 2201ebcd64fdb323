"""Find the reasons why a wheel's libraries cannot load on a Linux system that its tag allows.

The policy data of auditwheel defines the libraries and symbol versions that every system of a
manylinux or musllinux tag has (PEP 600, PEP 656).
"""

from __future__ import annotations

import functools
import posixpath
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from auditwheel.architecture import Architecture
from auditwheel.libc import Libc
from auditwheel.policy import Policy, WheelPolicies

from verification.models.cause import Cause, FactValue
from verification.models.inspection import Import, Library
from verification.models.subject import PlatformTarget
from verification.rules.catalogue import catalogue
from verification.wheel.library_names import is_extension_module
from verification.wheel.linker import Linker, Opened, Process, effective_run_path
from verification.wheel.native_code import NativeCode
from verification.wheel.wording import listing

_ORIGIN = re.compile(r"\$ORIGIN\b|\$\{ORIGIN\}")
_ROOT = "/python/site-packages/"
"""The folder of installed modules. A run path can lead out of it."""

# The dynamic linker is on every system, because it loads all other libraries.
_LINKER = re.compile(r"ld-linux.*|ld64\.so\.\d|ld-musl-.*")

# These libraries are the dynamic linker of musl itself (musl, ldso/dynlink.c, load_library). It
# ignores what follows the first dot. A number there belongs to a library of glibc.
_MUSL_ITSELF = re.compile(r"lib(c|pthread|rt|m|dl|util|xnet)\.(so|musl-\w+\.so\.1)")

# All symbols of these libraries have a version. A library that is linked with one of them needs its
# symbols with their version, so these libraries do not provide a symbol without a version.
_VERSIONED = {
    "libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libutil.so.1",
    "libresolv.so.2", "libmvec.so.1", "libgcc_s.so.1", "libstdc++.so.6",
}  # fmt: skip

# A library that is not linked with libm, libpthread or the interpreter uses their symbols from the
# process, without a version. Only a machine can show whether symbols with such names exist.
_MAYBE_SYSTEM = re.compile(
    r"_*[a-z0-9]+(_r|_l|_chk)?"
    r"|(pthread|sem|shm|mq|aio|timer|thrd|mtx|cnd|tss|clock|posix)_\w+"
    r"|_*Py\w+"
    r"|__\w+|_Unwind_\w+|_ZN?K?St\w+|_ZN?K?S[abdios]\w+|_Zn[wa]\w+|_Zd[la]\w+"
    r"|_ZT[ISV]N?St\w+|_ZN?K?9__gnu_cxx\w+|_ZN?K?10__cxxabiv1\w+|_ZT[ISV]N10__cxxabiv1\w+"
)


def causes(code: NativeCode) -> Iterator[Cause]:
    """Yield the reasons why libraries of a wheel cannot load on a system of its tag."""
    policy = _policy(code.target)
    yield from _missing_libraries(code, policy)
    exports = _Exports.of(code)
    for library in code.matching:
        yield from _too_new(library, code, policy)
        yield from _missing_symbols(library, code, exports)
        if library.instruction_set > 1:
            version = f"x86-64-v{library.instruction_set}"
            message = f"needs a processor with {version}, but {code.tag} is for every x86-64"
            yield _fault("illegal-instruction", library, message, processor=version)
        run_path = effective_run_path(library)
        foreign = [folder for folder in run_path if folder and not _ORIGIN.match(folder)]
        if foreign:
            message = f"has the run path {listing(foreign)}, a folder of the build machine"
            yield _fault("foreign-run-path", library, message, folders=tuple(foreign))
        if library.executable_stack:
            message = "requires an executable stack, which glibc 2.41 and later refuse"
            yield _fault("executable-stack", library, message)
        if library.text_relocations:
            message = "has text relocations: the loader must write to its code"
            yield _fault("text-relocations", library, message, risk=True)


def interposition(libraries: Iterable[Library], prefixes: Iterable[str]) -> Iterator[Cause]:
    """Yield a cause for each library whose calls to embedded code can reach another copy of it."""
    prefixes = tuple(prefixes)
    for library in libraries:
        for prefix in prefixes:
            exposed = [name for name in library.interposable if name.startswith(prefix)]
            if exposed:
                message = f"exports {len(exposed)} {prefix}* symbols ({listing(exposed)}) and"
                message += " calls them through the dynamic linker"
                yield _fault(
                    "symbol-interposition",
                    library,
                    message,
                    risk=True,
                    prefix=prefix,
                    symbols=len(exposed),
                )


@functools.cache
def _policy(target: PlatformTarget) -> Policy | None:
    """Return the policy of the tag, or of the next older tag that auditwheel knows."""
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
    policies_up_to_tag = [
        (policy_libc, policy)
        for policy in policies
        if policy.name.startswith(f"{name}_")
        and (policy_libc := PlatformTarget.of(policy.name).libc)
        and policy_libc <= target.libc
    ]
    return max(policies_up_to_tag, key=lambda pair: pair[0], default=(None, None))[1]


def _missing_libraries(code: NativeCode, policy: Policy | None) -> Iterator[Cause]:
    """Yield a cause for each needed library that the dynamic linker does not find."""
    for needed_by, name in dict.fromkeys(_missing_needs(code, policy)):
        message = f"needs {name}, but"
        facts: dict[str, FactValue] = {"library": name}
        if bundled := _bundled(code, name):
            if not any(library in code.matching for library in bundled):
                continue  # `native_code` reports a library for another processor
            message += f" no run path leads to {bundled[0].path}"
            facts["bundled"] = bundled[0].path
        else:
            message += f" a system of {code.tag} need not have it and the wheel does not contain it"
        yield catalogue().cause("missing-runtime-library", needed_by, message, risk=False, **facts)


def _missing_needs(code: NativeCode, policy: Policy | None) -> Iterator[tuple[str, str]]:
    """Yield the path of each library that cannot be loaded, and the library that it needs.

    The rules assume this process: the package opens the declared libraries in their order. It
    imports its extension modules in any order, so a module can use what another one loaded. Then
    it opens the libraries that nothing else loads.
    """
    files = {f"{_ROOT}{path}": library for library in code.matching for path in library.paths}
    declared = [path for path in (f"{_ROOT}{path}" for path in code.declared) if path in files]
    modules = [path for path in files if is_extension_module(path.removeprefix(_ROOT))]
    needed = {name for library in code.matching for name in library.needed}
    others = sorted(files, key=lambda path: posixpath.basename(path) in needed)
    linker = Linker(files, _system_libraries(code, policy), musl=code.target.system == "musl")
    processes = _Processes(linker, modules)
    loaded = set[str]()
    for path in dict.fromkeys((*declared, *modules, *others)):
        library = files[path]
        is_opened = path in declared or path in modules  # by the package itself
        if library.sha256 in loaded and not is_opened:
            continue
        opened = processes.open(path, is_declared=path in declared)
        loaded |= {files[file].sha256 for file in opened.paths if file in files}
        is_needed = posixpath.basename(path) in needed or library.soname in needed
        for need in opened.missing:
            # A library that needs this one may have a run path that leads to more.
            if is_opened or not (is_needed and _bundled(code, need.name)):
                yield need.needed_by.removeprefix(_ROOT), need.name


class _Processes:
    """Two processes that open libraries of a package, with and without its extension modules."""

    def __init__(self, linker: Linker, modules: Iterable[str]) -> None:
        self._linker = linker
        self._in_order = Process()
        """The process with the declared libraries so far."""
        self._with_modules = Process()
        """The process with the extension modules, which can be imported in any order."""
        for path in modules:
            self._open_with_modules(path)

    def open(self, path: str, *, is_declared: bool) -> Opened:
        """Open a library. It can be loaded if one of the processes finds everything it needs."""
        in_order = self._linker.open(path, self._in_order)
        if is_declared:
            self._in_order = in_order.process
        with_modules = self._open_with_modules(path)
        return with_modules if in_order.missing else in_order

    def _open_with_modules(self, path: str) -> Opened:
        opened = self._linker.open(path, self._with_modules)
        if not opened.missing:
            self._with_modules = opened.process
        return opened


def _system_libraries(code: NativeCode, policy: Policy | None) -> Callable[[str], str | None]:
    """Return a function that finds a library in the default folders of every system of the tag.

    A library of a distribution that the wheel may depend on counts as well. Without a policy, every
    library that the wheel does not contain may be there.
    """

    def find(name: str) -> str | None:
        is_present = (
            _LINKER.fullmatch(name)
            or (code.target.system == "musl" and _MUSL_ITSELF.fullmatch(name))
            or (name in policy.whitelist if policy else not _bundled(code, name))
            # `native_code` reports this missing library
            or re.sub(r"\.so\..*", ".so", name) in code.absent
            or name.lower() in code.provided
        )
        return f"/lib/{name}" if is_present else None

    return find


def _bundled(code: NativeCode, name: str) -> list[Library]:
    """Return the libraries of the wheel that have a needed name as soname or as file name."""
    return [
        library
        for library in code.libraries
        if name == library.soname or name in map(posixpath.basename, library.paths)
    ]


def _too_new(library: Library, code: NativeCode, policy: Policy | None) -> Iterator[Cause]:
    """Yield `glibc-floor` and `libstdcxx-floor` if symbol versions are newer than the tag allows.

    Each cause names the newest version of its library."""
    if policy is None:
        return
    excess: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for source, versions in library.versions.items():
        for version in versions:
            kind, _, number = version.partition("_")
            allowed = policy.symbol_versions.get(kind)
            if allowed is None or number in allowed:
                continue
            # auditwheel does not know every tag. For glibc, the number of the tag decides.
            is_glibc_number = kind == "GLIBC" and re.fullmatch(r"[\d.]+", number)
            if not is_glibc_number or _number(number) > (code.target.libc or ()):
                excess[_cause_name(kind)].append((version, source))
    for cause, newer in excess.items():
        version, source = max(newer, key=lambda pair: (_number(pair[0]), pair))
        symbols = sorted(
            imported.symbol for imported in library.imports if imported.version == version
        )
        used_by = f" ({listing(symbols, 2)})" if symbols else ""
        others = len(newer) - 1
        other_versions = f" and {others} other newer version{'s' * (others > 1)}" if others else ""
        message = (
            f"needs {version} of {source}{used_by}{other_versions}, newer than {code.tag} allows"
        )
        yield _fault(
            cause, library, message, library=source, version=version, symbols=tuple(symbols)
        )


def _cause_name(kind: str) -> str:
    """Return the name of the cause for a kind of symbol version that is too new."""
    match kind:
        case "GLIBC":
            return "glibc-floor"
        case "GLIBCXX" | "CXXABI" | "GCC" | "LIBATOMIC":
            return "libstdcxx-floor"
        case _:
            return "runtime-too-old"


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(digits) for digits in re.findall(r"\d+", version))


class _Exports(NamedTuple):
    """What the libraries of a wheel export."""

    symbols: frozenset[str]
    families: frozenset[str]
    """The common parts of similar symbols, see `_family`."""

    @classmethod
    def of(cls, code: NativeCode) -> _Exports:
        """Return what the libraries of a wheel export."""
        symbols = frozenset[str]().union(*(library.exports for library in code.libraries))
        return cls(symbols, frozenset(filter(None, map(_family, symbols))))


def _missing_symbols(library: Library, code: NativeCode, exports: _Exports) -> Iterator[Cause]:
    """Yield causes for the symbols that certainly no library provides.

    This is certain if no library of the wheel exports the symbol, each needed library is in the
    wheel or has versions on all its symbols, and the system cannot have a symbol with this name.
    """
    bundled = {name: _bundled(code, name) for name in library.needed}
    readable = {matching.paths for matching in code.matching if matching.unread is None}
    if any(provider.paths not in readable for group in bundled.values() for provider in group):
        return  # the exports of such a library are unknown
    all_known = all(
        providers or name in _VERSIONED or _LINKER.fullmatch(name)
        for name, providers in bundled.items()
    )

    def is_certain(imported: Import) -> bool:
        if imported.library and bundled.get(imported.library):
            return True
        if not all_known or imported.version or _MAYBE_SYSTEM.fullmatch(imported.symbol):
            return False
        # If libc is not among the needed libraries, its symbols have no versions either.
        return "libc.so.6" in library.needed or _family(imported.symbol) in exports.families

    missing = sorted(
        imported.symbol
        for imported in library.imports
        if imported.symbol not in exports.symbols and is_certain(imported)
    )
    if missing:
        message = f"needs {listing(missing)}, but no library that it loads exports this"
        yield _fault("symbol-not-found", library, message, symbols=tuple(missing))


def _family(symbol: str) -> str | None:
    """Return the common part of similar symbols: a prefix such as `zlib_`, or a C++ name."""
    if cpp := re.match(r"_ZN?K?(\d{1,3})", symbol):  # the length of the name comes first
        return symbol[cpp.end() :][: int(cpp[1])]
    prefix = re.match(r"[A-Za-z0-9]+_", symbol)
    return prefix[0] if prefix else None


def _fault(
    name: str, where: Library, message: str, *, risk: bool = False, **facts: FactValue
) -> Cause:
    return catalogue().cause(name, where.path, message, risk=risk, **facts)
