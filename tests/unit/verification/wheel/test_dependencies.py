"""Tests of dependencies in metadata and of missing ones. `test_imports` tests reading imports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from tests.helpers import wheel_builder as wheels
from tests.helpers.binaries import elf
from tests.helpers.sample_wheels import (
    SUBJECT,
    Files,
    inspect,
    linux_wheel,
    only_cause,
    windows_wheel,
)
from verification.models.cause import Cause, FactValue
from verification.wheel.archive import open_wheel
from verification.wheel.dependencies import declared_dependencies
from verification.wheel.identity import identify
from verification.wheel.modules import Distribution

LOADER = "quiverdb/_loader.py"
GOOD_LOADER = "from cffi import FFI\n\n\ndef load():\n    return FFI\n"


Expected = tuple[str, str, dict[str, FactValue]]
"""Severity, path and facts of a missing dependency."""


def with_loader(folder: Path, code: str) -> Path:
    """Return a wheel with this code in a module that the package imports."""
    return linux_wheel(folder, {LOADER: f"{GOOD_LOADER}{code}\n"})


def causes_of(wheel: Path) -> list[Expected]:
    """Return the missing dependencies of a wheel, which must have no other causes."""
    causes = inspect(wheel).causes
    assert {cause.name for cause in causes} <= {"missing-dependency"}
    return [(cause.severity, cause.where, dict(cause.facts)) for cause in causes]


def missing(wheel: Path) -> list[Cause]:
    return [cause for cause in inspect(wheel).causes if cause.name == "missing-dependency"]


# ---- modules of other distributions ----


def test_undeclared_import_is_broken(tmp_path: Path) -> None:
    wheel = with_loader(tmp_path, "import numpy.linalg")
    assert causes_of(wheel) == [("broken", LOADER, {"module": "numpy"})]


def test_import_without_any_declared_dependency_is_broken(tmp_path: Path) -> None:
    assert causes_of(linux_wheel(tmp_path, requires=())) == [("broken", LOADER, {"module": "cffi"})]


@pytest.mark.parametrize("requirement", ["cffi; extra === 'x'", "cffi; os_name ~= 'posix'", "-"])
def test_invalid_requirement_declares_nothing(tmp_path: Path, requirement: str) -> None:
    wheel = linux_wheel(tmp_path, requires=(requirement,))
    assert ("broken", LOADER, {"module": "cffi"}) in [
        (cause.severity, cause.where, dict(cause.facts)) for cause in missing(wheel)
    ]


def test_import_that_needs_no_declaration_has_no_cause(tmp_path: Path) -> None:
    for code in (
        "import os, json.decoder",
        "from . import _loader\nfrom ._loader import load\nfrom quiverdb import _loader",
        "def late():\n    import numpy",
        "try:\n    import numpy\nexcept ImportError:\n    numpy = None",
        "if sys.platform == 'win32':\n    import numpy",
        "if PY2:\n    import urllib2",
        "if not PY3:\n    from StringIO import StringIO",
        "if sys.version_info[0] < 3:\n    import cPickle",
        "if name:\n    import cPickle",
        "try:\n    from quiverdb import gone\nexcept ImportError:\n    gone = None",
    ):
        assert inspect(with_loader(tmp_path, code)).causes == (), code


def test_import_under_a_condition_is_a_note(tmp_path: Path) -> None:
    for condition in ("name", "not name", "sys.argv", "load()"):
        wheel = with_loader(tmp_path, f"if {condition}:\n    import pandas")
        assert causes_of(wheel) == [("note", LOADER, {"module": "pandas"})], condition


@pytest.mark.parametrize("code", ["import pandas", "if x:\n    import pandas"])
def test_import_in_a_module_that_the_package_does_not_import_is_a_note(
    tmp_path: Path, code: str
) -> None:
    wheel = linux_wheel(tmp_path, {"quiverdb/extra.py": code})
    assert causes_of(wheel) == [("note", "quiverdb/extra.py", {"module": "pandas"})]


@pytest.mark.parametrize(
    ("code", "severities"),
    [
        ("from quiverdb import extra", ["broken"]),
        ("from . import extra", ["broken"]),
        ("try:\n    from . import extra\nexcept ImportError as error:\n    raise", ["broken"]),
        ("if sys.platform == 'linux':\n    from . import extra", ["broken"]),
        ("def f():\n    import quiverdb.extra", ["note"]),
        ("try:\n    from . import extra\nexcept ImportError:\n    extra = None", []),
        ("if sys.platform == 'win32':\n    from . import extra", []),
        ("if TYPE_CHECKING:\n    from . import extra", []),
    ],
)
def test_import_in_another_module_depends_on_how_the_package_imports_it(
    tmp_path: Path, code: str, severities: list[str]
) -> None:
    files = {LOADER: f"{GOOD_LOADER}{code}\n", "quiverdb/extra.py": "import pandas\n"}
    causes = causes_of(linux_wheel(tmp_path, files))
    assert [severity for severity, _, _ in causes] == severities


def test_module_that_several_files_import_has_one_cause(tmp_path: Path) -> None:
    files = {f"quiverdb/extra{number}.py": "import pandas\n" for number in range(3)}
    (cause,) = causes_of(linux_wheel(tmp_path, files))
    assert cause == ("note", "quiverdb/extra0.py", {"module": "pandas", "files": 3})
    files = {**files, LOADER: f"{GOOD_LOADER}import pandas\n"}
    (cause,) = causes_of(linux_wheel(tmp_path, files))
    assert cause == ("broken", LOADER, {"module": "pandas"})


@pytest.mark.parametrize("folder", ["tests", "benchmarks", "examples"])
def test_import_in_the_tests_of_the_package_has_no_cause(tmp_path: Path, folder: str) -> None:
    files = {f"quiverdb/{folder}/test_x.py": "import pandas\n"}
    assert causes_of(linux_wheel(tmp_path, files)) == []


@pytest.mark.parametrize(
    "requires", ["pandas; extra == 'table'", "python-pandas; extra == 'table'"]
)
def test_module_of_an_extra_is_missing_only_if_the_package_needs_it(
    tmp_path: Path, requires: str
) -> None:
    distributions = {
        canonicalize_name("cffi"): Distribution(frozenset({"cffi"})),
        canonicalize_name("python-pandas"): Distribution(frozenset({"pandas"})),
    }
    extra = {"quiverdb/extra.py": "import pandas\n"}
    optional = linux_wheel(tmp_path, extra, requires=("cffi", requires))
    assert inspect(optional, SUBJECT, distributions).causes == ()
    always = linux_wheel(
        tmp_path, {LOADER: f"{GOOD_LOADER}import pandas\n"}, requires=("cffi", requires)
    )
    (cause,) = inspect(always, SUBJECT, distributions).causes
    assert (cause.name, cause.severity) == ("missing-dependency", "broken")


def test_distribution_of_a_namespace_provides_the_namespace(tmp_path: Path) -> None:
    files = {LOADER: f"{GOOD_LOADER}import zope.interface\n"}
    assert causes_of(linux_wheel(tmp_path, files, requires=["cffi", "zope.interface"])) == []


def test_module_that_the_standard_library_no_longer_has_is_reported(tmp_path: Path) -> None:
    for code, modules in (
        ("import asyncore", ["asyncore"]),
        ("from distutils.core import setup", ["distutils"]),
        ("import telnetlib", ["telnetlib"]),
        ("try:\n    import imp\nexcept ImportError:\n    imp = None", []),
        ("if sys.version_info < (3, 12):\n    import imp", []),
        ("def f():\n    import imp", []),
        ("import annotationlib", []),
    ):
        causes = inspect(with_loader(tmp_path, code)).causes
        assert {cause.name for cause in causes} <= {"standard-library-mismatch"}
        assert [cause.facts["module"] for cause in causes] == modules, code


@pytest.mark.parametrize(
    ("module", "removed"), [("distutils", []), ("imp", ["imp"]), ("cgi", ["cgi"])]
)
def test_setuptools_provides_only_distutils(
    tmp_path: Path, module: str, removed: list[str]
) -> None:
    files = {LOADER: f"{GOOD_LOADER}import {module}\n"}
    causes = inspect(linux_wheel(tmp_path, files, requires=["cffi", "setuptools"])).causes
    assert [cause.facts["module"] for cause in causes] == removed


def test_other_top_level_module_of_the_wheel_is_available(tmp_path: Path) -> None:
    files = {
        LOADER: f"{GOOD_LOADER}import _quiver\n",
        "_quiver.cpython-313-x86_64-linux-gnu.so": "",
    }
    assert missing(linux_wheel(tmp_path, files)) == []


def test_modules_of_a_declared_dependency_are_available(tmp_path: Path) -> None:
    wheel = with_loader(tmp_path, "import _cffi_backend")
    assert only_cause(wheel).facts == {"module": "_cffi_backend"}
    cffi, numpy = canonicalize_name("cffi"), canonicalize_name("numpy")
    backend = Distribution(frozenset({"cffi", "_cffi_backend"}))
    assert inspect(wheel, SUBJECT, {cffi: backend}).causes == ()
    assert len(inspect(wheel, SUBJECT, {numpy: backend}).causes) == 1


def test_dependency_provides_a_module_with_its_name(tmp_path: Path) -> None:
    files = {LOADER: f"{GOOD_LOADER}import a_b\n"}
    assert missing(linux_wheel(tmp_path, files, requires=["cffi", "A.b"])) == []


def test_each_missing_module_has_a_cause(tmp_path: Path) -> None:
    causes = missing(with_loader(tmp_path, "import numpy, pandas\nfrom quiverdb import _gone"))
    assert {cause.facts["module"] for cause in causes} == {"numpy", "pandas", "quiverdb._gone"}


def test_import_that_an_unknown_dependency_may_provide_is_a_note(tmp_path: Path) -> None:
    loader = {LOADER: f"{GOOD_LOADER}import yaml\n"}
    cffi = {canonicalize_name("cffi"): Distribution(frozenset({"cffi"}))}
    (tmp_path / "declared").mkdir()
    declared = linux_wheel(tmp_path / "declared", loader, requires=("cffi", "pyyaml"))
    (cause,) = inspect(declared, SUBJECT, cffi).causes
    assert (cause.name, cause.severity) == ("missing-dependency", "note")
    undeclared = linux_wheel(tmp_path, loader, requires=("cffi",))
    (cause,) = inspect(undeclared, SUBJECT, cffi).causes
    assert (cause.name, cause.severity) == ("missing-dependency", "broken")


# ---- modules of the package ----


@pytest.mark.parametrize(
    "context",
    ["{}", "def f(kind):\n    {}", "class A:\n  def f(kind):\n    {}"],
    ids=["module", "function", "method"],
)
def test_missing_module_of_the_package_is_broken(tmp_path: Path, context: str) -> None:
    for code in (
        "from quiverdb._gone import x",
        "from ._gone import x",
        "from . import _gone",
        "from quiverdb import _gone",
        "import quiverdb._gone",
        "from . import __path__, _gone",
    ):
        wheel = with_loader(tmp_path, context.format(code))
        facts: dict[str, FactValue] = {"module": "quiverdb._gone"}
        facts |= {"in_function": True} if "def " in context else {}
        assert causes_of(wheel) == [("broken", LOADER, facts)], code


def test_module_that_need_not_exist_has_no_cause(tmp_path: Path) -> None:
    for code in (
        "try:\n        from . import _gone\n    except ImportError:\n        pass",
        "if sys.platform == 'win32':\n        from . import _gone",
        "from . import _loader, load, __name__",
        "from quiverdb import _loader",
        "from ._loader import anything",
        "from . import _libs",  # a folder
    ):
        assert inspect(with_loader(tmp_path, f"def f():\n    {code}")).causes == (), code


def test_import_under_a_constant_in_a_function_is_a_note(tmp_path: Path) -> None:
    code = "def f():\n    if WINDOWS:\n        from . import _gone"
    wheel = with_loader(tmp_path, code)
    facts: dict[str, FactValue] = {"module": "quiverdb._gone", "in_function": True}
    assert causes_of(wheel) == [("note", LOADER, facts)]


def test_import_in_a_function_whose_failure_is_explained_is_a_note(tmp_path: Path) -> None:
    code = "    try:\n        from . import _gone\n    except ImportError:\n        raise"
    facts: dict[str, FactValue] = {"module": "quiverdb._gone", "in_function": True}
    explained = with_loader(tmp_path, f"def f():\n{code} RuntimeError('no _gone')")
    assert causes_of(explained) == [("note", LOADER, facts)]
    assert causes_of(with_loader(tmp_path, f"def f():\n{code}")) == [("broken", LOADER, facts)]


def test_import_of_a_file_that_an_extension_module_replaces_is_a_note(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {LOADER: f"{GOOD_LOADER}import cython\n"}
    assert only_cause(linux_wheel(tmp_path, files)).severity == "broken"
    files[LOADER.replace(".py", ".cpython-313-x86_64-linux-gnu.so")] = elf()
    assert only_cause(linux_wheel(tmp_path, files)).severity == "note"


def test_import_in_a_module_for_some_systems_is_a_note(tmp_path: Path) -> None:
    files = {
        "quiverdb/__init__.py": "import quiverdb._loader\nif WINDOWS:\n    from . import _w\n",
        "quiverdb/_w.py": "from . import _native\n",
    }
    cause = only_cause(linux_wheel(tmp_path, files))
    assert (cause.severity, cause.where) == ("note", "quiverdb/_w.py")


def test_import_in_a_module_for_every_system_is_broken(tmp_path: Path) -> None:
    files = {
        "quiverdb/__init__.py": "from quiverdb._loader import load\nfrom . import _w\n",
        "quiverdb/_w.py": "from . import _native\n",
    }
    assert only_cause(linux_wheel(tmp_path, files)).severity == "broken"


def test_name_that_the_package_may_define_is_not_a_missing_module(tmp_path: Path) -> None:
    for code in (
        "def __getattr__(name):\n    return table[name]\n",
        "__getattr__, x = attach()\n",
        "def __getattr__(name):\n    if name == '_gone':\n        return 1\n",
        "from ._loader import *\n",
        "globals()['_gone'] = 1\n",
        "_gone = 1\n",
        "class _gone: pass\n",
        "from ._loader import load as _gone\n",
    ):
        files = {
            "quiverdb/__init__.py": f"from ._loader import load\n{code}",
            "quiverdb/more.py": "from . import _gone\nfrom quiverdb import _gone\n",
        }
        assert inspect(linux_wheel(tmp_path, files)).causes == (), code


def test_getattr_for_other_names_does_not_define_a_missing_module(tmp_path: Path) -> None:
    init = "from ._loader import load\nfrom . import more\n"
    init += "def __getattr__(name):\n    if name == 'v':\n        return 1\n"
    init += "    raise AttributeError(f'{name}')\n"
    more = "def f():\n    from . import _gone\n"
    files = {"quiverdb/__init__.py": init, "quiverdb/more.py": more}
    cause = only_cause(linux_wheel(tmp_path, files))
    assert (cause.name, cause.severity) == ("missing-dependency", "broken")


def test_extension_module_for_another_python_is_missing(tmp_path: Path) -> None:
    files: Files = {
        "quiverdb/__init__.py": "from ._loader import load\nfrom quiverdb import _speed\n",
        "quiverdb/_speed.cpython-314-x86_64-linux-gnu.so": elf(),
    }
    causes = inspect(linux_wheel(tmp_path, files)).causes
    assert {cause.name: cause.where for cause in causes} == {
        "missing-dependency": "quiverdb/__init__.py",
        "abi-mismatch": "quiverdb/_speed.cpython-314-x86_64-linux-gnu.so",
    }


def test_extension_module_may_create_modules_below_its_name(tmp_path: Path) -> None:
    code = "import quiverdb._speed.deep.er as e\nfrom quiverdb._speed.deep import x\n"
    files: Files = {LOADER: f"{GOOD_LOADER}{code}"}
    speed: Files = {"quiverdb/_speed.cpython-313-x86_64-linux-gnu.so": elf()}
    assert causes_of(linux_wheel(tmp_path, files | speed)) == []
    causes = causes_of(linux_wheel(tmp_path, files | {"quiverdb/_speed.py": ""}))
    assert [severity for severity, _, _ in causes] == ["broken", "broken"]


@pytest.mark.parametrize(
    "path", ["quiverdb.py", "quiverdb.cpython-313-x86_64-linux-gnu.so", "quiverdb.abi3.so"]
)
def test_package_can_be_one_module(tmp_path: Path, path: str) -> None:
    content = elf() if path.endswith(".so") else ""
    assert missing(wheels.build(tmp_path, {path: content})) == []


def test_imports_of_a_package_of_one_module_are_read(tmp_path: Path) -> None:
    (cause,) = missing(wheels.build(tmp_path, {"quiverdb.py": "import pandas\n"}))
    assert (cause.severity, cause.where) == ("broken", "quiverdb.py")


def test_wheel_without_the_package_is_broken(tmp_path: Path, out: Path) -> None:
    remove = ["quiverdb/__init__.py", LOADER]
    wheel = wheels.mutate(linux_wheel(tmp_path), out, remove=remove)
    assert causes_of(wheel) == [("broken", wheel.name, {"module": "quiverdb"})]


def test_code_in_the_data_folder_belongs_to_the_package(tmp_path: Path, out: Path) -> None:
    moved = {"quiverdb/": "quiverdb-1.0.0.data/platlib/quiverdb/"}
    assert missing(wheels.mutate(linux_wheel(tmp_path), out, move=moved)) == []


# ---- declared dependencies ----


def declared(wheel: Path) -> set[str]:
    return set(declared_dependencies(identify(open_wheel(wheel), SUBJECT), SUBJECT))


@pytest.mark.parametrize(
    ("requires", "names"),
    [
        (["cffi>=2.0.0", "A_b.C[x] ; python_version >= '3'"], {"cffi", "a-b-c"}),
        (["cffi; extra == 'fast'"], set()),
        (["cffi >>> 2", "numpy"], {"numpy"}),
        (["cffi; python_version == '3.13'"], {"cffi"}),
        (["cffi; python_version < '3.13'"], set()),
        (["cffi; implementation_name == 'cpython'"], {"cffi"}),
        (["cffi; platform_python_implementation == 'CPython'"], {"cffi"}),
        ([], set()),
    ],
)
def test_dependency_is_declared_if_its_marker_applies(
    tmp_path: Path, requires: Sequence[str], names: set[str]
) -> None:
    assert declared(linux_wheel(tmp_path, requires=requires)) == names


def test_dependency_is_declared_if_its_marker_applies_to_every_patch_release(
    tmp_path: Path,
) -> None:
    for marker, is_declared in (
        ('python_full_version < "3.13.6"', False),
        ('python_full_version != "3.13.5"', False),
        ('python_full_version >= "3.13.1"', False),
        ('implementation_version >= "3.13.2"', False),
        ('python_full_version >= "3.13"', True),
        ('python_full_version < "3.14"', True),
        ('implementation_version < "3.14"', True),
    ):
        wheel = linux_wheel(tmp_path, requires=[f"cffi>=2.0.0; {marker}"])
        assert declared(wheel) == ({"cffi"} if is_declared else set()), marker
        assert bool(missing(wheel)) != is_declared, marker


@pytest.mark.parametrize(
    ("tag", "values"),
    [
        ("manylinux_2_28_x86_64", ("linux", "Linux", "posix", "x86_64")),
        ("manylinux_2_28_aarch64", ("linux", "Linux", "posix", "aarch64")),
        ("musllinux_1_2_x86_64", ("linux", "Linux", "posix", "x86_64")),
        ("win_amd64", ("win32", "Windows", "nt", "AMD64")),
        ("win_arm64", ("win32", "Windows", "nt", "ARM64")),
        ("win32", ("win32", "Windows", "nt", "x86")),
        ("macosx_11_0_arm64", ("darwin", "Darwin", "posix", "arm64")),
        ("macosx_11_0_x86_64", ("darwin", "Darwin", "posix", "x86_64")),
        ("any", ("linux", "Linux", "posix", "any")),
    ],
)
def test_marker_is_evaluated_for_the_platform_of_the_wheel(
    tmp_path: Path, tag: str, values: tuple[str, str, str, str]
) -> None:
    names = ("sys_platform", "platform_system", "os_name", "platform_machine")
    marker = " and ".join(f"{name} == '{value}'" for name, value in zip(names, values, strict=True))
    wheel = linux_wheel(tmp_path, requires=[f"cffi; {marker}"], tag=f"cp313-cp313-{tag}")
    assert declared(wheel) == {"cffi"}


def test_dependency_for_another_platform_is_not_declared(tmp_path: Path) -> None:
    requires = ["cffi; sys_platform == 'linux'"]
    assert inspect(linux_wheel(tmp_path, requires=requires)).causes == ()
    assert only_cause(windows_wheel(tmp_path, requires=requires)).name == "missing-dependency"
