"""``./e2e survey``: verify each release of a list, and print one table."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from containers.progress import print_line, step
from containers.state import default_folder
from verification import suite
from verification.commands import common
from verification.commands.parser import LIMIT_OPTIONS
from verification.models.errors import WrongUse
from verification.models.survey import PinnedRelease, Survey, SurveyResult
from verification.models.verdict import EXIT_CODES, Verdict
from verification.report import card, markdown, results_json, signs
from verification.session import reporting, survey
from verification.session.survey import GateOptions
from verification.session.user_files import user_path

_JSON, _TABLE = "survey.json", "survey.md"


def run(options: argparse.Namespace) -> int:
    """Verify each release, print and write the table, and return the exit code.

    An interrupt keeps the results of the releases before it.

    Raises:
        WrongUse: the list or the folder of the report cannot be used.
    """
    releases = survey.read_list(user_path(options.list))
    folder = common.path_of(options.report) or default_folder(common.ROOT, "survey")
    _check_folder(folder)
    gate = GateOptions(tuple(dict.fromkeys(options.machine or ())), tuple(_arguments(options)))
    started = time.time()
    results: list[SurveyResult] = []
    _write(folder, releases, results, started)
    try:
        for number, release in enumerate(releases, 1):
            with step(f"survey: {number} of {len(releases)}: {release}"):
                name = f"{release.name}-{release.version}"
                results.append(survey.run(release, folder / name, gate))
            print_line(_line(results[-1]))
            _write(folder, releases, results, started)
    finally:
        written = _write(folder, releases, results, started)
        print(_table(written.results))
        print(f"report: {folder / _TABLE}")
    return EXIT_CODES[written.verdict]


def _arguments(options: argparse.Namespace) -> Iterable[str]:
    """Yield the options for the gate of each release."""
    if options.profile:
        yield f"--profile={options.profile}"
    if options.strict:
        yield "--strict"
    if options.no_provision:
        yield "--no-provision"
    for name, *_ in LIMIT_OPTIONS:
        if word := getattr(options, name.removeprefix("--"), None):
            yield f"{name}={word}"


def _check_folder(folder: Path) -> None:
    """Make the folder, and check that it is empty or has an earlier survey.

    Raises:
        WrongUse: it has other files, or it cannot be made or read.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        is_usable = (folder / _JSON).is_file() or not any(folder.iterdir())
    except OSError as error:
        reason = error.strerror or error
        raise WrongUse(
            f"--report {folder}: cannot be written ({reason}); name another folder"
        ) from None
    if not is_usable:
        raise WrongUse(f"--report {folder}: has files of something else; name another folder")


def _write(
    folder: Path,
    releases: Sequence[PinnedRelease],
    results: Sequence[SurveyResult],
    started: float,
) -> Survey:
    """Write ``survey.json`` and ``survey.md`` for all releases, and return the data."""
    all_results = (*results, *map(survey.not_run, releases[len(results) :]))
    data = Survey(
        verdict=survey.worst(all_results),
        finished=len(results) == len(releases),
        started=reporting.timestamp(started),
        command=suite.command_line(),
        suite_version=suite.version(),
        suite_commit=suite.commit(),
        results=all_results,
    )
    results_json.write_model(folder / _JSON, data)
    (folder / _TABLE).write_text(_markdown(data), "utf-8")
    return data


# ---- the table ----


def _line(result: SurveyResult) -> str:
    sign = signs.VERDICTS[result.verdict].sign
    return f"{sign} {result.release}: {result.verdict}: {_outcomes(result) or result.reason}"


def _outcomes(result: SurveyResult) -> str:
    """Return the outcome of each platform in one line, and the number of platforms without one."""
    entries = [card.CardEntry(p.name, p.outcome, p.text) for p in result.platforms]
    ran = [str(entry) for entry in entries if entry.outcome]
    others = len(entries) - len(ran)
    return ", ".join((*ran, *([f"{others} not run"] if others else [])))


def _rows(results: Iterable[SurveyResult]) -> list[tuple[str, str, str, str]]:
    rows = [("package", "verdict", "platforms", "causes")]
    for result in results:
        verdict = f"{signs.VERDICTS[result.verdict].sign} {result.verdict}"
        causes = ", ".join(result.causes) or result.reason
        rows.append((str(result.release), verdict, _outcomes(result), causes))
    return rows


def _table(results: Iterable[SurveyResult]) -> str:
    """Return the table for a terminal: one line for each release."""
    rows = _rows(results)
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = (
        "  ".join((*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[3]))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def _markdown(data: Survey) -> str:
    """Return the table as Markdown, with a link to each report."""
    head, *rows = _rows(data.results)
    lines = [f"| {' | '.join(head)} |", "|---|---|---|---|"]
    for result, row in zip(data.results, rows, strict=True):
        name, *others = map(markdown.line, row)
        linked = f"[{name}]({result.report}/index.html)" if result.report else name
        lines.append(f"| {' | '.join((linked, *others))} |")
    verdict = data.verdict if data.finished else Verdict.UNVERIFIED
    title = f"{len(data.results)} packages: {signs.VERDICTS[verdict].title}"
    unfinished = "" if data.finished else f" ({signs.UNFINISHED})"
    return "\n".join([f"# {title}{unfinished}", "", *lines, "", f"`{data.command}`", ""])
