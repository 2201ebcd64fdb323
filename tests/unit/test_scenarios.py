from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from containers import machine as machines
from containers.errors import WrongUse
from containers.wheelhouse import Wheelhouse
from tests.support import cell as cells
from tests.support import plugin
from tests.support.causes import catalogue
from tests.support.cell import Cell
from tests.support.installers import INSTALLERS
from tests.support.scenarios import SCENARIOS

DEBIAN = machines.load()["debian-13"]


def _told(installer: str, scenario: str) -> dict[str, object]:
    cell = Cell(DEBIAN, installer, scenario)
    return cells.instructions(cell, "quiverdb", version="0.5.0", previous="0.4.0")


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_can_be_carried_out(name: str) -> None:
    one = SCENARIOS[name]
    assert one.title
    assert one.cause in catalogue()
    assert set(one.installers) <= set(INSTALLERS)
    assert any(name in spec.scenarios for spec in machines.load().values()), "nothing runs it"
    uses: dict[str, dict[str, object]] = {"__name__": "uses"}  # type: ignore[dict-item]
    source = Path(cells.__file__).with_name("uses.py").read_text("utf-8")
    exec(compile(source, "uses.py", "exec"), uses)  # noqa: S102  (as the exercise does)
    assert set(one.uses) <= set(uses["USES"])


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


def test_a_scenario_runs_with_the_installers_that_it_makes_sense_with() -> None:
    spec = dataclasses.replace(DEBIAN, installers=("pip", "uv"), scenarios=("venv", "fork"))
    assert [cell.id for cell in cells.cells([spec])] == [
        "debian-13-pip-venv",
        "debian-13-pip-fork",
        "debian-13-uv-venv",
    ]


@pytest.mark.parametrize("kind", ["installer", "scenario"])
def test_an_unknown_name_is_answered_with_those_there_are(kind: str) -> None:
    spec = dataclasses.replace(DEBIAN, **{f"{kind}s": ("magic",)})  # type: ignore[arg-type]
    with pytest.raises(WrongUse, match=f"debian-13: unknown {kind} 'magic'; there are: "):
        cells.cells([spec])


def test_a_cell_refuses_for_its_machine_or_its_scenario() -> None:
    old = machines.load()["debian-12-python-3.11"]
    assert Cell(old, "pip", "venv").refuses == "unsupported-python"
    assert Cell(DEBIAN, "pip", "no-binary").refuses == "no-binary"
    assert Cell(DEBIAN, "pip", "venv").refuses == ""


def test_the_files_beside_the_project_are_those_of_the_release(tmp_path: Path) -> None:
    wheel = tmp_path / "quiverdb-0.5.0-py3-none-any.whl"
    cffi = tmp_path / "cffi-2.1.1-cp313-cp313-win_amd64.whl"
    pip = tmp_path / "pip-26.3-py3-none-any.whl"
    for path in (wheel, cffi, pip):
        path.write_bytes(path.name.encode())
    house = Wheelhouse("wheels", "x", "0.5.0", (wheel,), (cffi, pip))
    found = cells._files(("hashes", "wheels"), house)
    assert found["wheels/cffi-2.1.1-cp313-cp313-win_amd64.whl"] == cffi.name.encode()
    lines = found["requirements.txt"].decode().splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["quiverdb==0.5.0", "cffi==2.1.1"]
    assert all("--hash=sha256:" in line for line in lines)


def test_another_package_is_imported_by_its_own_name() -> None:
    told = cells.instructions(Cell(DEBIAN, "pip", "venv"), "other-name", package="other")

    assert told["install"][-1] == "other-name"
    assert (told["subject"], told["package"]) == ("other-name", "other")
    assert told["import"] == "import other"


def test_only_what_the_exercise_shows_is_asked_of_another_package() -> None:
    own = {name for name in SCENARIOS if plugin.is_quiverdbs(name)}

    assert {"upgrade", "fork", "zip", "decoy"} <= own
    assert not {"venv", "system", "pinned", "user", "offline", "isolated"} & own
