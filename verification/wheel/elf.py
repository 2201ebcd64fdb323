"""ELF libraries: reading one, and what is wrong with those of a wheel.

What a tag promises is auditwheel's policy data: the libraries and symbol versions that every system
of a manylinux tag has (PEP 600).
"""

from __future__ import annotations

import functools
import io
import itertools
import posixpath
import re
import struct
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from auditwheel.architecture import Architecture  # type: ignore[import-untyped]
from auditwheel.libc import Libc  # type: ignore[import-untyped]
from auditwheel.policy import Policy, WheelPolicies  # type: ignore[import-untyped]
from elftools.common.exceptions import ELFError
from elftools.construct.core import ConstructError
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection
from elftools.elf.sections import Section

from verification.models.cause import Cause
from verification.models.subject import Target
from verification.rules.catalogue import catalogue
from verification.wheel.libraries import Import, Library, UnreadableLibrary, some

# What pyelftools raises for damage, most of it by accident: it trusts offsets, sizes and links.
_DAMAGE = (
    ELFError,
    ConstructError,
    struct.error,
    zlib.error,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)

_MACHINES = {
    "EM_X86_64": "x86_64",
    "EM_386": "i686",
    "EM_AARCH64": "aarch64",
    "EM_ARM": "armv7l",
    "EM_PPC64": "ppc64le",
    "EM_S390": "s390x",
    "EM_RISCV": "riscv64",
}
_TEXT_TAGS = {  # and what pyelftools calls their value
    "DT_NEEDED": "needed",
    "DT_SONAME": "soname",
    "DT_RPATH": "rpath",
    "DT_RUNPATH": "runpath",
}
_DF_SYMBOLIC = 0x2
_PROPERTIES, _ISA_NEEDED = 5, 0xC0008002
_ORIGIN = re.compile(r"\$ORIGIN\b|\$\{ORIGIN\}")
_GLOBAL, _WEAK, _UNIQUE = 1, 2, 10  # symbol bindings (the last is GNU's)
_DEFAULT, _PROTECTED = 0, 3  # symbol visibilities that export

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


def read(library: Library, data: bytes) -> Library:
    """Return the library with what its ELF file says.

    Raises:
        UnreadableLibrary: if the file is damaged.
    """
    try:
        elf = ELFFile(io.BytesIO(data))
        if elf["e_type"] == "ET_REL":
            return library  # an object file: nothing loads it
        library = replace(
            library,
            machine=_MACHINES.get(elf["e_machine"], str(elf["e_machine"])),
            executable_stack=_executable_stack(elf),
            instruction_set=_instruction_set(elf),
        )
        texts: dict[str, list[str]] = defaultdict(list)
        symbolic = False
        for segment in elf.iter_segments(type="PT_DYNAMIC"):
            assert isinstance(segment, DynamicSegment)
            for tag in segment.iter_tags():
                kind = tag.entry.d_tag
                if kind in _TEXT_TAGS:
                    texts[kind].append(getattr(tag, _TEXT_TAGS[kind]))
                elif kind == "DT_SYMBOLIC" or (
                    kind == "DT_FLAGS" and tag.entry.d_val & _DF_SYMBOLIC
                ):
                    symbolic = True
        library = replace(
            library,
            needed=tuple(texts["DT_NEEDED"]),
            soname=next(iter(texts["DT_SONAME"]), None),
            run_paths=tuple(
                path
                for paths in (*texts["DT_RPATH"], *texts["DT_RUNPATH"])
                for path in paths.split(":")
            ),
        )
        return _with_symbols(library, elf, symbolic=symbolic)
    except _DAMAGE as error:
        raise UnreadableLibrary(
            f"a damaged ELF file ({str(error) or type(error).__name__})"
        ) from error


def faults(
    libraries: Sequence[Library],
    *,
    carried: Sequence[Library],
    absent: Iterable[str],
    loaded: Iterable[str],
    target: Target,
    tag: str,
) -> Iterator[Cause]:
    """Yield what keeps the libraries of one wheel from loading on a system of its tag.

    `carried` are all libraries of the wheel and `absent` the file names of those it should carry;
    what is wrong with these themselves is told elsewhere and not once more for each user.
    `loaded` are the paths that the package's loader opens by itself, in order.
    """
    policy = _policy(target)
    told, first = set(absent), set(loaded)
    for library in libraries:
        wanted = [
            name
            for name in library.needed
            if not _LINKER.fullmatch(name)
            and not (policy and name in policy.whitelist)
            and re.sub(r"\.so\..*", ".so", name) not in told
        ]
        yield from _missing_libraries(
            library, wanted, carried, loaded=first, policy=policy, tag=tag
        )
        yield from _too_new(library, policy=policy, tag=tag, libc=target.libc)
        yield from _missing_symbols(library, libraries, carried)
        if library.instruction_set > 1:
            seen = f"asks for a processor of x86-64-v{library.instruction_set}, and {tag} is for"
            seen += " every x86-64"
            yield catalogue().cause("illegal-instruction", where=library.path, seen=seen)
        foreign = [path for path in library.run_paths if path and not _ORIGIN.match(path)]
        if foreign:
            seen = f"looks for libraries in {some(foreign)}, a folder of the machine that built it"
            yield catalogue().cause("foreign-run-path", where=library.path, seen=seen)
        if library.executable_stack:
            yield catalogue().cause(
                "executable-stack", where=library.path, seen="asks for an executable stack"
            )


def interposition(libraries: Iterable[Library], prefixes: Iterable[str]) -> Iterator[Cause]:
    """Yield the libraries whose embedded third-party code another copy could take over."""
    for library in libraries:
        for prefix in prefixes:
            open_names = [name for name in library.interposable if name.startswith(prefix)]
            if open_names:
                yield catalogue().cause(
                    "symbol-interposition",
                    where=library.path,
                    seen=f"exports {len(open_names)} {prefix}* symbols and binds its own calls"
                    f" to them when it is loaded ({some(open_names)})",
                    risk=True,
                )


def _with_symbols(library: Library, elf: ELFFile, *, symbolic: bool) -> Library:
    dynsym = elf.get_section_by_name(".dynsym")
    if dynsym is None:
        return replace(library, unread="it has no section headers, so its symbols were not read")
    versions, by_index = _needed_versions(elf)
    versym = elf.get_section_by_name(".gnu.version")
    order = "<" if elf.little_endian else ">"
    indexes: Sequence[int] = ()
    if versym is not None:
        raw = versym.data()
        indexes = struct.unpack(f"{order}{len(raw) // 2}H", raw)

    imports: list[Import] = []
    exports: set[str] = set()
    bound = set() if symbolic else _relocated(elf)
    interposable: set[str] = set()
    for number, (name, info, other, section) in enumerate(_symbols(elf, dynsym)):
        binding = info >> 4
        if not name:
            continue
        if section == 0:
            # A weak reference may stay unresolved: it is the program's way to say "if any".
            if binding == _GLOBAL:
                index = indexes[number] & 0x7FFF if number < len(indexes) else 0
                imports.append(Import(name, *by_index.get(index, (None, None))))
        elif binding in (_GLOBAL, _WEAK, _UNIQUE) and other & 3 in (_DEFAULT, _PROTECTED):
            exports.add(name)
            if number in bound and other & 3 == _DEFAULT:
                interposable.add(name)
    return replace(
        library,
        versions=versions,
        imports=tuple(imports),
        exports=frozenset(exports),
        interposable=tuple(sorted(interposable)),
    )


def _symbols(elf: ELFFile, dynsym: Section) -> Iterator[tuple[str, int, int, int]]:
    """Yield name, info, other and section index of every dynamic symbol.

    By struct and not by pyelftools' objects: those take a second for a real library.
    """
    names = elf.get_section(dynsym["sh_link"]).data()
    order = "<" if elf.little_endian else ">"
    layout = struct.Struct(order + ("IBBHQQ" if elf.elfclass == 64 else "IIIBBH"))
    for entry in layout.iter_unpack(dynsym.data()):
        if elf.elfclass == 64:
            start, info, other, section, _, _ = entry
        else:
            start, _, _, info, other, section = entry
        name = names[start : names.index(b"\0", start)]
        yield name.decode("utf-8", errors="replace"), info, other, section


def _needed_versions(
    elf: ELFFile,
) -> tuple[dict[str, tuple[str, ...]], dict[int, tuple[str, str]]]:
    """Return the symbol versions needed of each library, and what each version index means."""
    section = elf.get_section_by_name(".gnu.version_r")
    if not isinstance(section, GNUVerNeedSection):
        return {}, {}
    versions: dict[str, tuple[str, ...]] = {}
    by_index: dict[int, tuple[str, str]] = {}
    # A damaged count would keep pyelftools busy for minutes: an entry has 16 bytes at the least.
    most = section["sh_size"] // 16
    if section["sh_info"] > most:
        raise ELFError(f"{section['sh_info']} needed versions in {section['sh_size']} bytes")
    for need, parts in section.iter_versions():
        listed = list(itertools.islice(parts, most))
        library = str(need.name)
        versions[library] = tuple(sorted(str(part.name) for part in listed))
        by_index |= {part["vna_other"]: (library, str(part.name)) for part in listed}
    return versions, by_index


def _relocated(elf: ELFFile) -> set[int]:
    """Return the numbers of the dynamic symbols that are bound when the library is loaded."""
    order = "<" if elf.little_endian else ">"
    wide = elf.elfclass == 64
    found: set[int] = set()
    for section in elf.iter_sections():
        if section["sh_type"] not in ("SHT_RELA", "SHT_REL"):
            continue
        addend = section["sh_type"] == "SHT_RELA"
        layout = struct.Struct(order + ("QQ" if wide else "II") + ("q" if wide else "i") * addend)
        found |= {entry[1] >> (32 if wide else 8) for entry in layout.iter_unpack(section.data())}
    return found


def _executable_stack(elf: ELFFile) -> bool:
    # Without the header the kernel's default holds, which on the processors here is executable
    # for x86 only (glibc 2.41 refuses both; see its NEWS).
    for segment in elf.iter_segments(type="PT_GNU_STACK"):
        return bool(segment["p_flags"] & 0x1)
    return elf["e_machine"] in ("EM_386", "EM_X86_64")


def _instruction_set(elf: ELFFile) -> int:
    """Return the version of x86-64 that the library says it needs, 1 for every such processor.

    It is a bit for each version in a property of the note .note.gnu.property (x86-64 psABI,
    "Program Property"; GNU_PROPERTY_X86_ISA_1_NEEDED).
    """
    if elf["e_machine"] != "EM_X86_64":
        return 1
    needed = 0
    for segment in elf.iter_segments(type="PT_NOTE"):
        data, order = segment.data(), "<"
        while len(data) >= 16:
            names, size, kind = struct.unpack_from(f"{order}III", data)
            start = 12 + (names + 3) // 4 * 4
            if kind == _PROPERTIES and data[12:16] == b"GNU\0":
                needed |= _isa_bits(data[start : start + size])
            data = data[start + (size + 7) // 8 * 8 :]
    return max(1, needed.bit_length())


def _isa_bits(properties: bytes) -> int:
    found = 0
    while len(properties) >= 8:
        kind, size = struct.unpack_from("<II", properties)
        if kind == _ISA_NEEDED and size >= 4:
            found |= int(struct.unpack_from("<I", properties, 8)[0])
        properties = properties[8 + (size + 7) // 8 * 8 :]
    return found


@functools.cache
def _policy(target: Target) -> Policy | None:
    """Return what the tag promises: its own policy, or else that of the next older tag."""
    if target.libc is None:
        return None
    kind = Libc.GLIBC if target.system == "linux" else Libc.MUSL
    name = "manylinux" if target.system == "linux" else "musllinux"
    try:
        policies = WheelPolicies(
            libc=kind,
            arch=Architecture(target.machine),
            musl_policy=f"musllinux_{target.libc[0]}_{target.libc[1]}"
            if kind == Libc.MUSL
            else None,
        )
    except (ValueError, LookupError, AssertionError):
        return None
    known = [
        (Target.of(policy.name).libc, policy)
        for policy in policies
        if policy.name.startswith(f"{name}_")
    ]
    fitting = [(libc, policy) for libc, policy in known if libc and libc <= target.libc]
    return max(fitting, key=lambda pair: pair[0])[1] if fitting else None


def _missing_libraries(
    library: Library,
    wanted: Iterable[str],
    libraries: Sequence[Library],
    *,
    loaded: set[str],
    policy: Policy | None,
    tag: str,
) -> Iterator[Cause]:
    for name in wanted:
        carriers = _carriers(libraries, name)
        if not carriers:
            if policy:
                seen = f"needs {name}, which the wheel does not carry and {tag} does not promise"
                yield catalogue().cause("missing-runtime-library", where=library.path, seen=seen)
            continue
        # Found if the loader has opened it before (the linker knows it by its soname), or if
        # the run path of any library that needs it leads there.
        found = any(loaded & set(carrier.paths) for carrier in carriers) or any(
            name in other.needed and _reaches(other, carrier, name)
            for other in libraries
            for carrier in carriers
        )
        if not found:
            yield catalogue().cause(
                "missing-runtime-library",
                where=library.path,
                seen=f"needs {name}, and no run path leads to {carriers[0].path}",
            )


def _carriers(libraries: Iterable[Library], name: str) -> list[Library]:
    """Return the libraries that answer to a needed name: by soname or by file name."""
    return [
        library
        for library in libraries
        if name == library.soname or name in map(posixpath.basename, library.paths)
    ]


def _reaches(library: Library, carrier: Library, name: str) -> bool:
    folders = {
        posixpath.normpath(re.sub(r"\$ORIGIN|\$\{ORIGIN\}", posixpath.dirname(path), run_path))
        for path in library.paths
        for run_path in library.run_paths
    }
    return any(
        posixpath.basename(path) == name and posixpath.dirname(path) in folders
        for path in carrier.paths
    )


def _too_new(
    library: Library, *, policy: Policy | None, tag: str, libc: tuple[int, int] | None
) -> Iterator[Cause]:
    """Yield the symbol versions above what the tag promises: one cause for each kind."""
    if policy is None:
        return
    users: dict[str, list[str]] = defaultdict(list)
    for wanted in library.imports:
        if wanted.version:
            users[wanted.version].append(wanted.symbol)
    excess: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for source, versions in library.versions.items():
        for version in versions:
            kind, _, number = version.partition("_")
            allowed = policy.symbol_versions.get(kind)
            if allowed is None or number in allowed:
                continue
            # A tag may lie between two that auditwheel knows; for glibc its number decides.
            numbered = kind == "GLIBC" and re.fullmatch(r"[\d.]+", number)
            if numbered and libc and _number(number) <= libc:
                continue
            excess[_floor_of(kind)].append((version, source))
    for name, found in excess.items():
        version, source = max(found, key=lambda item: (_number(item[0]), item))
        by = f" ({some(sorted(users[version]), 2)})" if users[version] else ""
        others = len(found) - 1
        more = f" and {others} more such version{'s' * (others > 1)}" if others else ""
        yield catalogue().cause(
            name,
            where=library.path,
            seen=f"needs {version} of {source}{by}{more}, above {tag}",
        )


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


def _missing_symbols(
    library: Library, libraries: Sequence[Library], carried: Sequence[Library]
) -> Iterator[Cause]:
    """Yield the symbols that nothing can provide, where that is certain.

    Certain is: no library of the wheel exports it; all needed libraries are in the wheel or have
    versions on all their symbols; and the symbol is none that the system could have.
    """
    bundled = {name: _carriers(carried, name) for name in library.needed}
    judged = {id(other) for other in libraries if other.unread is None}
    if any(id(other) not in judged for others in bundled.values() for other in others):
        return  # what such a library exports is not known
    exported = frozenset[str]().union(*(other.exports for other in carried))
    families = {_family(symbol) for symbol in exported} - {None}
    closed = all(
        others or name in _VERSIONED or _LINKER.fullmatch(name) for name, others in bundled.items()
    )

    def certain(wanted: Import) -> bool:
        if wanted.library and bundled.get(wanted.library):
            return True
        if not closed or wanted.version or _MAYBE_SYSTEM.fullmatch(wanted.symbol):
            return False
        # Without libc among the needed libraries, its symbols have no versions either.
        return "libc.so.6" in library.needed or _family(wanted.symbol) in families

    missing = [
        wanted.symbol
        for wanted in library.imports
        if wanted.symbol not in exported and certain(wanted)
    ]
    if missing:
        yield catalogue().cause(
            "symbol-not-found",
            where=library.path,
            seen=f"needs {some(sorted(missing))}, which no library it loads provides",
        )


def _family(symbol: str) -> str | None:
    """Return what a symbol has in common with its kin: `quiver_` or a C++ namespace."""
    match = re.match(r"[A-Za-z0-9]+_|_ZN?K?(\d+[A-Za-z0-9]+)", symbol)
    return match[0] if match else None
