from __future__ import annotations

import functools
from pathlib import Path
from types import SimpleNamespace

import pytest

from verification.wheel import elf

_read = functools.cache(elf.read)
_check_library = functools.cache(elf.check_library)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Return a folder for the changed copies of wheels."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture(autouse=True)
def _fast_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parse equal ELF files once, and collect no garbage after each damaged PE file.

    Most wheels of the tests contain the same libraries. pefile collects garbage when it refuses a
    file, which takes 0.1 s in a test process.
    """
    monkeypatch.setattr(elf, "read", _read)
    monkeypatch.setattr(elf, "check_library", _check_library)
    monkeypatch.setattr("pefile.gc", SimpleNamespace(collect=lambda: 0))
