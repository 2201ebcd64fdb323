"""Parse the expressions of GitHub Actions, and find them in a text.

The syntax is from GitHub's documentation ("Expressions") and from the published source of GitHub's
runner (actions/runner, `src/Sdk/DTExpressions2`), which decides what the documentation leaves open.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

Scalar: TypeAlias = None | bool | float | str

CONTEXTS = frozenset(
    (
        "env",
        "github",
        "inputs",
        "job",
        "jobs",
        "matrix",
        "needs",
        "runner",
        "secrets",
        "steps",
        "strategy",
        "vars",
    )
)
"""The names of all contexts (GitHub's documentation, "Contexts")."""

STATUS_FUNCTIONS = frozenset(("always", "cancelled", "failure", "success"))
ARGUMENTS: dict[str, tuple[int, int]] = {
    "always": (0, 0),
    "cancelled": (0, 0),
    "case": (3, 255),
    "contains": (2, 2),
    "endswith": (2, 2),
    "failure": (0, 255),
    "format": (1, 255),
    "fromjson": (1, 1),
    "hashfiles": (1, 255),
    "join": (1, 2),
    "startswith": (2, 2),
    "success": (0, 255),
    "tojson": (1, 1),
}
"""The least and largest number of arguments of each function."""

_MAX_DEPTH = 50
"""The largest depth of nested parts of an expression."""
_MAX_OPERATORS = 200
"""The largest number of operators in a chain, such as `a || b || c`."""
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<string>'(?:[^']|'')*')
      | (?P<number>[-+]?\.?[0-9][^\s()\[\],!<>=&|']*|[-+]Infinity\b)
      | (?P<name>[A-Za-z_][A-Za-z0-9_-]*)
      | (?P<sign>==|!=|<=|>=|&&|\|\||[()\[\].,!<>*])
    )""",
    re.VERBOSE,
)
_KEYWORDS: dict[str, Scalar] = {
    "null": None,
    "true": True,
    "false": False,
    "NaN": math.nan,
    "Infinity": math.inf,
}
_LEVELS = (("||",), ("&&",), ("==", "!="), ("<", "<=", ">", ">="))
"""The operators with two operands. Those with the lowest precedence come first."""


class BadExpression(ValueError):
    """GitHub refuses the expression. The message is one line and has the expression."""


@dataclass(frozen=True)
class Literal:
    """A value that is written in the expression."""

    value: Scalar


@dataclass(frozen=True)
class Name:
    """A context."""

    name: str


@dataclass(frozen=True)
class Access:
    """A property of an object, an element of an array, or all of them (`*`)."""

    base: Node
    key: Node | None
    """None stands for `*`."""


@dataclass(frozen=True)
class Call:
    """A call of a function. The name is in lower case."""

    function: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True)
class Not:
    """A negation."""

    operand: Node


@dataclass(frozen=True)
class Operation:
    """An operator between two operands."""

    operator: str
    left: Node
    right: Node


Node: TypeAlias = Literal | Name | Access | Call | Not | Operation


def parse(text: str) -> Node:
    """Return the tree of an expression, which is written without `${{` and `}}`.

    Raises:
        BadExpression: GitHub refuses the expression.
    """
    parser = _Parser(text)
    node = parser.operation(0)
    if parser.next:
        raise parser.bad(f"has {parser.next!r} after its end")
    return node


def nodes(node: Node) -> Iterator[Node]:
    """Yield a node and all nodes below it."""
    yield node
    match node:
        case Access(base, key):
            yield from nodes(base)
            if key is not None:
                yield from nodes(key)
        case Call(_, arguments):
            for argument in arguments:
                yield from nodes(argument)
        case Not(operand):
            yield from nodes(operand)
        case Operation(_, left, right):
            yield from nodes(left)
            yield from nodes(right)
        case Literal() | Name():
            return


def pieces(text: str) -> tuple[str | Node, ...]:
    """Split a text into its plain parts, and the trees of its expressions (`${{ ... }}`).

    Raises:
        BadExpression: an expression has no end, or GitHub refuses it.
    """
    return tuple(parse(part) if is_expression else part for part, is_expression in sources(text))


def sources(text: str) -> tuple[tuple[str, bool], ...]:
    """Split a text into its plain parts and the sources of its expressions, which have True.

    The source of an expression is the text between `${{` and `}}`.

    Raises:
        BadExpression: an expression has no end.
    """
    parts: list[tuple[str, bool]] = []
    position = 0
    while (start := text.find("${{", position)) >= 0:
        end = _end(text, start + 3)
        if start > position:
            parts.append((text[position:start], False))
        parts.append((text[start + 3 : end], True))
        position = end + 2
    if position < len(text):
        parts.append((text[position:], False))
    return tuple(parts)


def tree_of(text: str) -> Node:
    """Return the tree of an expression that is written with or without `${{ }}`.

    Of a text with other parts, it is the tree of a call of `format`, as on GitHub.

    Raises:
        BadExpression: GitHub refuses the expression.
    """
    if not text.strip():
        return Literal("")
    if "${{" not in text:
        return parse(text)
    parts = pieces(text.strip())
    if len(parts) == 1 and not isinstance(parts[0], str):
        return parts[0]
    arguments = [Literal(part) if isinstance(part, str) else part for part in parts]
    template = "".join(f"{{{index}}}" for index in range(len(parts)))
    return Call("format", (Literal(template), *arguments))


def number(text: str) -> float:
    """Return a text as a number as GitHub does; NaN if it is none. An empty text is 0."""
    text = text.strip()
    if not text:
        return 0.0
    if re.fullmatch(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", text, re.ASCII):
        return float(text)
    if re.fullmatch(r"0x[0-9a-fA-F]{1,16}|0o[0-7]{1,22}", text):
        return float(int(text, 0))
    return {"Infinity": math.inf, "+Infinity": math.inf, "-Infinity": -math.inf}.get(text, math.nan)


def number_text(quantity: float) -> str:
    """Return a number as the text into which GitHub converts it."""
    if math.isinf(quantity):
        return "Infinity" if quantity > 0 else "-Infinity"
    return "NaN" if math.isnan(quantity) else f"{quantity or 0:.15g}".upper()


def _end(text: str, position: int) -> int:
    """Return the position of the `}}` that ends an expression. A string can contain it."""
    quoted = False
    for index in range(position, len(text)):
        if text[index] == "'":
            quoted = not quoted
        elif not quoted and text.startswith("}}", index):
            return index
    raise BadExpression(f"the expression {_short(text)} has no }}}} at its end")


class _Parser:
    """Reads an expression from left to right. `next` is the next token, "" at the end."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = self._depth = 0
        self._kind, self.next = "", ""
        self._advance()

    def bad(self, fault: str) -> BadExpression:
        return BadExpression(f"the expression {_short(self._text)} {fault}")

    def operation(self, level: int) -> Node:
        if level == len(_LEVELS):
            return self._operand()
        left = self.operation(level + 1)
        count = 0
        while self._kind == "sign" and self.next in _LEVELS[level]:
            operator = self._take()
            left = Operation(operator, left, self.operation(level + 1))
            count += 1
            if count > _MAX_OPERATORS:
                raise self.bad(f"has a chain of more than {_MAX_OPERATORS} operators")
        return left

    def _operand(self) -> Node:
        self._deeper(1)
        node: Node
        if self._kind == "sign" and self.next == "!":
            self._take()
            node = Not(self._operand())
        else:
            node = self._with_access(self._primary())
        self._depth -= 1
        return node

    def _primary(self) -> Node:
        match self._kind:
            case "string":
                return Literal(self._take()[1:-1].replace("''", "'"))
            case "number":
                if math.isnan(value := number(self.next)):
                    raise self.bad(f"has {self.next!r}, which is not a number")
                self._take()
                return Literal(value)
            case "name":
                return self._named(self._take())
            case "sign" if self.next == "(":
                self._take()
                node = self.operation(0)
                self._expect(")")
                return node
        if not self.next:
            raise self.bad("has no value at its end")
        raise self.bad(f"has {self.next!r} in place of a value")

    def _named(self, name: str) -> Node:
        if self.next == "(" and self._kind == "sign":
            return self._call(name)
        if name in _KEYWORDS:
            return Literal(_KEYWORDS[name])
        if name.lower() not in CONTEXTS:
            raise self.bad(f"has the unknown name {name!r}; write a string in single quotes")
        return Name(name.lower())

    def _call(self, name: str) -> Node:
        function = name.lower()
        if function not in ARGUMENTS:
            raise self.bad(f"has the unknown function {name!r}")
        self._expect("(")
        arguments: list[Node] = []
        while not (self._kind == "sign" and self.next == ")"):
            if arguments:
                self._expect(",")
            arguments.append(self.operation(0))
        self._expect(")")
        least, most = ARGUMENTS[function]
        even = len(arguments) % 2 == 0
        if not least <= len(arguments) <= most or (function == "case" and even):
            raise self.bad(f"calls {name} with {len(arguments)} arguments")
        return Call(function, tuple(arguments))

    def _with_access(self, node: Node) -> Node:
        accesses = 0
        while self._kind == "sign" and self.next in (".", "["):
            key: Node | None
            if self._take() == ".":
                if self._kind == "name":
                    key = Literal(self._take())
                else:
                    self._expect("*")
                    key = None
            elif self._kind == "sign" and self.next == "*":
                self._take()
                self._expect("]")
                key = None
            else:
                key = self.operation(0)
                self._expect("]")
            node = Access(node, key)
            accesses += 1
            self._deeper(accesses)
            self._depth -= accesses
        return node

    def _deeper(self, levels: int) -> None:
        self._depth += levels
        if self._depth > _MAX_DEPTH:
            raise self.bad(f"is nested more than {_MAX_DEPTH} levels deep")

    def _expect(self, sign: str) -> None:
        if self._kind != "sign" or self.next != sign:
            token = repr(self.next) if self.next else "its end"
            raise self.bad(f"has {token} in place of {sign!r}")
        self._take()

    def _take(self) -> str:
        token = self.next
        self._advance()
        return token

    def _advance(self) -> None:
        if not self._text[self._position :].strip():
            self._kind, self.next = "", ""
            return
        match = _TOKEN.match(self._text, self._position)
        if match is None or match.lastgroup is None:
            character = self._text[self._position :].strip()[0]
            raise self.bad(f"has {character!r}, which is no part of an expression")
        self._kind, self.next = match.lastgroup, match[match.lastgroup]
        self._position = match.end()


def _short(text: str) -> str:
    line = " ".join(text.split())
    return repr(line if len(line) <= 80 else f"{line[:77]}...")
