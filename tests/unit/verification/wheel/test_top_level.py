from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from tests.helpers.binaries import elf
from tests.helpers.sample_wheels import (
    LINUX_CORE,
    SUBJECT,
    inspect,
    linux_core,
    linux_wheel,
    only_cause,
)
from verification.wheel.modules import Distribution

CFFI = {canonicalize_name("cffi"): Distribution(frozenset({"cffi", "_cffi_backend"}))}


def strays(folder: Path, files: Mapping[str, bytes | str]) -> list[tuple[str, str]]:
    causes = inspect(linux_wheel(folder, files)).causes
    return [(cause.name, cause.where) for cause in causes]


def test_each_top_level_folder_and_file_is_one_cause(tmp_path: Path) -> None:
    files = {"lib64/liba.a": b"!<arch>", "lib64/cmake/a.cmake": b"x" * 2000, "setup.cfg": b""}
    first, second = inspect(linux_wheel(tmp_path, files)).causes
    assert (first.name, first.where, first.facts["files"]) == ("stray-top-level", "lib64/", 2)
    assert (second.name, second.where, second.facts["files"]) == ("stray-top-level", "setup.cfg", 1)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("cffi/lock.py", "dependency-overwritten"),
        ("_cffi_backend.cpython-313-x86_64-linux-gnu.so", "dependency-overwritten"),
        ("quiverdb-1.0.0.data/purelib/cffi/lock.py", "dependency-overwritten"),
        ("tests/lock.py", "stray-top-level"),
        ("docs/cffi/lock.py", "stray-top-level"),
    ],
)
def test_module_of_a_dependency_is_reported_as_overwritten(
    tmp_path: Path, path: str, name: str
) -> None:
    distributions = {**CFFI, canonicalize_name("quiverdb"): Distribution(frozenset({"more"}))}
    content = elf() if path.endswith(".so") else b""
    (cause,) = inspect(linux_wheel(tmp_path, {path: content}), SUBJECT, distributions).causes
    assert cause.name == name
    assert cause.facts.get("distribution") == ("cffi" if name == "dependency-overwritten" else None)


@pytest.mark.parametrize(
    ("path", "is_overwritten"),
    [
        ("google/quiver/__init__.py", False),
        ("google/cloud/quiver.py", False),
        ("google/protobuf/quiver.py", True),
        ("google/cloud/storage/__init__.py", True),
    ],
)
def test_distributions_share_a_namespace_package(
    tmp_path: Path, path: str, is_overwritten: bool
) -> None:
    portions = frozenset({"google.protobuf", "google.cloud.storage"})
    other = Distribution(frozenset({"google"}), portions=portions)
    distributions = {canonicalize_name("protobuf"): other}
    causes = inspect(linux_wheel(tmp_path, {path: ""}), SUBJECT, distributions).causes
    names = [cause.name for cause in causes]
    assert names == ["dependency-overwritten"] * is_overwritten


@pytest.mark.parametrize(
    ("path", "distribution"),
    [
        ("pip/_internal/network/session.py", "pip"),
        ("quiverdb-1.0.0.data/purelib/pip/__init__.py", "pip"),
        ("pkg_resources/__init__.py", "setuptools"),
        ("distutils-precedence.pth", "setuptools"),
    ],
)
def test_module_of_an_installer_is_reported_as_overwritten(
    tmp_path: Path, path: str, distribution: str
) -> None:
    cause = only_cause(linux_wheel(tmp_path, {path: ""}))
    assert (cause.name, cause.severity) == ("dependency-overwritten", "broken")
    assert cause.facts["distribution"] == distribution


@pytest.mark.parametrize(
    ("path", "is_stray"),
    [
        ("scripts/x.py", False),
        ("headers/x.h", False),
        ("data/share/man/x.1", False),
        ("data/etc/x.conf", False),
        ("data/lib/site-packages/quiverdb/x.dll", True),
        ("data/README.md", True),
        ("data/tests/x.py", True),
        ("other/x", True),
    ],
)
def test_data_folder_has_files_for_install_paths(
    tmp_path: Path, path: str, *, is_stray: bool
) -> None:
    folder = f"quiverdb-1.0.0.data/{path.partition('/')[0]}/"
    expected = [("stray-top-level", folder)] if is_stray else []
    assert strays(tmp_path, {f"quiverdb-1.0.0.data/{path}": ""}) == expected


@pytest.mark.parametrize(
    "path",
    [
        "_quiverdb/__init__.py",
        "other/__init__.py",
        "other/deep/x.py",
        "other.py",
        "quiverdb-stubs/__init__.pyi",
        "other.cpython-313-x86_64-linux-gnu.so",
        "0a1b2c3d__mypyc.cpython-313-x86_64-linux-gnu.so",
        "quiverdb.dylibs/x.txt",
        "libx-0a1b2c3d4e.so.1",
    ],
)
def test_package_or_module_with_a_name_of_its_own_is_expected(tmp_path: Path, path: str) -> None:
    content = elf(soname="x") if ".so" in path else b""
    causes = inspect(linux_wheel(tmp_path, {path: content})).causes
    assert "stray-top-level" not in {cause.name for cause in causes}


@pytest.mark.parametrize(
    "path",
    [
        "tests/__init__.py",
        "Docs/conf.py",
        "examples/x.py",
        "benchmarks/x.py",
        "include/x.h",
        "setup.py",
        "conftest.py",
        "LICENSE",
        "README.md",
        "other/data.bin",
        "other-stubs/__init__.pyi",
        "a-b/__init__.py",
    ],
)
def test_name_that_other_packages_use_is_stray(tmp_path: Path, path: str) -> None:
    causes = inspect(linux_wheel(tmp_path, {path: ""})).causes
    assert [cause.severity for cause in causes if cause.name == "stray-top-level"] == ["flawed"]


@pytest.mark.parametrize("path", ["other.pth", "org.quiverdb.jar", "quiverdb_data/x.bin"])
def test_path_file_or_file_with_the_name_of_the_package_is_a_note(
    tmp_path: Path, path: str
) -> None:
    cause = only_cause(linux_wheel(tmp_path, {path: "/srv/x"}))
    assert (cause.name, cause.severity) == ("stray-top-level", "note")


def test_platlib_files_are_checked_by_their_install_paths(tmp_path: Path) -> None:
    files = {
        "quiverdb-1.0.0.data/platlib/quiverdb/x.py": "",
        "quiverdb-1.0.0.data/platlib/tests/x.py": "",
        "quiverdb-1.0.0.data/platlib/setup.cfg": "",
    }
    assert strays(tmp_path, files) == [
        ("stray-top-level", "setup.cfg"),
        ("stray-top-level", "tests/"),
    ]


def test_file_at_the_top_of_the_data_folder_is_stray(tmp_path: Path) -> None:
    files = {"quiverdb-1.0.0.data/x": ""}
    assert strays(tmp_path, files) == [("stray-top-level", "quiverdb-1.0.0.data/")]


def test_folder_of_repaired_libraries_is_expected(tmp_path: Path) -> None:
    files = {
        "quiverdb.libs/libx-1234.so.1": linux_core(soname="libx-1234.so.1"),
        LINUX_CORE: linux_core(
            needed=["libx-1234.so.1", "libc.so.6"], run_path="$ORIGIN/../../quiverdb.libs"
        ),
    }
    assert strays(tmp_path, files) == []


def test_only_the_folders_of_the_package_are_expected(tmp_path: Path) -> None:
    folders = ("QuiverDB.libs", "quiverdb.lib", "other.libs", "x.dist-info")
    causes = strays(tmp_path, {f"{folder}/x.txt": "" for folder in folders})
    assert [where for name, where in causes if name == "stray-top-level"] == [
        "other.libs/",
        "quiverdb.lib/",
    ]
