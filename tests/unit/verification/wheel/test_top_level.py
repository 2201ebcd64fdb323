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
        ("cffi_more/lock.py", "stray-top-level"),
        ("more/cffi/lock.py", "stray-top-level"),
    ],
)
def test_module_of_a_dependency_is_reported_as_overwritten(
    tmp_path: Path, path: str, name: str
) -> None:
    modules = {**CFFI, canonicalize_name("quiverdb"): frozenset({"more"})}
    content = elf() if path.endswith(".so") else b""
    (cause,) = inspect(linux_wheel(tmp_path, {path: content}), SUBJECT, modules).causes
    assert cause.name == name
    assert cause.facts.get("distribution") == ("cffi" if name == "dependency-overwritten" else None)


@pytest.mark.parametrize("part", ["data", "scripts", "headers"])
def test_data_scripts_and_headers_are_stray(tmp_path: Path, part: str) -> None:
    cause = only_cause(linux_wheel(tmp_path, {f"quiverdb-1.0.0.data/{part}/x": ""}))
    assert (cause.name, cause.where) == ("stray-top-level", f"quiverdb-1.0.0.data/{part}/")


def test_platlib_files_are_checked_by_their_install_paths(tmp_path: Path) -> None:
    files = {
        "quiverdb-1.0.0.data/platlib/quiverdb/x.py": "",
        "quiverdb-1.0.0.data/platlib/other/x.py": "",
    }
    assert strays(tmp_path, files) == [("stray-top-level", "other/")]


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
