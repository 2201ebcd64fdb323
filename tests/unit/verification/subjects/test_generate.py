from __future__ import annotations

import importlib.metadata
import sys
import types
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.helpers import wheel_builder
from tests.helpers.binaries import elf, pe
from verification.models.base import DataError
from verification.subjects.generate import GeneratedSubject, generate
from verification.subjects.subject import load
from verification.wheel.archive import open_wheel

SUFFIX = ".cpython-313-x86_64-linux-gnu.so"
Files = Mapping[str, bytes | str]


def module(name: str) -> bytes:
    return elf(exports=[f"PyInit_{name}"])


def generated(
    folder: Path, files: Files, *, name: str = "thing", tag: str = ""
) -> GeneratedSubject:
    wheel = wheel_builder.build(
        folder, files, name=name, tag=tag or wheel_builder.LINUX_TAG, requires=()
    )
    return generate([open_wheel(wheel)])


def smoke(subject: GeneratedSubject) -> types.ModuleType:
    """Return the smoke test as the probe loads it."""
    loaded = types.ModuleType("smoke")
    exec(compile(subject.smoke_test, "smoke.py", "exec"), loaded.__dict__)  # noqa: S102
    return loaded


@pytest.mark.parametrize(
    ("files", "package", "packages", "extensions"),
    [
        # One extension module at the top level.
        ({f"thing{SUFFIX}": module("thing")}, "thing", ["thing"], ["thing"]),
        # An extension module beside the package.
        (
            {"thing/__init__.py": "", f"_thing_backend{SUFFIX}": module("_thing_backend")},
            "thing",
            ["_thing_backend", "thing"],
            ["_thing_backend"],
        ),
        # Several packages at the top level, none with the name of the project.
        (
            {
                "small/__init__.py": "",
                "large/__init__.py": "",
                "large/more.py": "",
                f"large/_x{SUFFIX}": module("_x"),
            },
            "large",
            ["large", "small"],
            ["large._x"],
        ),
        # Sub-folders: modules deep in the package, and libraries that are no modules.
        (
            {
                "thing/__init__.py": "",
                "thing/deep/__init__.py": "",
                "thing/deep/_x.abi3.so": module("_x"),
                "thing/lib/libthing.so": elf(exports=["thing_open"]),
                "thing.libs/libz-0a1b2c3d.so.1": elf(exports=["deflate"]),
            },
            "thing",
            ["thing"],
            ["thing.deep._x"],
        ),
        # A namespace package.
        (
            {"space/thing/__init__.py": "", f"space/_up/_x{SUFFIX}": module("_x")},
            "space",
            ["space.thing"],
            ["space._up._x"],
        ),
        # Stubs and metadata are no packages.
        (
            {
                "thing/__init__.py": "",
                f"thing/_x{SUFFIX}": module("_x"),
                "thing-stubs/__init__.pyi": "",
                "thing-1.0.0.data/scripts/run.py": "",
            },
            "thing",
            ["thing"],
            ["thing._x"],
        ),
        # A compiled package (mypyc), whose common part starts with a digit.
        (
            {f"thing/__init__{SUFFIX}": module("thing"), f"0a__mypyc{SUFFIX}": module("0a__mypyc")},
            "thing",
            ["thing"],
            ["0a__mypyc", "thing"],
        ),
    ],
    ids=["module", "beside", "packages", "folders", "namespace", "stubs", "mypyc"],
)
def test_each_layout_is_read_from_the_wheel(
    tmp_path: Path, files: Files, package: str, packages: list[str], extensions: list[str]
) -> None:
    result = generated(tmp_path, files)
    subject = load(result.write(tmp_path / "subject"))
    test = smoke(result)

    assert (subject.name, subject.import_package) == ("thing", package)
    assert subject.exercise == tmp_path / "subject" / "smoke.py"
    assert {"linux": packages} == test.PACKAGES
    assert {"linux": extensions} == test.EXTENSIONS


def test_module_whose_failure_the_package_handles_is_optional(tmp_path: Path) -> None:
    source = "try:\n    from . import _fast\nexcept ImportError:\n    pass\nfrom . import _core\n"
    files = {"thing/__init__.py": source, "thing/tests/__init__.py": ""}
    files |= {f"thing/{name}{SUFFIX}": module(name) for name in ("_fast", "_core", "_other")}
    files |= {f"thing/tests/_x{SUFFIX}": module("_x")}
    test = smoke(generated(tmp_path, files))
    assert test.OPTIONAL == {"linux": ["thing._fast", "thing.tests._x"]}


def test_platforms_come_from_the_tags(tmp_path: Path) -> None:
    content = {
        "manylinux_2_28_x86_64": ("thing/_x" + SUFFIX, module("_x")),
        "manylinux_2_17_x86_64.manylinux2014_x86_64": ("thing/_x" + SUFFIX, module("_x")),
        "musllinux_1_2_x86_64": ("thing/_x" + SUFFIX, module("_x")),
        "win_amd64": ("thing/_x.cp313-win_amd64.pyd", pe(exports=["PyInit__x"])),
        "macosx_11_0_arm64": ("thing/_x.cpython-313-darwin.so", b""),
    }
    wheels = [
        wheel_builder.build(
            tmp_path,
            {"thing/__init__.py": "", path: data},
            name="thing",
            tag=f"cp313-cp313-{tag}",
            requires=(),
        )
        for tag, (path, data) in content.items()
    ]
    wheels.append(wheel_builder.build(tmp_path, {}, name="thing", tag="cp312-cp312-win_amd64"))
    result = generate(map(open_wheel, wheels))
    platforms = load(result.write(tmp_path / "subject")).platforms

    assert [(platform.tag, platform.execute) for platform in platforms] == [
        ("macosx_11_0_arm64", False),
        ("manylinux_2_28_x86_64", True),
        ("win_amd64", True),
    ]
    assert smoke(result).EXTENSIONS["win32"] == ["thing._x"]


def test_wheel_without_native_code_for_the_python_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cp313"):
        generated(tmp_path, {"thing.py": ""}, tag="py3-none-any")


# ---- the generated smoke test ----


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """Return a smoke test whose extension modules are Python files on the import path."""
    for name, source in {
        "good": "",
        "needs_other": "import not_installed_anywhere",
        "needs_own": "import generated_thing.absent",
        "broken": "raise ImportError('x: undefined symbol: y')",
    }.items():
        (tmp_path / "generated_thing").mkdir(exist_ok=True)
        (tmp_path / "generated_thing" / f"{name}.py").write_text(source, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    loaded = smoke(generated(tmp_path, {f"generated_thing{SUFFIX}": module("generated_thing")}))
    monkeypatch.setitem(loaded.PACKAGES, sys.platform, ["generated_thing"])
    return loaded


def use(test: types.ModuleType, *extensions: str, optional: bool = False) -> list[str]:
    names = [f"generated_thing.{name}" for name in extensions]
    test.EXTENSIONS[sys.platform] = names
    test.OPTIONAL[sys.platform] = names if optional else []
    imported: list[str] = test.import_all()
    return imported


def test_module_that_needs_another_distribution_is_no_error(package: types.ModuleType) -> None:
    assert use(package, "good", "needs_other") == ["generated_thing.good"]


@pytest.mark.parametrize("name", ["broken", "needs_own"])
def test_module_that_cannot_be_loaded_is_an_error(package: types.ModuleType, name: str) -> None:
    with pytest.raises(ImportError):
        use(package, name)
    assert use(package, name, optional=True) == []


def test_version_is_that_of_the_installed_distribution(
    package: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.metadata, "version", {"thing": "7.0"}.__getitem__)
    use(package, "good")
    assert package.native_call() == {"version": "7.0"}


def test_round_trip_compares_the_imports_of_a_new_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = {f"generated_pair{SUFFIX}": module("generated_pair")}
    source = generated(tmp_path, wheel, name="generated_pair").smoke_test
    source = source.replace('"linux"', f'"{sys.platform}"')
    (tmp_path / "smoke.py").write_text(source, "utf-8")
    (tmp_path / "generated_pair.py").write_text("", "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    test = types.ModuleType("smoke")
    exec(compile(source, str(tmp_path / "smoke.py"), "exec"), test.__dict__)  # noqa: S102
    test.round_trip()

    different = "import os\nif os.environ.setdefault('FIRST', str(os.getpid())) != "
    different += "str(os.getpid()):\n    import not_installed_anywhere\n"
    (tmp_path / "different.py").write_text(different, "utf-8")
    monkeypatch.delenv("FIRST", raising=False)
    test.EXTENSIONS[sys.platform] = ["different"]
    source = '"different"\n'.join(source.rsplit('"generated_pair"\n', 1))
    (tmp_path / "smoke.py").write_text(source, "utf-8")
    with pytest.raises(ValueError, match="different"):
        test.round_trip()
