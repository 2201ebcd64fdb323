from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import wheel_builder as wheels
from tests.helpers.sample_wheels import (
    WINDOWS_API,
    WINDOWS_CORE,
    inspect,
    only_cause,
    windows_api,
    windows_core,
    windows_wheel,
)


def with_core(folder: Path, *, tag: str = wheels.WINDOWS_TAG, **changes: object) -> Path:
    return windows_wheel(folder, {WINDOWS_CORE: windows_core(**changes)}, tag=tag)


@pytest.mark.parametrize("name", ["MSVCP140.dll", "libstdc++-6.dll", "libwinpthread-1.dll"])
def test_library_that_a_clean_windows_does_not_have_is_missing(tmp_path: Path, name: str) -> None:
    cause = only_cause(with_core(tmp_path, imports={name: ["f"]}))
    assert (cause.name, cause.where, cause.severity) == (
        "missing-runtime-library",
        WINDOWS_CORE,
        "broken",
    )
    assert cause.facts == {"library": name, "delayed": False, "bundled": ""}


def test_delayed_import_of_a_missing_library_is_reported(tmp_path: Path) -> None:
    cause = only_cause(with_core(tmp_path, delayed={"MSVCP140.dll": ["f"]}))
    assert cause.facts == {"library": "MSVCP140.dll", "delayed": True, "bundled": ""}


def test_library_of_windows_or_python_is_not_missing(tmp_path: Path) -> None:
    names = (
        "kernel32.DLL", "vcruntime140.dll", "VCRUNTIME140_1.dll", "ucrtbase.dll", "python313.dll",
        "api-ms-win-crt-heap-l1-1-0.dll", "python3.dll",
    )  # fmt: skip
    wheel = with_core(tmp_path, imports={name: ["f"] for name in names})
    assert inspect(wheel).causes == ()


@pytest.mark.parametrize("name", ["python312.dll", "python314.dll", "Python314t.dll"])
def test_library_of_another_python_is_missing(tmp_path: Path, name: str) -> None:
    cause = only_cause(with_core(tmp_path, imports={name: ["f"]}))
    assert (cause.name, cause.facts["library"]) == ("missing-runtime-library", name)


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        ("cp313-cp313t", "python313t.dll"),
        ("cp314-cp314t", "python314t.dll"),
        ("cp314-cp314", "python314.dll"),
        ("cp39-abi3", "python313.dll"),
    ],
)
def test_additional_wheel_may_need_the_library_of_its_python(
    tmp_path: Path, tag: str, name: str
) -> None:
    for other in ("python313t.dll", "python314t.dll", "python314.dll", "python313.dll"):
        wheel = with_core(tmp_path, imports={other: ["f"]}, tag=f"{tag}-win_amd64")
        names = inspect(wheel, additional=True).cause_names()
        assert names == (set() if other == name else {"missing-runtime-library"})


@pytest.mark.parametrize(
    ("folder", "importer"),
    [
        ("quiverdb/_libs", WINDOWS_CORE),
        ("quiverdb.libs", WINDOWS_CORE),
        ("quiverdb/bin", "quiverdb/bin/tool.exe"),
    ],
)
def test_bundled_library_is_available_with_any_case(
    tmp_path: Path, folder: str, importer: str
) -> None:
    files = {
        f"{folder}/MsVcP140.dll": windows_core(name="msvcp140.dll", exports=["f"]),
        importer: windows_core(
            imports={"MSVCP140.dll": ["f"]}, exports=["quiver_core_open", "tool"]
        ),
    }
    assert inspect(windows_wheel(tmp_path, files)).causes == ()


def test_bundled_library_outside_the_search_folders_is_missing(tmp_path: Path) -> None:
    files = {
        "quiverdb/bin/msvcp140.dll": windows_core(name="msvcp140.dll", exports=["f"]),
        WINDOWS_CORE: windows_core(imports={"MSVCP140.dll": ["f"]}),
    }
    cause = only_cause(windows_wheel(tmp_path, files))
    assert (cause.name, cause.where) == ("missing-runtime-library", WINDOWS_CORE)
    assert cause.facts["bundled"] == "quiverdb/bin/msvcp140.dll"


def test_additional_copy_outside_the_search_folders_is_accepted(tmp_path: Path) -> None:
    runtime = windows_core(name="msvcp140.dll", exports=["f"])
    files = {
        "quiverdb/_libs/msvcp140.dll": runtime,
        "quiverdb/bin/msvcp140.dll": runtime,
        WINDOWS_CORE: windows_core(imports={"MSVCP140.dll": ["f"]}),
    }
    assert inspect(windows_wheel(tmp_path, files)).cause_names() == {"duplicate-library"}


def test_symbol_that_a_bundled_library_does_not_export_is_reported(tmp_path: Path) -> None:
    imports = {"LibQuiver.dll": ["quiver_core_open", "quiver_b", "quiver_a"], "KERNEL32.dll": ["X"]}
    cause = only_cause(windows_wheel(tmp_path, {WINDOWS_API: windows_api(imports=imports)}))
    assert (cause.name, cause.where) == ("symbol-not-found", WINDOWS_API)
    assert cause.facts == {"symbols": ("quiver_a of LibQuiver.dll", "quiver_b of LibQuiver.dll")}


def test_symbols_of_a_library_for_another_processor_are_not_checked(tmp_path: Path) -> None:
    core = windows_core(machine="aarch64", exports=[])
    inspection = inspect(windows_wheel(tmp_path, {WINDOWS_CORE: core}))
    assert inspection.cause_names() == {"wrong-architecture"}


def test_all_faults_of_all_libraries_are_reported(tmp_path: Path) -> None:
    imports = {"a.dll": ["f"], "b.dll": ["f"], "libquiver.dll": ["gone"]}
    files = {
        WINDOWS_CORE: windows_core(imports={"a.dll": ["f"]}),
        WINDOWS_API: windows_api(imports=imports),
    }
    causes = inspect(windows_wheel(tmp_path, files)).causes
    assert [(cause.name, cause.where) for cause in causes] == [
        ("missing-runtime-library", WINDOWS_CORE),
        ("missing-runtime-library", WINDOWS_API),
        ("missing-runtime-library", WINDOWS_API),
        ("symbol-not-found", WINDOWS_API),
    ]


def test_missing_library_of_the_package_is_one_cause(tmp_path: Path, out: Path) -> None:
    cause = only_cause(wheels.mutate(windows_wheel(tmp_path), out, remove=[WINDOWS_CORE]))
    assert (cause.name, cause.where) == ("missing-bundled-library", WINDOWS_CORE)
