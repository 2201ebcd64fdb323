"""The cells of a large report, in the form in which its page contains them.

The page makes the row of a cell when it shows it, and unpacks the details of a cell when a reader
opens it. Without this, the page of 10,000 cells would have 100 MB.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

CHUNK = 100
"""The number of cells whose details are compressed together, because they resemble each other."""


class PackedRow(NamedTuple):
    """The row of a cell, as a JSON array."""

    id: str
    outcome: str
    verdict: str
    note: str
    """The text after the id."""
    words: tuple[int, ...]
    """The further texts that the search uses: positions in the list of all texts."""


@dataclass(frozen=True)
class PackedCells:
    """The cells of a report."""

    rows: tuple[PackedRow, ...]
    texts: tuple[str, ...]
    """The texts that the rows share, in lower case."""
    details: tuple[str, ...]
    """The HTML of the details of each `CHUNK` cells: a JSON list, compressed (zlib), in base64."""
    chunk: int = CHUNK


class CellPacker:
    """Packs the cells of a report one by one, so that no two need their details in memory."""

    def __init__(self) -> None:
        """Make a packer without cells."""
        self._rows: list[PackedRow] = []
        self._texts: dict[str, int] = {}
        self._details: list[str] = []
        self._chunk: list[str] = []

    def add(self, row: tuple[str, str, str, str], texts: Iterable[str], details: str) -> None:
        """Add a cell. ``row`` has its id, outcome, verdict and note; ``details`` is HTML."""
        words = dict.fromkeys(text.lower() for text in texts if text)
        numbers = tuple(self._texts.setdefault(text, len(self._texts)) for text in words)
        self._rows.append(PackedRow(*row, numbers))
        self._chunk.append(details)
        if len(self._chunk) == CHUNK:
            self._compress()

    def _compress(self) -> None:
        text = json.dumps(self._chunk, ensure_ascii=False).encode("utf-8", "backslashreplace")
        self._details.append(base64.b64encode(zlib.compress(text, 9)).decode())
        self._chunk = []

    def packed(self) -> PackedCells:
        """Return all cells."""
        if self._chunk:
            self._compress()
        return PackedCells(tuple(self._rows), tuple(self._texts), tuple(self._details))
