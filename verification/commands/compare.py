"""``./e2e compare``: print what is new in a run, compared with an earlier run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from verification.commands import common
from verification.history.comparison import compare, different_kinds
from verification.history.store import (
    SIMILAR_RUNS,
    TIMED_RUNS,
    History,
    HistoryError,
    RecordedRun,
    RunSummary,
    comparison_key,
)
from verification.models.base import DataError
from verification.models.errors import ExitCode, WrongUse
from verification.models.report import RESULTS_SCHEMA
from verification.report import results_json
from verification.session.user_files import history, user_path


class ChosenRuns(NamedTuple):
    """The runs to compare, with their reports."""

    base: RecordedRun
    new: RecordedRun
    earlier: tuple[RecordedRun, ...]
    """The last runs of the same kind before the new run, the oldest first."""
    ignored: int
    """The number of runs whose reports cannot be read."""


class _Chooser:
    """Chooses runs by their summaries, and reads only the reports of the chosen runs."""

    def __init__(self, runs: History, summaries: Sequence[RunSummary]) -> None:
        self._runs = runs
        self._summaries = summaries
        self.ignored = 0

    def read(self, summaries: Iterable[RunSummary]) -> tuple[RecordedRun, ...]:
        """Return the runs, without those whose reports cannot be read."""
        stored = self._runs.read(summary.id for summary in summaries)
        self.ignored += stored.ignored
        return stored.runs

    def last(self) -> RecordedRun | None:
        """Return the last run whose report can be read; None if there is none."""
        for summary in reversed(self._summaries):
            for run in self.read([summary]):
                return run
        return None

    def before(self, new: RecordedRun) -> tuple[RecordedRun, ...]:
        """Return the last runs of the same kind before a run, the oldest first."""
        kind = comparison_key(new.report)
        similar = [summary for summary in self._summaries if summary.kind == kind]
        stored = next((s for s in similar if str(s.id) == new.name), None)
        # The report of a file may be in the history under a number, or come from another host.
        earlier = [
            summary
            for summary in similar
            if (summary.id < stored.id if stored else summary.started < new.report.started)
        ]
        return self.read(earlier[-SIMILAR_RUNS:])

    def named(self, name: str) -> RecordedRun:
        """Return the run with this number, or the run of the report with this path."""
        for summary in self._summaries:
            if str(summary.id) == name:
                for run in self.read([summary]):
                    return run
        return _read_file(name, [str(summary.id) for summary in self._summaries[-TIMED_RUNS:]])


def choose(names: Sequence[str], runs: History, package: str | None = None) -> ChosenRuns:
    """Return the runs to compare.

    ``names`` are numbers of runs or paths of reports. ``package`` selects runs of the history.

    Raises:
        WrongUse: a name belongs to no run, or there is no earlier run to compare with.
        HistoryError: the history cannot be read.
    """
    if len(names) > 2:
        raise WrongUse(f"compare: {len(names)} runs are named; name at most two")
    summaries = [s for s in runs.summaries(package) if s.schema == RESULTS_SCHEMA]
    chooser = _Chooser(runs, summaries)
    new = chooser.named(names[-1]) if names else chooser.last()
    if new is None:
        raise WrongUse(
            f"compare: the history {runs.file} has no run to compare; run ./e2e gate first"
        )
    base = chooser.named(names[0]) if len(names) == 2 else None
    earlier = chooser.before(new)
    if base is None and not earlier:
        raise WrongUse(
            f"compare: the history has no run of the same kind before {new.title}: the same "
            "package, checkout, origin and options; name two runs"
        )
    return ChosenRuns(base or earlier[-1], new, earlier, chooser.ignored)


def _read_file(name: str, last_runs: Sequence[str]) -> RecordedRun:
    path = user_path(name)
    path = path / results_json.NAME if path.is_dir() else path
    try:
        report = results_json.read(path)
    except DataError as error:
        if path.exists():
            raise WrongUse(f"compare: {name}: not the report of a run: {error}") from None
        raise WrongUse(
            f"compare: {name}: no number of a run and no results.json; the last runs are "
            f"{', '.join(last_runs) or 'none'}"
        ) from None
    common.check_finished(report, str(path))
    return RecordedRun(name, report)


def run(options: argparse.Namespace) -> ExitCode:
    """Print the differences. Return 1 for a regression, 3 if the history cannot be read.

    Raises:
        WrongUse: a name belongs to no run, or there is no earlier run to compare with.
    """
    package = common.subject_of(options).name if options.subject else None
    try:
        if options.prune is not None:
            print(f"removed {history().prune(options.prune)} runs of the history")
            return ExitCode.VERIFIED
        if options.list:
            return _list(package)
        base, new, earlier, ignored = choose(options.run, history(), package)
    except HistoryError as error:
        line = f"compare: {error}; to start a new history, move this file away"
        print(f"e2e: {line}", file=sys.stderr)
        return ExitCode.TESTBED_FAILED
    _print_ignored(ignored)
    differences = compare(base, new, earlier)
    for line in different_kinds(base.report, new.report):
        print(f"differs in kind: {line}")
    print(f"{base.title} -> {new.title}")
    for difference in differences:
        print(f"{'✘' if difference.is_regression else '·'} {difference}")
    regressions = sum(difference.is_regression for difference in differences)
    plural = "" if regressions == 1 else "s"
    print(f"{regressions} regression{plural}" if regressions else "no regression")
    return ExitCode.PACKAGE_FAILED if regressions else ExitCode.VERIFIED


def _list(package: str | None) -> ExitCode:
    summaries = history().summaries(package)
    readable = [summary for summary in summaries if summary.schema == RESULTS_SCHEMA]
    _print_ignored(len(summaries) - len(readable))
    for summary in readable:
        print(f"{summary.title} {summary.verdict}")
    return ExitCode.VERIFIED


def _print_ignored(number: int) -> None:
    if number:
        print(f"ignored: {number} runs of an older version", file=sys.stderr)
