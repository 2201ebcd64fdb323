"""Find what the code of a package imports, from its source."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NamedTuple

from verification.wheel.archive import Archive

# What the condition of an `if` reads where its body is for some runs only.
_RUN_CONDITION = re.compile(
    r"attr='(TYPE_CHECKING|version_info|platform|implementation|name|system|machine)'"
    r"|id='(TYPE_CHECKING|version_info|platform|__name__)'"
)
# How code gives its package names that cannot be read from it.
_DYNAMIC = {"globals", "locals", "vars", "setattr", "exec", "eval", "__getattr__"}
_IMPLICIT_NAMES = {"*", "__name__", "__file__", "__path__", "__doc__", "__spec__", "__loader__"}


class ImportedModule(NamedTuple):
    """A module that a statement imports."""

    module: str
    name: str
    """What is taken from the module, which may be a module as well; empty if nothing is."""
    certain: bool
    """The import is under no condition."""
    in_function: bool

    @property
    def modules(self) -> tuple[str, ...]:
        """What may be modules of it."""
        return (self.module, f"{self.module}.{self.name}") if self.name else (self.module,)


@dataclass(frozen=True)
class PackageCode:
    """The code of a package, by the path of each of its modules."""

    imports: Mapping[str, tuple[ImportedModule, ...]]
    """What a module imports, apart from what it imports on some runs only."""
    links: Mapping[str, frozenset[str]]
    """Every module that a module may import, whenever and on whatever condition."""
    names: Mapping[str, frozenset[str] | None]
    """The names that each `__init__.py` may define; None if they cannot be read."""
    unparsed: Mapping[str, str]
    """Why a file cannot be parsed."""


def read_package(archive: Archive, package: str) -> PackageCode:
    """Read the code of a package."""
    imports: dict[str, tuple[ImportedModule, ...]] = {}
    links: dict[str, frozenset[str]] = {}
    names: dict[str, frozenset[str] | None] = {}
    unparsed: dict[str, str] = {}
    for path, data in archive.installed.items():
        if not (path.startswith(f"{package}/") and path.endswith(".py")):
            continue
        try:
            tree = ast.parse(data)
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
            # Not a fault by itself: the package may be written for a newer Python than this one.
            python = ".".join(map(str, sys.version_info[:2]))
            unparsed[path] = (
                f"Python {python} cannot parse it ({str(error) or type(error).__name__})"
            )
            continue
        imports[path] = tuple(sorted(set(_imports(tree.body, path))))
        links[path] = frozenset(_links(tree, path))
        if path.endswith("/__init__.py"):
            names[path] = _names(tree, path)
    return PackageCode(imports, links, names, unparsed)


def reachable_modules(links: Mapping[str, Iterable[str]], package: str) -> set[str]:
    """Return the files of the package that importing the package may run."""

    def files(module: str) -> Iterator[str]:
        parts = module.split(".")
        for length in range(1, len(parts) + 1):  # a package runs before what is in it
            base = "/".join(parts[:length])
            yield from (name for name in (f"{base}/__init__.py", f"{base}.py") if name in links)

    found: set[str] = set()
    pending = [package]
    while pending:
        for path in set(files(pending.pop())) - found:
            found.add(path)
            pending += [name for name in links[path] if name.partition(".")[0] == package]
    return found


def _imports(
    body: list[ast.stmt], path: str, *, certain: bool = True, in_function: bool = False
) -> Iterator[ImportedModule]:
    """Yield what these statements import when they run.

    Not the imports of a `try`: it says that the module may be absent.
    """
    for statement in body:
        match statement:
            case ast.Import():
                for alias in statement.names:
                    yield ImportedModule(alias.name, "", certain, in_function)
            case ast.ImportFrom():
                base = _base(statement, path)
                for alias in statement.names:
                    yield ImportedModule(base, alias.name, certain, in_function)
            case ast.If() if not _RUN_CONDITION.search(ast.dump(statement.test)):
                # In a function, most conditions are about its arguments.
                sure = certain and in_function and not _reads_constant(statement.test)
                inner = [*statement.body, *statement.orelse]
                yield from _imports(inner, path, certain=sure, in_function=in_function)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield from _imports(statement.body, path, certain=certain, in_function=True)
            case _:
                inner = list(_unconditional(statement, in_function=in_function))
                yield from _imports(inner, path, certain=certain, in_function=in_function)
        if in_function and isinstance(statement, ast.If) and _leaves(statement):
            return


def _unconditional(statement: ast.stmt, *, in_function: bool) -> Iterator[ast.stmt]:
    """Yield the statements inside a statement that run with it.

    Loops and matches count in functions only: there they are about the arguments.
    """
    match statement:
        case ast.With() | ast.AsyncWith() if not _suppresses(statement):
            yield from statement.body
        case ast.ClassDef():
            yield from statement.body
        case ast.For() | ast.AsyncFor() | ast.While() if in_function:
            yield from (*statement.body, *statement.orelse)
        case ast.Match() if in_function:
            for case in statement.cases:
                yield from case.body
        case _:
            pass


def _base(statement: ast.ImportFrom, path: str) -> str:
    """Return the full name of the module that names are taken from."""
    parents = PurePosixPath(path).parts[: -statement.level] if statement.level else ()
    return ".".join((*parents, *((statement.module,) if statement.module else ())))


def _reads_constant(test: ast.expr) -> bool:
    """Return whether a condition reads a constant, which is often about the system (PEP 8)."""
    return any(
        (isinstance(node, ast.Name) and node.id.isupper())
        or (isinstance(node, ast.Attribute) and node.attr.isupper())
        for node in ast.walk(test)
    )


def _leaves(statement: ast.If) -> bool:
    """Return whether a function ends here on some systems: what follows is for the others."""
    ends = isinstance(statement.body[-1], ast.Return | ast.Raise)
    test = statement.test
    return ends and bool(_RUN_CONDITION.search(ast.dump(test)) or _reads_constant(test))


def _suppresses(statement: ast.With | ast.AsyncWith) -> bool:
    """Return whether it is `with contextlib.suppress(...)`, another way to write `try`."""
    for item in statement.items:
        match item.context_expr:
            case ast.Call(func=ast.Name(id="suppress") | ast.Attribute(attr="suppress")):
                return True
    return False


def _links(tree: ast.Module, path: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _base(node, path)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _names(tree: ast.Module, path: str) -> frozenset[str] | None:
    """Return the names that a package may have by its own code, or None if that cannot be read.

    Without its modules. Any text may be a name that `__getattr__` knows.
    """
    names = set(_IMPLICIT_NAMES)
    package = ".".join(PurePosixPath(path).parts[:-1])
    for node in ast.walk(tree):
        if _is_dynamic(node):
            return None
        names |= _defined(node, package, path)
    return frozenset(names)


def _is_dynamic(node: ast.AST) -> bool:
    """Return whether a package with this code may have names that the code does not show."""
    match node:
        case ast.Name(id=name):
            return name in _DYNAMIC
        case ast.Attribute(attr="modules" | "__dict__"):
            return True
        case ast.FunctionDef(name="__getattr__"):
            return _passes_on(node)
        case ast.ImportFrom(names=[ast.alias(name="*")]):
            return True
        case _:
            return False


def _defined(node: ast.AST, package: str, path: str) -> set[str]:
    match node:
        case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
            return {name}
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            return {name}
        case ast.ClassDef(name=name) | ast.Constant(value=str(name)):
            return {name}
        case ast.Import():
            return {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        case ast.ImportFrom():
            own = _base(node, path) == package
            return {alias.asname or alias.name for alias in node.names if alias.asname or not own}
        case _:
            return set()


def _passes_on(function: ast.FunctionDef) -> bool:
    """Return whether `__getattr__` does more with the name than compare it and put it in texts."""
    arguments = {argument.arg for argument in function.args.args}
    pending: list[ast.AST] = list(function.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Name) and node.id in arguments:
            return True
        if not isinstance(node, ast.Compare | ast.JoinedStr):
            pending += ast.iter_child_nodes(node)
    return False
