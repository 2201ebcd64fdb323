"""The stand-in actions, run as their action.yml runs them."""

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
    """A stand-in action that is written in Python, in this process."""

    def __init__(
        self, name: str, action: str, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "path", [*sys.path, str(RUNNER)])
        self.module: ModuleType = importlib.import_module(f"stand_ins.{name}")
        self.folder = folder
        self._monkeypatch = monkeypatch
        told = yaml.safe_load((RUNNER / "actions" / action / "action.yml").read_text("utf-8"))
        self._defaults = {
            name: str((of or {}).get("default", "")) for name, of in told["inputs"].items()
        }
        monkeypatch.chdir(folder)
        for variable in ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH"):
            monkeypatch.setenv(variable, str(folder / variable.lower()))

    def run(self, **inputs: str) -> None:
        """Run it with these inputs, and the defaults of the others."""
        given = self._defaults | {name.replace("__", "-"): text for name, text in inputs.items()}
        for name in [name for name in os.environ if name.startswith("INPUT_")]:
            self._monkeypatch.delenv(name)
        for name, text in given.items():
            self._monkeypatch.setenv(f"INPUT_{name.upper()}", text)
        self.module.main()

    @property
    def outputs(self) -> dict[str, str]:
        """What it put out."""
        lines = iter((self.folder / "github_output").read_text("utf-8").splitlines())
        return {
            line.partition("<<")[0]: "\n".join(iter(lines.__next__, line.partition("<<")[2]))
            for line in lines
        }
