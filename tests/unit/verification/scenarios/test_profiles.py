from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from containers import recipe as recipes
from verification.models.base import DataError
from verification.scenarios import cells, machines, profiles
from verification.subjects.subject import load

GOOD = '[gate]\ntitle = "t"\ncells = ["pip-venv"]\nhistory = "all"\n'


def _load(folder: Path, text: str) -> Mapping[str, profiles.Profile]:
    path = folder / "profiles.toml"
    path.write_text(text)
    return profiles.load(path)


def test_a_table_is_a_profile(tmp_path: Path) -> None:
    found = _load(tmp_path, GOOD)["gate"]
    assert found.selects("pip", "venv")
    assert not found.selects("uv", "venv")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('history = "all"', 'history = "some"', "gate: history: Input should be 'none' or 'all'"),
        ('["pip-venv"]', '"pip-venv"', "gate: cells: Input should be a valid tuple"),
        ('["pip-venv"]', "[]", "gate: cells: Tuple should have at least 1 item"),
        ("title", "titel", "gate: titel: unknown key; there are: cells, history, title"),
        ("[gate]", "[gate", r"profiles\.toml is not TOML: "),
    ],
)
def test_a_wrong_profile_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        _load(tmp_path, GOOD.replace(old, new))


def _cells(profile: str) -> list[str]:
    known = machines.load().values()
    asked = profiles.load()[profile]
    chosen = [spec for spec in known if profile in spec.profiles]
    return [cell.id for cell in cells.cells(chosen, load(), asked)]


def test_the_gate_asks_for_what_most_users_have() -> None:
    assert _cells("gate") == [
        "debian-13-pip-venv",
        "debian-13-pip-own-tests",
        "debian-13-uv-venv",
        "windows-wine-pip-system",
        "windows-wine-uv-system",
        "windows-wine-uv-own-tests",
        "windows-wine-vcredist-pip-system",
        "windows-wine-vcredist-uv-system",
        "windows-wine-vcredist-old-pip-system",
    ]


def test_quick_is_a_part_of_the_gate_the_gate_of_full_and_full_of_everywhere() -> None:
    names = ("quick", "gate", "full", "everywhere")
    quick, gate, full, everywhere = (set(_cells(name)) for name in names)
    assert quick < gate < full < everywhere


def test_full_asks_for_nothing_that_a_linux_engine_without_a_registry_cannot_have() -> None:
    known = machines.load().values()
    elsewhere = {spec.name for spec in known if recipes.load(spec.image).registry}
    assert {"almalinux-8", "alpine", "windows-servercore"} <= elsewhere
    assert {spec.name for spec in known if "full" not in spec.profiles} == elsewhere


def test_every_profile_that_a_machine_names_is_one() -> None:
    known = profiles.load()
    assert all(set(spec.profiles) <= set(known) for spec in machines.load().values())
