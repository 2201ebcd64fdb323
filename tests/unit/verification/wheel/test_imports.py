"""Tests of reading imports. `test_dependencies` tests whether the modules are available."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.helpers import wheel_builder as wheels
from verification.models.subject import PlatformTarget
from verification.wheel.archive import open_wheel
from verification.wheel.dependencies import marker_environment
from verification.wheel.imports import ImportedModule, PackageCode, reachable_modules, read_package

LINUX = marker_environment(PlatformTarget.of("manylinux_2_28_x86_64"), (3, 13))


def read(folder: Path, **code: str) -> PackageCode:
    """Read a package with these modules; ``__`` is its `__init__.py`."""
    files = {
        f"p/{name.replace('__', '__init__')}.py": textwrap.dedent(text)
        for name, text in code.items()
    }
    return read_package(open_wheel(wheels.build(folder, files)), "p", LINUX)


def imports(folder: Path, code: str) -> set[ImportedModule]:
    return set(read(folder, m=code).imports["p/m.py"])


def imports_by_code(folder: Path, codes: Iterable[str]) -> dict[str, set[ImportedModule]]:
    """Return the imports of several modules, by the code of the module."""
    return {code: imports(folder, code) for code in codes}


def test_import_that_runs_with_the_module_is_certain(tmp_path: Path) -> None:
    expected = {
        "import a.b as c": ("a.b", ""),
        "from a.b import c as d": ("a.b", "c"),
        "from . import c": ("p", "c"),
        "from .a import c": ("p.a", "c"),
        "from .. import c": ("", "c"),
        "class A:\n    import a": ("a", ""),
        "with open('x'):\n    import a": ("a", ""),
    }
    assert imports_by_code(tmp_path, expected) == {
        code: {(module, name, True, False)} for code, (module, name) in expected.items()
    }


def test_import_in_a_function_is_certain_and_marked(tmp_path: Path) -> None:
    codes = [
        "def f():\n    import a",
        "async def f():\n    import a",
        "class A:\n  def f(self):\n    import a",
        "def f():\n    with open('x'):\n        import a",
        "async def f():\n    async with x:\n        import a",
        "def f(x):\n    for y in x:\n        import a",
        "def f(x):\n    for y in x:\n        pass\n    else:\n        import a",
        "async def f(x):\n    async for y in x:\n        import a",
        "def f(x):\n    while x:\n        import a",
        "def f(x):\n    match x:\n        case 1: pass\n        case 2: import a",
        "def f(x):\n    if x:\n        import a",
        "def f(x):\n    if x:\n        pass\n    else:\n        import a",
        "def f(x):\n    if x:\n        return\n    import a",
        "def f(x):\n    if WINDOWS:\n        x = 1\n    import a",
        "def f():\n    def g():\n        import a",
    ]
    assert imports_by_code(tmp_path, codes) == {key: {("a", "", True, True)} for key in codes}


def test_import_under_a_condition_is_not_certain(tmp_path: Path) -> None:
    in_function = {
        "if x:\n    import a": False,
        "if x:\n    pass\nelse:\n    import a": False,
        "if x:\n    class A:\n        import a": False,
        "if WINDOWS:\n    def f():\n        import a": True,
        "def f():\n    if WINDOWS:\n        import a": True,
        "def f():\n    if os.WINDOWS:\n        import a": True,
        "def f(x):\n    if WINDOWS:\n        if x:\n            import a": True,
    }
    assert imports_by_code(tmp_path, in_function) == {
        code: {("a", "", False, value)} for code, value in in_function.items()
    }


@pytest.mark.parametrize("context", ["{}", "def f():\n    {}", "class A:\n    {}"])
def test_import_for_other_systems_is_left_out(tmp_path: Path, context: str) -> None:
    expected = {}
    for condition, value in (
        ("sys.version_info < (3, 11)", False), ("version_info >= (3, 11)", True),
        ("sys.platform == 'win32'", False), ("platform == 'linux'", True), ("PY2", False),
        ("os.name == 'nt'", False), ("__name__ == '__main__'", False), ("six.PY3", True),
        ("TYPE_CHECKING", False), ("typing.TYPE_CHECKING", False), ("str is bytes", False),
        ("platform.system() == 'Linux'", True), ("platform.machine() == 'x86_64'", True),
        ("not sys.platform.startswith('win')", True),
        ("hasattr(sys, 'pypy_version_info')", False),
    ):  # fmt: skip
        code = f"if {condition}:\n        import a\n    else:\n        import b"
        if context == "{}":
            code = textwrap.dedent(f"    {code}")
        expected[context.format(code)] = "a" if value else "b"
    in_function = context.startswith("def")
    assert imports_by_code(tmp_path, expected) == {
        code: {(module, "", True, in_function)} for code, module in expected.items()
    }


def test_import_for_systems_that_cannot_be_told_apart_is_left_out(tmp_path: Path) -> None:
    codes = [
        "if sys.version_info >= (3, 13, 1):\n    import a",
        "if sys.implementation.version:\n    import a",
        "if sys.platform == NAME:\n    import a\nelse:\n    import b",
    ]
    assert imports_by_code(tmp_path, codes) == {code: set() for code in codes}


def test_condition_can_use_a_constant_of_another_module(tmp_path: Path) -> None:
    code = read(
        tmp_path,
        common="import os\nWINDOWS = os.name == 'nt'\n",
        own="IS_OLD = sys.version_info < (3,)\nif IS_OLD:\n    import a\nelse:\n    import b\n",
        m="from .common import WINDOWS as W\nif W:\n    import a\nelse:\n    import b\n",
        twice="OLD = sys.version_info < (3,)\nOLD = x\nif OLD:\n    import a\n",
    )
    certain = ("b", "", True, False)
    assert code.imports["p/own.py"] == (certain,)
    assert certain in code.imports["p/m.py"]
    assert code.imports["p/twice.py"] == (("a", "", False, False),)


def test_import_that_may_fail_or_may_not_run_is_left_out(tmp_path: Path) -> None:
    codes = [
        "try:\n    import a\nexcept ImportError:\n    import b\nelse:\n    import c",
        "try:\n    import a\nexcept (ValueError, ImportError) as error:\n    x = error",
        "try:\n    import a\nexcept Exception:\n    pass",
        "try:\n    import a\nexcept UnknownError:\n    pass",
        "try:\n    import a\nexcept:\n    pass",
        "with suppress(ImportError):\n    import a",
        "with contextlib.suppress(ImportError):\n    import a",
        "with open('x'), suppress(ImportError):\n    import a",
        "for x in y:\n    import a",
        "while x:\n    import a",
        "match x:\n    case 1:\n        import a",
        "def f():\n    if os.name != 'nt':\n        return\n    import a",
        "if os.name != 'nt':\n    raise OSError\nimport a",
        "def f():\n    if not WINDOWS:\n        raise OSError\n    import a",
    ]
    assert imports_by_code(tmp_path, codes) == {key: set() for key in codes}


def test_import_whose_failure_is_not_handled_is_certain(tmp_path: Path) -> None:
    codes = [
        "try:\n    import a\nfinally:\n    pass",
        "try:\n    pass\nexcept ImportError:\n    pass\nfinally:\n    import a",
        "try:\n    import a\nexcept (ValueError, KeyError):\n    pass",
        "try:\n    import a\nexcept ImportError as error:\n    raise OSError from error",
    ]
    assert imports_by_code(tmp_path, codes) == {code: {("a", "", True, False)} for code in codes}


def test_return_on_some_systems_ends_only_its_function(tmp_path: Path) -> None:
    code = "def f():\n    if os.name == 'posix':\n        return\n    import a\nimport b"
    assert imports(tmp_path, code) == {("b", "", True, False)}
    code = "def f():\n    if os.name == 'nt':\n        return\n    import a"
    assert imports(tmp_path, code) == {("a", "", True, True)}
    code = "if os.name == 'nt':\n    raise OSError\nimport b"
    assert imports(tmp_path, code) == {("b", "", True, False)}


def test_imports_are_sorted_without_repeats(tmp_path: Path) -> None:
    code = read(tmp_path, m="import b, a\nimport b\nfrom a import y, x\n")
    assert code.imports["p/m.py"] == (
        ImportedModule("a", "", True, False),
        ImportedModule("a", "x", True, False),
        ImportedModule("a", "y", True, False),
        ImportedModule("b", "", True, False),
    )


def test_imported_name_may_be_a_module() -> None:
    assert ImportedModule("a", "", True, False).modules == ("a",)
    assert ImportedModule("a", "b", True, False).modules == ("a", "a.b")


def test_links_contain_all_modules_that_may_be_imported(tmp_path: Path) -> None:
    code = """
        import a.b
        from . import c
        try:
            import d
        except ImportError:
            pass
        if sys.platform == "win32":
            from .e import f
    """
    assert read(tmp_path, m=code).links["p/m.py"] == {"a.b", "p", "p.c", "d", "p.e", "p.e.f"}


def test_only_python_files_of_the_package_are_read(tmp_path: Path) -> None:
    files = {"p/m.py": "", "p/m.txt": "", "pp/m.py": "", "m.py": "", "q/p/m.py": ""}
    code = read_package(open_wheel(wheels.build(tmp_path, files)), "p", LINUX)
    assert list(code.imports) == list(code.links) == ["p/m.py"]


@pytest.mark.parametrize("text", ["match = = 1\n", "x = '\0'", "x = " + "-" * 100_000 + "1"])
def test_file_that_cannot_be_parsed_has_a_reason(tmp_path: Path, text: str) -> None:
    code = read(tmp_path, m=text, n="import a")
    assert list(code.unparsed) == ["p/m.py"]
    assert code.unparsed["p/m.py"]
    assert list(code.imports) == ["p/n.py"]


# ---- names ----


def package_names(folder: Path, code: str) -> frozenset[str]:
    names = read(folder, __=code).names["p/__init__.py"]
    assert names is not None
    return names


def test_names_that_a_package_defines_are_read(tmp_path: Path) -> None:
    for code, name in (
        ("x = 1", "x"),
        ("x: int = 1", "x"),
        ("for x in y: pass", "x"),
        ("y.x = 1", "x"),
        ("def x(): pass", "x"),
        ("async def x(): pass", "x"),
        ("class x: pass", "x"),
        ("import x", "x"),
        ("import x.y", "x"),
        ("import y as x", "x"),
        ("from a import x", "x"),
        ("from a import y as x", "x"),
        ("from . import y as x", "x"),
        ("from .a import x", "x"),
        ("__all__ = ['x']", "x"),
        ("def __getattr__(name):\n    if name == 'x':\n        return 1", "x"),
        ("", "__path__"),
        ("", "*"),
    ):
        assert name in package_names(tmp_path, code), code


def test_code_that_only_uses_a_name_does_not_define_it(tmp_path: Path) -> None:
    for code in (
        "from . import x", "y = x", "y.x", "import y.x", "import x as y", "from a import x as y",
    ):  # fmt: skip
        assert "x" not in package_names(tmp_path, code), code


def test_names_that_are_defined_at_run_time_are_unknown(tmp_path: Path) -> None:
    for code in (
        "globals()['x'] = 1",
        "exec('x = 1')",
        "sys.modules[__name__] = 1",
        "m.__dict__['x'] = 1",
        "from .a import *",
        "__getattr__, x = attach()",
        "def __getattr__(name):\n    return table[name]",
        "def __getattr__(name):\n    if name == 'x':\n        return load(name)",
    ):
        assert read(tmp_path, __=code).names["p/__init__.py"] is None, code


def test_getattr_that_only_compares_and_formats_the_name_is_read(tmp_path: Path) -> None:
    code = """
        def __getattr__(name):
            if name == "x":
                return 1
            raise AttributeError(f"no {name}")
    """
    assert read(tmp_path, __=code).names["p/__init__.py"] is not None


def test_only_init_files_have_names(tmp_path: Path) -> None:
    assert list(read(tmp_path, __="", m="x = 1").names) == ["p/__init__.py"]


# ---- reachable modules ----


def test_reachable_modules_follow_the_imports_of_the_package() -> None:
    links = {
        "p/__init__.py": {"p.a", "os"},
        "p/a.py": {"p.b.c", "p"},
        "p/b/__init__.py": set[str](),
        "p/b/c.py": {"p.b.d.name"},
        "p/b/d.py": set[str](),
        "p/b/e.py": {"p.a"},
        "q.py": {"p.b.e"},
    }
    assert reachable_modules(links, "p") == set(links) - {"p/b/e.py", "q.py"}


def test_reachable_modules_do_not_include_other_packages() -> None:
    links = {"p/__init__.py": {"q"}, "q/__init__.py": {"p.a"}, "p/a.py": set[str]()}
    assert reachable_modules(links, "p") == {"p/__init__.py"}
