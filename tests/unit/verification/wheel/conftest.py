from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Return a folder for the changed copies of wheels."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture(autouse=True)
def _no_garbage_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop pefile from collecting garbage after each damaged file, which takes 0.1 s in a test."""
    monkeypatch.setattr("pefile.gc", SimpleNamespace(collect=lambda: 0))
