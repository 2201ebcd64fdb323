from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.helpers.sample_machines import sample_machine
from verification.models.base import DataError
from verification.models.machine import MachineSpec
from verification.scenarios import machines

LINE = """
[debian]
title = "debian"
os = "linux"
image = "debian"
python = "3.13"
glibc = "2.41"
installers = ["pip", "uv"]
scenarios = ["venv"]
runs_on = "linux"
has = []
profiles = ["gate"]
"""


def _load(folder: Path, text: str) -> Mapping[str, MachineSpec]:
    path = folder / "machines.toml"
    path.write_text(text)
    return machines.load(path)


def test_a_line_is_a_machine(tmp_path: Path) -> None:
    assert _load(tmp_path, LINE) == {"debian": sample_machine()}


def test_machines_keep_the_order_of_the_file(tmp_path: Path) -> None:
    text = LINE.replace("[debian]", "[zebra]") + LINE
    assert list(_load(tmp_path, text)) == ["zebra", "debian"]


def test_an_unknown_key_is_refused_with_the_keys_there_are(tmp_path: Path) -> None:
    with pytest.raises(
        DataError,
        match=r"machines\.toml: debian: colour: unknown key; "
        "there are: glibc, has, image, installers, lacks, musl, os, processor, profiles, python, "
        "runs_on, scenarios, title",
    ):
        _load(tmp_path, f'{LINE}colour = "red"\n')


@pytest.mark.parametrize(
    "key",
    [
        "title",
        "os",
        "image",
        "python",
        "installers",
        "scenarios",
        "runs_on",
        "has",
        "profiles",
    ],
)
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    text = "\n".join(line for line in LINE.splitlines() if not line.startswith(key))
    with pytest.raises(DataError, match=f"debian: {key}: Field required"):
        _load(tmp_path, text)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('["pip", "uv"]', '"pip"', "debian: installers: Input should be a valid tuple"),
        ('["venv"]', "true", "debian: scenarios: Input should be a valid tuple"),
        ('"3.13"', "3.13", "debian: python: Input should be a valid string"),
        ('runs_on = "linux"', 'runs_on = "dos"', "runs_on: Input should be 'linux', 'wine' or"),
        ('glibc = "2.41"', "", "debian: .*a machine of Linux has glibc or musl"),
        ('os = "linux"', 'os = "windows"', "debian: .*one of Windows has neither"),
        ('"2.41"', '"new"', "debian: glibc: String should match"),
        ("has = []", 'has = "all"', "debian: has: Input should be a valid tuple"),
        ("[debian]", "debian = 5", "debian: it is not a table"),
        ("[debian]", 'debian = "os"', "debian: it is not a table"),
        ("has = []", 'name = "x"', r"debian: it has a key name; the name is in \[debian\]"),
        ("[debian]", "[debian", r"machines\.toml is not TOML: "),
    ],
)
def test_a_wrong_value_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        _load(tmp_path, LINE.replace(old, new))


def test_the_machines_of_the_repository_can_be_read() -> None:
    found = machines.load()
    assert found
    assert all(spec.os in ("linux", "windows") for spec in found.values())
    assert all(spec.installers and spec.scenarios for spec in found.values())


def test_only_the_minimal_machine_lacks_what_its_platform_promises() -> None:
    assert [spec.name for spec in machines.load().values() if spec.lacks] == ["debian-13-minimal"]
