"""Isolates the unit tests: they use no settings of the host, and write no files into its cache."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from containers.progress import PROGRESS

_HOST_SETTINGS = ("PIP_", "UV_", "DOCKER_", "QUIVERDB_E2E_", "XDG_")


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Remove the settings of the host from the environment. Return the state folder of the test.

    No bytecode of the modules of a test is stored. Afterwards the progress has its default output
    again, which a command can change.
    """
    for name in list(os.environ):
        if name.startswith(_HOST_SETTINGS):
            monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    folder = tmp_path / "isolated"
    monkeypatch.setenv("HOME", str(folder / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    monkeypatch.setenv("QUIVERDB_E2E_STATE", str(folder / "state"))
    yield folder / "state"
    PROGRESS.print_to(None)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let SIGINT raise KeyboardInterrupt, also if the shell started pytest in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
