from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from containers import recipe as recipes
from verification.models.base import DataError
from verification.scenarios import cells, machines, profiles
from verification.subjects.subject import load
from verification.wheel.windows import has_libraries_outside

GOOD = '[gate]\ntitle = "t"\ncells = ["pip-venv"]\nhistory = "all"\n'


def _load(folder: Path, text: str) -> Mapping[str, profiles.Profile]:
    path = folder / "profiles.toml"
    path.write_text(text)
    return profiles.load(path)


def test_a_table_is_a_profile(tmp_path: Path) -> None:
    profile = _load(tmp_path, GOOD)["gate"]
    assert profile.selects("pip", "venv")
    assert not profile.selects("uv", "venv")


@pytest.mark.parametrize(
    ("old", "new", "location"),
    [
        ('history = "all"', 'history = "some"', ": gate: history: .*none.*all"),
        ('["pip-venv"]', '"pip-venv"', ": gate: cells: "),
        ('["pip-venv"]', "[]", ": gate: cells: "),
        ("title", "titel", ": gate: titel: .*cells, history, outside_libraries, title"),
        ("[gate]", "[gate", " "),
    ],
)
def test_a_wrong_value_is_reported_with_its_location(
    tmp_path: Path, old: str, new: str, location: str
) -> None:
    with pytest.raises(DataError, match=rf"^profiles\.toml{location}"):
        _load(tmp_path, GOOD.replace(old, new))


def _cells(profile: str) -> list[str]:
    selected = [spec for spec in machines.load().values() if profile in spec.profiles]
    return [cell.id for cell in cells.cells(selected, load(), profiles.load()[profile])]


def test_the_gate_has_the_cells_of_most_users() -> None:
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


@pytest.mark.parametrize(
    ("library", "additional"),
    [
        ("MeCab.libs/mecab.dll", {"windows-wine-pip-user", "windows-wine-vcredist-pip-user"}),
        (
            "mecab-1.0.0.data/data/lib/site-packages/mecab.dll",
            {"windows-wine-pip-user", "windows-wine-vcredist-pip-user"},
        ),
        ("MeCab/mecab.dll", set()),
        ("MeCab/_mecab.pyd", set()),
    ],
)
def test_gate_has_user_installations_on_windows_for_libraries_outside_the_package(
    tmp_path: Path, library: str, additional: set[str]
) -> None:
    changes: dict[str, Any] = {"actions": None, "import_package": "MeCab"}
    subject = load().model_copy(update=changes)
    wheel = tmp_path / "mecab-1.0.0-cp313-cp313-win_amd64.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(library, b"MZ")
    outside = has_libraries_outside([wheel], "MeCab")
    selected = [spec for spec in machines.load().values() if "gate" in spec.profiles]
    gate = profiles.load()["gate"]
    ordinary, planned = (
        cells.cells(selected, subject, gate, outside_libraries=is_outside)
        for is_outside in (False, outside)
    )
    new = [cell for cell in planned if cell not in ordinary]
    assert {cell.id for cell in new} == additional
    assert all(cell.scenario.actions == ("absolute_paths",) for cell in new)


def test_each_profile_contains_the_smaller_one() -> None:
    names = ("quick", "gate", "full", "everywhere")
    quick, gate, full, everywhere = (set(_cells(name)) for name in names)
    assert quick < gate < full < everywhere


def test_full_has_exactly_the_machines_that_every_host_can_build() -> None:
    known = machines.load().values()
    from_registry = {spec.name for spec in known if recipes.load(spec.image).registry}
    # Mirrors of Debian list the source of Python 3.14, and not all of them have it.
    source_missing = {"debian-12-python-3.14t"}
    assert {"almalinux-8", "alpine", "windows-servercore"} <= from_registry
    outside = {spec.name for spec in known if "full" not in spec.profiles}
    assert outside == from_registry | source_missing


def test_machines_name_only_known_profiles() -> None:
    known = profiles.load()
    assert all(set(spec.profiles) <= set(known) for spec in machines.load().values())
