from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
# The programs in these folders run in an image or on a machine, each in a separate process.
PROGRAMS = (ROOT / "containers" / "images", ROOT / "verification" / "probe")
# The folder for temporary files is for the programs that the suite starts. Its module restores it.
TEMPORARY_FOLDER = ROOT / "containers" / "temporary.py"
WRITE_METHODS = {"update", "setdefault", "pop", "popitem", "clear", "__setitem__", "__delitem__"}


def _is_environ(node: ast.expr) -> bool:
    return (isinstance(node, ast.Name) and node.id == "environ") or (
        isinstance(node, ast.Attribute) and node.attr in ("environ", "environb")
    )


def _writes(tree: ast.AST) -> Iterator[int]:
    """Yield the line numbers of statements that write to the environment of the process."""
    for node in ast.walk(tree):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign | ast.Delete):
            targets = node.targets
        elif isinstance(node, ast.AugAssign | ast.AnnAssign):
            targets = [node.target]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            function = node.func
            if function.attr in ("putenv", "unsetenv") or (
                function.attr in WRITE_METHODS and _is_environ(function.value)
            ):
                yield node.lineno
        for target in targets:
            variable = target.value if isinstance(target, ast.Subscript) else target
            if _is_environ(variable):
                yield target.lineno


def test_suite_does_not_write_to_the_environment_of_its_process() -> None:
    writes = [
        f"{path.relative_to(ROOT)}:{line}"
        for folder in ("containers", "verification")
        for path in (ROOT / folder).rglob("*.py")
        if not any(programs in path.parents for programs in PROGRAMS) and path != TEMPORARY_FOLDER
        for line in _writes(ast.parse(path.read_text("utf-8")))
    ]
    assert writes == []


def test_each_way_to_write_to_the_environment_is_reported() -> None:
    lines = (
        "os.environ['A'] = 'b'",
        "os.environ |= {}",
        "del os.environ['A']",
        "os.environ.update(A='b')",
        "environ.pop('A')",
        "os.putenv('A', 'b')",
        "os.environ = {}",
    )
    assert list(_writes(ast.parse("\n".join(lines)))) == [1, 2, 3, 7, 4, 5, 6]
    reads = "os.environ['A']\nos.environ | {}\nx = {**os.environ}\nos.environ.get('A')"
    assert list(_writes(ast.parse(reads))) == []
