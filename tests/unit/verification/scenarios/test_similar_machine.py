from __future__ import annotations

import pytest

from verification.models.errors import WrongUse
from verification.models.machine import MachineSpec
from verification.scenarios import machines
from verification.scenarios import similar_machine as nearest
from verification.scenarios.similar_machine import RankedMachine


def _ranked(**asked: str) -> list[RankedMachine]:
    return nearest.ranked_machines(nearest.bug_report(**asked), machines.load())


def _lines(near: RankedMachine) -> list[str]:
    return [difference.text for difference in near.differences]


def test_every_system_has_a_name_of_its_own() -> None:
    known = nearest.systems()
    words = [word for one in known.values() for word in (one.name, *one.aliases)]
    assert len(words) == len(set(words)) > 20
    assert {one.os for one in known.values()} == {"linux", "windows", "macos"}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"python": "3.13", "os": "debian-11"}, "debian-11"),
        ({"os": "Debian 12"}, "debian-12"),
        ({"os": "bullseye"}, "debian-11"),
        ({"os": "linuxmint-21"}, "ubuntu-22.04"),
        ({"os": "ubuntu-22.04"}, "ubuntu-22.04"),
        ({"os": "ubuntu-20.04"}, "debian-11"),
        ({"glibc": "2.31"}, "debian-11"),
        ({"python": "3.14"}, "debian-forky-python-3.14"),
        ({"python": "3.11", "os": "debian-12"}, "debian-12-python-3.11"),
        ({"python": "3.13t"}, "debian-12-python-3.13t"),
        ({"arch": "AMD64"}, "debian-13"),
        ({"os": "windows"}, "windows-wine"),
        ({"os": "windows-11", "installer": "uv"}, "windows-wine"),
        ({}, "debian-13"),
    ],
)
def test_the_machine_that_comes_nearest_is_first(asked: dict[str, str], expected: str) -> None:
    found = _ranked(**asked)
    assert found[0].spec.name == expected
    distances = [near.distance for near in found]
    assert distances == sorted(distances)


def test_the_very_machine_differs_in_nothing() -> None:
    near = _ranked(python="3.13", os="debian-11", installer="pip", scenario="venv")[0]
    assert near.differences == ()
    assert str(near) == "debian-11: 0"


def test_each_difference_is_a_line_and_the_distance_is_their_sum() -> None:
    near = next(n for n in _ranked(python="3.13", os="ubuntu-22.04") if n.spec.name == "debian-12")
    assert _lines(near) == [
        "glibc 2.36 for 2.35 (newer: what needs it works here and not there)",
        "Debian 12 for Ubuntu 22.04",
    ]
    assert near.distance == 4
    assert str(near).startswith("debian-12: 4 = glibc 2.36 for 2.35")


@pytest.mark.parametrize(
    ("asked", "pythons"),
    [
        ({"python": "3.14"}, {"3.14"}),
        ({"python": "3.13.2"}, {"3.13"}),
        ({"python": "3.13t"}, {"3.13t"}),
        ({"python": "3.12"}, set()),
        ({"python": "3.11", "os": "windows-11"}, set()),
        ({"python": "9.9"}, set()),
        ({}, {"3.11", "3.13", "3.13t", "3.14", "3.15"}),
    ],
)
def test_a_machine_with_another_python_stands_in_for_none(
    asked: dict[str, str], pythons: set[str]
) -> None:
    assert {near.spec.python for near in _ranked(**asked)} == pythons


@pytest.mark.parametrize("asked", [{"os": "macos"}, {"os": "darwin"}, {"arch": "arm64"}])
def test_there_is_no_machine_of_another_system_or_processor(asked: dict[str, str]) -> None:
    assert _ranked(**asked) == []


def test_a_machine_without_a_promised_library_comes_after_the_others() -> None:
    ranked = _ranked(os="debian-13", python="3.13")
    minimal = next(near for near in ranked if near.spec.name == "debian-13-minimal")
    assert _lines(minimal) == ["it has no libstdc++"]
    assert minimal.distance > 0


def test_a_simulated_machine_or_one_with_more_than_a_clean_one_comes_after_the_others() -> None:
    names = [near.spec.name for near in _ranked(os="windows")]
    assert names[0] == "windows-wine"
    assert "windows-servercore" not in names, "it cannot be started on a Linux engine"
    assert any("Wine stands in" in line for line in _lines(_ranked(os="windows")[0]))
    simulated = next(
        near for near in _ranked(glibc="2.31") if near.spec.name == "debian-13-glibc-2.17"
    )
    assert any("simulated" in line for line in _lines(simulated))


@pytest.mark.parametrize(
    "asked",
    [
        {"os": "debian-13", "python": "3.13", "installer": "uv"},
        {"os": "debian-13", "installer": "uv", "scenario": "zip"},
        {"glibc": "2.41"},
        {},
    ],
)
def test_a_machine_with_an_emulated_processor_is_no_ordinary_one(asked: dict[str, str]) -> None:
    found = _ranked(**asked)
    assert found[0].spec.name == "debian-13"
    emulated = next(near for near in found if near.spec.name == "debian-13-x86-64-v1")
    assert any("it is simulated" in line and "QEMU" in line for line in _lines(emulated))


def test_every_machine_with_an_emulated_processor_is_of_a_simulated_system() -> None:
    emulated = [spec for spec in machines.load().values() if spec.processor]
    found = [nearest.system_of(spec) for spec in emulated]
    assert [system.family for system in found if system] == ["simulated"] * len(emulated) != []


def test_a_machine_with_musl_stands_in_for_no_other() -> None:
    assert [near.spec.name for near in _ranked(os="alpine")] == ["alpine", "debian-13-musl"]
    assert "debian-13-musl" not in {near.spec.name for near in _ranked(os="debian-13")}


@pytest.mark.parametrize("spec", machines.load().values(), ids=machines.load())
def test_a_machine_has_the_c_library_of_its_system(spec: MachineSpec) -> None:
    system = nearest.system_of(spec)
    if system and not spec.musl:
        assert spec.glibc == system.glibc


def test_a_scenario_the_machine_is_not_judged_in_is_a_difference() -> None:
    near = _ranked(os="debian-11", scenario="zip")[0]
    assert _lines(near) == ["machines.toml does not judge it in zip"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"os": "beos"}, "--os beos: unknown; there are: almalinux-10"),
        ({"python": "three"}, "--python three: not a version"),
        ({"glibc": "new"}, "--glibc new: not a version"),
        ({"os": "windows", "glibc": "2.31"}, "Windows has none"),
        ({"os": "alpine", "glibc": "2.31"}, "Alpine Linux has none"),
        ({"arch": "mips"}, "--arch mips: unknown; there are: x86_64"),
    ],
)
def test_what_there_is_not_is_wrong_use_in_one_line(asked: dict[str, str], message: str) -> None:
    with pytest.raises(WrongUse) as raised:
        _ranked(**asked)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
