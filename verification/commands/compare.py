"""``./e2e compare``: report what is new in a run, compared with an earlier run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from verification.commands import common
from verification.history.comparison import compare
from verification.history.store import TIMED_RUNS, HistoryError, RecordedRun, comparison_key
from verification.models.base import DataError
from verification.models.errors import ExitCode, WrongUse
from verification.report import results_json
from verification.session.user_files import history, user_path


def choose(
    names: Sequence[str], runs: Sequence[RecordedRun]
) -> tuple[RecordedRun, RecordedRun, list[RecordedRun]]:
    """Return the two runs asked for and the runs of the new one's kind; ``runs`` are those kept.

    Raises:
        WrongUse: there is no such run, or none to compare with.
    """
    if len(names) > 2:
        raise WrongUse("compare: it takes at most two runs")
    if len(names) == 2:
        base, new = _named(names[0], runs), _named(names[1], runs)
        return base, new, _of_kind(runs, new)
    if not names and not runs:
        raise WrongUse(f"compare: no run is kept in {history().file}; run ./e2e gate first")
    new = _named(names[0], runs) if names else runs[-1]
    alike = _of_kind(runs, new)
    earlier = _until(alike, new)
    if not earlier:
        raise WrongUse(
            f"compare: there is no earlier run like {new.title}, of the same input, narrowed alike "
            "and as strict; name two runs"
        )
    return earlier[-1], new, alike


def _of_kind(runs: Sequence[RecordedRun], new: RecordedRun) -> list[RecordedRun]:
    return [run for run in runs if comparison_key(run.report) == comparison_key(new.report)]


def _until(alike: Sequence[RecordedRun], new: RecordedRun) -> list[RecordedRun]:
    names = [run.name for run in alike]
    if new.name in names:
        return list(alike[: names.index(new.name)])
    # A report by its file, which is kept as well, or is another machine's.
    return [run for run in alike if run.report.started < new.report.started]


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
            f"compare: no run and no readable results.json is named {name}; the last runs are: "
            f"{numbers or 'none'}"
        ) from None
    common.check_finished(report, str(path))
    return RecordedRun(name, report)


def run(options: argparse.Namespace) -> ExitCode:
    """Print what is new and return 1 if something new is bad, 3 if the history cannot be read.

    Raises:
        WrongUse: there is no such run, or none to compare with.
    """
    try:
        kept = history().runs()
    except HistoryError as error:
        line = f"compare: {error}; is it a history? Move it away to begin anew"
        print(f"e2e: {line}", file=sys.stderr)
        return ExitCode.TESTBED_FAILED
    if kept.ignored:
        print(f"ignored: {kept.ignored} runs that an older version wrote", file=sys.stderr)
    if options.list:
        for known in kept.runs:
            print(f"{known.title} {known.report.verdict}")
        return ExitCode.VERIFIED
    base, new, alike = choose(options.run, kept.runs)
    findings = compare(base, new, alike)
    print(f"{base.title} -> {new.title}")
    for finding in findings:
        print(f"{'✘' if finding.bad else '·'} {finding}")
    bad = sum(finding.bad for finding in findings)
    print(f"{bad} new and bad" if bad else "nothing new and bad")
    return ExitCode.PACKAGE_FAILED if bad else ExitCode.VERIFIED
