"""Evaluate the conditions of source code that depend only on the system and on the Python."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import NamedTuple

from verification.models.release import PATCHES

_ATTRIBUTES = {
    "sys.platform": "sys_platform",
    "os.name": "os_name",
    "sys.implementation.name": "implementation_name",
}
_CALLS = {
    "platform.system": "platform_system",
    "platform.machine": "platform_machine",
    "platform.python_implementation": "platform_python_implementation",
}
# Names that code uses for the result of such a condition, also if it imports them: six.PY2.
_CONVENTIONS = {"TYPE_CHECKING": False, "PY2": False, "PY3": True}
_OTHER_PYTHON_ATTRIBUTES = {"pypy_version_info", "pypy_translation_info", "JYTHON_JAR"}
"""The attributes of `sys` that only other implementations than CPython have."""
_COMPARISONS: Mapping[type[ast.cmpop], Callable[[object, object], object]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda item, items: operator.contains(items, item),  # type: ignore[arg-type]
    ast.NotIn: lambda item, items: not operator.contains(items, item),  # type: ignore[arg-type]
    ast.Lt: operator.lt,  # type: ignore[dict-item]
    ast.LtE: operator.le,  # type: ignore[dict-item]
    ast.Gt: operator.gt,  # type: ignore[dict-item]
    ast.GtE: operator.ge,  # type: ignore[dict-item]
}


class UnknownValue(Exception):
    """The value of an expression depends on more than the system and the Python."""


class KnownValues(NamedTuple):
    """The values that the conditions of a module can read."""

    environment: Mapping[str, str]
    """The marker variables of the system and the Python (PEP 508). Some can be missing."""
    constants: Mapping[str, object] = {}
    """The known values of names of the module."""


def evaluate(expression: ast.expr, values: KnownValues) -> object:
    """Return the value of an expression on the system and the Python of these values.

    Raises:
        UnknownValue: it depends on something else, or on the patch release of the Python.
    """
    first, last = (_value(expression, values, patch) for patch in (PATCHES[0], PATCHES[-1]))
    if first != last:
        raise UnknownValue
    return first


def is_true(condition: ast.expr, values: KnownValues) -> bool | None:
    """Return whether a condition is true on the system and the Python; None if unknown."""
    try:
        return bool(evaluate(condition, values))
    except UnknownValue:
        return None


def _value(node: ast.expr, values: KnownValues, patch: int) -> object:
    try:
        return _known_value(node, values, patch)
    except (TypeError, KeyError, IndexError, AttributeError, ValueError):
        raise UnknownValue from None


def _known_value(node: ast.expr, values: KnownValues, patch: int) -> object:  # noqa: C901
    def value(inner: ast.expr) -> object:
        return _value(inner, values, patch)

    match node:
        case ast.Constant(value=constant):
            return constant
        case ast.Tuple(elts=items) | ast.List(elts=items) | ast.Set(elts=items):
            return tuple(map(value, items))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return not value(operand)
        case ast.BoolOp():
            return _bool_op(node, values, patch)
        case ast.Compare(left=ast.Constant(value="__pypy__"), ops=[ast.In() | ast.NotIn() as op]):
            return isinstance(op, ast.NotIn)  # in sys.builtin_module_names
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return _COMPARISONS[type(op)](value(left), value(right))
        case ast.BinOp(left=left, op=ast.Pow(), right=ast.Constant(value=int(power))):
            return value(left) ** power  # type: ignore[operator]
        case ast.Subscript(value=container, slice=ast.Slice() as bounds):
            ends = (bounds.lower, bounds.upper)
            return value(container)[slice(*(end and value(end) for end in ends))]  # type: ignore[index]
        case ast.Subscript(value=container, slice=index):
            return value(container)[value(index)]  # type: ignore[index]
        case ast.Call(func=ast.Attribute(value=text, attr="startswith" | "endswith" as name)):
            (prefix,) = map(value, node.args)
            return getattr(value(text), name)(prefix)
        case ast.Call(func=ast.Attribute(value=text, attr="lower"), args=[]):
            return value(text).lower()  # type: ignore[attr-defined]
        case ast.Call(func=ast.Name(id="hasattr"), args=[ast.Name(id="sys"), ast.Constant() as of]):
            if of.value in _OTHER_PYTHON_ATTRIBUTES:
                return False
            raise UnknownValue
        case ast.Call(func=function, args=[]):
            return values.environment[_CALLS[_dotted(function)]]
        case ast.Name() | ast.Attribute():
            return _named(_dotted(node), values, patch)
        case _:
            raise UnknownValue


def _bool_op(node: ast.BoolOp, values: KnownValues, patch: int) -> object:
    """Return the value of `and` or `or`. One known operand can decide it."""
    decisive = isinstance(node.op, ast.Or)
    unknown = False
    for operand in node.values:
        try:
            if bool(_value(operand, values, patch)) is decisive:
                return decisive
        except UnknownValue:
            unknown = True
    if unknown:
        raise UnknownValue
    return not decisive


def _named(name: str, values: KnownValues, patch: int) -> object:
    if name in values.constants:
        return values.constants[name]
    module, _, attribute = name.rpartition(".")
    version = tuple(map(int, values.environment["python_version"].split(".")))
    match name:
        case "sys.version_info" | "version_info":
            return (*version, patch, "final", 0)
        case "sys.version_info.major" | "version_info.major":
            return version[0]
        case "sys.version_info.minor" | "version_info.minor":
            return version[1]
        case "sys.hexversion":
            return (version[0] << 24) + (version[1] << 16) + (patch << 8) + 0xF0
        case "sys.maxsize":
            is_32_bit = values.environment["platform_machine"] in ("i686", "x86", "armv7l")
            return 2**31 - 1 if is_32_bit else 2**63 - 1
        case "str" | "bytes":
            return name  # `str is bytes` is true only in Python 2
        case "platform":
            return values.environment["sys_platform"]  # from sys import platform
    if attribute in _CONVENTIONS and module in ("", "six", "typing", "compat", "_compat"):
        return _CONVENTIONS[attribute]
    return values.environment[_ATTRIBUTES[name]]


def _dotted(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=owner, attr=name):
            return f"{_dotted(owner)}.{name}"
        case _:
            raise UnknownValue
