"""Run the stand-ins for GitHub actions, as any version of the actions."""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from containers.runner.action_sources import replaced_version

RUNNER = Path(__file__).resolve().parents[2] / "containers" / "images" / "runner"


class Action:
    """A stand-in for a GitHub action, written in Python. It runs in this process."""

    def __init__(
        self, name: str, action: str, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "path", [*sys.path, str(RUNNER)])
        self.module: ModuleType = importlib.import_module(f"stand_ins.{name}")
        self.folder = folder
        self._monkeypatch = monkeypatch
        self._action = action
        monkeypatch.chdir(folder)
        for variable in ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH"):
            monkeypatch.setenv(variable, str(folder / variable.lower()))

    def run(self, version: str = "", **inputs: str) -> None:
        """Run the action with these inputs, and the defaults for all others.

        ``version`` is the version that it replaces; empty for the newest.
        """
        for name in [name for name in os.environ if name.startswith("INPUT_")]:
            self._monkeypatch.delenv(name)
        for name, text in inputs.items():
            self._monkeypatch.setenv(f"INPUT_{name.replace('__', '-').upper()}", text)
        for name, text in version_variables(self._action, version).items():
            self._monkeypatch.setenv(name, text)
        self.module.main()

    @property
    def outputs(self) -> dict[str, str]:
        """The values that the action wrote to GITHUB_OUTPUT, by name."""
        lines = iter((self.folder / "github_output").read_text("utf-8").splitlines())
        return {
            line.partition("<<")[0]: "\n".join(iter(lines.__next__, line.partition("<<")[2]))
            for line in lines
        }


def version_variables(action: str, version: str) -> dict[str, str]:
    """Return the variables from which a stand-in reads the version that it replaces."""
    replaced = replaced_version(RUNNER / "actions" / action, version) if version else None
    table = {"owner/action@ref": replaced} if replaced else {}
    return {
        "E2E_ACTIONS": json.dumps(table),
        "GITHUB_ACTION_REPOSITORY": "owner/action",
        "GITHUB_ACTION_REF": "ref",
    }
