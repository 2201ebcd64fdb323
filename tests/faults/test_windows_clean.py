"""The Windows machines lack what a clean Windows lacks, have what it has, and nothing beside.

For every library that Wine offers and a clean Windows does not have, and for some that Wine never
had, a library that asks for it is planted; each machine is looked at once, from within.
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
from verification.models.machine import LAYOUTS
from verification.probe import probe
from verification.scenarios import machines

CLEAN = "windows-wine"
REDISTRIBUTABLES = {"windows-wine-vcredist": (14, 51), "windows-wine-vcredist-old": (14, 34)}
"""The machines with Microsoft's redistributable, and its version there."""
NOT_FOUND = 126  # ERROR_MOD_NOT_FOUND (winerror.h)
HIDDEN = "/usr/local/share/hidden-libraries"
PLANTED = f"{LAYOUTS['wine'].folder}/planted"
PYTHON = r"C:\users\user\AppData\Local\Programs\Python\Python313"
SYSTEM = r"C:\windows\system32"
PYTHONS_OWN = {"vcruntime140.dll", "vcruntime140_1.dll"}
"""CPython's installer puts these beside python.exe, so its process has them on every Windows."""
# A Windows has mfc42, winsqlite3, mscoree and mshtml of these (docs/explanation/stand-ins.md).
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
    "python313.dll": "Py_Initialize",
    "vcruntime140.dll": "memcpy",
    "vcruntime140_1.dll": "__CxxFrameHandler4",
}
_SAID = re.compile(r'import_dll Library (\S+) \(which is needed by L"[^"]*needs-([^"\\]+)"\) not')


@dataclasses.dataclass(frozen=True)
class Looked:
    """What was seen on one machine, and what Wine's loader said meanwhile."""

    name: str
    hidden: frozenset[str]
    seen: dict[str, Any]
    said: dict[str, str]
    """By the library whose need was planted, the one that the loader named."""

    @property
    def expected(self) -> set[str]:
        """The names that must load here, of those that were planted."""
        brought = set(_programs(self.name)) if self.name in REDISTRIBUTABLES else set()
        return set(ON_EVERY_WINDOWS) | PYTHONS_OWN | brought

    @property
    def absent(self) -> set[str]:
        """The names that must not load here."""
        return {*self.hidden, *NEVER_IN_WINE} - self.expected

    def too_many(self) -> set[str]:
        """Return what is here and is not on such a Windows: by need, by name or unnamed."""
        return {
            name
            for name in self.absent
            if (self.seen["needing"][name], self.seen["by_name"][name]) != (NOT_FOUND, NOT_FOUND)
            or self.said.get(name) != name
        }


def _programs(recipe: str) -> list[str]:
    return (recipes.RECIPES / recipe / "programs.txt").read_text("utf-8").split()


@pytest.fixture(scope="module")
def network(found: Engine, run: Run) -> Iterator[NetworkHandle]:
    """Return a closed network that nobody else is on."""
    with closed_network(found, run) as closed:
        yield closed.handle()


def _machine(name: str, network: NetworkHandle) -> Machine:
    known = next(iter(machines.load().values()))
    spec = known.model_copy(update={"name": name, "title": name, "os": "windows", "image": name})
    return Machine(spec, images.ensure(network.engine, name), network)


def _needs(hidden: list[str]) -> dict[str, bytes]:
    """Return a library for each name, which asks for it; only its import table matters."""
    needs = {library: ["anything"] for library in (*hidden, *NEVER_IN_WINE)}
    needs |= {library: [symbol] for library, symbol in ON_EVERY_WINDOWS.items()}
    return {
        f"needs-{library}": pe(name=f"needs-{library}", imports={library: symbols})
        for library, symbols in needs.items()
    }


def _look(here: Machine) -> Looked:
    hidden = (here.get(HIDDEN) or b"").decode().split()
    here.put(_needs(hidden), PLANTED)
    here.put({"look.py": Path(__file__).with_name("windows_look.py").read_bytes()})
    ran = here.run(
        ["wine", "python", r"Z:\e2e\look.py", r"Z:\e2e\planted", r"Z:\e2e\seen.json"],
        seconds=120,
    )
    seen = here.get(f"{LAYOUTS['wine'].folder}/seen.json")
    assert seen is not None, f"ended with {ran.code}: {ran.output[-600:]}"
    said = {needed: library for library, needed in _SAID.findall(ran.output)}
    return Looked(here.spec.name, frozenset(hidden), json.loads(seen), said)


@pytest.fixture(scope="module", params=[CLEAN, *REDISTRIBUTABLES])
def looked(request: pytest.FixtureRequest, network: NetworkHandle) -> Looked:
    """Plant every need on a machine and look at it, in one run of its Python."""
    with _machine(request.param, network) as here:
        return _look(here)


# ---- how the probe looks ----


def test_a_second_look_at_the_registry_sees_what_a_first_would(network: NetworkHandle) -> None:
    with _machine(CLEAN, network) as here:
        own = Path(__file__).with_name("registry_look.py")
        here.put({path.name: path.read_bytes() for path in (own, Path(probe.__file__))})
        ran = here.run(["wine", "python", rf"Z:\e2e\{own.name}"], seconds=120)
    assert ran.code == 0, ran.output[-600:]
    told = json.loads(ran.stdout)
    assert len(told) == 6
    for change, seen in told.items():
        assert seen["again"] == seen["fresh"], change
        assert any(seen["fresh"].values()) == (change != "nothing")


# ---- what is not there ----


def test_the_list_of_hidden_libraries_has_every_kind(looked: Looked) -> None:
    assert len(looked.hidden) > 150
    for kind in (
        "msvcp140.dll", "msvcp140_1.dll", "msvcp120.dll", "concrt140.dll", "vcomp140.dll",
        "vcruntime140.dll", "msvcr70.dll", "msvcr120.dll", "atl100.dll", "d3dx9_43.dll",
    ):  # fmt: skip
        assert kind in looked.hidden


def test_whatever_needs_what_a_clean_windows_lacks_does_not_load(looked: Looked) -> None:
    assert len(looked.absent) > 180
    assert looked.too_many() == set()


def test_a_machine_with_one_library_too_many_is_noticed(network: NetworkHandle) -> None:
    dirty = {"msvcp120.dll": pe(name="msvcp120.dll", exports=["anything"])}
    with _machine(CLEAN, network) as here:
        here.put(dirty, "/home/user/.wine/drive_c/windows/system32")
        looked = _look(here)

    assert looked.too_many() == {"msvcp120.dll"}


# ---- what is there ----


def test_what_every_windows_has_loads(looked: Looked) -> None:
    codes = {name: looked.seen["needing"][name] for name in looked.expected}

    assert {name: code for name, code in codes.items() if code} == {}
    assert set(looked.said) & looked.expected == set()


def test_python_brings_its_own_runtime_and_windows_has_none(looked: Looked) -> None:
    for name in PYTHONS_OWN:
        own = looked.seen["loaded"][name]
        assert own["path"].lower() == rf"{PYTHON}\{name}".lower()
        assert own["builtin"] is False
    assert looked.seen["loaded"]["kernel32.dll"]["builtin"] is True, "the look knows Wine's own"


def test_the_redistributable_is_microsofts_own_in_system32(looked: Looked) -> None:
    loaded = looked.seen["loaded"]
    brought = looked.expected - set(ON_EVERY_WINDOWS)
    if looked.name == CLEAN:
        assert brought == set(), "nothing is brought here"
        return
    (wheel,) = _runtime_wheel(looked.name)
    with zipfile.ZipFile(wheel) as archive:
        members = {
            Path(name).name: hashlib.sha256(archive.read(name)).hexdigest()
            for name in archive.namelist()
            if "/Scripts/" in name
        }
    assert {"msvcp140.dll", "vcomp140.dll", "concrt140.dll"} < brought
    for name in brought:
        assert loaded[name]["path"].lower() == rf"{SYSTEM}\{name}".lower()
        assert loaded[name]["sha256"] == members[name], f"{name} is not the signed one"
        assert loaded[name]["builtin"] is False
        major, minor, *_ = (int(part) for part in loaded[name]["version"].split("."))
        assert (major, minor) == REDISTRIBUTABLES[looked.name], f"{name}: {loaded[name]}"


def _runtime_wheel(name: str) -> list[Path]:
    made_by = recipes.load(name)
    folder = images.download_wheels(
        made_by.folder / "requirements.txt",
        state_folder() / "downloads" / name,
        python=made_by.python,
        platforms=made_by.platforms,
    )
    return list(folder.glob("msvc_runtime-*.whl"))


def test_the_old_redistributable_is_from_before_the_new_mutex() -> None:
    assert REDISTRIBUTABLES["windows-wine-vcredist-old"] < (14, 40)
    assert REDISTRIBUTABLES["windows-wine-vcredist"] >= (14, 40)


def test_there_is_no_mono_no_gecko_no_display_and_nothing_of_32_bits(looked: Looked) -> None:
    assert looked.seen["programs"] == []
    assert looked.seen["display"] == {"DISPLAY": None, "WAYLAND_DISPLAY": None}
    assert looked.seen["graphics"] == "null"
    assert looked.seen["32-bit"] == []


def test_the_commands_are_where_their_installers_put_them(looked: Looked) -> None:
    found = {name: str(path).lower() for name, path in looked.seen["where"].items()}

    assert found == {
        "python": rf"{PYTHON}\python.exe".lower(),
        "pip": rf"{PYTHON}\Scripts\pip.exe".lower(),
        "uv": r"c:\users\user\.local\bin\uv.exe",
    }


def test_path_is_that_of_a_fresh_windows_with_python_and_uv(looked: Looked) -> None:
    mine = [r"C:\users\user\.local\bin", PYTHON + "\\Scripts\\", PYTHON + "\\"]
    root = ["", r"\wbem", r"\windowspowershell\v1.0"]
    system = ["%systemroot%" + r"\system32" + folder for folder in root]
    system.insert(1, "%systemroot%")
    whole = [part.replace("%systemroot%", r"c:\windows") for part in system]

    assert looked.seen["user path"].rstrip(";").split(";") == mine
    assert looked.seen["system path"].lower().split(";") == system
    assert [part.lower() for part in looked.seen["path"].split(";") if part] == [
        *whole,
        *(part.lower() for part in mine),
    ]


# ---- how it behaves: what docs/explanation/stand-ins.md says about Wine ----


def test_files_behave_as_on_windows(looked: Looked) -> None:
    seen = looked.seen["behaviour"]

    assert seen["delete an open file"] == -32  # ERROR_SHARING_VIOLATION
    assert seen["rename an open file"] == -32
    assert seen["replace an open file"] == -5  # ERROR_ACCESS_DENIED
    assert seen["delete a read-only file"] == -5
    assert seen["delete a loaded library"] == -5
    assert seen["rename a loaded library"] is None
    assert seen["another case"] is True
    assert seen["a name in Latin-1"] is True
    assert seen["a name in Japanese"] is True
    assert seen["Latin-1 by code page"] is True
    assert seen["Japanese by code page"] == -123  # ERROR_INVALID_NAME
    assert seen["a name with a question mark"] not in (None, True)
    assert seen["a hard link"] is None
    assert (seen["ANSI code page"], seen["OEM code page"]) == (1252, 437)
    assert looked.seen["build"] == [10, 0, 19043]


def test_where_wine_is_more_lenient_than_windows(looked: Looked) -> None:
    seen = looked.seen["behaviour"]

    assert seen["a path of 300"] is True
    assert seen["write to System32"] is None
    assert seen["a symbolic link"] is None
    assert looked.seen["administrator"] is True
    assert looked.seen["drives"] == ["C", "Z"]
    assert {"etc", "home", "usr"} < set(looked.seen["linux"])


def test_where_wine_is_stricter_than_windows(looked: Looked) -> None:
    by_name = looked.seen["by_name"]

    for name in ("mfc42.dll", "winsqlite3.dll", "mscoree.dll", "mshtml.dll"):
        assert by_name[name] == NOT_FOUND
    assert 0 < looked.seen["roots"] < 20, "the authorities of the run and of Wine, no others"


def test_a_symbol_that_no_windows_has_does_not_stop_a_library_from_loading(
    network: NetworkHandle,
) -> None:
    library = pe(imports={"kernel32.dll": ["NoWindowsHasThisFunction"]})
    stub = b"import ctypes\nctypes.CDLL('ucrtbase').crealf()\nprint('survived')\n"
    with _machine(CLEAN, network) as here:
        here.put({"wrong.dll": library, "stub.py": stub})
        loading = here.run(
            ["wine", "python", "-c", r"import ctypes; print(ctypes.CDLL(r'Z:\e2e\wrong.dll'))"]
        )
        calling = here.run(["wine", "python", r"Z:\e2e\stub.py"])

    # If this fails, Wine has become as strict as Windows: correct docs/explanation/stand-ins.md.
    assert loading.code == 0
    assert "<CDLL " in loading.output
    assert calling.code != 0
    assert "unimplemented function ucrtbase.dll.crealf" in calling.output
    assert "survived" not in calling.output
