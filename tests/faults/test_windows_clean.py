"""The Windows machines have the libraries and settings of a clean Windows, and no others.

Some libraries are on Wine but not on a clean Windows, and some are on neither. The tests plant a
library for each of them, which imports it. inspect_windows.py runs on each machine.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from containers import images
from containers import recipe as recipes
from containers.engine import Engine, Run
from containers.machine import Machine
from containers.network import NetworkHandle, closed_network
from containers.state import state_folder
from tests.helpers.binaries import pe
from verification.models.machine import DATA_FOLDER, LAYOUTS
from verification.probe import probe
from verification.scenarios import machines

CLEAN = "windows-wine"
REDISTRIBUTABLES = {"windows-wine-vcredist": (14, 51), "windows-wine-vcredist-old": (14, 34)}
"""The version of Microsoft's redistributable, by machine."""
NOT_FOUND = 126  # ERROR_MOD_NOT_FOUND (winerror.h)
HIDDEN = "/usr/local/share/hidden-libraries"
WINE = LAYOUTS["wine"]
PLANTED = f"{WINE.folder}/planted"
PYTHON = r"C:\users\user\AppData\Local\Programs\Python\Python313"
SYSTEM = r"C:\windows\system32"
PYTHON_RUNTIME = {"vcruntime140.dll", "vcruntime140_1.dll"}
"""CPython's installer puts these into the folder of python.exe."""
# A real Windows has mfc42, winsqlite3, mscoree and mshtml (docs/explanation/stand-ins.md).
NEVER_IN_WINE = (
    "mfc42.dll", "mfc140.dll", "mfc140u.dll", "vccorlib140.dll", "vcamp140.dll", "msvcp140d.dll",
    "winsqlite3.dll", "mscoree.dll", "mshtml.dll",
    "ucrtbased.dll", "vcruntime140_threads.dll", "libgcc_s_seh-1.dll", "libstdc++-6.dll",
    "libwinpthread-1.dll", "libiomp5md.dll", "sqlite3.dll.dll", "python312.dll",
)  # fmt: skip
ON_EVERY_WINDOWS = {
    "kernel32.dll": "CreateFileW",
    "ucrtbase.dll": "malloc",
    "api-ms-win-crt-heap-l1-1-0.dll": "malloc",
    "api-ms-win-crt-runtime-l1-1-0.dll": "_initterm",
    "api-ms-win-core-synch-l1-2-0.dll": "WaitOnAddress",
    "msvcrt.dll": "malloc",
    "ws2_32.dll": "socket",
    "advapi32.dll": "RegOpenKeyExW",
    "bcrypt.dll": "BCryptGenRandom",
    "crypt32.dll": "CertOpenStore",
    "ole32.dll": "CoInitializeEx",
    "shell32.dll": "SHGetKnownFolderPath",
    "user32.dll": "MessageBoxW",
    "shcore.dll": "GetDpiForMonitor",
    "d3dcompiler_47.dll": "D3DCompile",
    "xinput1_4.dll": "XInputGetState",
    "python313.dll": "Py_Initialize",
    "vcruntime140.dll": "memcpy",
    "vcruntime140_1.dll": "__CxxFrameHandler4",
}
_MISSING_LIBRARY = re.compile(
    r'import_dll Library (\S+) \(which is needed by L"[^"]*needs-([^"\\]+)"\) not'
)


@dataclasses.dataclass(frozen=True)
class InspectedMachine:
    """The observations on one machine, and the messages of Wine's loader."""

    name: str
    hidden: frozenset[str]
    observed: dict[str, Any]
    not_found: dict[str, str]
    """The library that the loader did not find, by the library that a planted library imports."""

    @property
    def expected(self) -> set[str]:
        """The imported libraries that must load."""
        redistributable = set(_programs(self.name)) if self.name in REDISTRIBUTABLES else set()
        return set(ON_EVERY_WINDOWS) | PYTHON_RUNTIME | redistributable

    @property
    def absent(self) -> set[str]:
        """The imported libraries that must not load."""
        return {*self.hidden, *NEVER_IN_WINE} - self.expected

    def excess(self) -> set[str]:
        """Return the `absent` libraries that load, or that the message of the loader does not name.

        A library can load by import or by name.
        """
        return {
            name
            for name in self.absent
            if self.observed["by_import"][name] != NOT_FOUND
            or self.observed["by_name"][name] != NOT_FOUND
            or self.not_found.get(name) != name
        }


def _programs(recipe: str) -> list[str]:
    return (recipes.RECIPES / recipe / "programs.txt").read_text("utf-8").split()


@pytest.fixture(scope="module")
def network(container_engine: Engine, run: Run) -> Iterator[NetworkHandle]:
    """Return a closed network without other containers."""
    with closed_network(container_engine, run) as closed:
        yield closed.handle()


def _machine(name: str, network: NetworkHandle) -> Machine:
    other = next(iter(machines.load().values()))
    spec = other.model_copy(update={"name": name, "title": name, "os": "windows", "image": name})
    return Machine(spec, images.ensure(network.engine, name), network)


def _importers(hidden: list[str]) -> dict[str, bytes]:
    """Return the planted libraries, by file name. Each imports one library by its name.

    ``hidden`` are the libraries of Wine that a clean Windows does not have.
    """
    imports = {library: ["anything"] for library in (*hidden, *NEVER_IN_WINE)}
    imports |= {library: [symbol] for library, symbol in ON_EVERY_WINDOWS.items()}
    return {
        f"needs-{library}": pe(name=f"needs-{library}", imports={library: symbols})
        for library, symbols in imports.items()
    }


def _inspect(machine: Machine) -> InspectedMachine:
    hidden = (machine.get(HIDDEN) or b"").decode().split()
    machine.put(_importers(hidden), PLANTED)
    machine.put({"inspect_windows.py": Path(__file__).with_name("inspect_windows.py").read_bytes()})
    result = machine.run(
        [
            "wine",
            "python",
            WINE.path("inspect_windows.py"),
            WINE.path("planted"),
            WINE.path(rf"{DATA_FOLDER}\observed.json"),
        ],
        seconds=120,
    )
    observed = machine.get(f"{WINE.data}/observed.json")
    assert observed is not None, f"exit code {result.code}: {result.output[-600:]}"
    messages = _MISSING_LIBRARY.findall(result.output)
    not_found = {imported: library for library, imported in messages}
    name = machine.spec.name
    return InspectedMachine(name, frozenset(hidden), json.loads(observed), not_found)


@pytest.fixture(scope="module", params=[CLEAN, *REDISTRIBUTABLES])
def inspected(request: pytest.FixtureRequest, network: NetworkHandle) -> InspectedMachine:
    """Run inspect_windows.py once on a machine. Return the observations."""
    with _machine(request.param, network) as machine:
        return _inspect(machine)


# ---- the snapshots of the probe ----


def test_incremental_registry_snapshot_equals_a_complete_one(network: NetworkHandle) -> None:
    with _machine(CLEAN, network) as machine:
        script = Path(__file__).with_name("compare_registry_snapshots.py")
        machine.put({path.name: path.read_bytes() for path in (script, Path(probe.__file__))})
        result = machine.run(["wine", "python", WINE.path(script.name)], seconds=120)
    assert result.code == 0, result.output[-600:]
    differences = json.loads(result.stdout)
    assert len(differences) == 6
    for change, difference in differences.items():
        assert difference["incremental"] == difference["complete"], change
        assert any(difference["complete"].values()) == (change != "nothing")


# ---- libraries that a clean Windows does not have ----


def test_hidden_libraries_include_every_kind(inspected: InspectedMachine) -> None:
    assert len(inspected.hidden) > 150
    for kind in (
        "msvcp140.dll", "msvcp140_1.dll", "msvcp120.dll", "concrt140.dll", "vcomp140.dll",
        "vcruntime140.dll", "msvcr70.dll", "msvcr120.dll", "atl100.dll", "d3dx9_43.dll",
    ):  # fmt: skip
        assert kind in inspected.hidden


def test_library_that_a_clean_windows_lacks_does_not_load(inspected: InspectedMachine) -> None:
    assert len(inspected.absent) > 180
    assert inspected.excess() == set()


def test_additional_library_on_a_machine_is_detected(network: NetworkHandle) -> None:
    additional = {"msvcp120.dll": pe(name="msvcp120.dll", exports=["anything"])}
    with _machine(CLEAN, network) as machine:
        machine.put(additional, "/home/user/.wine/drive_c/windows/system32")
        inspected = _inspect(machine)

    assert inspected.excess() == {"msvcp120.dll"}


# ---- libraries and settings that a clean Windows has ----


def test_library_of_every_windows_loads(inspected: InspectedMachine) -> None:
    codes = {name: inspected.observed["by_import"][name] for name in inspected.expected}

    assert {name: code for name, code in codes.items() if code} == {}
    assert set(inspected.not_found) & inspected.expected == set()


def test_runtime_library_is_only_in_the_folder_of_python(inspected: InspectedMachine) -> None:
    for name in PYTHON_RUNTIME:
        library = inspected.observed["loaded"][name]
        assert library["path"].lower() == rf"{PYTHON}\{name}".lower()
        assert library["builtin"] is False
    # The script recognizes the libraries of Wine.
    assert inspected.observed["loaded"]["kernel32.dll"]["builtin"] is True


def test_redistributable_in_system32_is_the_one_of_microsoft(inspected: InspectedMachine) -> None:
    loaded = inspected.observed["loaded"]
    redistributable = inspected.expected - set(ON_EVERY_WINDOWS)
    if inspected.name == CLEAN:
        assert redistributable == set()
        return
    (wheel,) = _runtime_wheel(inspected.name)
    with zipfile.ZipFile(wheel) as archive:
        members = {
            Path(name).name: hashlib.sha256(archive.read(name)).hexdigest()
            for name in archive.namelist()
            if "/Scripts/" in name
        }
    assert {"msvcp140.dll", "vcomp140.dll", "concrt140.dll"} < redistributable
    for name in redistributable:
        assert loaded[name]["path"].lower() == rf"{SYSTEM}\{name}".lower()
        assert loaded[name]["sha256"] == members[name], f"{name} is not the signed file"
        assert loaded[name]["builtin"] is False
        major, minor, *_ = (int(part) for part in loaded[name]["version"].split("."))
        assert (major, minor) == REDISTRIBUTABLES[inspected.name], f"{name}: {loaded[name]}"


def _runtime_wheel(name: str) -> list[Path]:
    recipe = recipes.load(name)
    folder = images.download_wheels(
        recipe.folder / "requirements.txt",
        state_folder() / "downloads" / name,
        python=recipe.python,
        platforms=recipe.platforms,
    )
    return list(folder.glob("msvc_runtime-*.whl"))


def test_only_the_old_redistributable_is_older_than_14_40() -> None:
    """Version 14.40 changed the constructor of std::mutex."""
    assert REDISTRIBUTABLES["windows-wine-vcredist-old"] < (14, 40)
    assert REDISTRIBUTABLES["windows-wine-vcredist"] >= (14, 40)


def test_machine_has_no_mono_gecko_display_or_32_bit_libraries(inspected: InspectedMachine) -> None:
    assert inspected.observed["mono and gecko"] == []
    assert inspected.observed["display"] == {"DISPLAY": None, "WAYLAND_DISPLAY": None}
    assert inspected.observed["graphics"] == "null"
    assert inspected.observed["32-bit libraries"] == []


def test_commands_are_in_the_folders_of_their_installers(inspected: InspectedMachine) -> None:
    programs = inspected.observed["programs"]

    assert {name: str(path).lower() for name, path in programs.items()} == {
        "python": rf"{PYTHON}\python.exe".lower(),
        "pip": rf"{PYTHON}\Scripts\pip.exe".lower(),
        "uv": r"c:\users\user\.local\bin\uv.exe",
    }


def test_path_is_the_one_of_a_new_windows_with_python_and_uv(inspected: InspectedMachine) -> None:
    user = [r"C:\users\user\.local\bin", PYTHON + "\\Scripts\\", PYTHON + "\\"]
    folders = ["", r"\wbem", r"\windowspowershell\v1.0"]
    system = ["%systemroot%" + r"\system32" + folder for folder in folders]
    system.insert(1, "%systemroot%")
    expanded = [part.replace("%systemroot%", r"c:\windows") for part in system]

    assert inspected.observed["user path"].rstrip(";").split(";") == user
    assert inspected.observed["system path"].lower().split(";") == system
    assert [part.lower() for part in inspected.observed["path"].split(";") if part] == [
        *expanded,
        *(part.lower() for part in user),
    ]


# ---- the statements of docs/explanation/stand-ins.md about Wine ----


def test_files_behave_as_on_windows(inspected: InspectedMachine) -> None:
    behaviour = inspected.observed["behaviour"]

    assert behaviour["delete an open file"] == -32  # ERROR_SHARING_VIOLATION
    assert behaviour["rename an open file"] == -32
    assert behaviour["replace an open file"] == -5  # ERROR_ACCESS_DENIED
    assert behaviour["delete a read-only file"] == -5
    assert behaviour["delete a loaded library"] == -5
    assert behaviour["rename a loaded library"] is None
    assert behaviour["another case"] is True
    assert behaviour["a name in Latin-1"] is True
    assert behaviour["a name in Japanese"] is True
    assert behaviour["Latin-1 by code page"] is True
    assert behaviour["Japanese by code page"] == -123  # ERROR_INVALID_NAME
    assert behaviour["a name with a question mark"] not in (None, True)
    assert behaviour["a hard link"] is None
    assert (behaviour["ANSI code page"], behaviour["OEM code page"]) == (1252, 437)
    assert inspected.observed["build"] == [10, 0, 19043]


def test_wine_allows_more_than_windows(inspected: InspectedMachine) -> None:
    behaviour = inspected.observed["behaviour"]

    assert behaviour["a path of 300"] is True
    assert behaviour["write to System32"] is None
    assert behaviour["a symbolic link"] is None
    assert inspected.observed["administrator"] is True
    assert inspected.observed["drives"] == ["C", "Z"]
    assert {"etc", "home", "usr"} < set(inspected.observed["root of drive Z"])


def test_wine_allows_less_than_windows(inspected: InspectedMachine) -> None:
    by_name = inspected.observed["by_name"]

    for name in ("mfc42.dll", "winsqlite3.dll", "mscoree.dll", "mshtml.dll"):
        assert by_name[name] == NOT_FOUND
    # The CA of the run and those of Wine.
    assert 0 < inspected.observed["root certificates"] < 20


def test_library_with_an_unknown_symbol_loads_on_wine(
    network: NetworkHandle,
) -> None:
    library = pe(imports={"kernel32.dll": ["NoWindowsHasThisFunction"]})
    stub = b"import ctypes\nctypes.CDLL('ucrtbase').crealf()\nprint('survived')\n"
    with _machine(CLEAN, network) as machine:
        machine.put({"wrong.dll": library, "stub.py": stub})
        loading = machine.run(
            [
                "wine",
                "python",
                "-c",
                f"import ctypes; print(ctypes.CDLL({WINE.path('wrong.dll')!r}))",
            ]
        )
        calling = machine.run(["wine", "python", WINE.path("stub.py")])

    # If this fails, Wine refuses such a library as Windows does. Correct the document then.
    assert loading.code == 0
    assert "<CDLL " in loading.output
    assert calling.code != 0
    assert "unimplemented function ucrtbase.dll.crealf" in calling.output
    assert "survived" not in calling.output
