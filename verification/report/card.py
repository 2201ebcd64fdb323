"""The release card: the verdict of a run on one screen, one entry for each platform or Python.

A card is text that a pull request can show, and the first lines of the web page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from verification import suite
from verification.models.cause import Cause, Severity
from verification.models.errors import ExitCode
from verification.models.machine import OperatingSystem
from verification.models.report import FileCoverage, FileResult, Report
from verification.models.results import CellResult, Coverage
from verification.models.verdict import EXIT_CODES, ExpectationKind, Outcome, Verdict
from verification.report import cause_groups, signs
from verification.report.markdown import code, escaped

MEANINGS: Mapping[Verdict, str] = {
    Verdict.VERIFIED: "The run verified everything that it requires.",
    Verdict.FAILED: "The release failed this verification. The causes say why, and how to fix it.",
    Verdict.UNVERIFIED: "Something required is not verified, so the package may not work.",
    Verdict.TESTBED: "The testbed failed. This says nothing about the package.",
}
_EXIT_MEANINGS = {
    ExitCode.VERIFIED: "everything required is verified",
    ExitCode.PACKAGE_FAILED: "the package failed",
    ExitCode.TESTBED_FAILED: "the testbed failed",
    ExitCode.UNVERIFIED: "something required is not verified",
}
NOT_COVERED = "\N{EN DASH}"
"""The sign of a platform that the run says nothing about."""
_ITEMS = {
    "source-build": "Build",
    "pipeline": "Release workflow",
    "publisher": "Publisher",
    "published-files": "Published files",
}
_OUTCOMES = {
    Verdict.VERIFIED: Outcome.WORKS,
    Verdict.FAILED: Outcome.FAILS,
    Verdict.UNVERIFIED: Outcome.UNVERIFIED,
    Verdict.TESTBED: Outcome.TESTBED,
}
_OUTCOME_TEXTS = {
    Outcome.WORKS: "",
    Outcome.REFUSED: "refused",
    Outcome.UNVERIFIED: "not verified",
}
_PLATFORM_TEXTS = {
    Coverage.INSPECTED_ONLY: "inspected only",
    Coverage.UNVERIFIED: "no machine runs it",
    Coverage.NOT_SELECTED: "not selected",
    Coverage.UNDECLARED: "not covered",
}
_NOT_INSTALLED = (FileCoverage.INSPECTED, FileCoverage.NOT_READ)
_WORST_FIRST: tuple[Outcome | None, ...] = (*signs.WORST_FIRST, None)
"""The outcomes, the worst first. Any result is more important than none."""


@dataclass(frozen=True)
class CardEntry:
    """The result for one platform, one Python or one item."""

    name: str
    """Such as ``Linux x86-64``, ``Python 3.14`` or ``Release workflow``."""
    outcome: Outcome | None
    """The worst outcome; None if the run does not cover it."""
    text: str = ""
    """The cause in a few words, or why it is not covered."""

    @property
    def sign(self) -> str:
        """The sign of the outcome."""
        return signs.OUTCOMES[self.outcome].sign if self.outcome else NOT_COVERED

    def __str__(self) -> str:
        return f"{self.name} {self.sign} {self.text}".rstrip()


@dataclass(frozen=True)
class Card:
    """The release card of one run."""

    verdict: Verdict
    title: str
    meaning: str
    exit_meaning: str
    """The exit code of the run and its meaning."""
    entries: tuple[CardEntry, ...]
    basis: str
    command: str
    """The command line of the run; empty if it is not recorded."""
    started: str
    suite: str
    """The name, version and commit of the suite."""


def card(report: Report) -> Card:
    """Return the card of a report."""
    exit_code = EXIT_CODES[report.verdict]
    return Card(
        verdict=report.verdict,
        title=title(report),
        meaning=MEANINGS[report.verdict],
        exit_meaning=f"exit code {int(exit_code)}: {_EXIT_MEANINGS[exit_code]}",
        entries=tuple(entries(report)),
        basis=signs.basis_line(report),
        command=report.command,
        started=report.started,
        suite=suite.title(report.suite_version, report.suite_commit),
    )


def title(report: Report) -> str:
    """Return the release and the verdict, such as ``quiverdb 0.5.0: Verified``."""
    release = f"{report.selection.subject} {report.version}".strip()
    unfinished = "" if report.finished else f" ({signs.UNFINISHED})"
    verdict = signs.VERDICTS[report.verdict].title
    return f"{release}: {verdict}{unfinished}{signs.network_limit(report)}"


def markdown(content: Card) -> str:
    """Return the card as Markdown, for a comment on a pull request."""
    sign = signs.VERDICTS[content.verdict].sign
    lines = [f"### {sign} {escaped(content.title)}"]
    if content.entries:
        lines.append(" · ".join(escaped(str(entry)) for entry in content.entries))
    lines.append(f"{escaped(content.meaning)} ({escaped(content.exit_meaning)})")
    if content.basis:
        lines.append(f"**What this verdict is based on:** {escaped(content.basis)}")
    command = f"{code(content.command)}, " if content.command else ""
    lines.append(f"{command}{escaped(content.started)}, {escaped(content.suite)}")
    return "\n\n".join(lines) + "\n"


# ---- the entries ----


@dataclass(frozen=True)
class _Result:
    """One result of an entry."""

    name: str
    """The name of the entry."""
    outcome: Outcome | None
    """None if the run does not cover it."""
    causes: tuple[Cause, ...] = ()
    """The causes of the outcome."""
    text: str = ""
    """The text without causes."""


def entries(report: Report) -> Iterator[CardEntry]:
    """Yield an entry for each platform and Python of the cells, then the rest of the release."""
    by_name: dict[str, list[_Result]] = {}
    for result in (
        *_cell_results(report),
        *_item_results(report),
        *_platform_results(report),
        *_file_results(report.files),
    ):
        by_name.setdefault(result.name, []).append(result)
    yield from (_entry(name, results) for name, results in by_name.items())
    for item in report.items:
        if item.id in _ITEMS:
            text = _text(item.causes) if item.verdict is Verdict.FAILED else ""
            yield CardEntry(_ITEMS[item.id], _OUTCOMES[item.verdict], text)


def _entry(name: str, results: Sequence[_Result]) -> CardEntry:
    """Return the entry with the worst outcome of its results."""
    worst = min((result.outcome for result in results), key=_WORST_FIRST.index)
    same = [result for result in results if result.outcome is worst]
    text = _text(cause for result in same for cause in result.causes)
    return CardEntry(name, worst, text or next(filter(None, (r.text for r in same)), ""))


def _cell_results(report: Report) -> Iterator[_Result]:
    for name, cell in _named_cells(report):
        text = _OUTCOME_TEXTS.get(cell.outcome)
        causes = cell.causes if text is None else ()
        yield _Result(name, cell.outcome, causes, text or "")


def _named_cells(report: Report) -> Iterator[tuple[str, CellResult]]:
    """Yield each cell with the name of its entry.

    The cells with the Python of most cells have the name of their platform. A cell with another
    Python has the name of the Python. A machine that must refuse the release, although it has the
    same Python, has its own name.
    """
    machines = [(cell, report.machines.get(cell.machine)) for cell in report.cells]
    pythons = Counter(
        record.python
        for cell, record in machines
        if record and cell.expectation is ExpectationKind.WORKS
    )
    main = pythons.most_common(1)[0][0] if pythons else ""
    for cell, record in machines:
        if record is None:
            yield cell.machine, cell
        elif main and record.python != main:
            yield f"Python {record.python}", cell
        elif cell.expectation is ExpectationKind.REFUSES:
            yield cell.machine, cell
        else:
            yield signs.system_title(record.os, musl=bool(record.musl)), cell


def _item_results(report: Report) -> Iterator[_Result]:
    """Yield what the items of the operating systems have in addition to their cells.

    It is a fault of a wheel, a failure of the set-up, or a verdict that no cell has.
    """
    systems: tuple[OperatingSystem, ...] = get_args(OperatingSystem)
    items = {item.id: item for item in report.items}
    for system in systems:
        item = items.get(f"{system}-install")
        if item is None or item.verdict is Verdict.VERIFIED:
            continue
        cells = report.cells_of(item.id)
        of_cells = {(cause.name, cause.where) for cell in cells for cause in cell.causes}
        own = [cause for cause in item.causes if (cause.name, cause.where) not in of_cells]
        outcome, platform = _OUTCOMES[item.verdict], _platform(report, system)
        text = _OUTCOME_TEXTS.get(outcome, "")
        if deciding := _deciding(own, item.verdict, strict=report.selection.strict):
            for cause in deciding:
                yield _Result(_platform_of(cause, report.wheels) or platform, outcome, (cause,))
        elif item.verdict not in {cell.verdict for cell in cells}:
            yield _Result(platform, outcome, text=text)


def _platform(report: Report, system: OperatingSystem) -> str:
    """Return the platform of most machines with this system that have a cell."""
    records = [report.machines[cell.machine] for cell in report.cells_of(system)]
    titles = Counter(signs.system_title(record.os, musl=bool(record.musl)) for record in records)
    return titles.most_common(1)[0][0] if titles else signs.system_title(system)


def _platform_of(cause: Cause, wheels: Iterable[str]) -> str:
    """Return the platform of the wheel that a cause names; empty if it names none."""
    tags = (_platform_tag(wheel) for wheel in wheels if wheel in cause.where)
    return next((signs.platform_title(tag) for tag in tags if tag != "any"), "")


def _platform_tag(wheel: str) -> str:
    return wheel.removesuffix(".whl").rpartition("-")[2]


def _deciding(causes: Iterable[Cause], verdict: Verdict, *, strict: bool) -> tuple[Cause, ...]:
    """Return the causes that count and have this verdict."""
    severities = {
        Verdict.FAILED: {Severity.BROKEN, *([Severity.FLAWED] if strict else [])},
        Verdict.TESTBED: {Severity.TESTBED},
    }.get(verdict, set())
    roots = (occurrence.cause for occurrence in cause_groups.occurrences(causes))
    return tuple(cause for cause in roots if cause.severity in severities)


def _platform_results(report: Report) -> Iterator[_Result]:
    """Yield the result of each platform with a wheel or a cause that no machine covers."""
    for platform in report.platforms:
        if platform.coverage is Coverage.MACHINES or not (platform.wheels or platform.causes):
            continue
        name, strict = signs.platform_title(platform.tag), report.selection.strict
        broken = _deciding(platform.causes, Verdict.FAILED, strict=strict)
        if platform.counts and broken:
            yield _Result(name, Outcome.FAILS, broken)
            continue
        outcome = Outcome.UNVERIFIED if platform.coverage is Coverage.UNVERIFIED else None
        yield _Result(name, outcome, text=_PLATFORM_TEXTS[platform.coverage])


def _file_results(files: Iterable[FileResult]) -> Iterator[_Result]:
    for file in files:
        tag = _platform_tag(file.name)
        if file.coverage in _NOT_INSTALLED and file.name.endswith(".whl") and tag != "any":
            text = signs.FILE_COVERAGE[file.coverage]
            yield _Result(signs.platform_title(tag), None, text=text)


def _text(causes: Iterable[Cause]) -> str:
    """Return the most severe cause in a few words, with the number of others."""
    words = list(dict.fromkeys(map(_words, (o.cause for o in cause_groups.occurrences(causes)))))
    return f"{words[0]} (+{len(words) - 1})" if len(words) > 1 else "".join(words)


def _words(cause: Cause) -> str:
    facts = cause.facts
    if "library" in facts and cause.name in ("missing-runtime-library", "missing-bundled-library"):
        return f"{facts['library']} missing"
    if "installed" in facts and cause.name in ("silent-fallback", "unusable-fallback"):
        return f"falls back to {facts['installed']}"
    return cause.name.replace("-", " ")
