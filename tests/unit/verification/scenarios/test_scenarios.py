from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from containers.wheelhouse import OLDER_CFFI, Wheelhouse
from tests.helpers import binaries
from tests.helpers import wheel_builder as wheels
from verification.models.errors import WrongUse
from verification.models.machine import MachineSpec
from verification.rules.catalogue import catalogue
from verification.scenarios import machines
from verification.scenarios.installers import INSTALLERS
from verification.scenarios.scenarios import SCENARIOS
from verification.session import cell as cells
from verification.session import suite
from verification.session.cell import Cell

DEBIAN = machines.load()["debian-13"]
WINDOWS = machines.load()["windows-wine"]


def _machine(installers: tuple[str, ...], scenarios: tuple[str, ...]) -> MachineSpec:
    return DEBIAN.model_copy(update={"installers": installers, "scenarios": scenarios})


def _told(installer: str, scenario: str) -> dict[str, object]:
    cell = Cell(DEBIAN, installer, scenario)
    return cells.instructions(cell, "quiverdb", version="0.5.0", previous="0.4.0")


def _uses() -> dict[str, Any]:
    found: dict[str, Any] = {"__name__": "uses"}
    source = (Path(cells.__file__).parents[1] / "probe" / "uses.py").read_text("utf-8")
    exec(compile(source, "uses.py", "exec"), found)  # noqa: S102  (as the exercise does)
    return found


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_can_be_carried_out(name: str) -> None:
    one = SCENARIOS[name]
    assert one.title
    assert one.cause in catalogue()
    assert set(one.installers) <= set(INSTALLERS)
    assert any(name in spec.scenarios for spec in machines.load().values()), "nothing runs it"
    for system in one.systems:
        assert set(one.on(system).uses) <= set(_uses()["USES"])


def test_every_scenario_of_a_machine_is_for_its_system() -> None:
    for spec in machines.load().values():
        for name in spec.scenarios:
            assert spec.os in SCENARIOS[name].systems, (spec.name, name)


def test_the_ordinary_way_is_the_literal_command() -> None:
    told = _told("pip", "venv")
    assert told["install"] == ["pip", "install", "quiverdb"]
    assert told["deviation"] == ""


@pytest.mark.parametrize("name", sorted(set(SCENARIOS) - {"system", "non-ascii-home"}))
def test_a_command_that_is_not_the_literal_one_says_in_what(name: str) -> None:
    told = _told("pip", name)
    assert bool(told["deviation"]) == (told["install"] != ["pip", "install", "quiverdb"])


def test_versions_are_filled_in() -> None:
    told = _told("uv", "upgrade")
    first = told["first"]
    assert isinstance(first, list)
    assert first[0] == ["uv", "pip", "install", "quiverdb==0.4.0"]
    assert told["install"] == ["uv", "pip", "install", "--upgrade", "quiverdb"]
    assert _told("pip", "pinned")["install"] == ["pip", "install", "quiverdb==0.5.0"]


def test_a_pip_of_another_age_is_had_before_the_first_look() -> None:
    assert _told("pip", "venv")["setup"] == []
    assert "pip==24.1" in str(_told("pip-oldest", "venv")["setup"])


def test_a_scenario_of_both_systems_is_otherwise_on_windows() -> None:
    told = cells.instructions(Cell(WINDOWS, "uv", "decoy"), "quiverdb")
    assert told["cwd"] == "C:\\users\\user\\project"
    assert "LD_LIBRARY_PATH" in str(_told("pip", "decoy")["env"])
    assert set(told["env"]) == {"PATH", "SSL_CERT_FILE"}
    assert told["install"] == ["uv", "pip", "install", "--system", "quiverdb"]
    assert SCENARIOS["upgrade-in-use"].on("windows").needs_previous is False


def test_on_windows_no_command_is_one_of_linux() -> None:
    for name in WINDOWS.scenarios:
        one = SCENARIOS[name].on("windows")
        told = [*one.setup, *one.first, one.requirement, one.python, one.uninstall]
        assert "/home/" not in str([told, one.environment, one.cwd]), name
        assert "{previous}" not in str(told), f"{name}: it need not load on a clean Windows"


def test_a_path_of_windows_is_found_by_the_engine() -> None:
    layout = WINDOWS.layout
    assert layout.as_engine("C:\\users\\x") == "/home/user/.wine/drive_c/users/x"
    assert layout.as_engine("/home/user") == "/home/user"


def test_an_environment_that_the_installer_manages_is_used_as_it_wants() -> None:
    run = _told("uv-run", "managed")
    assert run["install"] == [
        "uv", "run", "--with", "quiverdb", "python", "-c", "pass",
    ]  # fmt: skip
    assert run["python"] == ["uv", "run", "--quiet", "--with", "quiverdb", "python"]
    assert run["uninstall"] == ["uv", "cache", "clean"]
    tool = _told("uv-tool", "managed")
    assert str(tool["install"]).endswith("'pip', '--with', 'quiverdb']")
    assert tool["uninstall"] == ["uv", "tool", "uninstall", "pip"]


def test_such_an_installer_runs_in_no_other_scenario() -> None:
    spec = _machine(("uv", "uv-run"), ("venv", "managed"))
    assert [cell.id for cell in cells.cells([spec])] == [
        "debian-13-uv-venv",
        "debian-13-uv-run-managed",
    ]


def test_the_older_cffi_is_the_one_on_the_index() -> None:
    ((command,), lock) = (SCENARIOS["old-cffi"].first, OLDER_CFFI.read_text("utf-8"))
    assert command[1] in lock.splitlines()[0]


def test_what_a_library_defines_and_where_it_is_bound(tmp_path: Path) -> None:
    library = tmp_path / "some.so"
    library.write_bytes(binaries.elf(exports=["own", "other"], own_calls=["own"]))
    exports, slots = _uses()["_symbols"](str(library))
    assert exports == {"own", "other"}
    assert slots == [("own", False, 0x2000, 0)]


def test_a_scenario_runs_with_the_installers_that_it_makes_sense_with() -> None:
    spec = _machine(("pip", "uv"), ("venv", "fork"))
    assert [cell.id for cell in cells.cells([spec])] == [
        "debian-13-pip-venv",
        "debian-13-pip-fork",
        "debian-13-uv-venv",
    ]


@pytest.mark.parametrize("kind", ["installer", "scenario"])
def test_an_unknown_name_is_answered_with_those_there_are(kind: str) -> None:
    spec = DEBIAN.model_copy(update={f"{kind}s": ("magic",)})
    with pytest.raises(WrongUse, match=f"debian-13: unknown {kind} 'magic'; there are: "):
        cells.cells([spec])


def test_the_own_tests_run_away_from_the_package_and_from_what_is_looked_at() -> None:
    wine = machines.load()["windows-wine"]
    for cell in (Cell(DEBIAN, "pip", "own-tests"), Cell(wine, "uv", "own-tests")):
        told = cells.instructions(cell, "quiverdb")
        own, project = told["tests"], told["cwd"] + cell.machine.layout.separator
        assert own["folder"].startswith(project)
        assert own["scratch"].startswith(project)
        assert own["tool"][-3:] == ["--target", f"{project}tools", "pytest"]
        assert own["command"][1:3] == ["-m", "pytest"]
        assert "tests" not in cells.instructions(Cell(DEBIAN, "pip", "venv"), "quiverdb")


def test_a_cell_that_runs_own_tests_needs_some() -> None:
    cell = Cell(DEBIAN, "pip", "own-tests")
    with pytest.raises(WrongUse, match=r"debian-13-pip-own-tests: it runs .* by --tests"):
        cells.run(None, cell, None)  # type: ignore[arg-type]


def test_a_cell_refuses_for_its_machine_or_its_scenario() -> None:
    old = machines.load()["debian-12-python-3.11"]
    assert Cell(old, "pip", "venv").refuses == "unsupported-python"
    assert Cell(DEBIAN, "pip", "no-binary").refuses == "no-binary"
    assert Cell(DEBIAN, "pip", "venv").refuses == ""


def test_the_files_beside_the_project_are_those_of_the_release(tmp_path: Path) -> None:
    wheel = tmp_path / "quiverdb-0.5.0-py3-none-any.whl"
    cffi = tmp_path / "cffi-2.1.1-cp313-cp313-win_amd64.whl"
    older = tmp_path / "cffi-1.17.1-cp313-cp313-win_amd64.whl"
    pip = tmp_path / "pip-26.3-py3-none-any.whl"
    for path in (wheel, cffi, older, pip):
        path.write_bytes(path.name.encode())
    house = Wheelhouse("wheels", "x", "0.5.0", (wheel,), (older, cffi, pip))
    found = cells._files(("hashes", "wheels"), house)
    assert found["wheels/cffi-2.1.1-cp313-cp313-win_amd64.whl"] == cffi.name.encode()
    assert not [name for name in found if "1.17.1" in name]
    lines = found["requirements.txt"].decode().splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["quiverdb==0.5.0", "cffi==2.1.1"]
    assert all("--hash=sha256:" in line for line in lines)


def test_every_scenario_and_installer_is_described() -> None:
    text = (Path(cells.__file__).parents[2] / "docs" / "scenarios.md").read_text("utf-8")
    assert [name for name in (*SCENARIOS, *INSTALLERS) if f"`{name}`" not in text] == []


def test_the_decoys_are_the_libraries_of_the_windows_wheel(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {"quiverdb/_libs/libquiver.dll": b"MZ"}
    wheel = wheels.build(tmp_path, files, tag=wheels.WINDOWS_TAG)
    other = wheels.build(tmp_path, files)
    house = Wheelhouse("wheels", "x", "1.0.0", (other, wheel), ())
    found = cells._files(("decoys",), house)
    assert found == {"libquiver.dll": b"MZ", "decoy/libquiver.dll": b"MZ"}


def test_another_package_is_imported_by_its_own_name() -> None:
    told = cells.instructions(Cell(DEBIAN, "pip", "venv"), "other-name", package="other")

    assert told["install"][-1] == "other-name"
    assert (told["subject"], told["package"]) == ("other-name", "other")
    assert told["import"] == "import other"


def test_only_what_the_exercise_shows_is_asked_of_another_package() -> None:
    own = {name for name in SCENARIOS if suite.is_quiverdbs(name)}

    assert {"upgrade", "fork", "zip", "decoy"} <= own
    assert not {"venv", "system", "pinned", "user", "offline", "isolated"} & own
