"""``./e2e compare``: print what is new in a run, compared with an earlier run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from verification.commands import common
from verification.history.comparison import compare, different_kinds
from verification.history.store import TIMED_RUNS, HistoryError, RecordedRun, comparison_key
from verification.models.base import DataError
from verification.models.errors import ExitCode, WrongUse
from verification.report import results_json
from verification.session.user_files import history, user_path


def choose(
    names: Sequence[str], runs: Sequence[RecordedRun]
) -> tuple[RecordedRun, RecordedRun, list[RecordedRun]]:
    """Return the earlier run, the new run, and all runs that are comparable with the new one.

    ``names`` are numbers of runs or paths of reports. ``runs`` are the runs of the history.

    Raises:
        WrongUse: a name belongs to no run, or there is no earlier run to compare with.
    """
    if len(names) > 2:
        raise WrongUse(f"compare: {len(names)} runs are named; name at most two")
    if len(names) == 2:
        base, new = _named(names[0], runs), _named(names[1], runs)
        return base, new, _comparable(runs, new)
    if not names and not runs:
        raise WrongUse(
            f"compare: the history {history().file} has no run to compare; run ./e2e gate first"
        )
    new = _named(names[0], runs) if names else runs[-1]
    comparable = _comparable(runs, new)
    earlier = _before(comparable, new)
    if not earlier:
        raise WrongUse(
            f"compare: the history has no run of the same kind before {new.title}: the same "
            "package, checkout, origin and options; name two runs"
        )
    return earlier[-1], new, comparable


def _comparable(runs: Sequence[RecordedRun], new: RecordedRun) -> list[RecordedRun]:
    return [run for run in runs if comparison_key(run.report) == comparison_key(new.report)]


def _before(runs: Sequence[RecordedRun], new: RecordedRun) -> list[RecordedRun]:
    names = [run.name for run in runs]
    if new.name in names:
        return list(runs[: names.index(new.name)])
    # The report of a file may be in the history under a number, or come from another host.
    return [run for run in runs if run.report.started < new.report.started]


def _named(name: str, runs: Sequence[RecordedRun]) -> RecordedRun:
    for run in runs:
        if run.name == name:
            return run
    path = user_path(name)
    path = path / results_json.NAME if path.is_dir() else path
    try:
        report = results_json.read(path)
    except DataError as error:
        if path.exists():
            raise WrongUse(f"compare: {name}: not the report of a run: {error}") from None
        numbers = ", ".join(run.name for run in runs[-TIMED_RUNS:])
        raise WrongUse(
            f"compare: {name}: no number of a run and no results.json; the last runs are "
            f"{numbers or 'none'}"
        ) from None
    common.check_finished(report, str(path))
    return RecordedRun(name, report)


def run(options: argparse.Namespace) -> ExitCode:
    """Print the differences. Return 1 for a regression, 3 if the history cannot be read.

    Raises:
        WrongUse: a name belongs to no run, or there is no earlier run to compare with.
    """
    try:
        stored = history().runs()
    except HistoryError as error:
        line = f"compare: {error}; to start a new history, move this file away"
        print(f"e2e: {line}", file=sys.stderr)
        return ExitCode.TESTBED_FAILED
    if stored.ignored:
        print(f"ignored: {stored.ignored} runs of an older version", file=sys.stderr)
    runs = stored.runs
    if options.subject:
        package = common.subject_of(options).name
        runs = tuple(run for run in runs if run.report.selection.subject == package)
    if options.list:
        for recorded in runs:
            print(f"{recorded.title} {recorded.report.verdict}")
        return ExitCode.VERIFIED
    base, new, comparable = choose(options.run, runs)
    differences = compare(base, new, comparable)
    for line in different_kinds(base.report, new.report):
        print(f"differs in kind: {line}")
    print(f"{base.title} -> {new.title}")
    for difference in differences:
        print(f"{'✘' if difference.is_regression else '·'} {difference}")
    regressions = sum(difference.is_regression for difference in differences)
    plural = "" if regressions == 1 else "s"
    print(f"{regressions} regression{plural}" if regressions else "no regression")
    return ExitCode.PACKAGE_FAILED if regressions else ExitCode.VERIFIED
