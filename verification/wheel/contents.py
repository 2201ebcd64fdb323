"""What is in a wheel: RECORD, files outside the package, copies, and the modules it imports."""

from __future__ import annotations

import ast
import base64
import csv
import hashlib
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import NamedTuple

from check_wheel_contents.checker import WheelChecker  # type: ignore[import-untyped]
from check_wheel_contents.checks import Check  # type: ignore[import-untyped]
from check_wheel_contents.contents import WheelContents  # type: ignore[import-untyped]
from check_wheel_contents.errors import WheelValidationError  # type: ignore[import-untyped]
from packaging.tags import Tag
from packaging.utils import (
    InvalidWheelFilename,
    NormalizedName,
    canonicalize_name,
    parse_wheel_filename,
)
from wheel_filename import InvalidFilenameError

from verification.models.cause import Cause
from verification.models.subject import Subject, Target
from verification.rules.catalogue import catalogue
from verification.wheel import stdlib
from verification.wheel.archive import DAMAGE, Archive
from verification.wheel.libraries import Library, format_of, some
from verification.wheel.tags import Identity

# RECORD itself and its signatures cannot hold their own hash (PEP 427).
_UNHASHED = re.compile(r"[^/]+\.dist-info/RECORD(\.jws|\.p7s)?")
_HASHES = {"sha256", "sha384", "sha512"}  # PEP 427: sha256 or better

# What the test of an `if` asks for, where its body is for some runs only.
_CONDITIONS = re.compile(
    r"attr='(TYPE_CHECKING|version_info|platform|implementation|name|system|machine)'"
    r"|id='(TYPE_CHECKING|version_info|platform|__name__)'"
)
# A module's file: its name ends at the first dot, as in x.cpython-313-x86_64-linux-gnu.so.
_MODULE = re.compile(
    r"(?P<name>[^.]+)(?:\.py|(?:\.(?:(?:cpython-|cp)(?P<abi>3\d+[a-z]*)|abi3)[^.]*)?\.(?:so|pyd))"
)
# What the build writes into the package: versions, the compiler, what Windows is to load.
_OF_THE_BUILD = re.compile(r"version|config|build|_distributor_init")
_DELVEWHEEL = re.compile(
    rb"^(?:\"{6} )?# start delvewheel patch\r?$.*?^# end delvewheel patch\r?$", re.M | re.S
)
_OF_A_SYSTEM = re.compile(r"win(32|64|dows|$)|linux|posix|unix|darwin|mac|nt$|tests?$|^conftest$")
# PyPA, "Recording the Direct URL Origin of installed distributions": written on installation.
_OWN_INSTALLATION = re.compile(r"[^/]+\.dist-info/direct_url\.json")
_SECRETS = {".env", ".pypirc", ".netrc", "_netrc"}
_KEY_SUFFIXES = {"", ".pem", ".key", ".crt", ".cer", ".ppk"}
# RFC 7468; OpenSSH and OpenSSL write further words before these.
_PRIVATE_KEY = re.compile(rb"^-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----", re.MULTILINE)
_OF_TESTS = re.compile(r"tests?|testing")  # what tests use opens nothing
# How code gives its package names that cannot be read from it.
_DYNAMIC = {"globals", "locals", "vars", "setattr", "exec", "eval", "__getattr__"}
# learn.microsoft.com, "Naming Files, Paths, and Namespaces": the names of devices, with any suffix,
# and what no name may have. Folders' separators are told by `record`.
_DEVICE = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[1-9\u00b9\u00b2\u00b3])\s*(\.|$)", re.IGNORECASE
)
_LONGEST = 255  # UTF-16 units
# learn.microsoft.com, "Maximum Path Length Limitation": MAX_PATH is 260 with the end of the text.
_LONGEST_PATH = 259
# Where Python's own installer for Windows puts it for one user (docs.python.org, "Using Python on
# Windows"), with a user's name of 20 characters, the most that sAMAccountName may have.
_SITE_PACKAGES = len(
    f"C:/Users/{'x' * 20}/AppData/Local/Programs/Python/Python313/Lib/site-packages/"
)
_UNUSABLE = re.compile(r'[<>:"|?*\x00-\x1f]|[ .]$')
# What check-wheel-contents adds to the checks here. Its other codes are told by `stray` and
# `libraries` with the names of the files, or need the source tree.
_FOREIGN_CHECKS = {Check.W001, Check.W004}


def record(archive: Archive) -> Iterator[Cause]:
    """Yield where RECORD and the files disagree, and files that cannot be unpacked safely."""
    for name, why in archive.unreadable.items():
        yield _record_fault(name, f"cannot be unpacked ({why})")
    for name, count in Counter(archive.names).items():
        if count > 1:
            yield _record_fault(name, f"is in the archive {count} times")
        if fault := _unsafe(name):
            yield _record_fault(name, f"is a file name {fault}")
    text = archive.metadata_file("RECORD")
    if text is None:
        yield _record_fault(archive.name, "has no RECORD")
        return
    try:
        rows = [row for row in csv.reader(text.splitlines(), strict=True) if row]
    except csv.Error as error:
        yield _record_fault("RECORD", f"cannot be read ({error})")
        return
    listed = Counter(row[0] for row in rows)
    for name, count in listed.items():
        if count > 1:
            yield _record_fault(name, f"is in RECORD {count} times")
    for row in rows:
        yield from _row_faults(archive, row)
    for name in dict.fromkeys(archive.names):
        if name not in listed and not re.fullmatch(r".*\.(jws|p7s)", name):
            yield _record_fault(name, "is in the archive and not in RECORD")


def windows_names(archive: Archive, identity: Identity) -> Iterator[Cause]:
    """Yield the names that a wheel for Windows has and Windows cannot have, or not all of it."""
    if not _for_windows(identity):
        return
    for name in dict.fromkeys(archive.names):
        for part in PurePosixPath(name).parts:
            units = len(part.encode("utf-16-le")) // 2
            if _DEVICE.match(part) or _UNUSABLE.search(part) or units > _LONGEST:
                seen = f"is to be installed on Windows, which has no file named {part[:80]!r}"
                yield catalogue().cause("file-name-unusable", where=name, seen=seen)
        place = archive.places[name]
        length = _SITE_PACKAGES + len(place.encode("utf-16-le")) // 2
        beside = place.partition("/")[0].endswith(".data")  # scripts and headers have another place
        if length > _LONGEST_PATH and not beside:
            seen = f"is {length} characters long where a user's Python is on Windows, which"
            seen += f" opens paths of {_LONGEST_PATH} unless it is set otherwise"
            yield catalogue().cause("file-name-unusable", where=name, seen=seen)


def collisions(archive: Archive, identity: Identity) -> Iterator[Cause]:
    """Yield the files that are installed in one place; on Windows, names in other case are one."""
    fold = _for_windows(identity)
    places: dict[str, list[str]] = defaultdict(list)
    for name, place in archive.places.items():
        places[place.lower() if fold else place].append(name)
    for names in places.values():
        if len(names) > 1:
            yield _record_fault(names[0], f"is installed in the same place as {some(names[1:])}")


def _for_windows(identity: Identity) -> bool:
    return identity.pure or Target.of(identity.platform_tag).system == "windows"


def stray(
    archive: Archive,
    identity: Identity,
    subject: Subject,
    modules_of: Mapping[NormalizedName, frozenset[str]],
) -> Iterator[Cause]:
    """Yield what the wheel puts beside the package: one cause for each top-level entry.

    What has the name of another distribution's module is installed over it.
    """
    owners = {
        module: name
        for name, found in modules_of.items()
        if name != canonicalize_name(identity.name)
        for module in found
    }
    groups: dict[str, list[str]] = defaultdict(list)
    for name, place in archive.places.items():
        parts = PurePosixPath(place).parts
        top = parts[0] if parts else name
        if top.endswith(".data") and len(parts) > 2:
            top = f"{top}/{parts[1]}"  # headers, scripts and data: not beside the rest
        if not _expected_top(top, identity, subject):
            groups[top].append(name)
    for top, names in groups.items():
        size = sum(len(archive.files.get(name, b"")) for name in names)
        plural = "s" * (len(names) > 1)
        where = top if top in names else f"{top}/"
        held = f"{len(names)} file{plural}, {_bytes(size)} ({some(names, 2)})"
        if owner := owners.get(top.partition(".")[0]):
            seen = f"is a module of {owner}, which is installed as well: {held}"
            yield catalogue().cause("dependency-overwritten", where=where, seen=seen)
        else:
            seen = f"is installed beside the package: {held}"
            yield catalogue().cause("stray-top-level", where=where, seen=seen)


def copies(libraries: Iterator[Library] | tuple[Library, ...]) -> Iterator[Cause]:
    """Yield the libraries whose bytes the wheel carries more than once."""
    for library in libraries:
        count = len(library.paths)
        if count > 1:
            yield catalogue().cause(
                "duplicate-library",
                where=library.path,
                seen=f"is in the wheel {count} times, {_bytes(library.size)} each"
                f" (also as {some(library.paths[1:])})",
            )


def modules(
    archive: Archive,
    identity: Identity,
    subject: Subject,
    modules_of: Mapping[NormalizedName, frozenset[str]],
) -> Iterator[Cause | str]:
    """Yield the modules that nothing provides; as text, the files that could not be read for it.

    Counts what runs on import: the module level, outside `try` and outside an `if` that asks for
    type checking, the Python, the system or the way the module is run; under any other `if`, and in
    a module that the package does not import, it is a mere risk. Of the package's own modules
    those count as well that a function imports. `modules_of` tells which
    modules a distribution has; of one that it does not know the name is taken for a module's.
    """
    package = subject.import_package
    places = archive.places.values()
    if not any(place.startswith(f"{package}/") and place.endswith(".py") for place in places):
        seen = f"holds no module of the package {package}"
        yield catalogue().cause("missing-dependency", where=archive.name, seen=seen)
        return
    declared = identity.dependencies(subject)
    told = ", ".join(sorted(declared))
    provided = {name.replace("-", "_") for name in declared}
    for name in declared:
        provided |= modules_of.get(name, frozenset())
    imported: dict[str, list[_Imported]] = {}
    links: dict[str, set[str]] = {}
    names: dict[str, frozenset[str] | None] = {}
    for path, data in archive.installed.items():
        if not (path.startswith(f"{package}/") and path.endswith(".py")):
            continue
        try:
            tree = ast.parse(data)
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
            # Not a fault by itself: the package may be written for a newer Python than this one.
            running = ".".join(map(str, sys.version_info[:2]))
            why = str(error) or type(error).__name__
            yield f"imports of {path}: Python {running} cannot parse it ({why})"
            continue
        imported[path] = sorted(set(_imports(tree.body, path)))
        links[path] = set(_links(tree, path))
        if path.endswith("/__init__.py"):
            names[path] = _names(tree, path)
    held = held_modules(archive)
    known = stdlib.NAMES | provided | held
    reached = _reached(links, package)
    # What only some systems come to run may import what only their wheels have.
    surely = _reached(
        {
            path: {module for one in found if one.sure for module in one.modules}
            for path, found in imported.items()
        },
        package,
    )
    for path, found in imported.items():
        for one in found:
            top, sure = one.module.partition(".")[0], one.sure
            if top == package:
                if not (absent := _absent(one, held, names)):
                    continue
                sure = sure and path in surely
                seen = f"imports {absent}, which is not in the wheel"
                seen += ", when a function is called" * one.called
            elif one.called or top in known:
                continue
            else:
                seen = f"imports {top}, and the wheel requires {told or 'nothing'}"
            if path not in reached:
                seen += "; the package itself does not import this module"
            elif not sure:
                seen += "; under a condition"
            # What nobody imports by importing the package may be meant for those who have more.
            risk = path not in reached or not sure
            yield catalogue().cause("missing-dependency", where=path, seen=seen, risk=risk)


def sources(archive: Archive, subject: Subject) -> dict[str, str]:
    """Return the digests of the package's modules, as far as every wheel must have the same.

    Ends of lines and blank lines count for nothing, and neither does what is written for one
    wheel alone: by delvewheel, or with the build's own facts.
    """
    found = {}
    for place, data in archive.installed.items():
        path = PurePosixPath(place)
        if path.parts[0] != subject.import_package or path.suffix != ".py":
            continue
        if not _OF_THE_BUILD.search(path.name):
            lines = (line.rstrip() for line in _DELVEWHEEL.sub(b"", data).splitlines())
            found[place] = hashlib.sha256(b"\n".join(filter(None, lines))).hexdigest()
    return found


def is_public(place: str) -> bool:
    """Return whether users import the module, on whatever system."""
    parts = place.removesuffix("/__init__.py").removesuffix(".py").split("/")
    return not any(part.startswith("_") or _OF_A_SYSTEM.search(part) for part in parts)


def stray_files(archive: Archive) -> Iterator[Cause]:
    """Yield what check-wheel-contents finds in the package that no interpreter will use."""
    checker = WheelChecker()
    checker.configure_options(select=_FOREIGN_CHECKS)
    try:
        failures = checker.check_contents(WheelContents.from_wheel(archive.path))
    except (WheelValidationError, InvalidFilenameError, *DAMAGE):
        # It reads no wheel with a wrong name or RECORD, or with a damaged file; each of these is
        # told by its own cause.
        return
    for failure in failures:
        for path in failure.args:
            if path.partition("/")[0].endswith((".dist-info", ".data")):
                continue
            seen = f"{failure.check.value} (check-wheel-contents {failure.check.name})"
            yield catalogue().cause("stray-file", where=path, seen=seen)


def private_files(archive: Archive) -> Iterator[Cause]:
    """Yield what belongs to those who built the wheel: secrets, and their own installation."""
    for name, data in archive.files.items():
        path = PurePosixPath(name)
        if _OWN_INSTALLATION.fullmatch(name):
            seen = "tells where it was installed from, which is for the installer to write"
        elif path.name in _SECRETS and data.strip():
            seen = "is where passwords and tokens are kept"
        elif (
            path.suffix in _KEY_SUFFIXES
            and _PRIVATE_KEY.search(data)
            and not any(_OF_TESTS.fullmatch(part) for part in path.parts[:-1])
        ):
            seen = "holds a private key"
        else:
            continue
        yield catalogue().cause("private-file", where=name, seen=seen)


def gather(archive: Archive, expected: tuple[str, ...]) -> tuple[Library, ...]:
    """Return the native code of a wheel, each file once, under its `expected` name if it has it.

    Whatever its name: what a program needs has to be there as well.
    """
    found = _native(archive, expected)
    return tuple(one for one in found if one.named or one.format in ("elf", "pe"))


def _native(archive: Archive, expected: tuple[str, ...]) -> Iterator[Library]:
    paths: dict[str, list[str]] = defaultdict(list)
    for name, data in archive.files.items():
        if format_of(data):
            paths[archive.digests[name]].append(archive.places[name])
    for digest, names in paths.items():
        yield Library(
            paths=tuple(sorted(names, key=lambda name: (name not in expected, name))),
            sha256=digest,
            size=len(archive.installed[names[0]]),
            format=str(format_of(archive.installed[names[0]])),
        )


def _row_faults(archive: Archive, row: list[str]) -> Iterator[Cause]:
    name, digest, size = (*row, "", "")[:3]
    if len(row) != 3:
        yield _record_fault(name, f"has {len(row)} fields in RECORD, not three")
    if name not in archive.names:
        yield _record_fault(name, "is in RECORD and not in the archive")
    if _UNHASHED.fullmatch(name) or name not in archive.files:
        return
    data = archive.files[name]
    algorithm, _, value = digest.partition("=")
    if algorithm not in _HASHES:
        yield _record_fault(name, f"has the hash {digest or 'of no kind'!r} in RECORD")
    elif value.rstrip("=") != _encoded(archive, name, algorithm):
        yield _record_fault(name, "does not have the hash that RECORD gives")
    if size and size != str(len(data)):
        yield _record_fault(name, f"has {len(data)} bytes, and RECORD gives {size}")


def _encoded(archive: Archive, name: str, algorithm: str) -> str:
    if algorithm == "sha256":
        digest = bytes.fromhex(archive.digests[name])
    else:
        digest = hashlib.new(algorithm, archive.files[name]).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def _record_fault(where: str, seen: str) -> Cause:
    return catalogue().cause("record-mismatch", where=where, seen=seen)


def _unsafe(name: str) -> str | None:
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        return "that leads to a fixed place"
    if ".." in re.split(r"[/\\]", name):
        return "that leads out of the environment"
    if "\\" in name:
        return "with a backslash, which is a folder on Windows only"
    return None


def _expected_top(top: str, identity: Identity, subject: Subject) -> bool:
    if top == subject.import_package or top.endswith(".dist-info"):
        return True
    # The folder where auditwheel and delvewheel put the libraries that they bundle.
    return top.endswith(".libs") and canonicalize_name(top.removesuffix(".libs")) in {
        canonicalize_name(identity.name),
        canonicalize_name(subject.name),
    }


class _Imported(NamedTuple):
    """A module that a statement imports."""

    module: str
    name: str  # what is taken from it, which may be a module as well; or nothing
    sure: bool  # under no condition
    called: bool  # in a function

    @property
    def modules(self) -> tuple[str, ...]:
        """What may be modules of it."""
        return (self.module, f"{self.module}.{self.name}") if self.name else (self.module,)


def _imports(
    body: list[ast.stmt], path: str, *, sure: bool = True, called: bool = False
) -> Iterator[_Imported]:
    """Yield what these statements import when they run; `called` says that they are a function's.

    A `try` says that the module may be absent.
    """
    for statement in body:
        match statement:
            case ast.Import():
                yield from (_Imported(alias.name, "", sure, called) for alias in statement.names)
            case ast.ImportFrom():
                base = _base(statement, path)
                yield from (_Imported(base, one.name, sure, called) for one in statement.names)
            case ast.If() if not _CONDITIONS.search(ast.dump(statement.test)):
                # In a function, most conditions are of what it is called with.
                certain = sure and called and not _asks_a_constant(statement.test)
                inner = [*statement.body, *statement.orelse]
                yield from _imports(inner, path, sure=certain, called=called)
            case ast.With() | ast.AsyncWith() if not _suppresses(statement):
                yield from _imports(statement.body, path, sure=sure, called=called)
            case ast.ClassDef():
                yield from _imports(statement.body, path, sure=sure, called=called)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield from _imports(statement.body, path, sure=sure, called=True)
            case ast.For() | ast.AsyncFor() | ast.While() if called:
                inner = [*statement.body, *statement.orelse]
                yield from _imports(inner, path, sure=sure, called=True)
            case ast.Match() if called:
                for case in statement.cases:
                    yield from _imports(case.body, path, sure=sure, called=True)
            case _:
                pass
        if called and isinstance(statement, ast.If) and _leaves(statement):
            return


def _base(statement: ast.ImportFrom, path: str) -> str:
    """Return the full name of the module that names are taken from."""
    parents = PurePosixPath(path).parts[: -statement.level] if statement.level else ()
    return ".".join((*parents, *((statement.module,) if statement.module else ())))


def _asks_a_constant(test: ast.expr) -> bool:
    """Return whether a condition asks for a constant, which is often of the system (PEP 8)."""
    return any(
        (isinstance(node, ast.Name) and node.id.isupper())
        or (isinstance(node, ast.Attribute) and node.attr.isupper())
        for node in ast.walk(test)
    )


def _leaves(statement: ast.If) -> bool:
    """Return whether a function ends here on some systems: what follows is for the others."""
    ends = isinstance(statement.body[-1], ast.Return | ast.Raise)
    asks = _CONDITIONS.search(ast.dump(statement.test)) or _asks_a_constant(statement.test)
    return ends and bool(asks)


def _absent(
    one: _Imported, held: frozenset[str], names: Mapping[str, frozenset[str] | None]
) -> str | None:
    """Return the module of the package that is imported and is not in the wheel."""
    if one.module not in held:
        return one.module
    has = names.get(f"{one.module.replace('.', '/')}/__init__.py")
    whole = f"{one.module}.{one.name}"
    if not one.name or has is None or one.name in has or whole in held:
        return None
    return whole


def _names(tree: ast.Module, path: str) -> frozenset[str] | None:
    """Return the names that a package may have by its own code, or None if that cannot be told.

    Its modules are left out. Any text may be a name that `__getattr__` knows.
    """
    names = {"*", "__name__", "__file__", "__path__", "__doc__", "__spec__", "__loader__"}
    package = ".".join(PurePosixPath(path).parts[:-1])
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) if name in _DYNAMIC:
                return None
            case ast.Attribute(attr="modules" | "__dict__"):
                return None
            case ast.FunctionDef(name="__getattr__") if _passes_on(node):
                return None
            case ast.ImportFrom(names=[ast.alias(name="*")]):
                return None
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                names.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names.add(name)
            case ast.ClassDef(name=name) | ast.Constant(value=str(name)):
                names.add(name)
            case ast.Import():
                names |= {one.asname or one.name.partition(".")[0] for one in node.names}
            case ast.ImportFrom():
                own = _base(node, path) == package
                names |= {one.asname or one.name for one in node.names if one.asname or not own}
    return frozenset(names)


def _passes_on(function: ast.FunctionDef) -> bool:
    """Return whether it does more with the name it is asked for than to compare and tell it."""
    asked = {argument.arg for argument in function.args.args}
    left: list[ast.AST] = list(function.body)
    while left:
        node = left.pop()
        if isinstance(node, ast.Name) and node.id in asked:
            return True
        if not isinstance(node, ast.Compare | ast.JoinedStr):
            left += ast.iter_child_nodes(node)
    return False


def _suppresses(statement: ast.With | ast.AsyncWith) -> bool:
    """Return whether it is `with contextlib.suppress(...)`, another way to write `try`."""
    for item in statement.items:
        match item.context_expr:
            case ast.Call(func=ast.Name(id="suppress") | ast.Attribute(attr="suppress")):
                return True
    return False


def _links(tree: ast.Module, path: str) -> Iterator[str]:
    """Yield all modules that code in this file may import, whenever and if at all."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _base(node, path)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _reached(links: Mapping[str, Iterable[str]], package: str) -> set[str]:
    """Return the files of the package that code of the package may come to run."""

    def files(module: str) -> Iterator[str]:
        parts = module.split(".")
        for length in range(1, len(parts) + 1):  # a package is run before what is in it
            base = "/".join(parts[:length])
            yield from (name for name in (f"{base}/__init__.py", f"{base}.py") if name in links)

    found: set[str] = set()
    left = [package]
    while left:
        for path in set(files(left.pop())) - found:
            found.add(path)
            left += [name for name in links[path] if name.partition(".")[0] == package]
    return found


def held_modules(archive: Archive) -> frozenset[str]:
    """Return the full names of the modules and folders that are installed.

    An extension module for another Python is none: its import system looks for its own ABI's name.
    """
    abis = {tag.abi.removeprefix("cp") for tag in _tags_of(archive) if tag.abi.startswith("cp")}
    found = set()
    for place in archive.places.values():
        path = PurePosixPath(place)
        found |= {".".join(parent.parts) for parent in path.parents}
        module = _MODULE.fullmatch(path.name)
        if module and (not abis or module["abi"] is None or module["abi"] in abis):
            found.add(".".join((*path.parts[:-1], module["name"])))
    return frozenset(found)


def _tags_of(archive: Archive) -> frozenset[Tag]:
    try:
        return parse_wheel_filename(archive.name)[3]
    except InvalidWheelFilename:  # `identity` tells
        return frozenset()


def _bytes(size: int) -> str:
    return f"{size / 2**20:.1f} MiB" if size >= 2**20 else f"{size / 2**10:.1f} KiB"
