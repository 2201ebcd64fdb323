"""The cells of a large report, as its page contains them."""

from __future__ import annotations

import base64
import json
import zlib

import pytest

from verification.report.packed_cells import CHUNK, CellPacker, PackedCells, PackedRow


def details(packed: PackedCells) -> list[str]:
    """Return the details of all cells, as the script of the page unpacks them."""
    chunks = [json.loads(zlib.decompress(base64.b64decode(text))) for text in packed.details]
    assert all(len(chunk) == packed.chunk for chunk in chunks[:-1])
    return [text for chunk in chunks for text in chunk]


@pytest.mark.parametrize("number", [0, 1, CHUNK, CHUNK + 1, 2 * CHUNK])
def test_each_cell_has_its_row_and_its_details(number: int) -> None:
    packer = CellPacker()
    for cell in range(number):
        packer.add((f"c{cell}", "works", "verified", "1 s"), ("Debian", ""), f"<p>{cell}\udcff</p>")
    packed = packer.packed()
    assert [row.id for row in packed.rows] == [f"c{cell}" for cell in range(number)]
    assert details(packed) == [f"<p>{cell}\udcff</p>" for cell in range(number)]


def test_rows_share_their_texts() -> None:
    packer = CellPacker()
    for cell in ("a", "b"):
        packer.add((cell, "fails", "failed", ""), ("Debian", f"Reason {cell}", "debian"), "")
    packed = packer.packed()
    assert packed.texts == ("debian", "reason a", "reason b")
    assert packed.rows[1] == PackedRow("b", "fails", "failed", "", (0, 2))
