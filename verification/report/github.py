"""For GitHub Actions: the verdict as the job summary, and the causes as annotations.

GitHub's documentation describes the formats ("Workflow commands for GitHub Actions").
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from verification.models import printable
from verification.models.cause import Severity
from verification.models.report import Report
from verification.models.verdict import Verdict
from verification.report import cause_groups, markdown, signs
from verification.report.cause_groups import Occurrence

_SIGNS = {
    Verdict.VERIFIED: "✅",
    Verdict.FAILED: "❌",
    Verdict.UNVERIFIED: "❔",
    Verdict.TESTBED: "⚠️",
}
"""The sign of each verdict. GitHub shows these signs in colour."""
_LEVELS = {
    Severity.BROKEN: "error",
    Severity.TESTBED: "error",
    Severity.FLAWED: "warning",
    Severity.NOTE: "notice",
}
_MAX_ANNOTATIONS = 10  # GitHub shows at most ten annotations of a level for each step
_MAX_SUMMARY_BYTES = 1 << 20  # GitHub accepts at most 1 MiB of summary for each step


def announce(
    report: Report, folder: Path, environment: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """Show the verdict in the GitHub job of this process, if it has one.

    Returns one remark for each part that could not be written. ``environment`` is the environment
    of this process by default.
    """
    environment = os.environ if environment is None else environment
    if environment.get("GITHUB_ACTIONS") != "true":
        return ()
    # A command must be at the beginning of a line, and pytest may have begun a line.
    output = printable.trusted(sys.stdout)
    print("", *workflow_commands(report), sep="\n", file=output, flush=True)
    if not (path := environment.get("GITHUB_STEP_SUMMARY")):
        return ()
    try:
        with Path(path).open("ab") as file:
            summary = job_summary(report, folder).encode("utf-8", "backslashreplace")
            file.write(summary[:_MAX_SUMMARY_BYTES])
    except OSError as error:
        return (f"job summary not written: {path}: {error.strerror or error}",)
    return ()


def workflow_commands(report: Report) -> Iterator[str]:
    """Yield a workflow command for each cause, up to the number that GitHub shows."""
    remaining = dict.fromkeys(_LEVELS.values(), _MAX_ANNOTATIONS)
    for cause in (occurrence.cause for occurrence in _occurrences(report)):
        level = _LEVELS[cause.severity]
        if remaining[level]:
            remaining[level] -= 1
            text = _data(f"{cause.where}: {cause.message}. {cause.remedy}")
            yield f"::{level} title={_property(f'{cause.name} ({cause.severity})')}::{text}"
    for item in report.items:
        if item.verdict is not Verdict.VERIFIED and not item.causes and remaining["error"]:
            remaining["error"] -= 1
            title = _property(f"{item.id}: {item.verdict}")
            yield f"::error title={title}::{_data(item.reason or item.title)}"


def _occurrences(report: Report) -> Sequence[Occurrence]:
    return cause_groups.occurrences(cause for item in report.items for cause in item.causes)


def job_summary(report: Report, folder: Path) -> str:
    """Return the verdict as Markdown."""
    name = f"{report.selection.subject} {report.version}".strip()
    limit = signs.network_limit(report)
    lines = [f"## {_SIGNS[report.verdict]} {name}: {report.verdict}{limit}"]
    if report.interrupted:
        lines += ["", "**The run was interrupted**: cells that did not run are not verified."]
    if basis := signs.basis_line(report):
        lines += ["", markdown.line(f"**Based on**: {basis}.")]
    if live := signs.live_index_sentence(report):
        lines += ["", markdown.line(f"**Publisher**: {signs.scope(report, 'publisher')}; {live}.")]
    if own_tests := signs.own_tests_sentence(report):
        lines += ["", markdown.line(f"**Limit**: {own_tests}.")]
    lines += ["", "| item | verdict | machines | causes |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {markdown.line(item.title)} | {_SIGNS[item.verdict]} {item.verdict} "
        f"| {signs.machine_sentence(report.cells_of(item.id)) or signs.scope(report, item.id)} "
        f"| {markdown.line(cause_groups.name_list(item.causes) or item.reason)} |"
        for item in report.items
    ]
    if report.cells:
        lines += ["", f"<details><summary>{len(report.cells)} cells</summary>", ""]
        lines += ["| cell | outcome | causes | seconds |", "| --- | --- | --- | ---: |"]
        lines += [
            f"| {markdown.line(cell.id)} | {signs.OUTCOMES[cell.outcome].sign} {cell.outcome} "
            f"| {markdown.line(cause_groups.name_list(cell.causes) or cell.reason)} "
            f"| {cell.seconds:.1f} |"
            for cell in report.cells
        ]
        lines += ["", "</details>"]
    if report.files:
        lines += ["", f"<details><summary>{len(report.files)} files</summary>", ""]
        lines += ["| file | coverage |", "| --- | --- |"]
        lines += [
            f"| {markdown.line(f.name)} | {markdown.line(signs.file_sentence(f))} |"
            for f in report.files
        ]
        lines += ["", "</details>"]
    if causes := list(_cause_lines(report)):
        lines += ["", *causes]
    lines += ["", f"Open `{folder.name}/index.html` for the evidence.", ""]
    return "\n".join(lines)


def _cause_lines(report: Report) -> Iterator[str]:
    """Yield each cause that counts with its remedy, and its following causes under it."""
    following: dict[tuple[str, str], list[str]] = {}
    for occurrence in _occurrences(report):
        key = (occurrence.cause.name, occurrence.cause.remedy)
        names = following.setdefault(key, [])
        names += [cause.name for cause in occurrence.following if cause.name not in names]
    for (name, remedy), names in following.items():
        yield f"- **{markdown.line(name)}**: {markdown.line(remedy)}"
        yield from (f"  - follows: {markdown.line(name)}" for name in names)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
