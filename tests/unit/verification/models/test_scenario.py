from __future__ import annotations

import pytest

from verification.models.scenario import SYSTEM_FOLDERS, Installer
from verification.scenarios import scenarios

LINUX, WINDOWS = scenarios.load()["linux"], scenarios.load()["windows"]


def test_a_scenario_is_pinned_if_its_requirement_has_a_version() -> None:
    scenarios_of_all_systems = (*LINUX.values(), *WINDOWS.values())
    pinned = {scenario.name for scenario in scenarios_of_all_systems if scenario.pinned}
    assert pinned == {"pinned", "no-binary"}


def test_snapshots_leave_out_folders_that_the_user_cannot_change() -> None:
    assert set(SYSTEM_FOLDERS) <= set(LINUX["venv"].ignored_paths)
    assert LINUX["root"].ignored_paths == LINUX["root"].ignored, "root can change all folders"
    assert WINDOWS["system"].ignored_paths == ()


@pytest.mark.parametrize(
    ("system", "name", "options"),
    [("linux", "venv", ()), ("windows", "system", ("--system",)), ("windows", "space-path", ())],
)
def test_an_installer_gets_the_system_option_only_without_an_environment(
    system: str, name: str, options: tuple[str, ...]
) -> None:
    uv = Installer(name="uv", install=("uv", "pip", "install"), system_option=("--system",))
    scenario = (WINDOWS if system == "windows" else LINUX)[name]
    assert scenario.options(uv) == options


def test_an_installer_with_a_variable_gets_the_ca_certificate() -> None:
    installer = Installer(name="uv", install=("uv",), ca_variable="SSL_CERT_FILE")
    assert installer.environment("/ca.pem") == {"SSL_CERT_FILE": "/ca.pem"}
    assert Installer(name="pip", install=("pip",)).environment("/ca.pem") == {}
