"""The scenarios of scenarios.toml."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path

import pydantic

from verification.models.base import Model, read_toml, validate
from verification.models.machine import OperatingSystem
from verification.models.scenario import Scenario

PATH = Path(__file__).with_name("scenarios.toml")
LINUX_ONLY = {
    "as_root",
    "code_before_import",
    "ignored",
    "installers",
    "python",
    "setup",
    "uninstall",
}
"""The keys that a scenario on Windows does not take from the same scenario on Linux."""


class _Table(pydantic.BaseModel):
    """A table of the file. Keys without a field here are fields of Scenario."""

    model_config = pydantic.ConfigDict(frozen=True, extra="allow")

    home: str = ""
    environment: Mapping[str, str] = {}

    @property
    def fields(self) -> dict[str, pydantic.JsonValue]:
        return self.model_extra or {}


class _File(Model):
    defaults: Mapping[OperatingSystem, _Table]
    linux: Mapping[str, _Table]
    windows: Mapping[str, _Table]


@functools.cache
def load(path: Path = PATH) -> Mapping[OperatingSystem, Mapping[str, Scenario]]:
    """Return the scenarios of each operating system by name, in the order of the file.

    Raises:
        DataError: the file cannot be read, or a scenario does not fit the model.
    """
    file = read_toml(_File, path)
    linux = {name: _scenario(file, "linux", name, table) for name, table in file.linux.items()}
    windows = {
        name: _scenario(file, "windows", name, table) for name, table in file.windows.items()
    }
    return {"linux": linux, "windows": windows}


def _scenario(file: _File, system: OperatingSystem, name: str, table: _Table) -> Scenario:
    defaults = file.defaults[system]
    on_linux = file.linux.get(name, _Table())
    environment = {**defaults.environment, **table.environment}
    fields = {
        **defaults.fields,
        **{key: value for key, value in on_linux.fields.items() if key not in LINUX_ONLY},
        **table.fields,
        "name": name,
        "system": system,
        "environment": {key: value for key, value in environment.items() if value},
    }
    home = json.dumps(table.home or defaults.home)[1:-1]
    expanded = json.loads(json.dumps(fields).replace("{home}", home))
    return validate(Scenario, expanded, f"{PATH.name}: {system}.{name}")
