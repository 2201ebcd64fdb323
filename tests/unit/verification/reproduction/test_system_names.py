from __future__ import annotations

from typing import NamedTuple

import pytest

from verification.reproduction import system_names
from verification.reproduction.system_names import named_system
from verification.suggestions import did_you_mean


class Expected(NamedTuple):
    """What a text names."""

    system: str
    version: tuple[int, ...] = ()
    processor: str = ""
    python: str = ""
    is_exact: bool = True
    """False if a release could work on the named system and fail on this one, or the reverse."""


AMD, ARM = "x86_64", "aarch64"
NAMES = {
    # Windows
    "Windows 11 Home 23H2": Expected("windows-11", (11,)),
    "win11": Expected("windows-11", (11,)),
    "Win 10": Expected("windows-10", (10,)),
    "Win10 Pro": Expected("windows-10", (10,)),
    "windows": Expected("windows"),
    "Windows 10 x64": Expected("windows-10", (10,), AMD),
    "Windows 11 ARM64": Expected("windows-11", (11,), ARM),
    "windows-11-arm": Expected("windows-11", (11,), ARM),
    "Windows-10-10.0.19045-SP0": Expected("windows-10", (10,)),
    "Windows-11-10.0.22631-SP0": Expected("windows-11", (11,)),
    "Microsoft Windows [Version 10.0.22631.3155]": Expected("windows-11", (11,)),
    "Microsoft Windows [Version 10.0.19045.1]": Expected("windows-10", (10,)),
    "Windows Server 2019 Datacenter": Expected("windows-server-2019", (2019,)),
    "windows-2022": Expected("windows-server-2022", (2022,)),
    "windows-latest": Expected("windows-server-2025", (2025,)),
    "windows/servercore:ltsc2022": Expected("windows-server-2022", (2022,)),
    "python:3.13-windowsservercore-ltsc2022": Expected(
        "windows-server-2022", (2022,), python="3.13"
    ),
    "Windows 7": Expected("windows-10", (7,), is_exact=False),
    # macOS
    "macOS 14": Expected("macos", (14,)),
    "macOS-14.5-arm64-arm-64bit": Expected("macos", (14, 5), ARM),
    "macOS Sonoma": Expected("macos", (14,)),
    "Mac OS X 10.15.7": Expected("macos", (10, 15, 7)),
    "osx": Expected("macos"),
    "macos-latest": Expected("macos"),
    "M2 MacBook": Expected("macos"),
    "Apple M1 Mac mini": Expected("macos", (), ARM),
    # Debian and Ubuntu
    "Debian 12.5": Expected("debian-12", (12, 5)),
    "debian-12": Expected("debian-12"),
    "debian:bookworm": Expected("debian-12", (12,)),
    "debian:bookworm-slim": Expected("debian-12", (12,)),
    "Debian GNU/Linux 13 (trixie)": Expected("debian-13", (13,)),
    "bullseye": Expected("debian-11", (11,)),
    "Debian 8": Expected("debian-10", (8,), is_exact=False),
    "Ubuntu 22.04.3 LTS": Expected("ubuntu-22.04", (22, 4, 3)),
    "jammy": Expected("ubuntu-22.04", (22, 4)),
    "ubuntu22.04": Expected("ubuntu-22.04", (22, 4)),
    "Ubuntu 23.10": Expected("ubuntu-22.04", (23, 10), is_exact=False),
    "ubuntu-latest": Expected("ubuntu-24.04"),
    "Kubuntu 24.04": Expected("ubuntu-24.04", (24, 4)),
    "Linux Mint 21": Expected("linuxmint-21", (21,)),
    "Linux Mint 21.3 (based on Ubuntu 22.04)": Expected("linuxmint-21", (21, 3)),
    "Pop!_OS 22.04 LTS": Expected("ubuntu-22.04", (22, 4)),
    "Kali 2024.1": Expected("debian-forky", (2024, 1), is_exact=False),
    # images of Python and of wheels
    "python:3.13-alpine": Expected("alpine", python="3.13"),
    "python:3.13-alpine3.20": Expected("alpine", (3, 20), python="3.13"),
    "python:3.13-slim": Expected("python-3.13-slim", python="3.13"),
    "python:3.13-slim-bookworm": Expected("debian-12", (12,), python="3.13"),
    "python:3.13.2": Expected("debian-13", python="3.13.2"),
    "python:3.14t": Expected("debian-13", python="3.14t"),
    "uv:python3.13-bookworm-slim": Expected("debian-12", (12,), python="3.13"),
    "cuda:12.4.1-runtime-ubuntu22.04": Expected("ubuntu-22.04", (22, 4)),
    "manylinux_2_28_x86_64": Expected("almalinux-8", (8,), AMD),
    "manylinux2014_aarch64": Expected("centos-7", (7,), ARM),
    "musllinux_1_2_x86_64": Expected("alpine", (1,), AMD),
    # Red Hat, SUSE and others
    "RHEL 8.9": Expected("almalinux-8", (8, 9)),
    "Red Hat Enterprise Linux 8": Expected("almalinux-8", (8,)),
    "Red Hat Enterprise Linux release 9.3 (Plow)": Expected("almalinux-9", (9, 3)),
    "ubi9": Expected("almalinux-9", (9,)),
    "Rocky Linux 9": Expected("almalinux-9", (9,)),
    "AlmaLinux 8.10": Expected("almalinux-8", (8, 10)),
    "CentOS 7": Expected("centos-7"),
    "CentOS Linux 7 (Core)": Expected("centos-7", (7,)),
    "CentOS Stream 9": Expected("almalinux-9", (9,)),
    "Oracle Linux Server 8.9": Expected("almalinux-8", (8, 9)),
    "Amazon Linux 2023": Expected("amazonlinux-2023", (2023,)),
    "amazonlinux:2": Expected("amazonlinux-2"),
    "Amazon Linux release 2 (Karoo)": Expected("amazonlinux-2", (2,)),
    "Fedora 40": Expected("fedora-40"),
    "Fedora Linux 38 (Workstation)": Expected("fedora-40", (38,), is_exact=False),
    "openSUSE": Expected("opensuse-15.6"),
    "openSUSE Leap 15.5": Expected("opensuse-15.5", (15, 5)),
    "openSUSE Tumbleweed": Expected("opensuse-16", is_exact=False),
    "Arch": Expected("arch"),
    "Manjaro Linux": Expected("arch"),
    "NixOS 24.05": Expected("nixos", (24, 5)),
    "distroless/python3-debian12": Expected("debian-12", (12,)),
    "alpine 3.20": Expected("alpine", (3, 20)),
    # what contains a system
    "WSL": Expected("ubuntu-24.04"),
    "WSL2 Ubuntu 22.04": Expected("ubuntu-22.04", (22, 4)),
    "Windows 11, WSL2 with Debian 12": Expected("debian-12", (12,)),
    "Raspberry Pi OS": Expected("debian-13", (), ARM),
    "Raspberry Pi OS (bookworm) 32-bit": Expected("debian-12", (12,), "armv7l"),
    "Codespaces": Expected("ubuntu-24.04", is_exact=False),
    "GitHub Actions ubuntu-22.04": Expected("ubuntu-22.04", (22, 4), is_exact=False),
    "GitHub Actions ubuntu-latest": Expected("ubuntu-24.04", is_exact=False),
    "AWS Lambda python3.13": Expected("amazonlinux-2023", python="3.13", is_exact=False),
    "lambda/python:3.13": Expected("amazonlinux-2023", python="3.13", is_exact=False),
    "Google Colab": Expected("ubuntu-22.04", is_exact=False),
    # systems without a machine
    "Termux": Expected("android"),
    "Android 14": Expected("android", (14,)),
    "FreeBSD 14.1": Expected("freebsd", (14, 1)),
    "OpenBSD": Expected("openbsd"),
    "Pyodide": Expected("emscripten"),
    "MSYS2": Expected("mingw"),
    "Cygwin": Expected("cygwin"),
    "linux": Expected("linux"),
    "Linux-6.5.0-1-amd64-x86_64-with-glibc2.36": Expected("linux", (6, 5, 0), AMD),
}


@pytest.mark.parametrize("text", NAMES)
def test_a_name_that_people_write_is_understood(text: str) -> None:
    named = named_system(text)
    assert named
    is_exact = not any(difference.decisive for difference in named.differences)
    found = Expected(named.system.name, named.version, named.processor, named.python, is_exact)
    assert found == NAMES[text]


@pytest.mark.parametrize(
    "text", ["", "beos", "Solaris 11", "toaster", "marching", "windmill", "3.13"]
)
def test_another_text_names_no_system(text: str) -> None:
    assert named_system(text) is None


@pytest.mark.parametrize(
    ("text", "name"), [("debain", "debian"), ("ubunut", "ubuntu"), ("windos", "windows")]
)
def test_a_misspelt_name_has_a_suggestion(text: str, name: str) -> None:
    assert did_you_mean(text, system_names.names()).endswith(f" {name}?")


def test_names_are_unique_and_in_lower_case() -> None:
    names = system_names.names()
    assert len(names) == len(set(names))
    assert [name for name in names if name != name.lower()] == []


@pytest.mark.parametrize("name", ["lmde", "devuan", "proxmox", "distroless"])
def test_a_derivative_of_debian_without_a_version_is_its_newest_version(name: str) -> None:
    product = system_names._names().products[name]
    newest = max((version for version in product.systems if version), key=int)
    assert product.systems[""] == product.systems[newest]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("RHEL 8.9", ["RHEL", "8.9"]),
        ("python:3.13-alpine3.20", ["Alpine", "3.20"]),
        ("WSL2 Ubuntu 22.04", ["WSL", "Ubuntu 22.04"]),
        ("windows-2022", ["Windows Server 2022"]),
        ("AWS Lambda", ["AWS Lambda"]),
    ],
)
def test_the_title_is_that_of_the_named_system(text: str, words: list[str]) -> None:
    named = named_system(text)
    assert named
    assert [word for word in words if word not in named.title] == []


def test_every_name_in_the_table_leads_to_a_known_system() -> None:
    known = system_names.systems()
    table = system_names._names()
    names = [name for item in system_names._items() for name in item.names]
    assert len(names) == len(set(names)) > 100
    for product in table.products.values():
        assert "" in product.systems
        assert {*product.systems.values()} <= {*known}
        assert {*product.codenames.values()} <= {*product.systems} or product.title == "macOS"
    assert {item.default for item in table.environments.values()} <= {*known}


def test_every_system_is_used() -> None:
    table = system_names._names()
    used = {name for product in table.products.values() for name in product.systems.values()}
    machines = {"debian-13-glibc-2.17", "debian-13-x86-64-v1", "debian-13-musl", "python-3.13-slim"}
    assert {*system_names.systems()} == used | machines
