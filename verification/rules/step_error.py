"""Name the cause of a failed step of the exercise from its exception."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from verification.models.cause import FactValue
from verification.models.evidence import CellEvidence, StepError
from verification.models.expectation import Expectation
from verification.rules import install_paths as paths
from verification.rules import loader_messages
from verification.rules.finding import Finding, finding
from verification.rules.install_error import FULL_DISK
from verification.rules.load_path import wrong_load_path
from verification.wheel import stdlib

INTERPOSED = "Interposed"
"""The exception that a use of the subject raises if the code of another library answers."""
_NO_MODULE = re.compile(r"No module named '([\w.]+)'")
_NO_NAME = re.compile(r"cannot import name '(\w+)' from '([\w.]+)'")
_ENOUGH_SPACE = 50_000_000
"""With so many free bytes no step of the exercise can fill the disk."""


class Failure(NamedTuple):
    """The exception of a failed step."""

    step: str
    type: str
    message: str
    """Type and message of the exception."""
    trace: str = ""
    """The traceback; empty if there is none."""

    @classmethod
    def of(cls, step: str, error: StepError) -> Failure:
        """Return the failure of a step."""
        return cls(step, error.type, f"{error.type}: {error.message}", error.trace)

    @classmethod
    def not_reached(cls, step: str) -> Failure:
        """Return the failure of a step that the exercise did not reach."""
        return cls(step, "", "")


def step_error(failure: Failure, evidence: CellEvidence, expectation: Expectation) -> Finding:
    """Return the fault of a failed step."""
    for rule in _RULES:
        if fault := rule(failure, evidence, expectation):
            return fault
    name = "round-trip-failed" if failure.step == "round-trip" else "unclassified"
    if not failure.message:
        return finding(name, "not-reached")
    return finding(name, "step", error=failure.type, message=failure.message[:300])


def _full_disk(failure: Failure, evidence: CellEvidence, _: Expectation) -> Finding | None:
    if (evidence.free_bytes or 0) < _ENOUGH_SPACE and FULL_DISK.search(failure.message):
        facts: dict[str, FactValue] = {"free_bytes": evidence.free_bytes or 0}
        return finding("disk-full", "step", message=failure.message[:300], **facts)
    return None


def _syntax_error(failure: Failure, _: CellEvidence, __: Expectation) -> Finding | None:
    if failure.type == "SyntaxError":
        return finding("syntax-error", "step", message=failure.message[:300])
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
    # Another message of the package can mention a module.
    is_import = failure.type == "ImportError" or "ModuleNotFoundError" in failure.message
    match = _NO_MODULE.search(failure.message)
    if not is_import or not match:
        return None
    module, package = match[1], match[1].split(".")[0]
    if _was_installed(module, evidence, expectation):
        return finding("record-mismatch", "gone", module=module)
    if package in stdlib.NAMES:
        return finding("standard-library-mismatch", "module", module=module)
    missing = module if package == expectation.module else package
    return finding("missing-dependency", "module", module=missing)


def _was_installed(module: str, evidence: CellEvidence, expectation: Expectation) -> bool:
    """Return whether the installation added this module of the package, or the package itself."""
    if not module.startswith(f"{expectation.module}."):
        return module == expectation.module
    file = f"/{module.replace('.', '/')}.py"
    return any(path.as_posix().endswith(file) for path in paths.added_paths(evidence))


def _missing_name(failure: Failure, _: CellEvidence, expectation: Expectation) -> Finding | None:
    match = _NO_NAME.search(failure.message)
    if not match or match[2].split(".")[0] == expectation.module:
        return None
    name, module = match.groups()
    is_standard = module.split(".")[0] in stdlib.NAMES
    cause = "standard-library-mismatch" if is_standard else "missing-dependency"
    return finding(cause, "symbol", symbol=name, module=module)


def _interposed(failure: Failure, _: CellEvidence, __: Expectation) -> Finding | None:
    if failure.type == INTERPOSED:
        message = failure.message.removeprefix(f"{INTERPOSED}: ")[:400]
        return finding("symbol-interposition", "answered", message=message)
    return None


def _interpreter_ended(failure: Failure, _: CellEvidence, __: Expectation) -> Finding | None:
    if failure.type == "SystemExit":
        return finding("crash", "exit", message=failure.message)
    return None


def _permission(failure: Failure, _: CellEvidence, __: Expectation) -> Finding | None:
    if "PermissionError" in failure.message:
        return finding("permission", "step", message=failure.message[:300])
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
"""The first rule that applies returns the cause."""
