"""A reply to a bug report, in Markdown: what was run, the result, the cause, a workaround."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from verification.models.cause import Cause, Severity, sorted_causes
from verification.models.report import Conclusion, Report, Reproduction
from verification.report import markdown
from verification.report.scrub import Scrubber

NAME = "reply.md"
_TITLES = {
    Conclusion.REPRODUCED: "Reproduced",
    Conclusion.NOT_REPRODUCED: "Not reproduced on the nearest machine",
    Conclusion.ANSWERED_FROM_FILES: "Answered from the files of the release",
    Conclusion.NOT_JUDGED: "Not judged",
}


def write(path: Path, report: Report) -> None:
    """Write the reply of a report with a reproduction."""
    path.write_text(text(report), "utf-8")


def text(report: Report) -> str:
    """Return the reply of a report with a reproduction; empty for another report."""
    if report.reproduction is None:
        return ""
    return Scrubber().text("\n".join(_lines(report, report.reproduction)) + "\n")


def _lines(report: Report, reproduction: Reproduction) -> Iterator[str]:
    package = f"{report.selection.subject} {report.version}"
    title = _TITLES.get(reproduction.conclusion) if reproduction.conclusion else ""
    yield f"**{title or 'Answer'}:** {reproduction.answer}."
    yield ""
    yield from _table(report, reproduction, package)
    yield from _list("Differences from the reported machine", reproduction.differs)
    causes = _causes(report)
    yield from _list("Cause", [f"`{cause.name}`: {cause.message}." for cause in causes])
    yield from _list("Workaround", reproduction.workarounds)
    yield from _list("Remedy in the package", list(dict.fromkeys(c.remedy for c in causes)))


def _table(report: Report, reproduction: Reproduction, package: str) -> Iterator[str]:
    rows = {"release": package}
    asked = [f"{name} {value}" for name, value in reproduction.asked.items() if name != "release"]
    rows["reported"] = f"`{', '.join(asked)}`" if asked else ""
    if used := reproduction.used:
        rows["machine"] = f"{used.title}, Python {used.python}, {used.installer}"
    if report.cells:
        (cell,) = report.cells
        commands = cell.summary.commands if cell.summary else ()
        install = [item for item in commands if item.name == "install"]
        rows["command"] = ", ".join(f"`{item.command}`" for item in install)
        names = ", ".join(dict.fromkeys(cause.name for cause in cell.causes))
        rows["result"] = f"{cell.outcome}{f' ({names})' if names else ''}"
    if error := next((fact for fact in reproduction.reported if fact.name == "error"), None):
        rows["reported error"] = f"`{error.value}`"
    yield "| | |"
    yield "|---|---|"
    yield from (f"| {name} | {markdown.line(value)} |" for name, value in rows.items() if value)


def _causes(report: Report) -> list[Cause]:
    causes = sorted_causes(cause for cell in report.cells for cause in cell.causes)
    return [c for c in causes if not c.follows and c.severity is not Severity.NOTE]


def _list(title: str, lines: list[str] | tuple[str, ...]) -> Iterator[str]:
    if lines:
        yield from ("", f"{title}:", "", *(f"- {line}" for line in lines))
