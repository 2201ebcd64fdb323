"""Keeps the host's settings out of the unit tests, and the tests' files out of the host's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_FOREIGN = ("PIP_", "UV_", "DOCKER_", "QUIVERDB_E2E_", "XDG_")


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Take the host's settings away; return the state folder that a test has instead."""
    for name in list(os.environ):
        if name.startswith(_FOREIGN):
            monkeypatch.delenv(name)
    folder = tmp_path / "isolated"
    monkeypatch.setenv("HOME", str(folder / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    monkeypatch.setenv("QUIVERDB_E2E_STATE", str(folder / "state"))
    return folder / "state"
