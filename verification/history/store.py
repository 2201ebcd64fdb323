"""The history: the reports of all finished gates, in one SQLite file.

Each run is one transaction. A run is stored completely or not at all, even if another process
writes at the same time or the process is killed.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from verification.models.base import DataError, parse_json
from verification.models.report import RESULTS_SCHEMA, Report

SCHEMA_VERSION = RESULTS_SCHEMA
"""The schema version of the file is that of its reports."""
TIMED_RUNS = 5
"""The number of last runs that show how long a cell takes."""
SIMILAR_RUNS = 20
"""The number of last runs of the same kind with which a gate compares itself."""
_TABLE = """
CREATE TABLE IF NOT EXISTS runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    started TEXT NOT NULL,
    verdict TEXT NOT NULL,
    kind TEXT NOT NULL,
    results TEXT NOT NULL
) STRICT
"""


class HistoryError(Exception):
    """The history cannot be read or written. The one-line message names its file."""


@dataclass(frozen=True)
class RecordedRun:
    """One run of the history, or of a report file."""

    name: str
    """The number of the run in the history, or the name of the report file."""
    report: Report

    @property
    def title(self) -> str:
        """The run in words: its name, start, package and version."""
        report = self.report
        version = f"{report.selection.subject} {report.version or '?'}"
        return f"{self.name} ({report.started}, {version})"


@dataclass(frozen=True)
class RecordedRuns:
    """The runs of the history, the oldest first."""

    runs: tuple[RecordedRun, ...]
    ignored: int = 0
    """The number of further runs, which have an older schema."""


def run_kind(report: Report) -> dict[str, str]:
    """Return the kind of a run: its command and its options, by name.

    Only runs of one kind are compared. The version of a published release and the folder of a
    source are part of the kind. A folder of wheels and the commit of the checkout are not.

    The command is ``gate`` or ``reproduce``. No other command writes a report: a replay prints its
    results. Only gates are recorded. A reproduction is compared by the path of its report.
    """
    selection = report.selection
    source = f"source {selection.source}"
    wheels = "a folder of wheels" if selection.wheels else source
    release = f"release {selection.release}"
    if selection.published_by:
        release += ", compared with the files of an earlier gate"
    return {
        "command": "reproduce" if report.reproduction else "gate",
        "package": selection.subject,
        "checkout": report.checkout,
        "origin": release if selection.release else wheels,
        "profile": selection.profile,
        "history": selection.history,
        "strict": "yes" if selection.strict else "no",
        "selection": ", ".join(sorted(selection.narrowed)) or "whole profile",
        "pipeline": "yes" if selection.pipeline else "no",
        "actions": "real actions" if selection.actions_from else "stand-in actions",
        "own tests": "yes" if selection.tests else "no",
        "limits": str(selection.limits or "default"),
    }


def comparison_key(report: Report) -> str:
    """Return the kind of a run as a key of the history."""
    return json.dumps(run_kind(report), sort_keys=True)


@dataclass(frozen=True)
class History:
    """The runs in one file. The first run that is recorded creates the file."""

    file: Path

    def record(self, report: Report) -> int:
        """Record a finished run and return its number.

        Raises:
            HistoryError: the file cannot be written, is locked for 30 seconds, is not a database,
                or was written by a newer version.
        """
        text = json.dumps(report.model_dump(mode="json", by_alias=True))
        with self._open() as database:
            # Lock at the beginning, so that a second run waits.
            database.execute("BEGIN IMMEDIATE")
            added = database.execute(
                "INSERT INTO runs (started, verdict, kind, results) VALUES (?, ?, ?, ?)",
                (report.started, str(report.verdict), comparison_key(report), text),
            )
            database.execute("COMMIT")
            return int(added.lastrowid or 0)

    def runs(self) -> RecordedRuns:
        """Return all runs.

        Raises:
            HistoryError: the file cannot be read.
        """
        return self._read("SELECT id, results FROM runs ORDER BY id")

    def runs_like(self, report: Report) -> RecordedRuns:
        """Return the last runs of the same kind as a report.

        Raises:
            HistoryError: the file cannot be read.
        """
        query = "SELECT id, results FROM runs WHERE kind = ? ORDER BY id DESC LIMIT ?"
        last = self._read(query, comparison_key(report), SIMILAR_RUNS)
        return RecordedRuns(last.runs[::-1], last.ignored)

    def seconds(self) -> dict[str, float]:
        """Return the newest duration of each cell in seconds, by its id.

        Only the last `TIMED_RUNS` runs are read.

        Raises:
            HistoryError: the file cannot be read.
        """
        last = self._read("SELECT id, results FROM runs ORDER BY id DESC LIMIT ?", TIMED_RUNS)
        cells = [cell for run in reversed(last.runs) for cell in run.report.cells]
        return {cell.id: cell.seconds for cell in cells if cell.seconds}

    def _read(self, query: str, *values: int | str) -> RecordedRuns:
        if not self.file.exists():
            return RecordedRuns(())
        runs, ignored = [], 0
        with self._open() as database:
            for number, text in database.execute(query, values):
                try:
                    runs.append(RecordedRun(str(number), parse_json(Report, text, f"run {number}")))
                except DataError:
                    ignored += 1
        return RecordedRuns(tuple(runs), ignored)

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self.file, timeout=30, isolation_level=None)
            with contextlib.closing(connection) as database:
                self._prepare(database)
                yield database
        except (sqlite3.Error, OSError) as error:
            raise HistoryError(f"{self.file}: {error}") from error

    def _prepare(self, database: sqlite3.Connection) -> None:
        # With WAL, readers and the writer do not block each other, and commits survive a crash.
        database.execute("PRAGMA journal_mode = WAL")
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            raise HistoryError(
                f"{self.file}: its schema version {version} is newer than the supported version "
                f"{SCHEMA_VERSION}; use a newer version of the suite"
            )
        database.execute("BEGIN IMMEDIATE")
        database.execute(_TABLE)
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        database.execute("COMMIT")
