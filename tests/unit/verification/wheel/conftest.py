from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Return a folder for the changed copies of wheels."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder
