"""What the code of a package imports. `test_dependencies` tests whether they are available."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from tests.helpers import wheel_builder as wheels
from verification.wheel.archive import open_wheel
from verification.wheel.imports import ImportedModule, PackageCode, reachable_modules, read_package


def read(folder: Path, **code: str) -> PackageCode:
    """Read a package with these modules; ``__`` is its `__init__.py`."""
    files = {
        f"p/{name.replace('__', '__init__')}.py": textwrap.dedent(text)
        for name, text in code.items()
    }
    return read_package(open_wheel(wheels.build(folder, files)), "p")


def imports(folder: Path, code: str) -> set[ImportedModule]:
    return set(read(folder, m=code).imports["p/m.py"])


@pytest.mark.parametrize(
    ("code", "module", "name"),
    [
        ("import a.b as c", "a.b", ""),
        ("from a.b import c as d", "a.b", "c"),
        ("from . import c", "p", "c"),
        ("from .a import c", "p.a", "c"),
        ("from .. import c", "", "c"),
        ("class A:\n    import a", "a", ""),
        ("with open('x'):\n    import a", "a", ""),
    ],
)
def test_what_runs_on_import_is_certain(tmp_path: Path, code: str, module: str, name: str) -> None:
    assert imports(tmp_path, code) == {(module, name, True, False)}


@pytest.mark.parametrize(
    "code",
    [
        "def f():\n    import a",
        "async def f():\n    import a",
        "class A:\n  def f(self):\n    import a",
        "def f():\n    with open('x'):\n        import a",
        "async def f():\n    async with x:\n        import a",
        "def f(x):\n    for one in x:\n        import a",
        "def f(x):\n    for one in x:\n        pass\n    else:\n        import a",
        "async def f(x):\n    async for one in x:\n        import a",
        "def f(x):\n    while x:\n        import a",
        "def f(x):\n    match x:\n        case 1: pass\n        case 2: import a",
        "def f(x):\n    if x:\n        import a",
        "def f(x):\n    if x:\n        pass\n    else:\n        import a",
        "def f(x):\n    if x:\n        return\n    import a",
        "def f(x):\n    if WINDOWS:\n        x = 1\n    import a",
        "def f():\n    def g():\n        import a",
    ],
)
def test_what_a_function_imports_is_certain_when_it_is_called(tmp_path: Path, code: str) -> None:
    assert imports(tmp_path, code) == {("a", "", True, True)}


@pytest.mark.parametrize(
    ("code", "in_function"),
    [
        ("if x:\n    import a", False),
        ("if x:\n    pass\nelse:\n    import a", False),
        ("if x:\n    class A:\n        import a", False),
        ("if WINDOWS:\n    def f():\n        import a", True),
        ("def f():\n    if WINDOWS:\n        import a", True),
        ("def f():\n    if os.WINDOWS:\n        import a", True),
        ("def f(x):\n    if WINDOWS:\n        if x:\n            import a", True),
    ],
)
def test_what_is_under_a_condition_is_not_certain(
    tmp_path: Path, code: str, *, in_function: bool
) -> None:
    assert imports(tmp_path, code) == {("a", "", False, in_function)}


@pytest.mark.parametrize(
    "condition",
    [
        "sys.version_info < (3, 11)", "version_info < (3, 11)", "sys.platform == 'win32'",
        "platform == 'win32'", "os.name == 'nt'", "__name__ == '__main__'", "TYPE_CHECKING",
        "typing.TYPE_CHECKING", "sys.implementation.version", "platform.system() == 'Linux'",
        "platform.machine() == 'x86_64'", "not sys.platform.startswith('win')",
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", ["{}", "def f():\n    {}", "class A:\n    {}"])
def test_what_some_runs_import_does_not_count(tmp_path: Path, condition: str, place: str) -> None:
    code = f"if {condition}:\n        import a\n    else:\n        import b"
    if place == "{}":
        code = textwrap.dedent(f"    {code}")
    assert imports(tmp_path, place.format(code)) == set()


@pytest.mark.parametrize(
    "code",
    [
        "try:\n    import a\nexcept ImportError:\n    import b\nelse:\n    import c",
        "with suppress(ImportError):\n    import a",
        "with contextlib.suppress(ImportError):\n    import a",
        "with open('x'), suppress(ImportError):\n    import a",
        "for x in y:\n    import a",
        "while x:\n    import a",
        "match x:\n    case 1:\n        import a",
        "def f():\n    if os.name != 'nt':\n        return\n    import a",
        "def f():\n    if not WINDOWS:\n        raise OSError\n    import a",
    ],
)
def test_what_may_be_absent_does_not_count(tmp_path: Path, code: str) -> None:
    assert imports(tmp_path, code) == set()


def test_what_follows_a_return_on_some_systems_does_not_count_in_that_function_alone(
    tmp_path: Path,
) -> None:
    code = "def f():\n    if os.name == 'nt':\n        return\n    import a\nimport b"
    assert imports(tmp_path, code) == {("b", "", True, False)}
    code = "if os.name == 'nt':\n    raise OSError\nimport b"
    assert imports(tmp_path, code) == {("b", "", True, False)}


def test_each_import_is_listed_once_and_in_order(tmp_path: Path) -> None:
    code = read(tmp_path, m="import b, a\nimport b\nfrom a import y, x\n")
    assert code.imports["p/m.py"] == (
        ImportedModule("a", "", True, False),
        ImportedModule("a", "x", True, False),
        ImportedModule("a", "y", True, False),
        ImportedModule("b", "", True, False),
    )


def test_a_name_that_is_taken_may_be_a_module() -> None:
    assert ImportedModule("a", "", True, False).modules == ("a",)
    assert ImportedModule("a", "b", True, False).modules == ("a", "a.b")


def test_links_are_all_modules_that_may_be_imported(tmp_path: Path) -> None:
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


def test_only_the_package_is_read(tmp_path: Path) -> None:
    files = {"p/m.py": "", "p/m.txt": "", "pp/m.py": "", "m.py": "", "q/p/m.py": ""}
    code = read_package(open_wheel(wheels.build(tmp_path, files)), "p")
    assert list(code.imports) == list(code.links) == ["p/m.py"]


@pytest.mark.parametrize("text", ["match = = 1\n", "x = '\0'", "x = " + "-" * 100_000 + "1"])
def test_a_file_that_cannot_be_parsed_has_a_reason(tmp_path: Path, text: str) -> None:
    code = read(tmp_path, m=text, n="import a")
    assert list(code.unparsed) == ["p/m.py"]
    assert "cannot parse it (" in code.unparsed["p/m.py"]
    assert list(code.imports) == ["p/n.py"]


# ---- names ----


@pytest.mark.parametrize(
    ("code", "name"),
    [
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
    ],
)
def test_the_names_of_a_package_are_read(tmp_path: Path, code: str, name: str) -> None:
    names = read(tmp_path, __=code).names["p/__init__.py"]
    assert names is not None
    assert name in names


@pytest.mark.parametrize(
    "code",
    ["from . import x", "y = x", "y.x", "import y.x", "import x as y", "from a import x as y"],
)
def test_what_defines_no_name_gives_none(tmp_path: Path, code: str) -> None:
    names = read(tmp_path, __=code).names["p/__init__.py"]
    assert names is not None
    assert "x" not in names


@pytest.mark.parametrize(
    "code",
    [
        "globals()['x'] = 1",
        "exec('x = 1')",
        "sys.modules[__name__] = 1",
        "m.__dict__['x'] = 1",
        "from .a import *",
        "__getattr__, x = attach()",
        "def __getattr__(name):\n    return table[name]",
        "def __getattr__(name):\n    if name == 'x':\n        return load(name)",
    ],
)
def test_names_that_are_made_at_run_time_cannot_be_read(tmp_path: Path, code: str) -> None:
    assert read(tmp_path, __=code).names["p/__init__.py"] is None


def test_a_getter_that_only_compares_and_reports_the_name_is_read(tmp_path: Path) -> None:
    code = """
        def __getattr__(name):
            if name == "x":
                return 1
            raise AttributeError(f"no {name}")
    """
    assert read(tmp_path, __=code).names["p/__init__.py"] is not None


def test_only_packages_have_names(tmp_path: Path) -> None:
    assert list(read(tmp_path, __="", m="x = 1").names) == ["p/__init__.py"]


# ---- what is reached ----


def test_what_a_package_runs_is_followed() -> None:
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


def test_another_package_is_not_followed() -> None:
    links = {"p/__init__.py": {"q"}, "q/__init__.py": {"p.a"}, "p/a.py": set[str]()}
    assert reachable_modules(links, "p") == {"p/__init__.py"}
