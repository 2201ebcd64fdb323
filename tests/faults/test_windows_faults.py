"""Faults planted in the Windows wheel: both layers must call each by its name."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pefile
import pytest

from tests.faults import edits
from tests.faults.conftest import Judge
from tests.helpers import binaries
from tests.helpers import wheel_builder as wheels
from verification.session.run_cell import PlantedFault

pytestmark = pytest.mark.recorded

CORE, API = "quiverdb/_libs/libquiver.dll", "quiverdb/_libs/libquiver_c.dll"
DRIVE_C = "/home/user/.wine/drive_c"
PATH = ";".join(
    (
        "C:\\windows\\system32",
        "C:\\windows",
        "C:\\users\\user\\.local\\bin",
        "C:\\users\\user\\AppData\\Local\\Programs\\Python\\Python313\\Scripts",
        "C:\\users\\user\\AppData\\Local\\Programs\\Python\\Python313",
    )
)
# Machine code for x86-64: ud2, an instruction that no processor has; a jump to itself.
DIES, NEVER_ENDS = b"\x0f\x0b", b"\xeb\xfe"


def _replaced(data: bytes) -> Callable[[bytes], bytes]:
    return lambda _: data


def _read(wheel: Path, name: str) -> bytes:
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(name)


def test_the_wheel_as_built_has_no_fault(windows_judge: Judge, good_windows_wheel: Path) -> None:
    seen = windows_judge(good_windows_wheel)

    assert seen.static_names == set()
    assert seen.names == set()
    steps = seen.evidence.steps
    assert steps.round_trip
    assert steps.round_trip.ok
    assert steps.mapped
    assert steps.mapped.value
    loaded = [path for path in steps.mapped.value if "\\_libs\\" in path]
    assert [path.rpartition("\\")[2] for path in loaded] == ["libquiver.dll", "libquiver_c.dll"]
    assert "SSL_CERT_FILE" in seen.evidence.deviation


@pytest.mark.parametrize("library", [CORE, API])
def test_a_library_missing_from_libs(
    windows_judge: Judge, good_windows_wheel: Path, tmp_path: Path, library: str
) -> None:
    seen = windows_judge(wheels.mutate(good_windows_wheel, tmp_path, remove=[library]))

    assert seen.static_names == {"missing-bundled-library"}
    assert seen.names == {"missing-bundled-library"}
    assert Path(library).name in seen.dynamic[0].message
    assert seen.evidence.import_run
    assert seen.evidence.import_run.code == 0, "import alone passes: the loader is lazy"


LOAD_PATHS = edits.wrong_load_paths(CORE)


@pytest.mark.parametrize("name", LOAD_PATHS)
def test_a_library_that_the_package_looks_for_where_it_is_not(
    windows_judge: Judge, good_windows_wheel: Path, tmp_path: Path, name: str
) -> None:
    change, path = LOAD_PATHS[name]
    seen = windows_judge(wheels.mutate(good_windows_wheel, tmp_path, **change))

    assert seen.static_names == (set() if "edit" in change else {"wrong-load-path"})
    assert seen.names == {"wrong-load-path"}
    facts = seen.dynamic[0].facts
    assert str(facts["path"]).replace("\\", "/").endswith(f"/{path}")
    assert str(facts["sought"]).endswith("libquiver.dll")
    assert facts["sought"] != facts["path"]


def test_a_folder_for_the_search_that_the_wheel_does_not_have(
    windows_judge: Judge, good_windows_wheel: Path, tmp_path: Path
) -> None:
    change = edits.replaced(
        b"add_dll_directory(str(_LIBS_DIR", b"add_dll_directory(str(_LIBS_DIR / 'x'"
    )
    seen = windows_judge(wheels.mutate(good_windows_wheel, tmp_path, edit={edits.LOADER: change}))

    assert seen.names == {"wrong-load-path"}
    assert str(seen.dynamic[0].facts["sought"]).endswith("\\_libs\\x")


@pytest.mark.parametrize("library", [CORE, API])
def test_a_library_that_is_cut_off(
    windows_judge: Judge, good_windows_wheel: Path, tmp_path: Path, library: str
) -> None:
    seen = windows_judge(wheels.mutate(good_windows_wheel, tmp_path, edit={library: edits.cut_off}))

    assert seen.static_names == {"damaged-library"}
    assert seen.names == {"damaged-library"}


def test_a_library_with_data_after_its_end_has_no_fault(
    windows_judge: Judge, good_windows_wheel: Path, tmp_path: Path
) -> None:
    seen = windows_judge(
        wheels.mutate(
            good_windows_wheel, tmp_path, edit={CORE: lambda data: data + b"another file" * 500}
        )
    )

    assert seen.static_names == set()
    assert seen.names == set()


def test_a_32_bit_library(windows_judge: Judge, good_windows_wheel: Path, tmp_path: Path) -> None:
    small = binaries.pe(machine="i686", name="libquiver.dll", exports=["quiver_version"])
    wheel = wheels.mutate(good_windows_wheel, tmp_path, edit={CORE: _replaced(small)})
    seen = windows_judge(wheel)

    assert "wrong-architecture" in seen.static_names
    assert seen.names == {"wrong-architecture"}
    assert "libquiver.dll" in seen.dynamic[0].message
    assert "0xc1" in seen.dynamic[0].message


def test_a_symbol_that_the_other_library_lacks(
    windows_judge: Judge, good_windows_wheel: Path, tmp_path: Path
) -> None:
    api = pefile.PE(data=_read(good_windows_wheel, API))
    (entry,) = [e for e in api.DIRECTORY_ENTRY_IMPORT if e.dll.lower() == b"libquiver.dll"]
    symbol = min(wanted.name for wanted in entry.imports)
    core = _read(good_windows_wheel, CORE)
    assert core.count(b"\0" + symbol + b"\0") == 1
    changed = core.replace(b"\0" + symbol + b"\0", b"\0" + symbol[:-1] + b"~\0")
    wheel = wheels.mutate(good_windows_wheel, tmp_path, edit={CORE: _replaced(changed)})
    seen = windows_judge(wheel)

    assert seen.static_names == {"symbol-not-found"}
    assert seen.names == {"symbol-not-found"}
    assert symbol.decode() in seen.dynamic[0].message
    assert "libquiver_c.dll" in seen.dynamic[0].message


def test_a_third_library_that_nobody_bundled(
    windows_judge: Judge, good_windows_wheel: Path, tmp_path: Path
) -> None:
    core = _read(good_windows_wheel, CORE)
    imported = max((e.dll for e in pefile.PE(data=core).DIRECTORY_ENTRY_IMPORT), key=len)
    third = b"third-party".ljust(len(imported) - 4, b"x") + b".dll"
    changed = core.replace(imported, third)
    wheel = wheels.mutate(good_windows_wheel, tmp_path, edit={CORE: _replaced(changed)})
    seen = windows_judge(wheel)

    assert seen.static_names == {"missing-runtime-library"}
    assert seen.names == {"missing-runtime-library"}
    assert f"libquiver.dll imports {third.decode()}" in seen.dynamic[0].message


def _decoys(wheel: Path) -> PlantedFault:
    files = {f"{DRIVE_C}/decoy/{Path(name).name}": _read(wheel, name) for name in (CORE, API)}
    return PlantedFault(environment={"PATH": f"C:\\decoy;{PATH}"}, files=files)


def test_decoys_earlier_on_path_do_no_harm_to_a_whole_wheel(
    windows_judge: Judge, good_windows_wheel: Path
) -> None:
    seen = windows_judge(good_windows_wheel, _decoys(good_windows_wheel))

    assert seen.names == set()
    mapped = seen.evidence.steps.mapped
    assert mapped
    assert mapped.value
    assert not [path for path in mapped.value if "decoy" in path]


def test_decoys_on_path_that_stand_in_for_missing_libraries(
    windows_judge: Judge, good_windows_wheel: Path, tmp_path: Path
) -> None:
    wheel = wheels.mutate(good_windows_wheel, tmp_path, remove=[CORE, API])
    seen = windows_judge(wheel, _decoys(good_windows_wheel))

    assert seen.static_names == {"missing-bundled-library"}
    assert seen.names == {"wrong-library-loaded"}
    assert "C:\\decoy\\libquiver.dll" in " ".join(cause.message for cause in seen.dynamic)


def test_a_wheel_tagged_win32(
    windows_judge: Judge, good_windows_wheel: Path, tmp_path: Path
) -> None:
    name, version, _ = good_windows_wheel.name.split("-", 2)
    wheel = wheels.mutate(
        good_windows_wheel,
        tmp_path,
        edit={f"{name}-{version}.dist-info/WHEEL": lambda d: d.replace(b"win_amd64", b"win32")},
        rename=good_windows_wheel.name.replace("win_amd64", "win32"),
    )
    seen = windows_judge(wheel)

    assert seen.static_names == {"incomplete-release", "wrong-architecture"}
    assert seen.names == {"unsupported-platform"}
    assert "win32" in seen.dynamic[0].message
    assert [p for p in seen.evidence.installed.added if "site-packages" in p] == []


@pytest.mark.parametrize(
    ("code", "cause"), [(DIES, "crash"), (NEVER_ENDS, "hang")], ids=["crash", "hang"]
)
def test_a_library_that_does_not_survive_its_loading(
    windows_judge: Judge, good_windows_wheel: Path, tmp_path: Path, code: bytes, cause: str
) -> None:
    deadly = binaries.pe(name="libquiver.dll", exports=["quiver_version"], entry=code)
    wheel = wheels.mutate(good_windows_wheel, tmp_path, edit={CORE: _replaced(deadly)})
    seen = windows_judge(wheel, exercise=5)

    assert seen.names == {cause}
    assert seen.evidence.import_run
    assert seen.evidence.import_run.code == 0, "import alone passes: the loader is lazy"


def test_a_package_that_writes_to_the_registry(
    windows_judge: Judge, good_windows_wheel: Path, tmp_path: Path
) -> None:
    spoiled = (
        b"\nimport winreg\n"
        b"with winreg.OpenKey(winreg.HKEY_CURRENT_USER, 'Environment', 0, 0xF003F) as _key:\n"
        b"    winreg.SetValueEx(_key, 'Path', 0, 1, 'C:\\\\elsewhere')\n"
    )
    wheel = wheels.mutate(
        good_windows_wheel, tmp_path, edit={"quiverdb/__init__.py": lambda data: data + spoiled}
    )
    seen = windows_judge(wheel)

    assert seen.names == {"registry-changed"}
    assert "HKCU\\Environment:Path" in seen.dynamic[0].message


def test_a_process_that_goes_on_after_its_interpreter(
    windows_judge: Judge, good_windows_wheel: Path, tmp_path: Path
) -> None:
    started = (
        b"\nimport subprocess\n"
        b"subprocess.Popen(['ping', '-n', '30', '127.0.0.1'], stdin=subprocess.DEVNULL,\n"
        b"    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
    )
    wheel = wheels.mutate(
        good_windows_wheel, tmp_path, edit={"quiverdb/_loader.py": lambda data: data + started}
    )
    seen = windows_judge(wheel)

    assert seen.names == {"process-left"}
