"""Faults planted in the Windows wheel. The inspection and the machine report each by name."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pefile
import pytest

from tests.faults import edits
from tests.faults.cell_runs import has_facts
from tests.faults.conftest import Judge, assert_missing_library
from tests.helpers import binaries
from tests.helpers import wheel_builder as wheels
from verification.scenarios.instructions import TIME_LIMITS
from verification.session.run_cell import PlantedFault

pytestmark = pytest.mark.recorded

CORE, API = "quiverdb/_libs/libquiver.dll", "quiverdb/_libs/libquiver_c.dll"
BAD_EXE_FORMAT = 193  # ERROR_BAD_EXE_FORMAT (winerror.h)
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
# Machine code for x86-64: ud2, the undefined instruction; a jump to itself.
CRASHES, NEVER_ENDS = b"\x0f\x0b", b"\xeb\xfe"


def _content(data: bytes) -> Callable[[bytes], bytes]:
    return lambda _: data


def _read(wheel: Path, name: str) -> bytes:
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(name)


def test_built_wheel_has_no_fault(windows_judge: Judge, good_windows_wheel: Path) -> None:
    judged = windows_judge(good_windows_wheel)

    assert judged.static_names == set()
    assert judged.names == set()
    steps = judged.evidence.steps
    assert steps.round_trip
    assert steps.round_trip.ok
    assert steps.mapped
    assert steps.mapped.value
    loaded = [path for path in steps.mapped.value if "\\_libs\\" in path]
    assert [path.rpartition("\\")[2] for path in loaded] == ["libquiver.dll", "libquiver_c.dll"]
    assert "SSL_CERT_FILE" in judged.evidence.deviation


@pytest.mark.parametrize("library", [CORE, API], ids=["core", "c-api"])
def test_missing_library_is_reported(
    windows_judge: Judge, good_windows_wheel: Path, tmp_path: Path, library: str
) -> None:
    judged = windows_judge(wheels.mutate(good_windows_wheel, tmp_path, remove=[library]))
    assert_missing_library(judged, library)


LOAD_PATHS = edits.wrong_load_paths(CORE)


@pytest.mark.parametrize("name", LOAD_PATHS)
def test_wrong_load_path_is_reported(
    windows_judge: Judge, good_windows_wheel: Path, tmp_path: Path, name: str
) -> None:
    change, path = LOAD_PATHS[name]
    judged = windows_judge(wheels.mutate(good_windows_wheel, tmp_path, **change))

    assert judged.static_names == (set() if "edit" in change else {"wrong-load-path"})
    assert judged.names == {"wrong-load-path"}
    facts = judged.dynamic[0].facts
    assert str(facts["path"]).replace("\\", "/").endswith(f"/{path}")
    assert str(facts["sought"]).endswith("libquiver.dll")
    assert facts["sought"] != facts["path"]


def test_missing_search_folder_is_reported(
    windows_judge: Judge, good_windows_wheel: Path, tmp_path: Path
) -> None:
    change = edits.replaced(
        b"add_dll_directory(str(_LIBS_DIR", b"add_dll_directory(str(_LIBS_DIR / 'x'"
    )
    judged = windows_judge(wheels.mutate(good_windows_wheel, tmp_path, edit={edits.LOADER: change}))

    assert judged.names == {"wrong-load-path"}
    assert str(judged.dynamic[0].facts["sought"]).endswith("\\_libs\\x")


@pytest.mark.parametrize("library", [CORE, API], ids=["core", "c-api"])
def test_truncated_library_is_reported(
    windows_judge: Judge, good_windows_wheel: Path, tmp_path: Path, library: str
) -> None:
    judged = windows_judge(
        wheels.mutate(good_windows_wheel, tmp_path, edit={library: edits.truncated})
    )

    assert judged.static_names == {"damaged-library"}
    assert judged.names == {"damaged-library"}


def test_library_with_appended_data_is_no_fault(
    windows_judge: Judge, good_windows_wheel: Path, tmp_path: Path
) -> None:
    judged = windows_judge(
        wheels.mutate(
            good_windows_wheel, tmp_path, edit={CORE: lambda data: data + b"another file" * 500}
        )
    )

    assert judged.static_names == set()
    assert judged.names == set()


def test_32_bit_library_is_reported(
    windows_judge: Judge, good_windows_wheel: Path, tmp_path: Path
) -> None:
    small = binaries.pe(machine="i686", name="libquiver.dll", exports=["quiver_version"])
    wheel = wheels.mutate(good_windows_wheel, tmp_path, edit={CORE: _content(small)})
    judged = windows_judge(wheel)

    assert "wrong-architecture" in judged.static_names
    assert judged.names == {"wrong-architecture"}
    assert has_facts(judged.dynamic[0], library="libquiver.dll", error=BAD_EXE_FORMAT)


def test_missing_symbol_is_reported(
    windows_judge: Judge, good_windows_wheel: Path, tmp_path: Path
) -> None:
    api = pefile.PE(data=_read(good_windows_wheel, API))
    (entry,) = [e for e in api.DIRECTORY_ENTRY_IMPORT if e.dll.lower() == b"libquiver.dll"]
    symbol = min(imported.name for imported in entry.imports)
    core = _read(good_windows_wheel, CORE)
    assert core.count(b"\0" + symbol + b"\0") == 1
    changed = core.replace(b"\0" + symbol + b"\0", b"\0" + symbol[:-1] + b"~\0")
    wheel = wheels.mutate(good_windows_wheel, tmp_path, edit={CORE: _content(changed)})
    judged = windows_judge(wheel)

    assert judged.static_names == {"symbol-not-found"}
    assert judged.names == {"symbol-not-found"}
    facts = {"library": "libquiver.dll", "symbol": symbol.decode(), "needed_by": "libquiver_c.dll"}
    assert has_facts(judged.dynamic[0], **facts)


def test_unbundled_library_is_reported(
    windows_judge: Judge, good_windows_wheel: Path, tmp_path: Path
) -> None:
    core = _read(good_windows_wheel, CORE)
    imported = max((e.dll for e in pefile.PE(data=core).DIRECTORY_ENTRY_IMPORT), key=len)
    third = b"third-party".ljust(len(imported) - 4, b"x") + b".dll"
    changed = core.replace(imported, third)
    wheel = wheels.mutate(good_windows_wheel, tmp_path, edit={CORE: _content(changed)})
    judged = windows_judge(wheel)

    assert judged.static_names == {"missing-runtime-library"}
    assert judged.names == {"missing-runtime-library"}
    assert has_facts(judged.dynamic[0], library=third.decode(), needed_by="libquiver.dll")


def _decoys(wheel: Path) -> PlantedFault:
    files = {f"{DRIVE_C}/decoy/{Path(name).name}": _read(wheel, name) for name in (CORE, API)}
    return PlantedFault(environment={"PATH": f"C:\\decoy;{PATH}"}, files=files)


def test_decoys_on_path_do_not_affect_a_complete_wheel(
    windows_judge: Judge, good_windows_wheel: Path
) -> None:
    judged = windows_judge(good_windows_wheel, _decoys(good_windows_wheel))

    assert judged.names == set()
    mapped = judged.evidence.steps.mapped
    assert mapped
    assert mapped.value
    assert not [path for path in mapped.value if "decoy" in path]


def test_decoys_on_path_for_missing_libraries_are_reported(
    windows_judge: Judge, good_windows_wheel: Path, tmp_path: Path
) -> None:
    wheel = wheels.mutate(good_windows_wheel, tmp_path, remove=[CORE, API])
    judged = windows_judge(wheel, _decoys(good_windows_wheel))

    assert judged.static_names == {"missing-bundled-library"}
    assert judged.names == {"wrong-library-loaded"}
    paths = {cause.facts["library"]: cause.facts["paths"] for cause in judged.dynamic}
    assert paths["libquiver.dll"] == ("C:\\decoy\\libquiver.dll",)


def test_wheel_tagged_win32_is_refused(
    windows_judge: Judge, good_windows_wheel: Path, tmp_path: Path
) -> None:
    name, version, _ = good_windows_wheel.name.split("-", 2)
    wheel = wheels.mutate(
        good_windows_wheel,
        tmp_path,
        edit={f"{name}-{version}.dist-info/WHEEL": lambda d: d.replace(b"win_amd64", b"win32")},
        rename=good_windows_wheel.name.replace("win_amd64", "win32"),
    )
    judged = windows_judge(wheel)

    assert judged.static_names == {"incomplete-release", "wrong-architecture"}
    assert judged.names == {"unsupported-platform"}
    assert judged.dynamic[0].facts["wheels"] == "win32"
    assert [p for p in judged.evidence.installed.added if "site-packages" in p] == []


@pytest.mark.parametrize(
    ("code", "cause", "seconds"),
    [(CRASHES, "crash", TIME_LIMITS["exercise"]), (NEVER_ENDS, "hang", 5)],
    ids=["crash", "hang"],
)
def test_failure_while_a_library_loads_is_reported(
    windows_judge: Judge,
    good_windows_wheel: Path,
    tmp_path: Path,
    code: bytes,
    cause: str,
    seconds: int,
) -> None:
    failing = binaries.pe(name="libquiver.dll", exports=["quiver_version"], entry=code)
    wheel = wheels.mutate(good_windows_wheel, tmp_path, edit={CORE: _content(failing)})
    judged = windows_judge(wheel, exercise=seconds)

    assert judged.names == {cause}
    assert judged.evidence.import_run
    assert judged.evidence.import_run.code == 0, (
        "the import passes, because the libraries are loaded later"
    )


def test_changed_registry_is_reported(
    windows_judge: Judge, good_windows_wheel: Path, tmp_path: Path
) -> None:
    change = (
        b"\nimport winreg\n"
        b"with winreg.OpenKey(winreg.HKEY_CURRENT_USER, 'Environment', 0, 0xF003F) as _key:\n"
        b"    winreg.SetValueEx(_key, 'Path', 0, 1, 'C:\\\\elsewhere')\n"
    )
    wheel = wheels.mutate(
        good_windows_wheel, tmp_path, edit={"quiverdb/__init__.py": lambda data: data + change}
    )
    judged = windows_judge(wheel)

    assert judged.names == {"registry-changed"}
    assert has_facts(judged.dynamic[0], count=1, key="HKCU\\Environment:Path")


def test_leftover_process_is_reported(
    windows_judge: Judge, good_windows_wheel: Path, tmp_path: Path
) -> None:
    start = (
        b"\nimport subprocess\n"
        b"subprocess.Popen(['ping', '-n', '30', '127.0.0.1'], stdin=subprocess.DEVNULL,\n"
        b"    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
    )
    wheel = wheels.mutate(
        good_windows_wheel, tmp_path, edit={"quiverdb/_loader.py": lambda data: data + start}
    )
    judged = windows_judge(wheel)

    assert judged.names == {"process-left"}
