"""Name the cause of a failed installation from the messages of the installer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from packaging.tags import Tag
from packaging.utils import canonicalize_name, parse_wheel_filename

from verification.models.cause import Cause
from verification.models.evidence import CellEvidence, CommandRun
from verification.models.expectation import Expectation
from verification.models.index_log import IndexRequest
from verification.models.verdict import ExpectationKind
from verification.rules.finding import Finding, finding
from verification.rules.process_exit import hang, last_error

FULL_DISK = re.compile(r"No space left on device|database or disk is full")
_NO_WHEEL = re.compile(
    r"ecause (([\w.-]+?)(?:[=<>!~]=?\S+)?) (?:was not found|has no wheels|has no source)"
)
# The messages of pip and uv if nothing fits. The groups are the requirement and its project.
_NOTHING_FITS = (
    re.compile(r"No matching distribution found for (([\w.-]+)[^\s;]*)"),
    _NO_WHEEL,
    # uv writes a requirement's marker in braces.
    re.compile(r"depends? on ((?!Python\b)([\w.-]+?)(?:\{[^}]*\})?(?:[=<>!~]\S*)?)(?: and|,|\s)"),
)
_OTHER_PYTHON = re.compile(
    r".*(?:require a different python version|Requires-Python|does not satisfy Python).*"
)
_BEFORE_RESOLUTION = (
    (FULL_DISK, "disk-full"),
    (re.compile(r"DO NOT MATCH THE HASHES"), "hash-mismatch"),
    (
        re.compile(r"In --require-hashes mode|no trusted hash was provided"),
        "missing-dependency",
    ),
    # pip also reports that no distribution exists if the index does not answer.
    (
        re.compile(
            r".*(?:Temporary failure in name resolution|SSLError"
            r"|Connection (?:refused|reset|timed out)"
            r"|[Rr]ead timed out|incomplete-download|operation timed out).*"
        ),
        "index-unreachable",
    ),
)
_AFTER_RESOLUTION = (
    (re.compile(r"Permission denied|EnvironmentError.*\[Errno 13\]"), "permission"),
    (_OTHER_PYTHON, "unsupported-python"),
    (
        re.compile(
            r".*Wheel-Version \(.*\) is not compatible.*|Unsupported wheel major version.*"
            r"|.*WHEEL is missing Wheel-Version.*|Invalid Wheel-Version.*"
        ),
        "wheel-version",
    ),
    (
        re.compile(
            r".*(?:Invalid script entry point|`entry_points\.txt` is invalid"
            r"|invalid console script).*"
        ),
        "entry-point-broken",
    ),
    (
        re.compile(
            r"is invalid|has an invalid wheel|BadZipFile|Bad CRC|outside the target directory|"
            r"Error decoding metadata"
        ),
        "record-mismatch",
    ),
)
_WHOLE_LINE = ("index-unreachable", "unsupported-python", "wheel-version", "entry-point-broken")
"""The causes whose pattern matches the line with the reason. The others show the last error."""


def install_error(evidence: CellEvidence, expectation: Expectation, run: CommandRun) -> Cause:
    """Return why the installer did not install the release."""
    return _fault(evidence, expectation, run).at(evidence, " ".join(run.command[-2:]))


def _fault(evidence: CellEvidence, expectation: Expectation, run: CommandRun) -> Finding:
    if run.timed_out:
        return hang(run)
    if fault := _first_message(run.output, _BEFORE_RESOLUTION):
        return fault
    if match := _first_match(run.output):
        return _nothing_fits(evidence, expectation, match)
    return _first_message(run.output, _AFTER_RESOLUTION) or finding(
        "unclassified", "installer", code=run.code, error=last_error(run.output)
    )


def _first_message(output: str, causes: Sequence[tuple[re.Pattern[str], str]]) -> Finding | None:
    for pattern, cause in causes:
        if match := pattern.search(output):
            line = match[0].strip()[:400] if cause in _WHOLE_LINE else last_error(output)
            return finding(cause, "installer", message=line)
    return None


def _first_match(output: str) -> re.Match[str] | None:
    return next((match for pattern in _NOTHING_FITS if (match := pattern.search(output))), None)


# ---- nothing fits ----


def nothing_fits(output: str) -> bool:
    """Return whether an installer reports that no file fits a requirement."""
    return _first_match(output) is not None


def _nothing_fits(
    evidence: CellEvidence, expectation: Expectation, match: re.Match[str]
) -> Finding:
    """Return why the installer found nothing that fits the requirement in ``match``."""
    output = match.string
    project, name = canonicalize_name(expectation.project), canonicalize_name(match[2])
    # uv explains many requirements at once. One of them may be the release itself.
    is_release = name == project or any(
        canonicalize_name(line[2]) == project for line in _NO_WHEEL.finditer(output)
    )
    listed = project if is_release or name not in expectation.locked else name
    if fault := _page_not_served(evidence, expectation, listed):
        return fault
    if not is_release:
        return _missing_dependency(expectation, requirement=match[1].rstrip(","), written=match[2])
    if reason := expectation.refused_upload:
        return finding("upload-refused", "refused", reason=reason)
    for rule in (_other_python, _other_abi):
        if fault := rule(evidence, _matching_tags(evidence, expectation)):
            return fault
    if line := _OTHER_PYTHON.search(output):
        return finding("unsupported-python", "installer", message=line[0].strip()[:400])
    return _other_platform(evidence, expectation)


def is_page(line: IndexRequest, project: str) -> bool:
    """Return whether the index served its page of the project (PyPA: simple repository API)."""
    return line.path == f"/simple/{canonicalize_name(project)}/" and line.status in (200, 304)


def _page_not_served(
    evidence: CellEvidence, expectation: Expectation, project: str
) -> Finding | None:
    """Return the index's failure if it did not serve the page of the project.

    An installer prints the same message for a page without a fitting file and for a missing page.
    """
    if (
        expectation.refused_upload
        or expectation.conditions.offline
        or any(is_page(line, project) for line in evidence.requests)
    ):
        return None
    statuses = [str(line.status) for line in evidence.requests if f"/{project}/" in line.path]
    if not statuses:
        return finding("index-unreachable", "no-request", project=project)
    answers = ", ".join(dict.fromkeys(statuses))
    return finding("index-unreachable", "page", project=project, answers=answers)


def _missing_dependency(expectation: Expectation, requirement: str, written: str) -> Finding:
    cause, name = "missing-dependency", canonicalize_name(written)
    if expectation.conditions.offline:
        return finding(cause, "given", requirement=requirement)
    if name in expectation.unpublished:
        return finding(cause, "unpublished", requirement=requirement)
    if version := expectation.locked.get(name):
        available = f"{written} {version}"
        return finding(cause, "version", requirement=requirement, available=available)
    if expectation.kind is ExpectationKind.WORKS:
        # The installer requests only declared dependencies.
        return finding("dependency-not-served", "requirement", requirement=requirement)
    return finding(cause, "unlocked", requirement=requirement)


def _matching_tags(evidence: CellEvidence, expectation: Expectation) -> list[Tag]:
    """Return the tags of the release's wheels for the machine's operating system and libc."""
    platforms: tuple[str, ...] = ("musllinux", "linux", "any")
    if evidence.os == "windows":
        platforms = ("win", "any")
    elif evidence.libc[0] == "glibc":
        platforms = ("manylinux", "linux", "any")
    return [tag for tag in _tags(expectation) if tag.platform.startswith(platforms)]


def _tags(expectation: Expectation) -> Iterator[Tag]:
    for file in expectation.digests:
        yield from parse_wheel_filename(file)[3]


def _python(evidence: CellEvidence) -> tuple[int, int]:
    major, minor, *_ = evidence.python.split(".")
    return int(major), int(minor)


def _other_python(evidence: CellEvidence, tags: Sequence[Tag]) -> Finding | None:
    """Return the refusal if the wheels for this system are for other versions of Python."""
    major, minor = _python(evidence)
    interpreters = {tag.interpreter for tag in tags}
    fitting = {f"cp{major}{minor}", f"py{major}", f"py{major}{minor}"}
    stable = {f"cp3{number}" for number in range(2, minor + 1)}  # PEP 384, since 3.2
    fitting |= {tag.interpreter for tag in tags if tag.abi == "abi3"} & stable
    if not interpreters or interpreters & fitting:
        return None
    facts = {"python": f"{major}.{minor}", "wheels": ", ".join(sorted(interpreters))}
    return finding("unsupported-python", "interpreter", **facts)


def _other_abi(evidence: CellEvidence, tags: Sequence[Tag]) -> Finding | None:
    """Return the refusal if a free-threaded Python finds only wheels of the ordinary ABI."""
    major, minor = _python(evidence)
    abis = {tag.abi for tag in tags}
    # PEP 703: a free-threaded build supports neither the ordinary ABI nor abi3.
    if "t" not in evidence.abiflags or not abis or abis & {f"cp{major}{minor}t", "none"}:
        return None
    facts = {"python": f"{major}.{minor}t", "wheels": ", ".join(sorted(abis))}
    return finding("unsupported-python", "abi", **facts)


def _other_platform(evidence: CellEvidence, expectation: Expectation) -> Finding:
    listed = ", ".join(sorted({tag.platform for tag in _tags(expectation)}))
    libc = " ".join(evidence.libc).strip() or "a C library that is not glibc"
    host = f"{evidence.machine} with {libc}"
    if evidence.os == "windows":
        host = f"Windows on {evidence.machine}"
    return finding("unsupported-platform", "tags", machine=host, wheels=listed)
