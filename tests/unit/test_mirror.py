"""Each module with behaviour has a test file. The path of the test file mirrors the module's."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.helpers.mirror import TESTS, mirror_of

ROOT = Path(__file__).parents[2]
PRODUCT = ("containers", "verification")
EXCEPTIONS: Mapping[str, str] = {}
"""Why a module with behaviour has no test file, by the path of the module."""

Function = ast.FunctionDef | ast.AsyncFunctionDef
TEST = re.compile(r"^ *(?:async )?def test_", re.MULTILINE)


def has_body(function: Function) -> bool:
    """Return True if a function has more than a docstring and an ellipsis."""
    return not all(
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        for statement in function.body
    )


@functools.cache
def has_behaviour(path: Path) -> bool:
    """Return True if a module has a function or a method with a body."""
    nodes = ast.walk(ast.parse(path.read_text("utf-8")))
    return any(isinstance(node, Function) and has_body(node) for node in nodes)


def modules(root: Path) -> list[str]:
    """Return the modules of the product."""
    return sorted(
        path.relative_to(root).as_posix() for top in PRODUCT for path in (root / top).rglob("*.py")
    )


def with_behaviour(root: Path) -> list[str]:
    """Return the modules that have a function or a method with a body."""
    return [name for name in modules(root) if has_behaviour(root / name)]


def has_tests(path: Path) -> bool:
    """Return True if a file exists and has a test."""
    return path.is_file() and bool(TEST.search(path.read_text("utf-8")))


def without_tests(root: Path) -> set[str]:
    """Return the modules with behaviour whose mirrored file has no tests."""
    return {name for name in with_behaviour(root) if not has_tests(root / mirror_of(name))}


def without_module(root: Path) -> set[str]:
    """Return the test files that mirror no module."""
    mirrors = {mirror_of(name) for name in modules(root)}
    files = (path for top in PRODUCT for path in (root / TESTS / top).rglob("test_*.py"))
    return {path.relative_to(root).as_posix() for path in files} - mirrors


def test_all_modules_with_behaviour_have_a_test_file() -> None:
    missing = {name: mirror_of(name) for name in without_tests(ROOT) - EXCEPTIONS.keys()}
    assert missing == {}, "write the test file, or list the module in EXCEPTIONS with the reason"


def test_all_exceptions_are_needed_and_have_a_reason() -> None:
    assert EXCEPTIONS.keys() - without_tests(ROOT) == set(), "these modules need no exception"
    assert all(EXCEPTIONS.values())


def test_all_test_files_mirror_a_module() -> None:
    assert without_module(ROOT) == set(), "move the tests into the file that mirrors their module"


# ---- the rules, on an invented product ----


def write(root: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


@pytest.mark.parametrize(
    ("text", "behaves"),
    [
        ("", False),
        ("X = 1\n", False),
        ("class A:\n    '''Text.'''\n    x: int = 1\n", False),
        ("class A(Protocol):\n    def f(self) -> None:\n        '''Text.'''\n", False),
        ("class A(Protocol):\n    def f(self) -> None: ...\n", False),
        ("def f():\n    return 1\n", True),
        (
            "class A:\n    @property\n    def f(self):\n        return 1\n",
            True,
        ),
        ("async def f():\n    pass\n", True),
        ("if True:\n    def f():\n        return 1\n", True),
    ],
)
def test_behaviour_is_a_function_with_a_body(tmp_path: Path, text: str, behaves: bool) -> None:
    write(tmp_path, {"containers/a.py": text})
    assert with_behaviour(tmp_path) == (["containers/a.py"] if behaves else [])


@pytest.mark.parametrize(
    ("module", "file"),
    [
        ("verification/wheel/elf.py", "tests/unit/verification/wheel/test_elf.py"),
        ("verification/rules/__init__.py", "tests/unit/verification/rules/test_rules.py"),
        (
            "containers/images/debian-13-glibc-2.17/old.py",
            "tests/unit/containers/images/debian_13_glibc_2_17/test_old.py",
        ),
    ],
)
def test_the_path_of_a_module_gives_the_path_of_its_tests(module: str, file: str) -> None:
    assert mirror_of(module) == file


@pytest.mark.parametrize(
    ("tests", "missing"),
    [
        ({"tests/unit/verification/test_a.py": "def test_f() -> None: ...\n"}, set()),
        ({"tests/unit/verification/test_a.py": "X = 1\n"}, {"verification/a.py"}),
        ({"tests/unit/test_a.py": "def test_f() -> None: ...\n"}, {"verification/a.py"}),
        ({}, {"verification/a.py"}),
    ],
)
def test_a_module_without_tests_is_reported(
    tmp_path: Path, tests: Mapping[str, str], missing: set[str]
) -> None:
    write(tmp_path, {"verification/a.py": "def f():\n    return 1\n", **tests})
    assert without_tests(tmp_path) == missing


def test_a_test_file_without_a_module_is_reported(tmp_path: Path) -> None:
    write(tmp_path, {"verification/a.py": "X = 1\n"})
    for name in ("a", "b"):
        write(tmp_path, {f"tests/unit/verification/test_{name}.py": "def test_f() -> None: ...\n"})
    assert without_module(tmp_path) == {"tests/unit/verification/test_b.py"}
