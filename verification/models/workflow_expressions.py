"""Check the expressions of a workflow file: their syntax, and the contexts that they can use.

GitHub refuses a file with a wrong expression. The contexts are from its documentation ("Contexts",
"Context availability") and the published schema of workflow files (actions/languageservices,
`workflow-v1.0.json`).
"""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from verification.models.expression_syntax import (
    CONTEXTS,
    STATUS_FUNCTIONS,
    BadExpression,
    Call,
    Name,
    Node,
    nodes,
    pieces,
    tree_of,
)

Path = tuple[str, ...]

_WORKFLOW = frozenset(("github", "inputs", "vars"))
_JOB = _WORKFLOW | {"matrix", "needs", "strategy"}
_STEP = _JOB | {"env", "job", "runner", "secrets", "steps"}
_AVAILABLE: tuple[tuple[Path, frozenset[str]], ...] = (
    (("run-name",), _WORKFLOW),
    (("concurrency",), _WORKFLOW),
    (("env",), _WORKFLOW | {"secrets"}),
    (("jobs", "*", "if"), _WORKFLOW | {"needs"}),
    (("jobs", "*", "strategy"), _WORKFLOW | {"needs"}),
    (("jobs", "*", "env"), _JOB | {"secrets"}),
    (("jobs", "*", "secrets"), _JOB | {"secrets"}),
    (("jobs", "*", "defaults"), _JOB | {"env"}),
    (("jobs", "*", "environment", "url"), _STEP - {"secrets"}),
    (("jobs", "*", "container", "env"), _STEP),
    (("jobs", "*", "container", "credentials"), _STEP),
    (("jobs", "*", "services"), _STEP),
    (("jobs", "*", "outputs"), _STEP),
    (("jobs", "*", "steps", "*", "if"), _STEP - {"secrets"}),
    (("jobs", "*", "steps", "*", "uses"), frozenset()),
    (("jobs", "*", "steps"), _STEP),
    (("jobs", "*", "uses"), frozenset()),
    (("jobs", "*"), _JOB),
)
"""The contexts that each key of the file can use. The first row that fits counts. Other keys can
use all contexts."""


def wrong_expressions(document: yaml.Node) -> Iterator[tuple[yaml.Node, str]]:
    """Yield each text of a workflow file with a wrong expression, and what is wrong."""
    for path, node in _texts(document, ()):
        if path[:1] == ("on",):
            continue
        text, is_condition = str(node.value), path[-1:] == ("if",)
        try:
            parts = (tree_of(text),) if is_condition else pieces(text)
        except BadExpression as error:
            yield node, str(error)
            continue
        trees = [tree for tree in parts if not isinstance(tree, str)]
        if unavailable := _unavailable(trees, path, is_condition=is_condition):
            place = ".".join(path)
            yield node, f"`{place}` cannot use {', '.join(sorted(unavailable))} in an expression"


def _unavailable(trees: list[Node], path: Path, *, is_condition: bool) -> set[str]:
    contexts = next((names for row, names in _AVAILABLE if _fits(path, row)), CONTEXTS)
    names: set[str] = set()
    for node in (part for tree in trees for part in nodes(tree)):
        match node:
            case Name(name) if name not in contexts:
                names.add(f"`{name}`")
            case Call(function, _) if function in STATUS_FUNCTIONS and not is_condition:
                names.add(f"`{function}()`")
    return names


def _fits(path: Path, row: Path) -> bool:
    return len(path) >= len(row) and all(
        part in ("*", key) for part, key in zip(row, path, strict=False)
    )


def _texts(node: yaml.Node, path: Path) -> Iterator[tuple[Path, yaml.ScalarNode]]:
    match node:
        case yaml.MappingNode():
            for key, value in node.value:
                yield from _texts(value, (*path, str(key.value)))
        case yaml.SequenceNode():
            for number, item in enumerate(node.value):
                yield from _texts(item, (*path, str(number)))
        case yaml.ScalarNode():
            yield path, node
