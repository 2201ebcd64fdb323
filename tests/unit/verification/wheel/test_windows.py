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
def test_a_library_that_no_clean_windows_has_is_named_with_its_importer(
    tmp_path: Path, name: str
) -> None:
    cause = only_cause(with_core(tmp_path, imports={name: ["f"]}))
    assert (cause.name, cause.where, cause.severity) == (
        "missing-runtime-library",
        WINDOWS_CORE,
        "broken",
    )
    assert cause.facts == {"library": name}
    assert cause.message.startswith(
        f"imports {name}, which no clean Windows has and the wheel does not carry;"
    )
    assert "delvewheel repair --analyze-existing" in cause.remedy


def test_an_import_on_first_use_counts_and_is_marked(tmp_path: Path) -> None:
    cause = only_cause(with_core(tmp_path, delayed={"MSVCP140.dll": ["f"]}))
    assert cause.message.startswith("imports on first use MSVCP140.dll, which no clean Windows")


@pytest.mark.parametrize(
    "name",
    [
        "kernel32.DLL", "vcruntime140.dll", "VCRUNTIME140_1.dll", "ucrtbase.dll", "python313.dll",
        "api-ms-win-crt-heap-l1-1-0.dll", "python3.dll",
    ],
)  # fmt: skip
def test_what_windows_or_python_provides_is_no_fault(tmp_path: Path, name: str) -> None:
    assert inspect(with_core(tmp_path, imports={name: ["f"]})).causes == ()


@pytest.mark.parametrize("name", ["python312.dll", "python314.dll", "Python314t.dll"])
def test_another_pythons_own_library_is_not_there(tmp_path: Path, name: str) -> None:
    cause = only_cause(with_core(tmp_path, imports={name: ["f"]}))
    assert (cause.name, name in cause.message) == ("missing-runtime-library", True)


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        ("cp313-cp313t", "python313t.dll"),
        ("cp314-cp314t", "python314t.dll"),
        ("cp314-cp314", "python314.dll"),
        ("cp39-abi3", "python313.dll"),
    ],
)
def test_an_additional_wheel_has_the_library_of_its_own_python(
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
def test_a_carried_library_is_found_whatever_its_case(
    tmp_path: Path, folder: str, importer: str
) -> None:
    files = {
        f"{folder}/MsVcP140.dll": windows_core(name="msvcp140.dll", exports=["f"]),
        importer: windows_core(
            imports={"MSVCP140.dll": ["f"]}, exports=["quiver_core_open", "tool"]
        ),
    }
    assert inspect(windows_wheel(tmp_path, files)).causes == ()


def test_a_carried_library_where_windows_does_not_look_is_named(tmp_path: Path) -> None:
    files = {
        "quiverdb/bin/msvcp140.dll": windows_core(name="msvcp140.dll", exports=["f"]),
        WINDOWS_CORE: windows_core(imports={"MSVCP140.dll": ["f"]}),
    }
    cause = only_cause(windows_wheel(tmp_path, files))
    assert (cause.name, cause.where) == ("missing-runtime-library", WINDOWS_CORE)
    assert cause.message.startswith(
        "imports MSVCP140.dll, and Windows does not look where quiverdb/bin/msvcp140.dll is;"
    )


def test_a_copy_where_windows_does_not_look_is_no_fault(tmp_path: Path) -> None:
    runtime = windows_core(name="msvcp140.dll", exports=["f"])
    files = {
        "quiverdb/_libs/msvcp140.dll": runtime,
        "quiverdb/bin/msvcp140.dll": runtime,
        WINDOWS_CORE: windows_core(imports={"MSVCP140.dll": ["f"]}),
    }
    assert inspect(windows_wheel(tmp_path, files)).cause_names() == {"duplicate-library"}


def test_a_symbol_that_a_carried_library_lacks_is_named(tmp_path: Path) -> None:
    imports = {"LibQuiver.dll": ["quiver_core_open", "quiver_b", "quiver_a"], "KERNEL32.dll": ["X"]}
    cause = only_cause(windows_wheel(tmp_path, {WINDOWS_API: windows_api(imports=imports)}))
    assert (cause.name, cause.where) == ("symbol-not-found", WINDOWS_API)
    assert cause.facts == {"symbols": ("quiver_a of LibQuiver.dll", "quiver_b of LibQuiver.dll")}
    assert cause.message.startswith(
        "imports quiver_a of LibQuiver.dll, quiver_b of LibQuiver.dll, which it does not export;"
    )


def test_the_symbols_of_a_library_for_another_processor_are_not_judged(tmp_path: Path) -> None:
    core = windows_core(machine="aarch64", exports=[])
    found = inspect(windows_wheel(tmp_path, {WINDOWS_CORE: core}))
    assert found.cause_names() == {"wrong-architecture"}


def test_every_fault_of_every_library_is_named(tmp_path: Path) -> None:
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


def test_an_absent_library_of_the_package_is_named_once_and_not_by_its_users(
    tmp_path: Path, out: Path
) -> None:
    cause = only_cause(wheels.mutate(windows_wheel(tmp_path), out, remove=[WINDOWS_CORE]))
    assert (cause.name, cause.where) == ("missing-bundled-library", WINDOWS_CORE)
