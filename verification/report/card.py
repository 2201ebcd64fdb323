"""The release card: the verdict of a run on one screen, one entry for each platform or Python.

A card is text that a pull request can show, and the first lines of the web page.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from verification import suite
from verification.models.cause import Cause, Severity
from verification.models.errors import ExitCode
from verification.models.report import FileCoverage, FileResult, Report
from verification.models.results import CellResult, Coverage, PlatformResult
from verification.models.verdict import EXIT_CODES, ExpectationKind, Outcome, Verdict
from verification.report import cause_groups, signs

MEANINGS: Mapping[Verdict, str] = {
    Verdict.VERIFIED: "Everything that this run requires works on clean machines.",
    Verdict.FAILED: "The package is broken for users. The causes say where, and how to fix it.",
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
_ITEMS = {"source-build": "Build", "pipeline": "Release workflow", "publisher": "Publisher"}
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
_FILE_TEXTS = {
    FileCoverage.INSPECTED: "inspected only",
    FileCoverage.NOT_READ: "not covered",
}
_SYSTEMS = (
    ("win", "Windows"),
    ("macosx", "macOS"),
    ("musllinux", "Linux (musl)"),
    ("manylinux", "Linux"),
    ("linux", "Linux"),
)
_PROCESSORS = {
    "x86_64": "x86-64",
    "amd64": "x86-64",
    "win32": "x86",
    "i686": "x86",
    "aarch64": "ARM64",
    "arm64": "ARM64",
}
_SYSTEM_TITLES = {"linux": "Linux", "windows": "Windows"}
_PROCESSOR = "x86-64"
"""The processor of all machines of machines.toml."""


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
    code = EXIT_CODES[report.verdict]
    return Card(
        verdict=report.verdict,
        title=title(report),
        meaning=MEANINGS[report.verdict],
        exit_meaning=f"exit code {int(code)}: {_EXIT_MEANINGS[code]}",
        entries=tuple(entries(report)),
        basis=signs.basis_line(report),
        command=report.command,
        started=report.started,
        suite=suite.title(report.suite_version, report.suite_commit),
    )


def title(report: Report) -> str:
    """Return the release and the verdict, such as ``quiverdb 0.5.0: Verified``."""
    release = f"{report.selection.subject} {report.version}".strip()
    unfinished = "" if report.finished else " (the run did not finish)"
    return f"{release}: {signs.VERDICTS[report.verdict].title}{unfinished}"


def markdown(content: Card) -> str:
    """Return the card as Markdown, for a comment on a pull request."""
    sign = signs.VERDICTS[content.verdict].sign
    lines = [f"### {sign} {_escaped(content.title)}"]
    if content.entries:
        lines.append(" · ".join(_escaped(str(entry)) for entry in content.entries))
    lines.append(f"{_escaped(content.meaning)} ({_escaped(content.exit_meaning)})")
    if content.basis:
        lines.append(f"**What this verdict is based on:** {_escaped(content.basis)}")
    command = f"{_code(content.command)}, " if content.command else ""
    lines.append(f"{command}{_escaped(content.started)}, {_escaped(content.suite)}")
    return "\n\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    """Return one line whose characters have no meaning in Markdown or HTML."""
    return re.sub(r"([\\`*_{}\[\]<>#|~])", r"\\\1", " ".join(text.split()))


def _code(text: str) -> str:
    """Return one line as code. A backtick cannot be escaped in code, so it becomes a quote."""
    return f"`{' '.join(text.split()).replace('`', chr(39))}`"


# ---- the entries ----


def entries(report: Report) -> Iterator[CardEntry]:
    """Yield an entry for each platform and Python of the cells, then the rest of the release."""
    names: set[str] = set()
    for entry in (
        *_cell_entries(report),
        *map(_platform_entry, filter(_is_without_machine, report.platforms)),
        *_file_entries(report.files),
    ):
        if entry.name not in names:
            names.add(entry.name)
            yield entry
    for item in report.items:
        if item.id in _ITEMS:
            text = _text(item.causes) if item.verdict is Verdict.FAILED else ""
            yield CardEntry(_ITEMS[item.id], _OUTCOMES[item.verdict], text)


def _cell_entries(report: Report) -> Iterator[CardEntry]:
    groups: dict[str, list[CellResult]] = {}
    for name, cell in _named_cells(report):
        groups.setdefault(name, []).append(cell)
    for name, cells in groups.items():
        outcome = next(o for o in signs.WORST_FIRST if any(cell.outcome is o for cell in cells))
        worst = [cell for cell in cells if cell.outcome is outcome]
        yield CardEntry(name, outcome, _cell_text(outcome, worst))


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
            yield f"{_SYSTEM_TITLES[record.os]} {_PROCESSOR}", cell


def _is_without_machine(platform: PlatformResult) -> bool:
    is_released = bool(platform.wheels or platform.causes)
    return platform.coverage is not Coverage.MACHINES and is_released


def _platform_entry(platform: PlatformResult) -> CardEntry:
    name = platform_name(platform.tag)
    broken = [cause for cause in platform.causes if cause.severity is Severity.BROKEN]
    if platform.counts and broken:
        return CardEntry(name, Outcome.FAILS, _text(broken))
    outcome = Outcome.UNVERIFIED if platform.coverage is Coverage.UNVERIFIED else None
    return CardEntry(name, outcome, _PLATFORM_TEXTS[platform.coverage])


def _file_entries(files: Iterable[FileResult]) -> Iterator[CardEntry]:
    for file in files:
        tag = file.name.removesuffix(".whl").rpartition("-")[2]
        if file.coverage in _FILE_TEXTS and file.name.endswith(".whl") and tag != "any":
            yield CardEntry(platform_name(tag), None, _FILE_TEXTS[file.coverage])


def platform_name(tag: str) -> str:
    """Return a platform tag in words, such as ``macOS ARM64``. An unknown tag stays as it is."""
    first = tag.partition(".")[0]
    for start, system in _SYSTEMS:
        if first.startswith(start):
            processors = (words for end, words in _PROCESSORS.items() if first.endswith(end))
            return f"{system} {next(processors, first.rpartition('_')[2])}"
    return tag


def _cell_text(outcome: Outcome, cells: Sequence[CellResult]) -> str:
    if outcome in _OUTCOME_TEXTS:
        return _OUTCOME_TEXTS[outcome]
    return _text(cause for cell in cells for cause in cell.causes)


def _text(causes: Iterable[Cause]) -> str:
    """Return the heaviest cause in a few words, with the number of others."""
    words = list(dict.fromkeys(map(_words, (o.cause for o in cause_groups.occurrences(causes)))))
    return f"{words[0]} (+{len(words) - 1})" if len(words) > 1 else "".join(words)


def _words(cause: Cause) -> str:
    facts = cause.facts
    if "library" in facts and cause.name in ("missing-runtime-library", "missing-bundled-library"):
        return f"{facts['library']} missing"
    if "installed" in facts and cause.name in ("silent-fallback", "unusable-fallback"):
        return f"falls back to {facts['installed']}"
    return cause.name.replace("-", " ")
