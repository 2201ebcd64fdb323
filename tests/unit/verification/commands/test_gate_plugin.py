from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from verification.commands.gate_plugin import Controller
from verification.models.errors import WrongUse
from verification.report.folder import MARK
from verification.session import prepare as gate


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


def _controller(folder: Path) -> Controller:
    (folder / "cells").mkdir()
    for name in ("results.json", "cells/a.json"):
        (folder / name).write_text("{}")
    return Controller(cast("Any", SimpleNamespace(report=folder, selection=None, subject=None)))


def test_wrong_use_leaves_the_last_report_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepare(*_: object) -> None:
        raise WrongUse("there is no such release")

    monkeypatch.setattr(gate, "prepare", prepare)
    controller = _controller(tmp_path)
    with pytest.raises(pytest.UsageError, match="there is no such release"):
        controller._set_up()
    controller.pytest_unconfigure()
    assert (tmp_path / "results.json").exists()
    assert (tmp_path / "cells" / "a.json").exists()


def test_a_run_that_comes_so_far_takes_the_last_reports_place(tmp_path: Path) -> None:
    controller = _controller(tmp_path)
    controller._clear()
    assert [path.name for path in tmp_path.iterdir()] == [MARK]
