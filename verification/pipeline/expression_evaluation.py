"""Evaluate the tree of an expression of GitHub Actions.

The rules are from GitHub's documentation ("Expressions") and the published source of GitHub's
runner (actions/runner, `src/Sdk/DTExpressions2`).
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping
from typing import Literal as OneOf

from verification.models.expression_syntax import (
    STATUS_FUNCTIONS,
    Access,
    BadExpression,
    Call,
    Literal,
    Name,
    Node,
    Not,
    Operation,
    number,
)
from verification.pipeline.expression_values import (
    Array,
    Known,
    Object,
    Unknown,
    UnknownValue,
    Value,
    equal,
    folded,
    from_json,
    json_text,
    known,
    less,
    select,
    select_all,
    text_of,
    truthy,
)

Status = OneOf["success", "failure", "cancelled", "skipped"]
"""With `skipped`, none of the functions `success`, `failure` and `cancelled` is true."""
_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([0-9]+)\}|[{}]")


class Evaluation:
    """Evaluates trees with the same contexts."""

    def __init__(self, context: Callable[[str], Value], status: Status) -> None:
        """Evaluate with the function that returns the context of a name."""
        self._context, self._status = context, status

    def value(self, node: Node) -> Value:
        """Return the value of a tree. It can be unknown."""
        match node:
            case Literal(value):
                return value
            case Name(name):
                return self._context(name)
            case Access(base, key):
                container = self.value(base)
                return select(container, self._known(key)) if key else select_all(container)
            case Not():
                return self.truth(node)
            case Operation("&&" | "||" as operator, left, right):
                first = self.value(left)
                return self.value(right) if truthy(first) == (operator == "&&") else first
            case Operation(operator, left, right):
                return _COMPARISONS[operator](self._known(left), self._known(right))
            case Call(function, _) if function in STATUS_FUNCTIONS:
                return function in ("always", self._status)
            case Call("case", arguments):
                return self._case(arguments)
            case Call("hashfiles", _):
                return Unknown("hashFiles()")
            case Call(function, arguments):
                return _FUNCTIONS[function](*map(self._known, arguments))

    def truth(self, node: Node) -> bool:
        """Return whether a tree counts as true. One operand can decide without the other.

        Raises:
            UnknownValue: it depends on a value that is not known.
        """
        match node:
            case Not(operand):
                return not self.truth(operand)
            case Operation("&&" | "||" as operator, left, right):
                decisive = operator == "||"
                try:
                    first = self.truth(left)
                except UnknownValue:
                    if self.truth(right) == decisive:
                        return decisive
                    raise
                return first if first == decisive else self.truth(right)
            case _:
                return truthy(self.value(node))

    def _known(self, node: Node) -> Known:
        return known(self.value(node))

    def _case(self, arguments: tuple[Node, ...]) -> Value:
        """Return the value after the first condition that is true, else the last value.

        Raises:
            BadExpression: a condition is not a boolean.
        """
        for condition, value in zip(arguments[::2], arguments[1::2], strict=False):
            chosen = self._known(condition)
            if not isinstance(chosen, bool):
                raise BadExpression("case: a condition is not a boolean")
            if chosen:
                return self.value(value)
        return self.value(arguments[-1])


def _contains(search: Known, item: Known) -> bool:
    if isinstance(search, Array):
        return any(equal(known(element), item) for element in search.values)
    return _is_part(str.__contains__, search, item)


def _is_part(test: Callable[[str, str], bool], text: Known, part: Known) -> bool:
    """Return whether a test of two texts holds. GitHub ignores their case."""
    if isinstance(text, Array | Object) or isinstance(part, Array | Object):
        return False
    return test(folded(text_of(text)), folded(text_of(part)))


def _format(template: Known, *arguments: Known) -> str:
    """Replace `{0}` by the first argument, and so on.

    Raises:
        BadExpression: a placeholder has no argument, or a brace is alone.
    """

    def piece(match: re.Match[str]) -> str:
        if match[0] in ("{{", "}}"):
            return match[0][0]
        if match[1] is None or number(match[1]) >= len(arguments):
            raise BadExpression(f"format: {match[0]!r} in {text_of(template)!r} has no argument")
        return text_of(arguments[int(match[1])])

    return _PLACEHOLDER.sub(piece, text_of(template))


def _join(items: Known, separator: Known = ",") -> str:
    if not isinstance(items, Array):
        return text_of(items) if not isinstance(items, Object) else ""
    between = "," if isinstance(separator, Array | Object) else text_of(separator)
    return between.join(text_of(item) for item in items.values)


def _from_json(text: Known) -> Value:
    try:
        return from_json(json.loads(text_of(text)))
    except (ValueError, RecursionError):
        raise BadExpression(f"fromJSON: {text_of(text)!r} is not JSON") from None


_COMPARISONS: Mapping[str, Callable[[Known, Known], bool]] = {
    "==": equal,
    "!=": lambda left, right: not equal(left, right),
    "<": less,
    "<=": lambda left, right: less(left, right) or equal(left, right),
    ">": lambda left, right: less(right, left),
    ">=": lambda left, right: less(right, left) or equal(left, right),
}
_FUNCTIONS: Mapping[str, Callable[..., Value]] = {
    "contains": _contains,
    "startswith": functools.partial(_is_part, str.startswith),
    "endswith": functools.partial(_is_part, str.endswith),
    "format": _format,
    "join": _join,
    "tojson": json_text,
    "fromjson": _from_json,
}
