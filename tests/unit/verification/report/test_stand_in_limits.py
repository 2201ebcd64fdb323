from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.sample_run import machine_records
from verification.models.report import StandInLimits
from verification.report import stand_in_limits


def test_each_machine_of_the_gate_has_a_row() -> None:
    rows = stand_in_limits.load()
    used = [name for name, record in machine_records().items() if "gate" in record.profiles]
    assert used
    assert [name for name in used if stand_in_limits.limits_of(name, rows) is None] == []


def test_one_row_may_be_about_several_machines() -> None:
    rows = [StandInLimits(stand_in="a-1, -x, -y", real="", same="", differs="")]
    assert stand_in_limits.limits_of("a-1-y", rows) == rows[0]
    assert stand_in_limits.limits_of("a-1-z", rows) is None


def test_a_page_without_the_table_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "trust.md"
    page.write_text("# Trust\n", "utf-8")
    with pytest.raises(ValueError, match="no table"):
        stand_in_limits.load(page)
    page.write_text("| a | b |\n", "utf-8")
    with pytest.raises(ValueError, match="2 cells"):
        stand_in_limits.load(page)
