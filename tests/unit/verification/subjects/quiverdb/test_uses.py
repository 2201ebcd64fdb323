from __future__ import annotations

from pathlib import Path

from tests.helpers import binaries
from verification.subjects.quiverdb import uses


def test_the_global_symbols_and_the_slots_of_a_library_are_read(
    tmp_path: Path,
) -> None:
    library = tmp_path / "sample.so"
    library.write_bytes(binaries.elf(exports=["own", "other"], interposable=["own"]))
    exports, slots = uses._symbols(str(library))
    assert exports == {"own", "other"}
    assert slots == [("own", False, 0x2000, 0)]
