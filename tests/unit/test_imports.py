"""Imports go one way: models, rules, session and report, commands."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_OURS = ("containers", "verification", "tests", "conftest")


@functools.cache
def _imports(path: Path) -> list[str]:
    """Return the dotted names of all modules that a file imports, also inside functions."""
    return list(_imported(path))


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _is_in(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def _files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def _violations(folder: str, allows: Callable[[str, str], bool]) -> set[tuple[str, str]]:
    """Return (file, module) for each import of our modules in a folder that `allows` forbids."""
    return {
        (name, module)
        for path in _files(folder)
        for name in (path.relative_to(ROOT).as_posix(),)
        for module in _imports(path)
        if _is_in(module, *_OURS) and not allows(name, module)
    }


RULES: dict[str, tuple[str, Callable[[str, str], bool]]] = {
    "the models import only models": (
        "verification/models",
        lambda _, module: _is_in(module, "verification.models"),
    ),
    "the testbed imports only the models": (
        "containers",
        lambda name, module: name.startswith("containers/images/")
        or _is_in(module, "containers", "verification.models"),
    ),
    "programs in images import none of our modules": ("containers/images", lambda *_: False),
    "programs on machines import none of our modules": ("verification/probe", lambda *_: False),
    "only sessions and commands import the testbed": (
        "verification",
        lambda name, module: name.startswith(("verification/session/", "verification/commands/"))
        or not _is_in(module, "containers"),
    ),
    "only commands import commands, and only commands and sessions import sessions": (
        "verification",
        lambda name, module: not _is_in(
            module,
            *(() if name.startswith("verification/commands/") else ("verification.commands",)),
            *(
                ()
                if name.startswith(("verification/session/", "verification/commands/"))
                else ("verification.session",)
            ),
        ),
    ),
    "the product does not import its tests": (
        "verification",
        lambda _, module: not _is_in(module, "tests", "conftest"),
    ),
}


@pytest.mark.parametrize("rule", RULES)
def test_imports_go_one_way(rule: str) -> None:
    folder, allows = RULES[rule]
    assert _violations(folder, allows) == set(), rule


@pytest.mark.parametrize("module", ["verification.commands.parser", "verification.commands.doctor"])
def test_the_command_line_needs_only_the_standard_library(module: str) -> None:
    command = [sys.executable, "-S", "-c", f"import {module}"]  # -S: no installed packages
    result = subprocess.run(command, cwd=ROOT, env={}, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


def test_compare_starts_without_the_libraries_of_the_engine() -> None:
    code = "import sys, verification.commands.compare; print(*sys.modules)"
    modules = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True).split()
    assert "verification.commands.compare" in modules
    assert {"docker", "requests", "testcontainers"}.isdisjoint(modules)


def test_an_import_in_the_wrong_direction_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "verification" / "models"
    folder.mkdir(parents=True)
    text = "def f():\n    from verification import rules\nimport containers.engine, json\n"
    (folder / "a.py").write_text(text, "utf-8")
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    name = "verification/models/a.py"
    assert _violations(*RULES["the models import only models"]) == {
        (name, "verification.rules"),
        (name, "containers.engine"),
    }
    assert (name, "containers.engine") in _violations(
        *RULES["only sessions and commands import the testbed"]
    )
