"""Mutation testing: the mutants of a module, its test file, and the modules in a folder."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tests.benchmarks import mutation
from tests.benchmarks.mutation import ROOT, Mutant, files_of, mirrored_tests


def changes(folder: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> list[Mutant]:
    """Return the mutants of a module with this code."""
    monkeypatch.setattr(mutation, "ROOT", folder)
    (folder / "m.py").write_text(code, "utf-8")
    return [make() for make in mutation.mutants("m.py")]


@pytest.mark.parametrize(
    ("code", "mutant"),
    [
        ("def f(a, b):\n    return a > b\n", "def f(a, b):\n    return a >= b\n"),
        ("x = [a for a in y if a]\n", "x = [a for a in y if not (a)]\n"),
        ("if x and y:\n    z()\n", "if not (x and y):\n    z()\n"),
        ("if x and y:\n    z()\n", "if x or y:\n    z()\n"),
        ("if x and y:\n    z()\n", "if x and y:\n    pass\n"),
        ("def f():\n    yield 1\n", "def f():\n    pass\n"),
        ("x = f(a, b=1)\n", "x = f(a, )\n"),
        ("x = 'ab'\n", "x = 'XXabXX'\n"),
        ("x += y\n", "pass\n"),
        (
            "match x:\n    case 1 if y:\n        pass\n",
            "match x:\n    case 1 if not (y):\n        pass\n",
        ),
    ],
)
def test_an_operator_makes_this_mutant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, mutant: str
) -> None:
    codes = [item.code for item in changes(tmp_path, monkeypatch, code)]
    assert mutant in codes
    assert code not in codes


@pytest.mark.parametrize(
    "code",
    [
        '"""Text: a > b."""\n',
        "def f(a: int | None) -> int: ...\n",
        "import a\n",
        "def f():\n    return 'two words'\n",
    ],
)
def test_docstrings_annotations_imports_and_prose_are_not_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    assert changes(tmp_path, monkeypatch, code) == []


def test_a_mutant_is_printed_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, *_ = changes(tmp_path, monkeypatch, "\nx = a == b\n")
    assert str(first) == "m.py:2: x = a == b -> x = None"


@pytest.mark.parametrize(
    ("module", "tests"),
    [
        ("verification/verdict.py", "tests/unit/verification/test_verdict.py"),
        ("verification/wheel/elf.py", "tests/unit/verification/wheel/test_elf.py"),
        ("verification/models/diagnosis.py", "tests/unit/verification/models"),
    ],
)
def test_a_module_is_tested_by_its_mirrored_test_file(module: str, tests: str) -> None:
    assert mirrored_tests(module) == tests


def test_the_modules_of_the_plan_exist_and_have_tests() -> None:
    plan = tomllib.loads(mutation.PLAN.read_text("utf-8"))
    files = files_of([*plan["whole"], *plan["sampled"]])
    assert "verification/verdict.py" in plan["whole"]
    for file in files:
        assert (ROOT / file).is_file()
        assert (ROOT / mirrored_tests(file)).exists(), file
