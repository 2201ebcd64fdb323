from __future__ import annotations

from pathlib import Path

import pytest

from verification.models.base import DataError
from verification.scenarios import installers


def test_a_version_of_pip_is_installed_in_the_setup() -> None:
    assert installers.named("pip-24.3").setup[0][-1] == "pip==24.3"
    assert installers.named("pip-24.3").name == "pip-24.3"


@pytest.mark.parametrize(
    ("name", "variable"), [("pip-24.1", "PIP_CERT"), ("pip-24.2", ""), ("pip-26", "")]
)
def test_only_an_older_pip_needs_a_variable_for_the_certificate(name: str, variable: str) -> None:
    assert installers.named(name).ca_variable == variable
    assert bool(installers.named(name).deviation) == bool(variable)


def test_a_version_of_uv_is_installed_in_the_setup_and_started_as_a_module() -> None:
    uv = installers.named("uv-0.5.0")
    assert uv.setup[0][-1] == "uv==0.5.0"
    assert uv.install[:3] == uv.uninstall[:3] == ("python", "-m", "uv")
    assert uv.ca_variable == installers.named("uv").ca_variable
    assert "python -m uv" in uv.deviation


@pytest.mark.parametrize(
    ("name", "program"),
    [("pip", "pip"), ("pip-24.3", "pip"), ("pip-oldest", "pip"), ("uv-0.5", "uv"),
     ("uv-tool", "uv-tool")],
)  # fmt: skip
def test_the_program_of_an_installer_has_no_version(name: str, program: str) -> None:
    assert installers.program_of(name) == program


@pytest.mark.parametrize("name", ["magic", "pip-", "pip-newer", "uv-", "pip-24.3b1", "conda-4"])
def test_an_unknown_installer_is_an_error(name: str) -> None:
    with pytest.raises(KeyError):
        installers.named(name)


def test_an_unknown_key_is_reported_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "installers.toml"
    path.write_text('[magic]\ninstall = ["magic"]\nwand = true\n')
    with pytest.raises(DataError, match=r"^installers\.toml: magic: wand: .*ca_variable, .*$"):
        installers.load(path)
