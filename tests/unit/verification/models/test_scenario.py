from __future__ import annotations

import pytest

from verification.models.scenario import SYSTEM_FOLDERS, Installer
from verification.scenarios import scenarios

LINUX, WINDOWS = scenarios.load()["linux"], scenarios.load()["windows"]


def test_the_scenarios_that_name_the_version_are_known() -> None:
    pinned = {one.name for known in (LINUX, WINDOWS) for one in known.values() if one.pinned}
    assert pinned == {"pinned", "no-binary"}


def test_snapshots_leave_out_what_no_user_can_change() -> None:
    assert set(SYSTEM_FOLDERS) <= set(LINUX["venv"].ignored_paths)
    assert LINUX["root"].ignored_paths == LINUX["root"].ignored, "root can change all of it"
    assert WINDOWS["system"].ignored_paths == ()


@pytest.mark.parametrize(
    ("system", "name", "options"),
    [("linux", "venv", ()), ("windows", "system", ("--system",)), ("windows", "space-path", ())],
)
def test_an_installer_is_told_to_use_the_system_where_no_environment_is_active(
    system: str, name: str, options: tuple[str, ...]
) -> None:
    uv = Installer(name="uv", install=("uv", "pip", "install"), system_option=("--system",))
    known = WINDOWS if system == "windows" else LINUX
    assert known[name].options(uv) == options


def test_an_installer_trusts_the_runs_certificate_by_its_own_variable() -> None:
    installer = Installer(name="uv", install=("uv",), ca_variable="SSL_CERT_FILE")
    assert installer.environment("/ca.pem") == {"SSL_CERT_FILE": "/ca.pem"}
    assert Installer(name="pip", install=("pip",)).environment("/ca.pem") == {}
