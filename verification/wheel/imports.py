"""Find the imports of a package in its source code."""

from __future__ import annotations

import ast
import builtins
import contextlib
import functools
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NamedTuple

from verification.wheel.archive import Archive
from verification.wheel.conditions import KnownValues, UnknownValue, evaluate, is_true
from verification.wheel.library_names import is_extension_module

# Names in a condition that may depend on the system or the Python.
_RUN_CONDITION = re.compile(
    r"attr='(TYPE_CHECKING|version_info|platform|implementation|name|system|machine)'"
    r"|id='(TYPE_CHECKING|version_info|platform|__name__)'"
)
# Names that code uses to define names at run time.
_DYNAMIC = {"globals", "locals", "vars", "setattr", "exec", "eval", "__getattr__"}
_MAX_SOURCE = 8 << 20
_TOO_LARGE = f"it is larger than {_MAX_SOURCE >> 20} MiB"
"""A tree of code takes about a hundred times the memory of the code."""
_IMPLICIT_NAMES = {"*", "__name__", "__file__", "__path__", "__doc__", "__spec__", "__loader__"}


class ImportedModule(NamedTuple):
    """A module that a statement imports."""

    module: str
    name: str
    """The name in `from module import name`, maybe a submodule; empty for `import module`."""
    certain: bool
    """True if the import is under no condition."""
    in_function: bool

    @property
    def modules(self) -> tuple[str, ...]:
        """The imported modules; for ``from a import b`` also the possible module ``a.b``."""
        return (self.module, f"{self.module}.{self.name}") if self.name else (self.module,)


@dataclass(frozen=True)
class PackageCode:
    """The code of a package, by the path of each module."""

    imports: Mapping[str, tuple[ImportedModule, ...]]
    """The imports of each module that run on this system and Python.

    Imports whose failure the code handles are left out."""
    links: Mapping[str, frozenset[str]]
    """All modules that each module may import, under any condition."""
    names: Mapping[str, frozenset[str] | None]
    """The names that each `__init__.py` may define; None if it defines names at run time."""
    unparsed: Mapping[str, str]
    """The reason for each file that cannot be parsed."""
    compiled: frozenset[str]
    """The files that an extension module of the same name replaces: Python prefers it."""

    def optional(self, package: str) -> frozenset[str]:
        """Return the modules that the package imports only where it handles the failure.

        Code that an import of the package cannot reach, such as its tests, does not count.
        """
        unhandled = {
            path: {name for module in modules for name in module.modules}
            for path, modules in self.imports.items()
        }
        reached = reachable_modules(self.links, package)
        linked = frozenset[str]().union(*(self.links[path] for path in reached))
        return linked.difference(
            *(unhandled[path] for path in reachable_modules(unhandled, package))
        )


def read_package(archive: Archive, package: str, environment: Mapping[str, str]) -> PackageCode:
    """Read the code of a package.

    ``environment`` are the marker variables of the system and the Python (PEP 508).
    """
    imports: dict[str, tuple[ImportedModule, ...]] = {}
    links: dict[str, frozenset[str]] = {}
    names: dict[str, frozenset[str] | None] = {}
    unparsed: dict[str, str] = {}
    modules: dict[str, _Module] = {}
    for path, member in archive.installed.items():
        if not path.endswith(".py") or path.removesuffix(".py").split("/")[0] != package:
            continue
        data = member.data if member.size <= _MAX_SOURCE else None
        module = _TOO_LARGE if data is None else _read_module(path, data)
        if isinstance(module, str):
            unparsed[path] = module
        else:
            modules[path] = module
    constants = _constants(modules, environment)
    for path, module in modules.items():
        reader = _Reader(path, KnownValues(environment, constants[path]))
        imports[path] = tuple(sorted(set(reader.imports(module.body))))
        links[path] = module.links
        if path.endswith("/__init__.py"):
            names[path] = module.names
    extensions = {path.partition(".")[0] for path in archive.installed if is_extension_module(path)}
    compiled = frozenset(path for path in modules if path.removesuffix(".py") in extensions)
    return PackageCode(imports, links, names, unparsed, compiled)


def reachable_modules(links: Mapping[str, Iterable[str]], package: str) -> set[str]:
    """Return the files that run when the package is imported."""

    def files(module: str) -> Iterator[str]:
        parts = module.split(".")
        for length in range(1, len(parts) + 1):  # the parent packages run first
            base = "/".join(parts[:length])
            yield from (name for name in (f"{base}/__init__.py", f"{base}.py") if name in links)

    reached: set[str] = set()
    pending = [package]
    while pending:
        for path in set(files(pending.pop())) - reached:
            reached.add(path)
            pending += [name for name in links[path] if name.partition(".")[0] == package]
    return reached


class _Module(NamedTuple):
    """What the code of one module says, on every system and every Python."""

    body: Sequence[ast.stmt]
    """The statements, without those that neither import anything nor end a condition."""
    constants: Sequence[tuple[str, ast.expr]]
    """The names that the module sets once, at the top level, with their values."""
    links: frozenset[str]
    """All modules that it may import."""
    names: frozenset[str] | None
    """The names that it may define; None if it defines names at run time or is no `__init__.py`."""


@functools.lru_cache(maxsize=8192)
def _read_module(path: str, data: bytes) -> _Module | str:
    """Read the code of a module, or return why it cannot be parsed.

    The wheels of one release have mostly the same code, so a module is read once for all of them.
    The complete tree would take a hundred times the memory of the code, so only a part is kept.
    """
    try:
        tree = ast.parse(data)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        # This alone is not a fault: the package may need a newer Python than the suite runs on.
        python = ".".join(map(str, sys.version_info[:2]))
        return f"Python {python} cannot parse it ({str(error) or type(error).__name__})"
    nodes = list(ast.walk(tree))
    stores = Counter(
        node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    )
    constants = [
        (target.id, statement.value)
        for statement in tree.body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name) and len(statement.targets) == 1 and stores[target.id] == 1
    ]
    names = _names(nodes, path) if path.endswith("/__init__.py") else None
    links = frozenset(_links(nodes, path))
    return _Module(_import_part(tree.body)[0], constants, links, names)


def _import_part(body: Sequence[ast.stmt]) -> tuple[list[ast.stmt], bool]:
    """Return the statements that matter for imports, and whether one of them imports.

    They are those that contain an import, conditions that return or raise, and the last one. The
    statements inside them are removed in the same way.
    """
    kept, imports = [], False
    for number, statement in enumerate(body, 1):
        has_import = _reduce(statement)
        imports |= has_import
        ends = isinstance(statement, ast.If) and any(
            map(_ends_with_return_or_raise, (statement.body, statement.orelse))
        )
        if has_import or ends or number == len(body):
            kept.append(statement)
    return kept, imports


def _reduce(statement: ast.stmt) -> bool:
    """Reduce the statements inside a statement. Return whether one of them or itself imports."""
    imports = isinstance(statement, ast.Import | ast.ImportFrom)
    for owner in (statement, *getattr(statement, "handlers", ()), *getattr(statement, "cases", ())):
        for field in ("body", "orelse", "finalbody"):
            if inner := getattr(owner, field, None):
                kept, has_import = _import_part(inner)
                imports |= has_import
                setattr(owner, field, kept)
    return imports


class _Reader(NamedTuple):
    """Reads the imports of one module."""

    path: str
    values: KnownValues

    def imports(
        self, body: Sequence[ast.stmt], *, certain: bool = True, in_function: bool = False
    ) -> Iterator[ImportedModule]:
        """Yield the modules that these statements import when they run."""
        for statement in body:
            match statement:
                case ast.Import():
                    for alias in statement.names:
                        yield ImportedModule(alias.name, "", certain, in_function)
                case ast.ImportFrom():
                    base = _source_module(statement, self.path)
                    for alias in statement.names:
                        yield ImportedModule(base, alias.name, certain, in_function)
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    yield from self.imports(statement.body, certain=certain, in_function=True)
                case _:
                    inner, is_certain = self._executed_statements(
                        statement, in_function=in_function
                    )
                    yield from self.imports(
                        inner, certain=certain and is_certain, in_function=in_function
                    )
            if isinstance(statement, ast.If) and self._skips_rest(
                statement, in_function=in_function
            ):
                return

    def _executed_statements(
        self, statement: ast.stmt, *, in_function: bool
    ) -> tuple[list[ast.stmt], bool]:
        """Return the statements inside a statement, and whether they always run with it."""
        match statement:
            case ast.If(test=test):
                if (value := is_true(test, self.values)) is not None:
                    return (statement.body if value else statement.orelse), True
                if _RUN_CONDITION.search(ast.dump(test)):
                    return [], True
                # In a function, most conditions test the arguments. Some call makes them true.
                inner = [*statement.body, *statement.orelse]
                return inner, in_function and not _reads_constant(test)
            case ast.Try() | ast.TryStar() if _handles_import_error(statement):
                return statement.finalbody, True
            case ast.Try() | ast.TryStar() if in_function and _explains_import_error(statement):
                return [*statement.body, *statement.orelse, *statement.finalbody], False
            case ast.Try() | ast.TryStar():
                return [*statement.body, *statement.orelse, *statement.finalbody], True
            case _:
                return list(_unconditional(statement, in_function=in_function)), True

    def _skips_rest(self, statement: ast.If, *, in_function: bool) -> bool:
        """Return whether the code after a condition does not run on this or on some systems."""
        if (value := is_true(statement.test, self.values)) is not None:
            return _ends_with_return_or_raise(statement.body if value else statement.orelse)
        test = statement.test
        return (
            in_function
            and _ends_with_return_or_raise(statement.body)
            and bool(_RUN_CONDITION.search(ast.dump(test)) or _reads_constant(test))
        )


Constants = Mapping[str, Mapping[str, object]]
"""The values of the names of each module, by its path."""


def _constants(modules: Mapping[str, _Module], environment: Mapping[str, str]) -> Constants:
    """Return the names of each module whose values depend only on the system and the Python.

    Names that a module imports from another module of the package are included.
    """
    values = {
        path: _module_constants(module, path, environment) for path, module in modules.items()
    }
    imported: dict[str, dict[str, object]] = {}
    for path, module in modules.items():
        imported[path] = {}
        for statement in module.body:
            if isinstance(statement, ast.ImportFrom):
                file = _source_module(statement, path).replace(".", "/")
                known = values.get(f"{file}.py") or values.get(f"{file}/__init__.py", {})
                for alias in statement.names:
                    if alias.name in known:
                        imported[path][alias.asname or alias.name] = known[alias.name]
    return {path: {**imported[path], **values[path]} for path in modules}


def _module_constants(
    module: _Module, path: str, environment: Mapping[str, str]
) -> Mapping[str, object]:
    """Return the values of the names that a module sets once and that depend on the system."""
    constants: dict[str, object] = {"__name__": path.removesuffix(".py").replace("/", ".")}
    for name, value in module.constants:
        with contextlib.suppress(UnknownValue):
            constants[name] = evaluate(value, KnownValues(environment, constants))
    return constants


def _handles_import_error(statement: ast.Try | ast.TryStar) -> bool:
    """Return whether the code continues after an ImportError in a `try`."""
    return any(
        _may_catch_import_error(handler) and not isinstance(handler.body[-1], ast.Raise)
        for handler in statement.handlers
    )


def _explains_import_error(statement: ast.Try | ast.TryStar) -> bool:
    """Return whether a handler of ImportError raises another exception: the part is optional."""
    return any(
        _may_catch_import_error(handler) and _raises_new_exception(handler.body[-1])
        for handler in statement.handlers
    )


def _raises_new_exception(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Raise) and isinstance(statement.exc, ast.Call)


def _may_catch_import_error(handler: ast.ExceptHandler) -> bool:
    """Return whether a handler may catch ImportError. Unknown exceptions may be one."""
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    for kind in kinds:
        exception = getattr(builtins, kind.id, None) if isinstance(kind, ast.Name) else None
        if not (isinstance(exception, type) and issubclass(exception, BaseException)):
            return True
        if issubclass(ImportError, exception) or issubclass(exception, ImportError):
            return True
    return False


def _ends_with_return_or_raise(body: Sequence[ast.stmt]) -> bool:
    return bool(body) and isinstance(body[-1], ast.Return | ast.Raise)


def _unconditional(statement: ast.stmt, *, in_function: bool) -> Iterator[ast.stmt]:
    """Yield the statements inside a statement that always run with it.

    In functions, this includes the bodies of loops and `match`, because they depend on arguments.
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


def _source_module(statement: ast.ImportFrom, path: str) -> str:
    """Return the full name of the module in a `from` import."""
    parents = PurePosixPath(path).parts[: -statement.level] if statement.level else ()
    return ".".join((*parents, *((statement.module,) if statement.module else ())))


def _reads_constant(test: ast.expr) -> bool:
    """Return whether a condition reads a constant, such as `WINDOWS` (PEP 8: upper case)."""
    return any(
        (isinstance(node, ast.Name) and node.id.isupper())
        or (isinstance(node, ast.Attribute) and node.attr.isupper())
        for node in ast.walk(test)
    )


def _suppresses(statement: ast.With | ast.AsyncWith) -> bool:
    """Return whether a statement is `with contextlib.suppress(...)`, which works like `try`."""
    for item in statement.items:
        match item.context_expr:
            case ast.Call(func=ast.Name(id="suppress") | ast.Attribute(attr="suppress")):
                return True
    return False


def _links(nodes: Iterable[ast.AST], path: str) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _source_module(node, path)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _names(nodes: Iterable[ast.AST], path: str) -> frozenset[str] | None:
    """Return the names that a package's code may define, or None if it does so at run time.

    Submodules are not included. All string constants are, because `__getattr__` may use them.
    """
    names = set(_IMPLICIT_NAMES)
    package = ".".join(PurePosixPath(path).parts[:-1])
    for node in nodes:
        if _is_dynamic(node):
            return None
        names |= _defined(node, package, path)
    return frozenset(names)


def _is_dynamic(node: ast.AST) -> bool:
    """Return whether this code may define names at run time."""
    match node:
        case ast.Name(id=name):
            return name in _DYNAMIC
        case ast.Attribute(attr="modules" | "__dict__"):
            return True
        case ast.FunctionDef(name="__getattr__"):
            return _uses_argument(node)
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
            from_package = _source_module(node, path) == package  # the names may be submodules
            return {
                alias.asname or alias.name
                for alias in node.names
                if alias.asname or not from_package
            }
        case _:
            return set()


def _uses_argument(function: ast.FunctionDef) -> bool:
    """Return whether `__getattr__` uses the name except in comparisons and f-strings."""
    arguments = {argument.arg for argument in function.args.args}
    pending: list[ast.AST] = list(function.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Name) and node.id in arguments:
            return True
        if not isinstance(node, ast.Compare | ast.JoinedStr):
            pending += ast.iter_child_nodes(node)
    return False
