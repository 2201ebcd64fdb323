"""In GitHub Actions: the verdict as the job summary, and the causes as annotations.

The formats are those of GitHub's documentation, "Workflow commands for GitHub Actions".
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from verification.models.cause import Cause, Severity
from verification.models.report import Report
from verification.models.verdict import Verdict
from verification.report import cause_groups, marks

_SIGNS = {
    Verdict.VERIFIED: "✅",
    Verdict.FAILED: "❌",
    Verdict.UNVERIFIED: "❔",
    Verdict.TESTBED: "⚠️",
}
"""Of a verdict: GitHub shows these in colour."""
_LEVELS = {
    Severity.BROKEN: "error",
    Severity.TESTBED: "error",
    Severity.FLAWED: "warning",
    Severity.NOTE: "notice",
}
_MOST = 10  # GitHub shows ten annotations of a kind for a step
_BYTES = 1 << 20  # and takes a mebibyte of summary


def announce(
    report: Report, folder: Path, environment: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """Show the verdict in the job that this runs in, if any; return what could not be written.

    ``environment`` is this process's own if it is left out.
    """
    environment = os.environ if environment is None else environment
    if environment.get("GITHUB_ACTIONS") != "true":
        return ()
    # A command counts at the beginning of a line only, and pytest may be in the middle of one.
    print("", *workflow_commands(report), sep="\n", file=sys.stdout, flush=True)
    if not (path := environment.get("GITHUB_STEP_SUMMARY")):
        return ()
    try:
        with Path(path).open("ab") as file:
            file.write(job_summary(report, folder).encode("utf-8", "backslashreplace")[:_BYTES])
    except OSError as error:
        return (f"not written: the job's summary {path}: {error.strerror or error}",)
    return ()


def workflow_commands(report: Report) -> Iterator[str]:
    """Yield a workflow command for each cause, at most as many of a kind as GitHub shows."""
    left = dict.fromkeys(_LEVELS.values(), _MOST)
    for cause in _counted(report):
        level = _LEVELS[cause.severity]
        if left[level]:
            left[level] -= 1
            text = _data(f"{cause.where}: {cause.message}. {cause.remedy}")
            yield f"::{level} title={_property(f'{cause.name} ({cause.severity})')}::{text}"
    for item in report.items:
        if item.verdict is not Verdict.VERIFIED and not item.causes and left["error"]:
            left["error"] -= 1
            title = _property(f"{item.id}: {item.verdict}")
            yield f"::error title={title}::{_data(item.reason or item.title)}"


def _counted(report: Report) -> Iterable[Cause]:
    occurrences = cause_groups.occurrences(cause for item in report.items for cause in item.causes)
    return (occurrence.cause for occurrence in occurrences)


def job_summary(report: Report, folder: Path) -> str:
    """Return the verdict as Markdown."""
    name = f"{report.selection.subject} {report.version}".strip()
    lines = [f"## {_SIGNS[report.verdict]} {name}: {report.verdict}"]
    if report.interrupted:
        lines.append("**The run was interrupted**: what it did not reach is not verified.")
    if own_tests := marks.own_tests_sentence(report):
        lines.append(_cell(f"**Limit**: {own_tests}."))
    lines += ["", "| item | verdict | machines | causes |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {_cell(item.title)} | {_SIGNS[item.verdict]} {item.verdict} "
        f"| {marks.machine_sentence(report.cells_of(item.id))} "
        f"| {_cell(cause_groups.name_list(item.causes) or item.reason)} |"
        for item in report.items
    ]
    if report.cells:
        lines += ["", f"<details><summary>{len(report.cells)} cells</summary>", ""]
        lines += ["| cell | outcome | causes | seconds |", "| --- | --- | --- | ---: |"]
        lines += [
            f"| {_cell(cell.id)} | {marks.OUTCOMES[cell.outcome].sign} {cell.outcome} "
            f"| {_cell(cause_groups.name_list(cell.causes) or cell.reason)} | {cell.seconds:.1f} |"
            for cell in report.cells
        ]
        lines += ["", "</details>"]
    remedies = {cause.name: cause.remedy for cause in _counted(report)}
    if remedies:
        lines += ["", *(f"- **{_cell(k)}**: {_cell(v)}" for k, v in remedies.items())]
    lines += ["", f"Open `{folder.name}/index.html` for the evidence.", ""]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("<", "&lt;").replace("|", "\\|")


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
