from __future__ import annotations

import pytest

from verification.models.errors import WrongUse
from verification.reproduction import similar_machine
from verification.reproduction.similar_machine import RankedMachine
from verification.scenarios import machines


def _ranked(**options: str) -> list[RankedMachine]:
    report = similar_machine.bug_report(**options)
    return similar_machine.ranked_machines(report, machines.load())


def _named(name: str, **options: str) -> RankedMachine:
    """Return the machine of this name from the ranking for a bug report."""
    return next(machine for machine in _ranked(**options) if machine.spec.name == name)


@pytest.mark.parametrize(
    ("options", "expected"),
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
def test_the_nearest_machine_is_first(options: dict[str, str], expected: str) -> None:
    ranking = _ranked(**options)
    assert ranking[0].spec.name == expected
    distances = [machine.distance for machine in ranking]
    assert distances == sorted(distances)


def test_the_same_machine_has_no_differences() -> None:
    machine = _ranked(python="3.13", os="debian-11", installer="pip", scenario="venv")[0]
    assert machine.differences == ()
    assert str(machine) == "debian-11: 0"


def test_the_distance_is_the_sum_of_the_weights_of_all_differences() -> None:
    machine = _named("debian-12", python="3.13", os="ubuntu-22.04")
    glibc, system = machine.differences
    assert (glibc.weight, glibc.decisive, system.weight, system.decisive) == (3, True, 1, False)
    assert machine.distance == 4
    assert "2.36" in glibc.text
    assert "2.35" in glibc.text
    assert "Debian 12" in system.text
    assert "Ubuntu 22.04" in system.text
    assert str(machine).startswith("debian-12: 4 = ")
    assert glibc.text in str(machine)


@pytest.mark.parametrize(
    ("options", "pythons"),
    [
        ({"python": "3.14"}, {"3.14"}),
        ({"python": "3.13.2"}, {"3.13"}),
        ({"python": "3.13t"}, {"3.13t"}),
        ({"python": "3.12"}, {"3.12"}),
        ({"python": "3.8"}, set()),
        ({"python": "3.11", "os": "windows-11"}, {"3.11"}),
        ({"python": "3.15", "os": "windows-11"}, set()),
        ({"python": "9.9"}, set()),
        ({}, {"3.9", "3.10", "3.11", "3.12", "3.13", "3.13t", "3.14", "3.14t", "3.15"}),
    ],
)
def test_only_machines_with_the_python_of_the_report_are_ranked(
    options: dict[str, str], pythons: set[str]
) -> None:
    assert {machine.spec.python for machine in _ranked(**options)} == pythons


@pytest.mark.parametrize("options", [{"os": "macos"}, {"os": "darwin"}, {"arch": "arm64"}])
def test_no_machine_fits_another_system_or_processor(options: dict[str, str]) -> None:
    assert _ranked(**options) == []


def test_a_point_release_is_stated_and_not_decisive() -> None:
    (difference,) = _ranked(os="Debian 12.5", python="3.13")[0].differences
    assert "Debian 12.5" in difference.text
    assert (difference.weight, difference.decisive) == (0, False)


def test_a_rebuild_of_a_system_is_stated_and_not_decisive() -> None:
    machine = _named("almalinux-8", os="RHEL 8.9")
    assert [item.decisive for item in machine.differences] == [False]
    assert "RHEL 8.9" in machine.differences[0].text
    assert _ranked(os="RHEL 8.9")[0] == machine


@pytest.mark.parametrize(
    "os", ["Fedora 30", "Arch", "Codespaces", "GitHub Actions ubuntu-latest", "AWS Lambda", "Kali"]
)
def test_a_system_that_is_known_only_in_part_has_a_decisive_difference(os: str) -> None:
    ranking = _ranked(os=os)
    assert ranking
    assert all(any(item.decisive for item in machine.differences) for machine in ranking)


@pytest.mark.parametrize("os", ["linux", "WSL", "Debian", "python:3.13"])
def test_an_assumed_version_is_not_decisive(os: str) -> None:
    machine = _ranked(os=os)[0]
    assert not any(item.decisive for item in machine.differences)


def test_the_distance_distinguishes_musl_from_glibc() -> None:
    ranking = _ranked(os="alpine", python="3.13")
    assert [machine.spec.name for machine in ranking] == ["alpine", "debian-13-musl"]
    assert ranking[0].distance < ranking[1].distance
    system = similar_machine.system_of(machines.load()["debian-13-musl"])
    assert system
    assert system.glibc == "musl"
    (difference,) = ranking[1].differences
    assert "musl" in difference.text


@pytest.mark.parametrize("os", ["FreeBSD 14", "Termux", "iPhone", "Pyodide", "MSYS2", "macOS 14"])
def test_a_system_without_a_machine_has_none(os: str) -> None:
    assert _ranked(os=os) == []


# ---- installers and user environments without a machine ----


@pytest.mark.parametrize(
    ("options", "machine", "installer", "decisive"),
    [
        ({"installer": "poetry"}, "debian-13", "pip", True),
        ({"installer": "PDM"}, "debian-13", "pip", True),
        ({"installer": "pipx"}, "debian-13", "pip", False),
        ({"installer": "rye"}, "debian-13", "uv", False),
        ({"installer": "poetry", "os": "win11"}, "windows-wine", "pip", True),
        ({"installer": "Microsoft Store"}, "windows-wine", "", True),
        ({"scenario": "store-python"}, "windows-wine", "", True),
        ({"scenario": "tls-proxy", "installer": "uv"}, "debian-13", "uv", True),
        ({"scenario": "conda-environment"}, "debian-13", "pip", True),
    ],
)
def test_an_installer_without_a_machine_is_replaced_by_the_nearest(
    options: dict[str, str], machine: str, installer: str, decisive: bool
) -> None:
    report = similar_machine.bug_report(**options)
    nearest = _ranked(**options)[0]
    (substitute,) = report.substitutes
    assert (nearest.spec.name, report.installer, report.scenario) == (machine, installer, "")
    assert substitute.difference in [item.text for item in nearest.differences]
    assert substitute.decisive is decisive


def test_conda_has_no_machine_and_a_workaround() -> None:
    report = similar_machine.bug_report(installer="conda", os="win11")
    assert not report.can_run
    assert report.workarounds
    assert _ranked(installer="mamba") == []


def test_a_missing_library_is_a_decisive_difference() -> None:
    (difference,) = _named("debian-13-minimal", os="debian-13", python="3.13").differences
    assert "libstdc++" in difference.text
    assert difference.weight > 0
    assert difference.decisive


def test_wine_is_a_difference_without_weight() -> None:
    ranking = _ranked(os="windows")
    names = [machine.spec.name for machine in ranking]
    assert names[0] == "windows-wine"
    assert "windows-servercore" not in names, "it cannot be started on a Linux engine"
    wine = next(item for item in ranking[0].differences if "Wine" in item.text)
    assert (wine.weight, wine.decisive) == (0, False)


def test_a_simulated_glibc_is_a_decisive_difference() -> None:
    simulated = _named("debian-13-glibc-2.17", glibc="2.31")
    assert any(item.decisive and item.weight == 20 for item in simulated.differences)


@pytest.mark.parametrize(
    "options",
    [
        {"os": "debian-13", "python": "3.13", "installer": "uv"},
        {"os": "debian-13", "installer": "uv", "scenario": "zip"},
        {"glibc": "2.41"},
        {},
    ],
)
def test_an_emulated_processor_is_a_decisive_difference(options: dict[str, str]) -> None:
    assert _ranked(**options)[0].spec.name == "debian-13"
    emulated = _named("debian-13-x86-64-v1", **options)
    texts = [item.text for item in emulated.differences if item.decisive and item.weight == 20]
    assert len(texts) == 1
    assert "QEMU" in texts[0]


def test_machines_with_an_emulated_processor_belong_to_simulated_systems() -> None:
    emulated = [spec for spec in machines.load().values() if spec.processor]
    systems = [similar_machine.system_of(spec) for spec in emulated]
    families = [system.family for system in systems if system]
    assert families == ["simulated"] * len(emulated) != []


def test_a_machine_with_musl_is_ranked_only_for_musl() -> None:
    assert [machine.spec.name for machine in _ranked(os="alpine")] == ["alpine", "debian-13-musl"]
    assert "debian-13-musl" not in {machine.spec.name for machine in _ranked(os="debian-13")}


def test_machines_have_the_c_library_of_their_system() -> None:
    for spec in machines.load().values():
        system = similar_machine.system_of(spec)
        if system:
            assert (spec.glibc or "musl") == system.glibc or spec.os == "windows", spec.name


def test_a_scenario_that_machines_toml_does_not_list_is_a_difference() -> None:
    machine = _ranked(os="debian-11", scenario="zip")[0]
    (difference,) = machine.differences
    assert "zip" in difference.text
    assert (difference.weight, difference.decisive) == (1, False)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"os": "beos"}, ("--os beos", "AlmaLinux")),
        ({"os": "debain 12"}, ("--os debain 12", "debian-12")),
        ({"os": "Ubunut"}, ("--os Ubunut", "ubuntu")),
        ({"arch": "aarch46"}, ("--arch aarch46", "aarch64")),
        ({"installer": "store-python", "os": "debian"}, ("--os debian", "windows")),
        ({"python": "three"}, ("--python three",)),
        ({"glibc": "new"}, ("--glibc new",)),
        ({"os": "windows", "glibc": "2.31"}, ("--glibc 2.31", "Windows")),
        ({"os": "alpine", "glibc": "2.31"}, ("--glibc 2.31", "Alpine Linux")),
        ({"arch": "mips"}, ("--arch mips", "x86_64")),
    ],
)
def test_a_wrong_option_is_reported_with_its_value_in_one_line(
    options: dict[str, str], words: tuple[str, ...]
) -> None:
    with pytest.raises(WrongUse) as raised:
        _ranked(**options)
    assert all(word in str(raised.value) for word in words)
    assert "\n" not in str(raised.value)
