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

CFFI = {canonicalize_name("cffi"): frozenset({"cffi", "_cffi_backend"})}


def strays(folder: Path, files: Mapping[str, bytes | str]) -> list[tuple[str, str]]:
    causes = inspect(linux_wheel(folder, files)).causes
    return [(cause.name, cause.where) for cause in causes]


def test_each_folder_beside_the_package_is_named_once(tmp_path: Path) -> None:
    files = {"lib64/liba.a": b"!<arch>", "lib64/cmake/a.cmake": b"x" * 2000, "setup.cfg": b""}
    first, second = inspect(linux_wheel(tmp_path, files)).causes
    assert (first.name, first.where) == ("stray-top-level", "lib64/")
    assert "2 files, 2.0 KiB (lib64/liba.a, lib64/cmake/a.cmake)" in first.message
    assert (second.name, second.where) == ("stray-top-level", "setup.cfg")
    assert "1 file, 0.0 KiB (setup.cfg)" in second.message


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("cffi/lock.py", "dependency-overwritten"),
        ("_cffi_backend.cpython-313-x86_64-linux-gnu.so", "dependency-overwritten"),
        ("quiverdb-1.0.0.data/purelib/cffi/lock.py", "dependency-overwritten"),
        ("cffi_more/lock.py", "stray-top-level"),
        ("more/cffi/lock.py", "stray-top-level"),
    ],
)
def test_what_is_installed_over_a_dependency_has_its_own_cause(
    tmp_path: Path, path: str, name: str
) -> None:
    modules = {**CFFI, canonicalize_name("quiverdb"): frozenset({"more"})}
    content = elf() if path.endswith(".so") else b""
    (cause,) = inspect(linux_wheel(tmp_path, {path: content}), SUBJECT, modules).causes
    assert cause.name == name
    assert ("is a module of cffi" in cause.message) == (name == "dependency-overwritten")


@pytest.mark.parametrize("part", ["data", "scripts", "headers"])
def test_files_for_the_environments_own_folders_are_stray(tmp_path: Path, part: str) -> None:
    cause = only_cause(linux_wheel(tmp_path, {f"quiverdb-1.0.0.data/{part}/x": ""}))
    assert (cause.name, cause.where) == ("stray-top-level", f"quiverdb-1.0.0.data/{part}/")


def test_platlib_files_are_judged_by_where_they_are_installed(tmp_path: Path) -> None:
    files = {
        "quiverdb-1.0.0.data/platlib/quiverdb/x.py": "",
        "quiverdb-1.0.0.data/platlib/other/x.py": "",
    }
    assert strays(tmp_path, files) == [("stray-top-level", "other/")]


def test_a_file_at_the_top_of_the_data_folder_is_stray(tmp_path: Path) -> None:
    files = {"quiverdb-1.0.0.data/x": ""}
    assert strays(tmp_path, files) == [("stray-top-level", "quiverdb-1.0.0.data/")]


def test_the_folder_of_repaired_libraries_is_expected(tmp_path: Path) -> None:
    files = {
        "quiverdb.libs/libx-1234.so.1": linux_core(soname="libx-1234.so.1"),
        LINUX_CORE: linux_core(
            needed=["libx-1234.so.1", "libc.so.6"], run_path="$ORIGIN/../../quiverdb.libs"
        ),
    }
    assert strays(tmp_path, files) == []


@pytest.mark.parametrize(
    ("folder", "is_stray"),
    [("QuiverDB.libs", False), ("quiverdb.lib", True), ("other.libs", True), ("x.dist-info", None)],
)
def test_only_the_packages_own_folders_are_expected(
    tmp_path: Path, folder: str, *, is_stray: bool | None
) -> None:
    found = strays(tmp_path, {f"{folder}/x.txt": ""})
    assert (("stray-top-level", f"{folder}/") in found) == bool(is_stray)
