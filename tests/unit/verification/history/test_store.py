from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.sample_run import LINUX, WINDOWS, cell, crash, report
from verification.history import store
from verification.history.store import History, HistoryError
from verification.models.report import Report, RunSelection

ROOT = Path(__file__).parents[4]


@pytest.fixture
def history(tmp_path: Path) -> History:
    """Return a history that holds nothing."""
    return History(tmp_path / "state" / "history.sqlite3")


def _bad() -> Report:
    return report(cell(LINUX, crash()), cell(WINDOWS))


def _selection(**changes: object) -> RunSelection:
    return report().selection.model_copy(update=changes)


def test_a_run_is_kept_as_it_was(history: History) -> None:
    assert history.record(report()) == 1
    assert history.record(_bad()) == 2
    kept = history.runs()
    assert [run.report for run in kept.runs] == [report(), _bad()]
    assert kept.ignored == 0


def test_where_no_run_was_kept_there_is_none_and_no_file(history: History) -> None:
    assert history.runs().runs == ()
    assert history.seconds() == {}
    assert not history.file.exists()


def test_the_title_of_a_run_has_its_package_and_version() -> None:
    assert store.RecordedRun("1", report()).title == "1 (2026-03-01T10:00:00Z, quiverdb 0.5.0)"


def test_a_file_name_that_is_no_utf8_is_kept(history: History) -> None:
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    run = report(cell(LINUX, crash().model_copy(update={"where": name})))
    history.record(run)
    assert history.runs().runs[0].report == run


@pytest.mark.parametrize(
    "other",
    [
        {"source": None, "release": "0.13.5"},
        {"source": None, "wheels": "dist"},
        {"strict": True},
        {"narrowed": ("-k x",)},
        {"subject": "other"},
    ],
)
def test_runs_of_another_input_strictness_extent_or_package_are_of_another_kind(
    other: dict[str, object],
) -> None:
    changed = report().model_copy(update={"selection": _selection(**other)})
    assert store.comparison_key(changed) != store.comparison_key(report())


def test_runs_of_one_input_from_another_folder_are_of_one_kind() -> None:
    changed = report().model_copy(update={"selection": _selection(source="/elsewhere")})
    assert store.comparison_key(changed) == store.comparison_key(report())


def test_the_seconds_are_those_of_the_last_run_in_which_a_cell_ran(history: History) -> None:
    for last in (cell(LINUX, seconds=3.0), cell(LINUX), cell(LINUX, reason="no image")):
        history.record(report(last))
    assert history.seconds() == {LINUX: 4.0}


def test_runs_of_an_older_form_are_ignored_and_counted(history: History) -> None:
    history.record(report())
    with sqlite3.connect(history.file) as database:
        database.execute(
            "INSERT INTO runs (started, verdict, kind, results) VALUES ('', '', '', ?)",
            ('{"schema": 1, "verdict": "verified", "cells": [], "items": []}',),
        )
    database.close()
    kept = history.runs()
    assert (len(kept.runs), kept.ignored) == (1, 1)
    assert history.seconds() == {LINUX: 4.0, WINDOWS: 4.0}


def test_a_history_of_a_newer_form_is_left_alone(history: History) -> None:
    history.record(report())
    with sqlite3.connect(history.file) as database:
        database.execute("PRAGMA user_version = 9")
    database.close()
    with pytest.raises(HistoryError, match="form is 9"):
        history.record(report())


def test_a_file_that_is_no_database_is_named(history: History) -> None:
    history.file.parent.mkdir(parents=True)
    history.file.write_bytes(b"no database" * 100)
    with pytest.raises(HistoryError, match=str(history.file)):
        history.runs()


# ---- several writers, and one that is killed ----

_WRITER = """
import sys
from pathlib import Path
from verification.history.store import History
from verification.models.base import parse_json
from verification.models.report import Report
report = parse_json(Report, sys.stdin.read(), "stdin")
for _ in range(10):
    History(Path(sys.argv[1])).record(report)
"""
_KILLED = """
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


def _start(program: str, history: History) -> subprocess.Popen[str]:
    started = subprocess.Popen(
        [sys.executable, "-c", program, str(history.file)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        text=True,
    )
    assert started.stdin
    started.stdin.write(report().model_dump_json(by_alias=True))
    started.stdin.close()
    return started


def test_runs_that_end_at_the_same_time_are_all_kept(history: History) -> None:
    started = [_start(_WRITER, history) for _ in range(3)]
    assert [process.wait(120) for process in started] == [0, 0, 0]
    kept = history.runs().runs
    assert [run.name for run in kept] == [str(number) for number in range(1, 31)]
    assert all(run.report == report() for run in kept)


def test_a_run_killed_while_it_writes_leaves_whole_runs_only(history: History) -> None:
    history.record(report())
    assert _start(_KILLED, history).wait(120) == -9
    assert len(history.runs().runs) == 1
    assert history.record(report()) == 2
