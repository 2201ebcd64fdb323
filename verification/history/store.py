"""The history of runs: the report of every finished run, in one SQLite file.

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
"""The form of the file is that of the reports that are written to it."""
TIMED_RUNS = 5
"""How many of the last runs say how long a cell takes."""
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
    """The history cannot be read or written; the message, one line, names its file."""


@dataclass(frozen=True)
class RecordedRun:
    """One run of the history, or of a file."""

    name: str
    """The number or the file by which it is asked for."""
    report: Report

    @property
    def title(self) -> str:
        """The run as a person reads it."""
        report = self.report
        version = f"{report.selection.subject} {report.version or '?'}"
        return f"{self.name} ({report.started}, {version})"


@dataclass(frozen=True)
class RecordedRuns:
    """The runs that are kept, oldest first."""

    runs: tuple[RecordedRun, ...]
    ignored: int = 0
    """How many more there are, which an older version wrote in another form."""


def comparison_key(report: Report) -> str:
    """Return what a run verified, and how: runs of one kind can be compared."""
    chosen = report.selection
    given = "release" if chosen.release else "wheels" if chosen.wheels else "source"
    return json.dumps(
        {
            "input": chosen.release or given,
            "strict": chosen.strict,
            "narrowed": sorted(chosen.narrowed),
            "subject": chosen.subject,
        },
        sort_keys=True,
    )


@dataclass(frozen=True)
class History:
    """The runs in one file. It is made when the first run is kept."""

    file: Path

    def record(self, report: Report) -> int:
        """Keep a finished run; return its number.

        Raises:
            HistoryError: the file cannot be written, is locked for half a minute, is no database
                or was written by a newer version.
        """
        text = json.dumps(report.model_dump(mode="json", by_alias=True))
        with self._open() as database:
            # The lock is taken at the beginning, so that two runs wait for each other.
            database.execute("BEGIN IMMEDIATE")
            added = database.execute(
                "INSERT INTO runs (started, verdict, kind, results) VALUES (?, ?, ?, ?)",
                (report.started, str(report.verdict), comparison_key(report), text),
            )
            database.execute("COMMIT")
            return int(added.lastrowid or 0)

    def runs(self) -> RecordedRuns:
        """Return every run that is kept.

        Raises:
            HistoryError: the file cannot be read.
        """
        return self._read("SELECT id, results FROM runs ORDER BY id")

    def seconds(self) -> dict[str, float]:
        """Return how long each cell took when it last ran, by the last runs of any kind.

        Raises:
            HistoryError: the file cannot be read.
        """
        last = self._read("SELECT id, results FROM runs ORDER BY id DESC LIMIT ?", TIMED_RUNS)
        cells = [cell for run in reversed(last.runs) for cell in run.report.cells]
        return {cell.id: cell.seconds for cell in cells if cell.seconds}

    def _read(self, query: str, *values: int) -> RecordedRuns:
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
            opened = sqlite3.connect(self.file, timeout=30, isolation_level=None)
            with contextlib.closing(opened) as database:
                self._prepare(database)
                yield database
        except (sqlite3.Error, OSError) as error:
            raise HistoryError(f"{self.file}: {error}") from error

    def _prepare(self, database: sqlite3.Connection) -> None:
        # Readers and the writer do not wait for each other, and a crash leaves the last commit.
        database.execute("PRAGMA journal_mode = WAL")
        (form,) = database.execute("PRAGMA user_version").fetchone()
        if form > SCHEMA_VERSION:
            raise HistoryError(
                f"{self.file}: its form is {form}, and this version knows {SCHEMA_VERSION}"
            )
        database.execute("BEGIN IMMEDIATE")
        database.execute(_TABLE)
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        database.execute("COMMIT")
