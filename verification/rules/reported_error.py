"""Compare an error that a user reports with the result of a cell."""

from __future__ import annotations

import re
from collections.abc import Iterable

from verification.models.evidence import CellEvidence
from verification.models.results import CellResult
from verification.models.verdict import Outcome

_REFUSALS = frozenset({"unsupported-python", "unsupported-platform"})
_FALLBACKS = frozenset({"silent-fallback", "unusable-fallback"})
# The messages of pip, uv, the dynamic loaders, Python and shells, with the causes that they have.
_KINDS: tuple[tuple[re.Pattern[str], frozenset[str]], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), frozenset(causes))
    for pattern, causes in (
        (r"version [`'\"]?GLIBC_[\d.]+.{0,3} not found", {"glibc-floor"}),
        (r"version [`'\"]?(?:GLIBCXX|CXXABI|GCC)_[\d.]+.{0,3} not found", {"libstdcxx-floor"}),
        (
            r"error 0x7e|WinError 126|DLL load failed|Could not find module|MSVCP\d|VCRUNTIME\d"
            r"|cannot open shared object file|did not manage to locate a library"
            r"|Error loading shared library|Library not loaded",
            {"missing-runtime-library", "missing-bundled-library", "wrong-load-path"},
        ),
        (
            r"undefined symbol|error 0x7f|WinError 127|symbol not found|procedure could not be",
            {"symbol-not-found", "runtime-too-old"},
        ),
        (
            r"wrong ELF class|invalid ELF header|error 0xc1\b|WinError 193|incompatible arch"
            r"|not a valid Win32|file too short",
            {"wrong-architecture", "damaged-library", "tag-mismatch"},
        ),
        (r"executable stack", {"executable-stack"}),
        (r"Illegal instruction|0xC000001D|SIGILL|ISA level", {"illegal-instruction"}),
        (
            r"Segmentation fault|0xC0000005|SIGSEGV|access violation|core dumped|SIGABRT|Aborted"
            r"|error 0x45a|WinError 1114",
            {"crash", "runtime-too-old"},
        ),
        (
            r"require a different python|Requires-Python|does not satisfy Python"
            r"|No matching distribution|Could not find a version that satisfies|has no wheels"
            r"|not a supported wheel|No solution found|was not found in the (?:package )?registry",
            {*_REFUSALS, *_FALLBACKS, "missing-dependency", "dependency-not-fitting"},
        ),
        (
            r"Failed (?:to )?build|subprocess-exited-with-error|metadata-generation-failed"
            r"|Microsoft Visual C\+\+ 14|CMake|command '.*gcc' failed",
            {"sdist-fallback", "silent-fallback", "dependency-not-fitting"},
        ),
        (
            r"No module named|has no attribute|cannot import name",
            {*_FALLBACKS, "missing-dependency", "entry-point-broken", "shadowed-import"},
        ),
        (r"DO NOT MATCH THE HASHES|hash mismatch", {"hash-mismatch"}),
        (r"Permission denied|Access is denied|WinError 5\b|Errno 13", {"permission"}),
        (r"CERTIFICATE_VERIFY_FAILED|SSLError|self.signed certificate", {"index-unreachable"}),
        (r"SyntaxError", {"syntax-error"}),
        (r"timed out|hangs|frozen forever", {"hang"}),
    )
)
_VARIABLE = re.compile(r"0x[0-9a-f]{6,}|'[^']*'|\"[^\"]*\"|(?:[a-z]:)?[\\/][^\s:'\"]+|\d{4,}", re.I)
"""The parts of a message that differ between machines: addresses, quoted texts, paths."""
_MIN_WORDS = 3


def causes_of(text: str) -> frozenset[str]:
    """Return the names of the causes that have this error; empty if the error is unknown."""
    return next((causes for pattern, causes in _KINDS if pattern.search(text)), frozenset())


def agrees(error: str, result: CellResult, evidence: CellEvidence) -> bool:
    """Return True if a cell failed in the way that a user reports.

    The reported error belongs to a cause of the cell, or the machine printed the same message.
    """
    names = {cause.name for cause in result.causes if not cause.follows}
    if result.outcome is Outcome.REFUSED:
        names |= _REFUSALS
    if result.outcome is Outcome.FALLS_BACK:
        names |= _FALLBACKS
    return bool(names & causes_of(error)) or _is_printed(error, _messages(evidence))


def _messages(evidence: CellEvidence) -> Iterable[str]:
    """Yield the lines that the user of the machine sees."""
    for run in (evidence.install, evidence.import_run, evidence.exercise):
        yield from (run.output if run else "").splitlines()
    for step in evidence.steps.by_name().values():
        if step.error:
            yield f"{step.error.type}: {step.error.message}"


def _is_printed(error: str, messages: Iterable[str]) -> bool:
    expected = _constant(error)
    if len(expected.split()) < _MIN_WORDS:
        return False
    return any(expected in _constant(message) for message in messages)


def _constant(message: str) -> str:
    """Return the part of a message that is the same on every machine."""
    return " ".join(_VARIABLE.sub(" ", message).split()).lower()
