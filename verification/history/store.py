"""The history: the reports of all finished gates, in one SQLite file.

Each run is one transaction. A run is stored completely or not at all, even if another process
writes at the same time or the process is killed. The table ``summaries`` is the index: it has the
values by which runs are listed and chosen, so that only the reports that are compared are read.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from verification.models.base import DataError, parse_json
from verification.models.report import RESULTS_SCHEMA, Report
from verification.models.results import CellResult

SCHEMA_VERSION = RESULTS_SCHEMA
"""The schema version of the file is that of its reports."""
TIMED_RUNS = 5
"""The number of last runs that show how long a cell takes."""
SIMILAR_RUNS = 20
"""The number of last runs of the same kind with which a run is compared."""
_RUNS = """
CREATE TABLE IF NOT EXISTS runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    started TEXT NOT NULL,
    verdict TEXT NOT NULL,
    kind TEXT NOT NULL,
    results TEXT NOT NULL
) STRICT
"""
# With an index, the runs are counted without their reports.
_RUNS_BY_START = "CREATE INDEX IF NOT EXISTS runs_by_start ON runs (started)"
_SUMMARIES = """
CREATE TABLE IF NOT EXISTS summaries (
    id INTEGER PRIMARY KEY,
    started TEXT NOT NULL,
    package TEXT NOT NULL,
    version TEXT NOT NULL,
    verdict TEXT NOT NULL,
    kind TEXT NOT NULL,
    schema INTEGER NOT NULL
) STRICT
"""
_SUMMARIES_BY_KIND = "CREATE INDEX IF NOT EXISTS summaries_by_kind ON summaries (kind)"
_SUMMARIZE = """
INSERT INTO summaries (id, started, package, version, verdict, kind, schema)
SELECT id, started,
    coalesce(json_extract(valid, '$.selection.subject'), ''),
    coalesce(json_extract(valid, '$.version'), ''),
    verdict, kind,
    coalesce(json_extract(valid, '$.schema'), 0)
FROM (
    SELECT id, started, verdict, kind, iif(json_valid(results), results, '{}') AS valid
    FROM runs WHERE id = ? OR (? IS NULL AND id NOT IN (SELECT id FROM summaries))
)
"""
"""Summarize one run, or with NULL all runs without a summary."""
_IS_SUMMARIZED = """
SELECT (SELECT count(*) FROM runs) = (SELECT count(*) FROM summaries)
    AND (SELECT total(id) FROM runs) = (SELECT total(id) FROM summaries)
"""
_PRUNE = """
DELETE FROM runs WHERE id NOT IN (
    SELECT id FROM (
        SELECT id, row_number() OVER (PARTITION BY kind ORDER BY id DESC) AS place FROM summaries
    ) WHERE place <= ?
)
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
        return _title(self.name, report.started, report.selection.subject, report.version or "")

    @functools.cached_property
    def _cells(self) -> Mapping[str, CellResult]:
        return {cell.id: cell for cell in self.report.cells}

    def cell(self, ident: str) -> CellResult | None:
        """Return the result of a cell by its id; None if the run has no such cell."""
        return self._cells.get(ident)


@dataclass(frozen=True)
class RunSummary:
    """What the history lists of a run without reading its report."""

    id: int
    """The number of the run."""
    started: str
    package: str
    version: str
    """Empty if the run did not get as far as a version."""
    verdict: str
    kind: str
    """The `comparison_key` of its report."""
    schema: int
    """The schema version of its report; 0 if it has none."""

    @property
    def title(self) -> str:
        """The run in words: its name, start, package and version."""
        return _title(str(self.id), self.started, self.package, self.version)


def _title(name: str, started: str, package: str, version: str) -> str:
    return f"{name} ({started}, {package} {version or '?'})"


@dataclass(frozen=True)
class RecordedRuns:
    """Runs of the history, the oldest first."""

    runs: tuple[RecordedRun, ...]
    ignored: int = 0
    """The number of further runs, whose reports cannot be read: they have an older schema."""


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
            ).lastrowid
            database.execute(_SUMMARIZE, (added, added))
            database.execute("COMMIT")
            return int(added or 0)

    def summaries(self, package: str | None = None) -> tuple[RunSummary, ...]:
        """Return the summaries of all runs, or of the runs of a package, the oldest first.

        Raises:
            HistoryError: the file cannot be read.
        """
        if not self.file.exists():
            return ()
        columns = ", ".join(field.name for field in dataclasses.fields(RunSummary))
        query = f"SELECT {columns} FROM summaries WHERE ? IN (package, '') ORDER BY id"  # noqa: S608
        with self._open() as database:
            return tuple(RunSummary(*row) for row in database.execute(query, (package or "",)))

    def read(self, numbers: Iterable[int]) -> RecordedRuns:
        """Return the runs with these numbers, the oldest first.

        Raises:
            HistoryError: the file cannot be read.
        """
        query = (
            "SELECT id, results FROM runs WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id"
        )
        return self._read(query, json.dumps(list(numbers)))

    def runs_like(self, report: Report) -> RecordedRuns:
        """Return the last runs of the same kind as a report.

        Raises:
            HistoryError: the file cannot be read.
        """
        query = (
            "SELECT id, results FROM runs WHERE id IN "
            "(SELECT id FROM summaries WHERE kind = ? ORDER BY id DESC LIMIT ?) ORDER BY id"
        )
        return self._read(query, comparison_key(report), SIMILAR_RUNS)

    def seconds(self) -> dict[str, float]:
        """Return the newest duration of each cell in seconds, by its id.

        Only the last `TIMED_RUNS` runs are read.

        Raises:
            HistoryError: the file cannot be read.
        """
        last = self._read("SELECT id, results FROM runs ORDER BY id DESC LIMIT ?", TIMED_RUNS)
        cells = [cell for run in reversed(last.runs) for cell in run.report.cells]
        return {cell.id: cell.seconds for cell in cells if cell.seconds}

    def prune(self, kept: int) -> int:
        """Remove all runs except the newest ``kept`` of each kind. Return how many are removed.

        The removed runs leave free space in the file, which later runs use. If no other program
        uses the file, it becomes smaller.

        Raises:
            HistoryError: the file cannot be written.
        """
        if not self.file.exists():
            return 0
        with self._open() as database:
            database.execute("BEGIN IMMEDIATE")
            removed = database.execute(_PRUNE, (kept,)).rowcount
            database.execute("DELETE FROM summaries WHERE id NOT IN (SELECT id FROM runs)")
            database.execute("COMMIT")
            with contextlib.suppress(sqlite3.OperationalError):  # another program uses the file
                database.execute("VACUUM")
        return removed

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
        database.execute(_RUNS)
        database.execute(_RUNS_BY_START)
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        self._summarize(database)
        database.execute("COMMIT")

    def _summarize(self, database: sqlite3.Connection) -> None:
        """Make the summaries complete. They are made again if they are missing or damaged."""
        database.execute(_SUMMARIES)
        columns = [row[1] for row in database.execute("PRAGMA table_info(summaries)")]
        if columns == [field.name for field in dataclasses.fields(RunSummary)]:
            database.execute(_SUMMARIES_BY_KIND)
            if database.execute(_IS_SUMMARIZED).fetchone()[0]:
                return
        database.execute("DROP TABLE summaries")
        database.execute(_SUMMARIES)
        database.execute(_SUMMARIES_BY_KIND)
        database.execute(_SUMMARIZE, (None, None))
