from __future__ import annotations

import importlib
import importlib.metadata
import sys
import sysconfig
import types
from email.message import Message
from pathlib import Path

import pytest

from tests.helpers import wheel_builder
from tests.helpers.binaries import elf
from verification.subjects import generated_smoke
from verification.subjects.generate import generate
from verification.wheel.archive import open_wheel


def source_of(folder: Path, name: str) -> str:
    """Return the smoke test of a wheel with one extension module."""
    files = {f"{name}.abi3.so": elf(exports=[f"PyInit_{name}"])}
    wheel = wheel_builder.build(folder, files, name=name, requires=())
    return generate([open_wheel(wheel)]).smoke_test


def load(source: str, path: Path) -> types.ModuleType:
    """Return a smoke test as the probe loads it."""
    loaded = types.ModuleType("smoke")
    exec(compile(source, str(path), "exec"), loaded.__dict__)  # noqa: S102
    return loaded


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
    for name in [name for name in sys.modules if name.startswith("generated_thing")]:
        monkeypatch.delitem(sys.modules, name)  # of another test
    loaded = load(source_of(tmp_path, "generated_thing"), tmp_path / "smoke.py")
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


@pytest.mark.parametrize(
    ("packages", "extras", "is_error"),
    [
        (["generated_thing", "generated_thingd"], ["d"], False),
        (["generated_thing", "generated_thingd"], None, True),
        (["generated_thingd"], ["d"], True),
    ],
)
def test_further_package_may_need_an_extra(
    package: types.ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    packages: list[str],
    extras: list[str] | None,
    is_error: bool,
) -> None:
    (tmp_path / "generated_thingd.py").write_text("raise ImportError('pip install x[d]')", "utf-8")
    metadata = Message()
    for extra in extras or ():
        metadata["Provides-Extra"] = extra
    monkeypatch.setattr(importlib.metadata, "metadata", lambda _: metadata)
    monkeypatch.setitem(package.PACKAGES, sys.platform, packages)
    if is_error:
        with pytest.raises(ImportError, match="pip install"):
            use(package)
    else:
        assert use(package) == []


def use_handled(package: types.ModuleType, folder: Path, source: str) -> list[str]:
    """Use a package whose main module is this code, with a module that cannot be loaded.

    The suite's Python loads the file as an extension module, and the loader refuses it.
    """
    name = f"_fast{sysconfig.get_config_var('EXT_SUFFIX')}"
    (folder / "generated_thing" / name).write_text("no library", "utf-8")
    (folder / "generated_thing" / "__init__.py").write_text(source, "utf-8")
    (folder / "smoke.py").write_text(inspect_source(package, "_fast"), "utf-8")
    importlib.invalidate_caches()
    test = load((folder / "smoke.py").read_text("utf-8"), folder / "smoke.py")
    test.round_trip()
    imported: list[str] = test.import_all()
    return imported


def inspect_source(package: types.ModuleType, extension: str) -> str:
    """Return the source of the smoke test with one package and one extension module."""
    source = Path(generated_smoke.__file__).read_text("utf-8")
    for key, value in {
        "PACKAGES": {sys.platform: ["generated_thing"]},
        "EXTENSIONS": {sys.platform: [f"generated_thing.{extension}"]},
    }.items():
        empty = f"{key}: dict[str, list[str]] = {{}}"
        assert empty in source
        source = source.replace(empty, f"{key}: dict[str, list[str]] = {value!r}")
    return source.replace('DISTRIBUTION = ""', f'DISTRIBUTION = "{package.DISTRIBUTION}"')


def test_failure_that_the_import_of_the_package_handles_is_no_error(
    package: types.ModuleType, tmp_path: Path
) -> None:
    source = "try:\n    from . import _fast\nexcept ImportError:\n    _fast = None\n"
    assert use_handled(package, tmp_path, source) == []


def test_module_that_the_package_loads_under_another_name_is_not_imported_again(
    package: types.ModuleType, tmp_path: Path
) -> None:
    source = (
        "import importlib.util, pathlib\n"
        "file = next(pathlib.Path(__file__).parent.glob('_fast*'))\n"
        "spec = importlib.util.spec_from_file_location('generated_thing_other', file)\n"
        "try:\n    importlib.util.module_from_spec(spec)\nexcept ImportError:\n    pass\n"
    )
    assert use_handled(package, tmp_path, source) == []


def test_failure_that_equals_one_of_an_optional_module_is_no_error(
    package: types.ModuleType,
) -> None:
    (Path(sys.path[0]) / "generated_thing" / "also_broken.py").write_text(
        "raise ImportError('x: undefined symbol: y')", "utf-8"
    )
    names = [f"generated_thing.{name}" for name in ("also_broken", "broken", "good")]
    package.EXTENSIONS[sys.platform] = names
    package.OPTIONAL[sys.platform] = names[1:2]
    importlib.invalidate_caches()
    assert package.import_all() == ["generated_thing.good"]
    package.OPTIONAL[sys.platform] = []
    with pytest.raises(ImportError, match="undefined symbol"):
        package.import_all()


def test_failure_that_a_later_call_of_the_package_meets_is_an_error(
    package: types.ModuleType, tmp_path: Path
) -> None:
    source = "def call():\n    from . import _fast\n    return _fast\n"
    with pytest.raises(ImportError, match="_fast"):
        use_handled(package, tmp_path, source)


def test_only_native_functions_that_return_a_version_are_called(
    package: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def python_function() -> None:
        raise AssertionError

    module = types.ModuleType("generated_native")
    monkeypatch.setitem(sys.modules, "generated_native", module)
    for name, value in {
        "version": "1.0",
        "get_version": sys.getrecursionlimit,
        "library_version": python_function,
        "reset": sys.exc_info,
    }.items():
        setattr(module, name, value)
    assert package.call_versions(["generated_native"]) == ["generated_native.get_version"]
    vars(module)["get_version"] = len  # it needs an argument
    assert package.call_versions(["generated_native"]) == []


def test_module_that_the_installed_wheel_does_not_have_is_no_error(
    package: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("generated_thing/good.py", "generated_thing/absent.pyi")
    installed = [*map(importlib.metadata.PackagePath, names)]
    monkeypatch.setattr(importlib.metadata, "files", lambda _: installed)
    assert use(package, "good", "absent") == ["generated_thing.good"]
    package.PACKAGES[sys.platform].append("absent_top")
    package.EXTENSIONS[sys.platform].append("absent_top")
    assert package.import_all() == ["generated_thing.good"]
    package.EXTENSIONS[sys.platform].remove("absent_top")
    with pytest.raises(ModuleNotFoundError):
        package.import_all()
    package.PACKAGES[sys.platform].remove("absent_top")
    installed.append(importlib.metadata.PackagePath("generated_thing/absent.so"))
    with pytest.raises(ModuleNotFoundError):
        use(package, "good", "absent")


def test_version_is_that_of_the_installed_distribution(
    package: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.metadata, "version", {"generated-thing": "7.0"}.__getitem__)
    use(package, "good")
    assert package.native_call() == {"version": "7.0"}


def test_round_trip_compares_the_imports_of_a_new_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = source_of(tmp_path, "generated_pair")
    source = source.replace('"linux"', f'"{sys.platform}"')
    (tmp_path / "smoke.py").write_text(source, "utf-8")
    (tmp_path / "generated_pair.py").write_text("", "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    test = load(source, tmp_path / "smoke.py")
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
