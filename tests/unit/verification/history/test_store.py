from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.helpers.sample_run import LINUX, WINDOWS, cell, crash, report
from verification.history import store
from verification.history.store import History, HistoryError
from verification.models.report import AnswerKind, Report, Reproduction, RunSelection

ROOT = Path(__file__).parents[4]


@pytest.fixture
def history(tmp_path: Path) -> History:
    """Return an empty history."""
    return History(tmp_path / "state" / "history.sqlite3")


def _failed() -> Report:
    return report(cell(LINUX, crash()), cell(WINDOWS))


def _selection(**changes: object) -> RunSelection:
    return report().selection.model_copy(update=changes)


def test_recorded_runs_are_returned_unchanged(history: History) -> None:
    assert history.record(report()) == 1
    assert history.record(_failed()) == 2
    recorded = history.read([2, 1])
    assert [run.report for run in recorded.runs] == [report(), _failed()]
    assert recorded.ignored == 0


def test_reading_an_empty_history_creates_no_file(history: History) -> None:
    assert history.summaries() == ()
    assert history.read([1]).runs == ()
    assert history.prune(1) == 0
    assert history.seconds() == {}
    assert not history.file.exists()


def test_the_title_of_a_run_has_its_package_and_version() -> None:
    assert store.RecordedRun("1", report()).title == "1 (2026-03-01T10:00:00Z, quiverdb 0.5.0)"


def test_a_file_name_that_is_not_utf8_is_unchanged(history: History) -> None:
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    run = report(cell(LINUX, crash().model_copy(update={"where": name})))
    history.record(run)
    assert history.read([1]).runs[0].report == run


@pytest.mark.parametrize(
    "selection",
    [
        {"source": None, "release": "0.13.5"},
        {"source": None, "wheels": "dist"},
        {"strict": True},
        {"narrowed": ("-k x",)},
        {"subject": "other"},
        {"source": "/elsewhere"},
        {"profile": "full"},
        {"history": "none"},
        {"pipeline": True},
        {"actions_from": "/actions"},
        {"tests": "/tests"},
    ],
)
def test_runs_with_another_selection_have_another_key(selection: dict[str, object]) -> None:
    changed = report().model_copy(update={"selection": _selection(**selection)})
    assert store.comparison_key(changed) != store.comparison_key(report())


def test_runs_of_another_command_or_checkout_have_another_key() -> None:
    reproduction = Reproduction(asked={}, differs=(), kind=AnswerKind.FILES, answer="")
    for changes in ({"checkout": "0123"}, {"reproduction": reproduction}):
        changed = report().model_copy(update=changes)
        assert store.comparison_key(changed) != store.comparison_key(report())


def test_runs_of_another_commit_or_folder_of_wheels_have_the_same_key() -> None:
    changed = report().model_copy(update={"suite_commit": "abcdef0"})
    assert store.comparison_key(changed) == store.comparison_key(report())
    folders = (_selection(source=None, wheels=folder) for folder in ("/a", "/b"))
    one, other = (report().model_copy(update={"selection": chosen}) for chosen in folders)
    assert store.comparison_key(one) == store.comparison_key(other)


def test_the_seconds_of_a_cell_are_those_of_the_last_run_that_executed_it(
    history: History,
) -> None:
    for last in (cell(LINUX, seconds=3.0), cell(LINUX), cell(LINUX, reason="no image")):
        history.record(report(last))
    assert history.seconds() == {LINUX: 4.0}


def test_runs_with_an_older_schema_are_ignored_and_counted(history: History) -> None:
    history.record(report())
    with sqlite3.connect(history.file) as database:
        database.execute(
            "INSERT INTO runs (started, verdict, kind, results) VALUES ('', '', '', ?)",
            ('{"schema": 1, "verdict": "verified", "cells": [], "items": []}',),
        )
    database.close()
    recorded = history.read([1, 2])
    assert (len(recorded.runs), recorded.ignored) == (1, 1)
    assert [summary.schema for summary in history.summaries()] == [store.SCHEMA_VERSION, 1]
    assert history.seconds() == {LINUX: 4.0, WINDOWS: 4.0}


def test_a_history_with_a_newer_schema_is_not_changed(history: History) -> None:
    history.record(report())
    with sqlite3.connect(history.file) as database:
        database.execute("PRAGMA user_version = 9")
    database.close()
    content = history.file.read_bytes()
    with pytest.raises(HistoryError, match=rf"^{re.escape(str(history.file))}: .*\b9\b"):
        history.record(report())
    assert history.file.read_bytes() == content


def test_a_file_that_is_not_a_database_is_named(history: History) -> None:
    history.file.parent.mkdir(parents=True)
    history.file.write_bytes(b"no database" * 100)
    with pytest.raises(HistoryError, match=re.escape(str(history.file))):
        history.summaries()


# ---- the index ----

_DAMAGES = {
    "missing": "DROP TABLE summaries",
    "without a run": "DELETE FROM summaries WHERE id = 2",
    "with another run": "UPDATE summaries SET id = 9 WHERE id = 2",
    "of another form": "ALTER TABLE summaries ADD COLUMN colour TEXT",
}


@pytest.mark.parametrize("damage", _DAMAGES)
def test_missing_or_damaged_index_is_made_again(history: History, damage: str) -> None:
    for run in (report(), _failed(), report()):
        history.record(run)
    expected = history.summaries()
    with sqlite3.connect(history.file) as database:
        database.execute(_DAMAGES[damage])
    database.close()
    assert history.summaries() == expected
    assert [run.name for run in history.runs_like(report()).runs] == ["1", "2", "3"]


def test_index_has_the_values_of_the_report(history: History) -> None:
    history.record(_failed())
    (summary,) = history.summaries()
    assert summary.title == store.RecordedRun("1", _failed()).title
    assert summary.verdict == _failed().verdict
    assert summary.kind == store.comparison_key(_failed())
    assert history.summaries("other") == ()
    assert history.summaries(_failed().selection.subject) == (summary,)


def test_run_whose_report_is_no_json_is_in_the_index(history: History) -> None:
    history.record(report())
    with history._open() as database:
        database.execute("INSERT INTO runs (started, verdict, kind, results) VALUES ('','','','{')")
    assert [summary.schema for summary in history.summaries()] == [store.SCHEMA_VERSION, 0]


def test_runs_recorded_while_the_history_is_pruned_stay(history: History) -> None:
    barrier = threading.Barrier(2)

    def record() -> list[int]:
        barrier.wait(60)
        return [history.record(report()) for _ in range(10)]

    def prune() -> None:
        barrier.wait(60)
        for _ in range(5):
            history.prune(10)

    with ThreadPoolExecutor(2) as pool:
        recorded, pruned = pool.submit(record), pool.submit(prune)
        pruned.result()
        numbers = recorded.result()
    assert [summary.id for summary in history.summaries()] == numbers
    assert [run.name for run in history.read(numbers).runs] == list(map(str, numbers))


# ---- several writers, and a writer that is killed ----

_KILLED_WRITER = """
import os, sys, signal
from pathlib import Path
from verification.history.store import History
with History(Path(sys.argv[1]))._open() as database:
    database.execute("BEGIN IMMEDIATE")
    database.execute(
        "INSERT INTO runs (started, verdict, kind, results) VALUES ('', 'failed', '', ?)",
        (sys.stdin.read(),),
    )
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_runs_that_end_at_the_same_time_are_all_recorded(history: History) -> None:
    writers = 8
    barrier = threading.Barrier(writers)

    def record(_number: int) -> int:
        barrier.wait(60)
        return History(history.file).record(report())

    with ThreadPoolExecutor(writers) as pool:
        numbers = sorted(pool.map(record, range(writers)))
    assert numbers == list(range(1, writers + 1))
    runs = history.read(numbers).runs
    assert [summary.id for summary in history.summaries()] == numbers
    assert [run.name for run in runs] == [str(number) for number in numbers]
    assert all(run.report == report() for run in runs)


def test_a_writer_that_is_killed_leaves_only_complete_runs(history: History) -> None:
    history.record(report())
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED_WRITER, str(history.file)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        input=report().model_dump_json(by_alias=True),
        text=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert [summary.id for summary in history.summaries()] == [1]
    assert history.record(report()) == 2


def test_a_cell_is_returned_by_its_id() -> None:
    run = store.RecordedRun("1", report(cell(LINUX), cell(WINDOWS, crash(WINDOWS))))
    assert run.cell(WINDOWS) == run.report.cells[1]
    assert run.cell("debian-12-uv-venv") is None
