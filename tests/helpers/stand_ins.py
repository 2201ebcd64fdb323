"""Run the stand-ins for GitHub actions, with the default inputs of their action.yml."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

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
        definition = yaml.safe_load((RUNNER / "actions" / action / "action.yml").read_text("utf-8"))
        self._defaults = {
            name: str((details or {}).get("default", ""))
            for name, details in definition["inputs"].items()
        }
        monkeypatch.chdir(folder)
        for variable in ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH"):
            monkeypatch.setenv(variable, str(folder / variable.lower()))

    def run(self, **inputs: str) -> None:
        """Run the action with these inputs, and the defaults for all others."""
        values = self._defaults | {name.replace("__", "-"): text for name, text in inputs.items()}
        for name in [name for name in os.environ if name.startswith("INPUT_")]:
            self._monkeypatch.delenv(name)
        for name, text in values.items():
            self._monkeypatch.setenv(f"INPUT_{name.upper()}", text)
        self.module.main()

    @property
    def outputs(self) -> dict[str, str]:
        """The values that the action wrote to GITHUB_OUTPUT, by name."""
        lines = iter((self.folder / "github_output").read_text("utf-8").splitlines())
        return {
            line.partition("<<")[0]: "\n".join(iter(lines.__next__, line.partition("<<")[2]))
            for line in lines
        }
