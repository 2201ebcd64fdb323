"""Name the cause of a failed step of the exercise from its exception."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from verification.models.evidence import CellEvidence, StepError
from verification.models.expectation import Expectation
from verification.rules import install_paths as paths
from verification.rules import loader_messages
from verification.rules.finding import Finding, finding
from verification.rules.install_error import FULL_DISK
from verification.rules.load_path import wrong_load_path
from verification.wheel import stdlib

INTERPOSED = "Interposed"
"""What a use of the subject raises if another library's code answers."""
_NO_MODULE = re.compile(r"No module named '([\w.]+)'")
_NO_NAME = re.compile(r"cannot import name '(\w+)' from '([\w.]+)'")
_ROOM = 50_000_000
"""Free bytes with which no step of the exercise can fill a disk."""


class Failure(NamedTuple):
    """What a step raised."""

    step: str
    type: str
    message: str
    """Type and message."""
    trace: str = ""
    """The traceback; empty if there is none."""

    @classmethod
    def of(cls, step: str, error: StepError) -> Failure:
        """Return the failure of a step."""
        return cls(step, error.type, f"{error.type}: {error.message}", error.trace)


NEVER_REACHED = Failure("", "", "it was never reached")


def step_error(failure: Failure, evidence: CellEvidence, expectation: Expectation) -> Finding:
    """Return the fault that a failed step shows."""
    for rule in _RULES:
        if fault := rule(failure, evidence, expectation):
            return fault
    name = "round-trip-failed" if failure.step == "round-trip" else "unclassified"
    return finding(name, failure.message[:300], error=failure.type)


def _full_disk(failure: Failure, evidence: CellEvidence, _: Expectation) -> Finding | None:
    if (evidence.free_bytes or 0) < _ROOM and FULL_DISK.search(failure.message):
        return finding("disk-full", failure.message[:300], free_bytes=evidence.free_bytes or 0)
    return None


def _syntax_error(failure: Failure, _: CellEvidence, __: Expectation) -> Finding | None:
    if failure.type == "SyntaxError":
        return finding("syntax-error", failure.message[:300])
    return None


def _load_path(
    failure: Failure, evidence: CellEvidence, expectation: Expectation
) -> Finding | None:
    return wrong_load_path(failure.message, failure.trace, evidence, expectation)


def _loader(failure: Failure, evidence: CellEvidence, expectation: Expectation) -> Finding | None:
    return loader_messages.explain(failure.message, evidence, expectation.libraries)


def _missing_module(
    failure: Failure, evidence: CellEvidence, expectation: Expectation
) -> Finding | None:
    # A message of the package's own can mention a module.
    is_import = failure.type == "ImportError" or "ModuleNotFoundError" in failure.message
    match = _NO_MODULE.search(failure.message)
    if not is_import or not match:
        return None
    module, package = match[1], match[1].split(".")[0]
    if _was_installed(module, evidence, expectation):
        observed = "the installed files are gone or no package: nothing of it can be imported"
        return finding("record-mismatch", observed, module=module)
    if package in stdlib.NAMES:
        observed = f"needs the module {module}, which this Python's standard library has not"
        return finding("standard-library-mismatch", observed, module=module)
    missing = module if package == expectation.module else package
    observed = f"needs the module {missing}, which was not installed with it"
    return finding("missing-dependency", observed, module=missing)


def _was_installed(module: str, evidence: CellEvidence, expectation: Expectation) -> bool:
    """Return whether the package itself, or a module of it, was installed."""
    if not module.startswith(f"{expectation.module}."):
        return module == expectation.module
    file = f"/{module.replace('.', '/')}.py"
    return any(path.as_posix().endswith(file) for path in paths.added_paths(evidence))


def _missing_name(failure: Failure, _: CellEvidence, expectation: Expectation) -> Finding | None:
    match = _NO_NAME.search(failure.message)
    if not match or match[2].split(".")[0] == expectation.module:
        return None
    name, module = match.groups()
    if module.split(".")[0] in stdlib.NAMES:
        observed = f"needs {name} of {module}, which this Python's standard library has not"
        return finding("standard-library-mismatch", observed, symbol=name, module=module)
    observed = f"needs {name} of {module}, and the version that was installed has none"
    return finding("missing-dependency", observed, symbol=name, module=module)


def _interposed(failure: Failure, _: CellEvidence, __: Expectation) -> Finding | None:
    if failure.type == INTERPOSED:
        observed = failure.message.removeprefix(f"{INTERPOSED}: ")[:400]
        return finding("symbol-interposition", observed)
    return None


def _interpreter_ended(failure: Failure, _: CellEvidence, __: Expectation) -> Finding | None:
    if failure.type == "SystemExit":
        return finding("crash", f"the package ended the interpreter ({failure.message})")
    return None


def _permission(failure: Failure, _: CellEvidence, __: Expectation) -> Finding | None:
    if "PermissionError" in failure.message:
        return finding("permission", failure.message[:300])
    return None


_RULES: tuple[Callable[[Failure, CellEvidence, Expectation], Finding | None], ...] = (
    _full_disk,
    _syntax_error,
    _load_path,
    _loader,
    _missing_module,
    _missing_name,
    _interposed,
    _interpreter_ended,
    _permission,
)
"""The first rule that fits has the cause."""
