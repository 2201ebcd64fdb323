from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.helpers.sample_machines import sample_machine
from verification.models.base import DataError
from verification.models.machine import MachineSpec
from verification.scenarios import machines

TABLE = """
[debian]
title = "debian"
os = "linux"
image = "debian"
python = "3.13"
glibc = "2.41"
installers = ["pip", "uv"]
scenarios = ["venv"]
runs_on = "linux"
additional_software = []
profiles = ["gate"]
"""
REQUIRED = (
    *(
        "title",
        "os",
        "image",
        "python",
        "installers",
        "scenarios",
        "runs_on",
        "additional_software",
        "profiles",
    ),
)


def _load(folder: Path, text: str) -> Mapping[str, MachineSpec]:
    path = folder / "machines.toml"
    path.write_text(text)
    return machines.load(path)


def _error(folder: Path, text: str) -> str:
    """Return the error message for a file. It must be one line that starts with the file name."""
    with pytest.raises(DataError) as raised:
        _load(folder, text)
    message = str(raised.value)
    assert message.startswith("machines.toml")
    assert "\n" not in message
    return message


def test_a_table_is_a_machine(tmp_path: Path) -> None:
    assert _load(tmp_path, TABLE) == {"debian": sample_machine()}


def test_machines_keep_the_order_of_the_file(tmp_path: Path) -> None:
    text = TABLE.replace("[debian]", "[zebra]") + TABLE
    assert list(_load(tmp_path, text)) == ["zebra", "debian"]


def test_an_unknown_key_is_reported_with_the_known_keys(tmp_path: Path) -> None:
    message = _error(tmp_path, f'{TABLE}colour = "red"\n')
    assert message.startswith("machines.toml: debian: colour: ")
    assert all(
        key in message for key in (*REQUIRED, "glibc", "missing_software", "musl", "processor")
    )


@pytest.mark.parametrize("key", REQUIRED)
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    text = "\n".join(line for line in TABLE.splitlines() if not line.startswith(key))
    assert _error(tmp_path, text).startswith(f"machines.toml: debian: {key}: ")


@pytest.mark.parametrize(
    ("old", "new", "location"),
    [
        ('["pip", "uv"]', '"pip"', ": debian: installers: "),
        ('["venv"]', "true", ": debian: scenarios: "),
        ('"3.13"', "3.13", ": debian: python: "),
        ('runs_on = "linux"', 'runs_on = "dos"', ": debian: runs_on: "),
        ('glibc = "2.41"', "", ": debian: "),  # Linux needs glibc or musl
        ('os = "linux"', 'os = "windows"', ": debian: "),  # Windows has no glibc
        ('"2.41"', '"new"', ": debian: glibc: "),
        (
            "additional_software = []",
            'additional_software = "all"',
            ": debian: additional_software: ",
        ),
        ("[debian]", "debian = 5", ": debian: "),
        ("[debian]", 'debian = "os"', ": debian: "),
        ("additional_software = []", 'name = "x"', ": debian: "),
        ("[debian]", "[debian", " "),
    ],
)
def test_a_wrong_value_is_reported_with_its_location(
    tmp_path: Path, old: str, new: str, location: str
) -> None:
    text = TABLE.replace(old, new)
    assert text != TABLE
    assert _error(tmp_path, text).startswith(f"machines.toml{location}")


def test_the_machines_of_the_repository_can_be_read() -> None:
    known = machines.load()
    assert known
    assert all(spec.os in ("linux", "windows") for spec in known.values())
    assert all(spec.installers and spec.scenarios for spec in known.values())


def test_only_the_minimal_machine_lacks_a_library_of_its_platform() -> None:
    assert [spec.name for spec in machines.load().values() if spec.missing_software] == [
        "debian-13-minimal"
    ]
