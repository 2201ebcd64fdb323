"""The sign, words and colour of each outcome and verdict, for all formats of the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from verification.models.cause import Severity
from verification.models.machine import OperatingSystem
from verification.models.report import NOT_COVERED, FileCoverage, FileResult, Report
from verification.models.results import CellResult, Coverage, PlatformResult
from verification.models.verdict import SIGNS, Outcome, Verdict


class OutcomeSign(NamedTuple):
    """The sign, title and colour of an outcome or a verdict."""

    sign: str
    title: str
    style: str
    """The name of the colour in rich."""


OUTCOMES: Mapping[Outcome, OutcomeSign] = {
    outcome: OutcomeSign(SIGNS[outcome], title, style)
    for outcome, title, style in (
        (Outcome.WORKS, "Works", "green"),
        (Outcome.WORKS_FLAWED, "Works, flawed", "dark_orange"),
        (Outcome.REFUSED, "Refused", "cyan"),
        (Outcome.FALLS_BACK, "Falls back", "blue"),
        (Outcome.FAILS, "Fails", "red"),
        (Outcome.UNVERIFIED, "Not verified", "yellow"),
        (Outcome.TESTBED, "Testbed failure", "magenta"),
    )
}
EXPECTED = (Outcome.WORKS, Outcome.REFUSED)
"""The outcomes that a large report counts and does not list."""
VERDICTS: Mapping[Verdict, OutcomeSign] = {
    verdict: OutcomeSign(SIGNS[outcome], title, OUTCOMES[outcome].style)
    for verdict, outcome, title in (
        (Verdict.VERIFIED, Outcome.WORKS, "Verified"),
        (Verdict.FAILED, Outcome.FAILS, "Failed"),
        (Verdict.UNVERIFIED, Outcome.UNVERIFIED, "Not verified"),
        (Verdict.TESTBED, Outcome.TESTBED, "Testbed failure"),
    )
}
_ON_MACHINES = {
    Outcome.WORKS: "works on",
    Outcome.WORKS_FLAWED: "works with a flaw on",
    Outcome.REFUSED: "is refused on",
    Outcome.FALLS_BACK: "falls back on",
    Outcome.FAILS: "fails on",
    Outcome.UNVERIFIED: "is not verified on",
    Outcome.TESTBED: "has a testbed failure on",
}
WORST_FIRST = (
    Outcome.FAILS,
    Outcome.TESTBED,
    Outcome.UNVERIFIED,
    Outcome.WORKS_FLAWED,
    Outcome.FALLS_BACK,
    Outcome.REFUSED,
    Outcome.WORKS,
)

UNFINISHED = "the run did not finish: it was killed, or it still runs"
"""What every format says of a run without an end."""
FILE_COVERAGE: Mapping[FileCoverage, str] = {
    FileCoverage.VERIFIED: "verified on a machine",
    FileCoverage.FAILED: "failed on a machine",
    FileCoverage.INSPECTED: "inspected only",
    FileCoverage.NOT_READ: "not read",
}
_COVERAGE = {
    Coverage.INSPECTED_ONLY: "inspected only",
    Coverage.UNVERIFIED: "inspected only, although a machine is required",
    Coverage.NOT_SELECTED: "not selected, inspected only",
    Coverage.UNDECLARED: "not declared by the subject",
}
_SYSTEMS = (
    ("win", "Windows"),
    ("macosx", "macOS"),
    ("musllinux", "Linux (musl)"),
    ("manylinux", "Linux"),
    ("linux", "Linux"),
)
"""The beginnings of platform tags."""
_PROCESSORS = {
    "x86_64": "x86-64",
    "amd64": "x86-64",
    "win32": "x86",
    "i686": "x86",
    "aarch64": "ARM64",
    "arm64": "ARM64",
}
"""The ends of platform tags."""
_MACHINE_TAGS: Mapping[OperatingSystem, str] = {"linux": "linux_x86_64", "windows": "win_amd64"}
"""The platforms of the machines. The processor of all machines of machines.toml is x86-64."""


def platform_title(tag: str) -> str:
    """Return a platform tag in words, such as ``macOS ARM64``. An unknown tag stays as it is."""
    first = tag.partition(".")[0]
    for start, system in _SYSTEMS:
        if first.startswith(start):
            processors = (words for end, words in _PROCESSORS.items() if first.endswith(end))
            return f"{system} {next(processors, first.rpartition('_')[2])}"
    return tag


def system_title(system: OperatingSystem, *, musl: bool = False) -> str:
    """Return the platform of the machines with this system, in the words of `platform_title`."""
    return platform_title("musllinux_x86_64" if musl else _MACHINE_TAGS[system])


def basis_line(report: Report) -> str:
    """Return in one line what the verdict is based on; empty if the report does not record it."""
    covered = [entry for entry in report.basis if entry.name != NOT_COVERED]
    not_covered = [f"{NOT_COVERED}: {e.value}" for e in report.basis if e.name == NOT_COVERED]
    return "; ".join([*(f"{entry.name} = {entry.value}" for entry in covered), *not_covered])


def reachable_sentence(report: Report) -> str:
    """Return what machines reach outside the network of the run; empty if it is closed."""
    addresses = ", ".join(report.reachable)
    return f"not closed, machines reach the engine's host at {addresses}" if addresses else ""


def network_limit(report: Report) -> str:
    """Return the end of the line of the verdict if the network is not closed, else nothing."""
    sentence = reachable_sentence(report)
    return f"; network {sentence}" if sentence else ""


def file_sentence(file: FileResult) -> str:
    """Return how far a run verifies a file, and why no further."""
    words = FILE_COVERAGE[file.coverage]
    machines = f" ({', '.join(file.machines)})" if file.machines else ""
    checks = f" (checks: {', '.join(file.checks)})" if file.checks and not file.machines else ""
    return f"{words}{machines}{checks}" + (f": {file.reason}" if file.reason else "")


def live_index_sentence(report: Report) -> str:
    """Return in one line what was read of the live index about the publisher, or why nothing was.

    Empty if the run does not verify the publisher.
    """
    live = report.publisher.live if report.publisher else None
    if live is None:
        return ""
    names_by_publisher: dict[str, list[str]] = {}
    for name, publisher in live.publishers.items():
        names_by_publisher.setdefault(publisher, []).append(name)
    parts = [f"release {live.version}"] if live.version else []
    parts += [f"{', '.join(names)} by {text}" for text, names in names_by_publisher.items()]
    parts += [live.reason] if live.reason else []
    nothing = "" if live.publishers else "no publisher was read: "
    return f"live index: {nothing}{'; '.join(parts) or 'no reason is recorded'}"


def scope(report: Report, item_id: str) -> str:
    """Return what the verdict of an item compares; empty if the item needs no such word."""
    return report.publisher.scope if item_id == "publisher" and report.publisher else ""


def machine_counts(cells: Iterable[CellResult]) -> Mapping[Outcome, int]:
    """Return the number of machines for each outcome. The worst cell of a machine counts."""
    outcomes_by_machine: dict[str, set[Outcome]] = {}
    for cell in cells:
        outcomes_by_machine.setdefault(cell.machine, set()).add(cell.outcome)
    return Counter(
        next(outcome for outcome in WORST_FIRST if outcome in outcomes)
        for outcomes in outcomes_by_machine.values()
    )


def own_tests_sentence(report: Report) -> str:
    """Return why the package's own tests did not run; empty if they ran."""
    reason = report.own_tests_not_run
    return f"the package's own tests did not run: {reason}" if reason else ""


def machine_sentence(cells: Iterable[CellResult]) -> str:
    """Return the number of machines for each outcome, such as ``works on 5 machines``."""
    counts = machine_counts(cells)
    return ", ".join(
        f"{words} {number} machine{'s' if number > 1 else ''}"
        for outcome, words in _ON_MACHINES.items()
        if (number := counts.get(outcome, 0))
    )


def platform_sentences(platforms: Iterable[PlatformResult]) -> Iterator[str]:
    """Yield one line for each platform whose wheels no machine of the run installs.

    A platform without a wheel and without a cause has no line.
    """
    for platform in platforms:
        if platform.coverage is Coverage.MACHINES or not (platform.wheels or platform.causes):
            continue
        line = f"{_COVERAGE[platform.coverage]}: {', '.join(platform.wheels) or platform.tag}"
        causes = ", ".join(
            f"{cause.name} ({cause.where})"
            for cause in platform.causes
            if cause.severity is not Severity.NOTE
        )
        label = "findings" if platform.counts else "findings that do not count"
        parts = [line, *([f"{label}: {causes}"] if causes else [])]
        if platform.unread:
            others = len(platform.unread) - 1
            count = f" (and {others} more)" if others else ""
            parts.append(f"not read: {platform.unread[0]}{count}")
        yield "; ".join(parts)
