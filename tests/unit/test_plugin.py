from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.support import gate
from tests.support.plugin import Controller


def test_a_report_is_written_by_one_run_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared: list[str] = []

    def prepare(*_: object) -> None:
        prepared.append("prepared")

    monkeypatch.setattr(gate, "prepare", prepare)
    first, second, other = (
        Controller(
            cast("Any", SimpleNamespace(report=folder, selection=None, subject=None, prepared=None))
        )
        for folder in (tmp_path, tmp_path, tmp_path / "other")
    )
    for controller in (first, other):
        controller._set_up()
    (tmp_path / "cells").mkdir()
    with pytest.raises(pytest.UsageError, match="another run is writing its report there"):
        second._set_up()
    assert prepared == ["prepared", "prepared"]
    assert (tmp_path / "cells").is_dir(), "the report of the other is as it was"
    first.pytest_unconfigure()
    second._set_up()
    for controller in (second, other):
        controller.pytest_unconfigure()
