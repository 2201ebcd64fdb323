from __future__ import annotations

import pytest

from tests.helpers.sample_run import LINUX, PIPELINE, WINDOWS, cell
from verification.models.report import JobRecord
from verification.report import timeline


def test_jobs_are_on_one_axis() -> None:
    first, second = timeline.job_bars(PIPELINE)
    assert first.bar
    assert second.bar
    assert (first.bar.x, first.bar.width) == (0, 964.3)
    assert (second.bar.x, second.bar.width) == (964.3, 35.7)
    assert (second.after, second.bar.seconds) == (40.5, 1.5)


def test_a_job_that_did_not_run_has_no_bar() -> None:
    jobs = (
        JobRecord(id="a", start=1_772_359_200.0, end=1_772_359_230.0, result="success"),
        JobRecord(id="b", result="skipped"),
    )
    first, second = timeline.job_bars(PIPELINE.model_copy(update={"jobs": jobs}))
    assert first.bar
    assert first.bar.seconds == 30.0
    assert second.bar is None


def test_a_report_without_times_of_jobs_has_no_axis() -> None:
    assert timeline.job_bars(None) == ()
    jobs = (JobRecord(id="b", result="skipped"),)
    assert timeline.job_bars(PIPELINE.model_copy(update={"jobs": jobs})) == ()


def test_the_bars_of_a_cell_add_up_to_its_duration() -> None:
    phases = (("install", 1.0), (timeline.OTHER, 3.0))
    rows = timeline.timings([(cell(LINUX), phases), (cell(WINDOWS), phases)])
    assert [row.id for row in rows] == [LINUX, WINDOWS]
    for row in rows:
        assert sum(bar.width for bar in row.bars) == pytest.approx(timeline.WIDTH, abs=1)


def test_the_slowest_cell_comes_first_and_cells_that_did_not_run_are_left_out() -> None:
    cells = [cell("a-pip-venv", seconds=1.0), cell("b-pip-venv", seconds=9.0)]
    cells.append(cell("c-pip-venv", reason="no image"))
    rows = timeline.timings([(result, ()) for result in cells])
    assert [row.id for row in rows] == ["b-pip-venv", "a-pip-venv"]
