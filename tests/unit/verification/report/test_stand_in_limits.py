from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.sample_run import machine_records
from verification.models.report import StandInLimits
from verification.report import stand_in_limits


def test_each_machine_of_the_gate_has_a_row() -> None:
    rows = stand_in_limits.load()
    names = [name for name, record in machine_records().items() if "gate" in record.profiles]
    assert names
    assert [name for name in names if stand_in_limits.limits_of(name, rows) is None] == []


def test_a_row_can_name_several_machines() -> None:
    rows = [StandInLimits(stand_in="a-1, -x, -y", real="", same="", differs="")]
    assert stand_in_limits.limits_of("a-1-y", rows) == rows[0]
    assert stand_in_limits.limits_of("a-1-z", rows) is None


@pytest.mark.parametrize("text", ["# Stand-ins\n", "| a | b |\n", "| a | b | c | d |\n"])
def test_a_page_without_the_table_is_refused(tmp_path: Path, text: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text, "utf-8")
    with pytest.raises(ValueError, match=r"^page\.md: "):
        stand_in_limits.load(page)
