from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tests.helpers import wheel_builder as wheels
from tests.helpers.binaries import pe
from tests.helpers.sample_wheels import (
    WINDOWS_API,
    WINDOWS_CORE,
    inspect,
    linux_wheel,
    only_cause,
    windows_api,
    windows_core,
    windows_wheel,
)
from verification.wheel.windows import has_libraries_outside


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


def test_delayed_import_of_a_missing_library_is_flawed(tmp_path: Path) -> None:
    cause = only_cause(with_core(tmp_path, delayed={"MSVCP140.dll": ["f"]}))
    assert (cause.name, cause.severity) == ("missing-runtime-library", "flawed")
    assert cause.facts == {"library": "MSVCP140.dll", "delayed": True, "bundled": ""}


def test_delayed_import_of_a_driver_is_accepted_and_another_import_of_it_is_not(
    tmp_path: Path,
) -> None:
    assert inspect(with_core(tmp_path, delayed={"nvcuda.dll": ["cuInit"]})).causes == ()
    cause = only_cause(with_core(tmp_path, imports={"nvcuda.dll": ["cuInit"]}))
    assert (cause.name, cause.severity) == ("missing-runtime-library", "broken")


def test_library_of_windows_or_python_is_not_missing(tmp_path: Path) -> None:
    imports = {
        "kernel32.DLL": ["CreateFileW"],
        "vcruntime140.dll": ["memcpy"],
        "VCRUNTIME140_1.dll": ["__CxxFrameHandler4"],
        "ucrtbase.dll": ["malloc", "crealf"],
        "python313.dll": ["Py_Initialize"],
        "python3.dll": ["PyList_New"],
        "api-ms-win-crt-heap-l1-1-0.dll": ["malloc"],
        # mingw-w64 defines this function itself, so it lists it only for ucrtbase.
        "api-ms-win-crt-math-l1-1-0.dll": ["crealf"],
        "D3DCOMPILER_47.dll": ["D3DCompile"],
        "SHCORE.dll": ["GetDpiForMonitor"],
        "XINPUT1_4.dll": ["XInputGetState"],
        "d3d12.dll": ["D3D12CreateDevice"],
        "windows.media.dll": ["DllGetActivationFactory"],
    }
    assert inspect(with_core(tmp_path, imports=imports)).causes == ()


# ---- functions of Windows ----


@pytest.mark.parametrize(
    ("library", "function", "severity"),
    [
        ("kernel32.dll", "NoWindowsHasThisFunction", "flawed"),
        ("kernel32.dll", "CreateDirectory2W", "note"),  # only Microsoft's metadata has it
        ("api-ms-win-crt-heap-l1-1-0.dll", "NoWindowsHasThisFunction", "flawed"),
    ],
)
def test_function_that_mingw_does_not_list_is_reported(
    tmp_path: Path, library: str, function: str, severity: str
) -> None:
    cause = only_cause(with_core(tmp_path, imports={library: [function]}))
    assert (cause.name, cause.severity) == ("unknown-windows-function", severity)
    assert cause.facts == {"symbols": (f"{function} of {library}",)}


@pytest.mark.parametrize("function", ["_CIatan2", "_libm_sse2_pow_precise"])
def test_function_of_the_32_bit_compiler_is_accepted(tmp_path: Path, function: str) -> None:
    imports = {"api-ms-win-crt-math-l1-1-0.dll": [function]}
    assert inspect(with_core(tmp_path, imports=imports)).causes == ()


def test_module_for_another_python_may_need_its_python(tmp_path: Path) -> None:
    needs = pe(imports={"python311.dll": ["PyLong_FromLong"]}, exports=["PyInit__x"])
    files = {"quiverdb/_x.cp311-win_amd64.pyd": needs}
    causes = inspect(windows_wheel(tmp_path, files)).causes
    assert "missing-runtime-library" not in {cause.name for cause in causes}
    other = {"quiverdb/_x.pyd": needs}
    assert "missing-runtime-library" in inspect(windows_wheel(tmp_path, other)).cause_names()


def test_unknown_function_on_first_use_is_a_note(tmp_path: Path) -> None:
    cause = only_cause(with_core(tmp_path, delayed={"kernel32.dll": ["NoWindowsHasThisFunction"]}))
    assert (cause.name, cause.severity) == ("unknown-windows-function", "note")


def test_functions_of_a_bundled_library_and_decorated_names_are_not_looked_up(
    tmp_path: Path,
) -> None:
    files: dict[str, bytes | str] = {
        "quiverdb/_libs/dbghelp.dll": windows_core(name="dbghelp.dll", exports=["own"]),
        WINDOWS_CORE: windows_core(imports={"dbghelp.dll": ["own"], "msvcp60.dll": ["?x@@YAXXZ"]}),
    }
    assert inspect(windows_wheel(tmp_path, files)).causes == ()


# ---- side-by-side assemblies ----


def _manifest(name: str) -> str:
    return (
        '<assembly xmlns="urn:schemas-microsoft-com:asm.v1"><dependency><dependentAssembly>'
        f'<assemblyIdentity type="win32" name="{name}" version="9.0.21022.8"/>'
        "</dependentAssembly></dependency></assembly>"
    )


def test_assembly_that_a_clean_windows_does_not_have_is_missing(tmp_path: Path) -> None:
    cause = only_cause(with_core(tmp_path, manifest=_manifest("Microsoft.VC90.CRT")))
    assert (cause.name, cause.severity) == ("missing-runtime-library", "broken")
    assert cause.facts["library"] == "Microsoft.VC90.CRT"


def test_assembly_of_windows_is_not_missing(tmp_path: Path) -> None:
    manifest = _manifest("Microsoft.Windows.Common-Controls")
    assert inspect(with_core(tmp_path, manifest=manifest)).causes == ()


def test_assembly_in_the_wheel_provides_its_libraries(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {
        WINDOWS_CORE: windows_core(
            manifest=_manifest("Microsoft.VC90.CRT"), imports={"MSVCR90.dll": ["f"]}
        ),
        "quiverdb/_libs/Microsoft.VC90.CRT/Microsoft.VC90.CRT.manifest": "<assembly/>",
        "quiverdb/_libs/Microsoft.VC90.CRT/msvcr90.dll": windows_core(
            name="msvcr90.dll", exports=["f"]
        ),
    }
    assert inspect(windows_wheel(tmp_path, files)).causes == ()


EXTERNAL = f"{WINDOWS_CORE}.2.manifest"


def test_assembly_of_a_manifest_file_is_missing(tmp_path: Path) -> None:
    # No machine shows it: Wine does not read this file.
    files = {EXTERNAL: _manifest("Microsoft.VC90.CRT")}
    cause = only_cause(windows_wheel(tmp_path, files))
    assert (cause.name, cause.severity) == ("missing-runtime-library", "flawed")
    assert (cause.where, cause.facts["library"]) == (WINDOWS_CORE, "Microsoft.VC90.CRT")


@pytest.mark.parametrize(
    ("embedded", "files"),
    [
        (None, {EXTERNAL: _manifest("Microsoft.Windows.Common-Controls")}),
        (None, {EXTERNAL: '<assembly xmlns="urn:schemas-microsoft-com:asm.v1"><trustInfo/>'}),
        # A linker writes this file, and Windows does not read it: a library has the number 2.
        (None, {f"{WINDOWS_CORE}.manifest": _manifest("Microsoft.VC90.CRT")}),
        (
            _manifest("Microsoft.Windows.Common-Controls"),
            {EXTERNAL: _manifest("Microsoft.VC90.CRT")},
        ),
        (
            None,
            {
                EXTERNAL: _manifest("A.B"),
                "quiverdb/_libs/A.B/A.B.manifest": "<assembly/>",
            },
        ),
    ],
    ids=["of-windows", "trust", "of-a-linker", "embedded-first", "in-the-wheel"],
)
def test_manifest_file_that_requires_nothing_more_is_accepted(
    tmp_path: Path, embedded: str | None, files: dict[str, bytes | str]
) -> None:
    core = windows_core(manifest=embedded) if embedded else windows_core()
    assert inspect(windows_wheel(tmp_path, {WINDOWS_CORE: core, **files})).causes == ()


# ---- libraries of Python, and of the wheel ----


@pytest.mark.parametrize(
    "name", ["python312.dll", "python314.dll", "Python314t.dll", "python313_d.dll", "python27.dll"]
)
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
    ("tag", "is_missing"),
    [("cp314-cp314t", False), ("cp315-abi3.abi3t", False), ("cp314-cp314", True)],
)
def test_free_threaded_python_brings_its_stable_library(
    tmp_path: Path, tag: str, is_missing: bool
) -> None:
    wheel = with_core(tmp_path, imports={"python3t.dll": ["f"]}, tag=f"{tag}-win_amd64")
    names = inspect(wheel, additional=True).cause_names()
    assert names == ({"missing-runtime-library"} if is_missing else set())


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
    files: dict[str, bytes | str] = {
        f"{folder}/MsVcP140.dll": windows_core(name="msvcp140.dll", exports=["f"]),
        importer: windows_core(
            imports={"MSVCP140.dll": ["f"]}, exports=["quiver_core_open", "tool"]
        ),
    }
    assert inspect(windows_wheel(tmp_path, files)).causes == ()


def test_bundled_library_outside_the_search_folders_is_missing(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {
        "quiverdb/bin/msvcp140.dll": windows_core(name="msvcp140.dll", exports=["f"]),
        WINDOWS_CORE: windows_core(imports={"MSVCP140.dll": ["f"]}),
    }
    cause = only_cause(windows_wheel(tmp_path, files))
    assert (cause.name, cause.where) == ("missing-runtime-library", WINDOWS_CORE)
    assert cause.facts["bundled"] == "quiverdb/bin/msvcp140.dll"


@pytest.mark.parametrize(
    ("loader", "names"),
    [
        ("import os\nos.add_dll_directory(folder / 'bin')\n", set()),
        ("import os\nos.add_dll_directory(folder / 'other')\n", {"missing-runtime-library"}),
        ("# the folder bin\n", {"missing-runtime-library"}),
    ],
)
def test_folder_that_the_package_adds_is_left_to_the_machines(
    tmp_path: Path, loader: str, names: set[str]
) -> None:
    files: dict[str, bytes | str] = {
        "quiverdb/bin/msvcp140.dll": windows_core(name="msvcp140.dll", exports=["f"]),
        "quiverdb/_loader.py": loader,
        WINDOWS_CORE: windows_core(imports={"MSVCP140.dll": ["f"]}),
    }
    assert inspect(windows_wheel(tmp_path, files)).cause_names() == names


def test_library_that_only_an_environment_puts_next_to_the_package_is_flawed(
    tmp_path: Path,
) -> None:
    path = "quiverdb-1.0.0.data/data/lib/site-packages/quiverdb/_libs/msvcp140.dll"
    files: dict[str, bytes | str] = {
        path: windows_core(name="msvcp140.dll", exports=["f"]),
        WINDOWS_CORE: windows_core(imports={"MSVCP140.dll": ["f"]}),
    }
    causes = inspect(windows_wheel(tmp_path, files)).causes
    (cause,) = (cause for cause in causes if cause.name == "missing-runtime-library")
    assert (cause.severity, cause.facts["bundled"]) == ("flawed", path)


@pytest.mark.parametrize(
    ("path", "outside"),
    [
        ("quiverdb/_libs/a.dll", False),
        ("QuiverDB/a.dll", False),
        ("quiverdb.libs/a.dll", True),
        ("a.dll", True),
        ("quiverdb-1.0.0.data/platlib/other/a.DLL", True),
        ("quiverdb-1.0.0.data/data/lib/site-packages/quiverdb/a.dll", True),
        ("other.pyd", False),
        ("quiverdb-1.0.0.data/platlib/quiverdb/a.dll", False),
    ],
)
def test_dll_outside_the_package_is_detected(tmp_path: Path, path: str, outside: bool) -> None:
    wheel = windows_wheel(tmp_path, {path: b"MZ"})
    assert has_libraries_outside([wheel], "quiverdb") is outside


def test_files_that_are_no_windows_wheel_have_no_dll_outside(tmp_path: Path) -> None:
    broken = tmp_path / "quiverdb-1.0.0-cp313-cp313-win_amd64.whl"
    broken.write_bytes(b"no archive")
    linux = linux_wheel(tmp_path, {"quiverdb.libs/a.dll": b"MZ"})
    assert not has_libraries_outside([broken, linux], "quiverdb")


def test_damaged_windows_wheel_has_no_dll_outside(tmp_path: Path) -> None:
    wheel = windows_wheel(tmp_path, {"a.dll": b"MZ"})
    # The central directory is damaged. The record that ends the archive is intact.
    wheel.write_bytes(wheel.read_bytes().replace(b"PK\1\2", b"PK\0\0"))
    assert zipfile.is_zipfile(wheel)
    assert not has_libraries_outside([wheel], "quiverdb")


def test_additional_copy_outside_the_search_folders_is_accepted(tmp_path: Path) -> None:
    runtime = windows_core(name="msvcp140.dll", exports=["f"])
    files: dict[str, bytes | str] = {
        "quiverdb/_libs/msvcp140.dll": runtime,
        "quiverdb/bin/msvcp140.dll": runtime,
        WINDOWS_CORE: windows_core(imports={"MSVCP140.dll": ["f"]}),
    }
    assert inspect(windows_wheel(tmp_path, files)).cause_names() == {"duplicate-library"}


def test_symbol_that_a_bundled_library_does_not_export_is_reported(tmp_path: Path) -> None:
    imports = {
        "LibQuiver.dll": ["quiver_core_open", "quiver_b", "quiver_a"],
        "KERNEL32.dll": ["Beep"],
    }
    cause = only_cause(windows_wheel(tmp_path, {WINDOWS_API: windows_api(imports=imports)}))
    assert (cause.name, cause.where) == ("symbol-not-found", WINDOWS_API)
    assert cause.facts == {"symbols": ("quiver_a of LibQuiver.dll", "quiver_b of LibQuiver.dll")}


def test_symbols_of_a_library_for_another_processor_are_not_checked(tmp_path: Path) -> None:
    core = windows_core(machine="aarch64", exports=[])
    inspection = inspect(windows_wheel(tmp_path, {WINDOWS_CORE: core}))
    assert inspection.cause_names() == {"wrong-architecture"}


def test_all_faults_of_all_libraries_are_reported(tmp_path: Path) -> None:
    imports = {"a.dll": ["f"], "b.dll": ["f"], "libquiver.dll": ["gone"]}
    files: dict[str, bytes | str] = {
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
