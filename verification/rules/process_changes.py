"""Judge what the package changes in the process of its user."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from verification.models.cause import Cause, FactValue, Severity
from verification.models.evidence import (
    CellEvidence,
    EffectsValue,
    ExerciseStep,
    ProcessChange,
    Steps,
)
from verification.models.expectation import Expectation
from verification.rules.finding import finding

GIL = "GIL"
"""The name of the GIL in the state of a process. Another rule judges it."""
_PROCESS = "process"
_ENVIRONMENT = ("environment variable", "native environment variable")
# Variables that the system, Python, other libraries or child processes of the user read.
_SHARED_VARIABLES = re.compile(
    r"TZ$|LANG$|LANGUAGE$|LC_|PYTHON|LD_|HOME$|USERPROFILE$|APPDATA$|TE?MP$|TMPDIR$|"
    r".*_PROXY$|SSL_|REQUESTS_|CURL_|OMP_|MKL_|OPENBLAS_|GLIBC_|MALLOC_|CUDA_VISIBLE_|"
    # Intel's OpenMP registers itself, and packages let it start twice and survive a fork.
    r"KMP_(?!REGISTERED_LIB|DUPLICATE_LIB_OK|INIT_AT_FORK)",
    re.IGNORECASE,
)
_VALUE_CHARACTERS = 400


def process_changes(evidence: CellEvidence, expectation: Expectation) -> Iterator[Cause]:
    """Yield causes for the changes by the import, by the first call and by the whole exercise."""
    known: set[tuple[str, str]] = set()
    for location, changes in _recorded(evidence):
        new = [change for change in changes if (change.kind, change.name) not in known]
        known |= {(change.kind, change.name) for change in new}
        severities = [(change, _severity(change, expectation)) for change in new]
        for severity in (Severity.FLAWED, Severity.NOTE):
            if matching := [change for change, value in severities if value == severity]:
                fault = finding("process-changed", "changed", **_facts(matching))
                fault = fault.as_risk() if severity == Severity.NOTE else fault
                yield fault.at(evidence, location)
    yield from _unreadable(evidence)
    if (last := evidence.steps.exit) and not last.ok:
        yield finding("process-changed", "exit").at(evidence, "at exit")


def _recorded(evidence: CellEvidence) -> Iterator[tuple[str, Iterable[ProcessChange]]]:
    """Yield each location and its recorded changes.

    The exercise is last, because it records changes by the import and by the call again.
    """
    if evidence.observation:
        steps = evidence.observation.steps
        yield "import", _changes(steps.import_effects)
        yield "native-call", _changes(steps.call_effects)
    of_others = _state_changes(evidence.observation.steps) if evidence.observation else {}
    yield (
        "exercise",
        [
            ProcessChange(kind=_PROCESS, name=name, old=old, new=new)
            for name, (old, new) in _state_changes(evidence.steps).items()
            if name not in of_others
        ],
    )


def _state_changes(steps: Steps) -> Mapping[str, tuple[str, str]]:
    return (steps.process_state and steps.process_state.value) or {}


def _changes(step: ExerciseStep[EffectsValue] | None) -> Sequence[ProcessChange]:
    return step.value.changes if step and step.value else ()


def _severity(change: ProcessChange, expectation: Expectation) -> Severity | None:
    """Return the severity of a change; None if it does not concern other code of the process."""
    if change.kind in _ENVIRONMENT:
        return _severity_of_variable(change, expectation)
    if change.kind == _PROCESS and change.name == GIL:
        return None
    if change.kind == "warning filter" and change.new is not None:
        # A filter of one message or module, or of a class that is not built in, hides no others.
        category = change.name.split(" ")[1]
        return Severity.FLAWED if change.new == "all" and "." not in category else None
    if change.kind == "builtin" and change.old is None and change.name.startswith("__"):
        return None  # pybind11 and cffi keep their own data there, under names that nobody reads
    if change.kind == "root log handler" and change.name == "logging.NullHandler":
        return None
    if change.kind == "import path" and change.old is None and change.new == "last":
        return Severity.NOTE  # it hides no other module
    return Severity.FLAWED


def _severity_of_variable(change: ProcessChange, expectation: Expectation) -> Severity | None:
    prefixes = (re.sub(r"\W", "_", n).upper() for n in (expectation.project, expectation.module))
    name = change.name.lstrip("_").upper()
    if any(f"{name}_".startswith(f"{prefix.strip('_')}_") for prefix in prefixes):
        return None
    if name == "PATH" and _is_extended(change.old or "", change.new or ""):
        return Severity.NOTE  # Windows packages add their folder of libraries
    if change.old is None and not _SHARED_VARIABLES.match(name):
        return Severity.NOTE  # a setting of a library that the package uses
    return Severity.FLAWED


def _is_extended(old: str, new: str) -> bool:
    """Return whether a list of folders has new ones before or after the old ones."""
    for mark in ":;":
        former, folders = (list(filter(None, text.split(mark))) for text in (old, new))
        if len(former) < len(folders) and former in (
            folders[: len(former)],
            folders[len(folders) - len(former) :],
        ):
            return True
    return False


def _facts(changes: Sequence[ProcessChange]) -> dict[str, FactValue]:
    return {
        "changed": tuple(map(_name, changes)),
        "old": tuple(change.old or "" for change in changes),
        "new": tuple(change.new or "" for change in changes),
        "changes": "; ".join(map(_sentence, changes))[:_VALUE_CHARACTERS],
    }


def _name(change: ProcessChange) -> str:
    return change.name if change.kind == _PROCESS else f"{change.kind} {change.name}"


def _sentence(change: ProcessChange) -> str:
    if change.old is None:
        return f"new {_name(change)}: {change.new}"
    if change.new is None:
        return f"removed {_name(change)}: {change.old}"
    return f"{_name(change)} from {change.old} to {change.new}"


def _unreadable(evidence: CellEvidence) -> Iterator[Cause]:
    step = evidence.steps.process_state
    if step and step.error:  # for example, the current folder does not exist any more
        fault = finding("process-changed", "unreadable", error=step.error.message[:300])
        yield fault.at(evidence, "exercise")
    if not evidence.observation:
        return
    for effects in (
        evidence.observation.steps.import_effects,
        evidence.observation.steps.call_effects,
    ):
        if not effects or not effects.ok:
            # The exercise passed, so this does not prove a fault.
            error = effects.error.message if effects and effects.error else "the process ended"
            fault = finding("process-changed", "unreadable", error=error[:300])
            yield fault.as_risk().at(evidence, "observation")
            return
