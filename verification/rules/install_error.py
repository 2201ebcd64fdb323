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
# How pip and uv say that nothing fits; the groups are the requirement and the project in it.
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
    # To pip, an index that does not answer has no distribution either.
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
"""The causes whose pattern takes the line that says it; the others show the last error."""


def install_error(evidence: CellEvidence, expectation: Expectation, run: CommandRun) -> Cause:
    """Return why the installer ended without having installed the release."""
    return _fault(evidence, expectation, run).at(evidence, " ".join(run.command[-2:]))


def _fault(evidence: CellEvidence, expectation: Expectation, run: CommandRun) -> Finding:
    if run.timed_out:
        return hang(run)
    if fault := _first_message(run.output, _BEFORE_RESOLUTION):
        return fault
    if match := _first_match(run.output):
        return _nothing_fits(evidence, expectation, match)
    observed = f"ended with {run.code}: {last_error(run.output)}"
    return _first_message(run.output, _AFTER_RESOLUTION) or finding(
        "unclassified", observed, code=run.code
    )


def _first_message(output: str, known: Sequence[tuple[re.Pattern[str], str]]) -> Finding | None:
    for pattern, cause in known:
        if match := pattern.search(output):
            line = match[0].strip()[:400] if cause in _WHOLE_LINE else last_error(output)
            return finding(cause, line, message=line)
    return None


def _first_match(output: str) -> re.Match[str] | None:
    return next((match for pattern in _NOTHING_FITS if (match := pattern.search(output))), None)


# ---- where nothing fits ----


def _nothing_fits(
    evidence: CellEvidence, expectation: Expectation, match: re.Match[str]
) -> Finding:
    """Return why the installer found nothing that fits the requirement in ``match``."""
    output = match.string
    project, name = canonicalize_name(expectation.project), canonicalize_name(match[2])
    # uv explains many requirements at once; one of them may be the project's own.
    is_own = name == project or any(
        canonicalize_name(found[2]) == project for found in _NO_WHEEL.finditer(output)
    )
    listed = project if is_own or name not in expectation.locked else name
    if fault := _page_not_served(evidence, expectation, listed):
        return fault
    if not is_own:
        return _missing_dependency(expectation, requirement=match[1].rstrip(","), written=match[2])
    if expectation.refused_upload:
        return finding("upload-refused", expectation.refused_upload)
    for rule in (_other_python, _other_abi):
        if fault := rule(evidence, _matching_tags(evidence, expectation)):
            return fault
    if line := _OTHER_PYTHON.search(output):
        observed = line[0].strip()[:400]
        return finding("unsupported-python", observed, message=observed)
    return _other_platform(evidence, expectation)


def is_page(line: IndexRequest, project: str) -> bool:
    """Return whether the index served its list of the project's files (PyPA: simple repository)."""
    return line.path == f"/simple/{canonicalize_name(project)}/" and line.status in (200, 304)


def _page_not_served(
    evidence: CellEvidence, expectation: Expectation, project: str
) -> Finding | None:
    """Return the index's failure if it did not serve the page of the project.

    An installer has the same message if a page lists nothing that fits and if there is no page.
    """
    if (
        expectation.refused_upload
        or expectation.conditions.offline
        or any(is_page(line, project) for line in evidence.requests)
    ):
        return None
    asked = [str(line.status) for line in evidence.requests if f"/{project}/" in line.path]
    answers = ", ".join(dict.fromkeys(asked)) or "nothing"
    observed = f"it refused without the index's page of {project}, which alone can tell; asked for,"
    observed += f" it was answered with {answers}"
    return finding("index-unreachable", observed, project=project, answers=answers)


def _missing_dependency(expectation: Expectation, requirement: str, written: str) -> Finding:
    name = canonicalize_name(written)
    version = expectation.locked.get(name)
    must_work = expectation.kind is ExpectationKind.WORKS
    if expectation.conditions.offline:
        reason = "which is not among the files that it was given"
    elif name in expectation.unpublished:
        reason = "which no package index has"
    elif version:
        reason = f"and the index has {written} {version}"
    elif must_work:
        # The installer asks for nothing that is not declared.
        observed = f"needs {requirement}, which is declared and not on the index of the run"
        return finding("dependency-not-served", observed, requirement=requirement)
    else:
        reason = "which is not among the locked dependencies"
    observed = f"needs {requirement}, {reason}"
    return finding("missing-dependency", observed, requirement=requirement)


def _matching_tags(evidence: CellEvidence, expectation: Expectation) -> list[Tag]:
    """Return the tags of the release's wheels for the machine's kind of system."""
    kinds: tuple[str, ...] = ("musllinux", "linux", "any")
    if evidence.os == "windows":
        kinds = ("win", "any")
    elif evidence.libc[0] == "glibc":
        kinds = ("manylinux", "linux", "any")
    return [tag for tag in _tags(expectation) if tag.platform.startswith(kinds)]


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
    listed = ", ".join(sorted(interpreters))
    observed = f"CPython {major}.{minor} refused cleanly: the release's wheels are for {listed}"
    return finding("unsupported-python", observed, python=f"{major}.{minor}", wheels=listed)


def _other_abi(evidence: CellEvidence, tags: Sequence[Tag]) -> Finding | None:
    """Return the refusal if a free-threaded Python finds only wheels of the ordinary ABI."""
    major, minor = _python(evidence)
    abis = {tag.abi for tag in tags}
    # PEP 703: a free-threaded build takes neither the ordinary ABI nor abi3.
    if "t" not in evidence.abiflags or not abis or abis & {f"cp{major}{minor}t", "none"}:
        return None
    listed = ", ".join(sorted(abis))
    observed = f"CPython {major}.{minor}t (free-threaded) refused cleanly: the release's wheels"
    observed += f" are for the ABI {listed}"
    return finding("unsupported-python", observed, python=f"{major}.{minor}t", wheels=listed)


def _other_platform(evidence: CellEvidence, expectation: Expectation) -> Finding:
    listed = ", ".join(sorted({tag.platform for tag in _tags(expectation)}))
    libc = " ".join(evidence.libc).strip() or "a C library that is not glibc"
    host = f"{evidence.machine} with {libc}"
    if evidence.os == "windows":
        host = f"Windows on {evidence.machine}"
    observed = f"{host} refused cleanly: the wheels are for {listed}"
    return finding("unsupported-platform", observed, machine=host, wheels=listed)
