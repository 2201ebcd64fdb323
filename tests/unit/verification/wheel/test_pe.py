from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import wheel_builder as wheels
from tests.helpers.sample_wheels import (
    SUBJECT,
    WINDOWS_API,
    WINDOWS_CORE,
    windows_api,
    windows_core,
    windows_wheel,
)
from verification.models.cause import Cause
from verification.wheel import Inspection, inspect


def look(wheel: Path) -> Inspection:
    return inspect(wheel, subject=SUBJECT)


def with_core(folder: Path, **changes: object) -> Inspection:
    return look(windows_wheel(folder, {WINDOWS_CORE: windows_core(**changes)}))


def only(inspection: Inspection) -> Cause:
    (cause,) = inspection.causes
    return cause


@pytest.mark.parametrize("name", ["MSVCP140.dll", "libstdc++-6.dll", "libwinpthread-1.dll"])
def test_a_library_that_no_clean_windows_has_is_named_with_its_importer(
    tmp_path: Path, name: str
) -> None:
    cause = only(with_core(tmp_path, imports={name: ["f"]}))
    assert (cause.name, cause.where, cause.severity) == (
        "missing-runtime-library",
        WINDOWS_CORE,
        "broken",
    )
    assert f"imports {name}, which no clean Windows has" in cause.message
    assert "delvewheel repair --analyze-existing" in cause.remedy


def test_an_import_on_first_use_counts_and_is_marked(tmp_path: Path) -> None:
    cause = only(with_core(tmp_path, delayed={"MSVCP140.dll": ["f"]}))
    assert "imports on first use MSVCP140.dll" in cause.message


@pytest.mark.parametrize(
    "name",
    ["kernel32.DLL", "vcruntime140.dll", "VCRUNTIME140_1.dll", "ucrtbase.dll", "python313.dll"],
)
def test_what_windows_or_python_provides_is_no_fault(tmp_path: Path, name: str) -> None:
    assert with_core(tmp_path, imports={name: ["f"]}).causes == ()


@pytest.mark.parametrize("name", ["python312.dll", "python314.dll", "Python314t.dll"])
def test_another_pythons_own_library_is_not_there(tmp_path: Path, name: str) -> None:
    cause = only(with_core(tmp_path, imports={name: ["f"]}))
    assert (cause.name, name in cause.message) == ("missing-runtime-library", True)


@pytest.mark.parametrize("folder", ["quiverdb/_libs", "quiverdb.libs"])
def test_a_carried_library_is_found_whatever_its_case(tmp_path: Path, folder: str) -> None:
    files = {
        f"{folder}/msvcp140.dll": windows_core(name="msvcp140.dll", exports=["f"]),
        WINDOWS_CORE: windows_core(imports={"MSVCP140.dll": ["f"]}),
    }
    assert look(windows_wheel(tmp_path, files)).causes == ()


def test_a_carried_library_where_windows_does_not_look_is_named(tmp_path: Path) -> None:
    files = {
        "quiverdb/bin/msvcp140.dll": windows_core(name="msvcp140.dll", exports=["f"]),
        WINDOWS_CORE: windows_core(imports={"MSVCP140.dll": ["f"]}),
    }
    cause = only(look(windows_wheel(tmp_path, files)))
    assert "Windows does not look where quiverdb/bin/msvcp140.dll is" in cause.message


def test_a_symbol_that_a_carried_library_lacks_is_named(tmp_path: Path) -> None:
    api = windows_api(imports={"libquiver.dll": ["quiver_core_open", "quiver_core_gone"]})
    cause = only(look(windows_wheel(tmp_path, {WINDOWS_API: api})))
    assert (cause.name, cause.where) == ("symbol-not-found", WINDOWS_API)
    assert "quiver_core_gone of libquiver.dll" in cause.message


@pytest.mark.parametrize("machine", ["i686", "aarch64"])
def test_a_library_for_another_processor_is_named(tmp_path: Path, machine: str) -> None:
    cause = only(with_core(tmp_path, machine=machine))
    assert (cause.name, cause.where) == ("wrong-architecture", WINDOWS_CORE)
    assert f"PE code for {machine}, in a wheel for win_amd64" in cause.message


def test_an_absent_library_of_the_package_is_told_once_and_not_by_its_users(
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    cause = only(look(wheels.mutate(windows_wheel(tmp_path), out, remove=[WINDOWS_CORE])))
    assert (cause.name, cause.where) == ("missing-bundled-library", WINDOWS_CORE)


def test_the_facts_of_a_library_are_read(tmp_path: Path) -> None:
    inspection = with_core(tmp_path, delayed={"SHELL32.dll": ["SHGetFolderPathW"]})
    core = next(one for one in inspection.libraries if one.path == WINDOWS_CORE)
    assert core.machine == "x86_64"
    assert core.soname == "libquiver.dll"
    assert "KERNEL32.dll" in core.needed
    assert core.delayed == ("SHELL32.dll",)
    assert core.exports == {"quiver_core_open"}


@pytest.mark.parametrize(("name", "good"), [("python313t.dll", True), ("python313.dll", False)])
def test_a_free_threaded_python_brings_a_library_of_its_own(
    tmp_path: Path, name: str, good: bool
) -> None:
    files = {WINDOWS_CORE: windows_core(imports={name: ["f"]})}
    wheel = windows_wheel(tmp_path, files, tag="cp313-cp313t-win_amd64")
    found = inspect(wheel, subject=SUBJECT, beside=True).names()
    assert found == (frozenset() if good else {"missing-runtime-library"})
