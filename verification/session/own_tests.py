"""The package's own tests: their files, and the results that the plugin recorded."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import pydantic

from verification.models.base import DataError, Model, error_line
from verification.models.evidence import (
    OwnTestFailure,
    OwnTestLeftOut,
    OwnTestsEnd,
    OwnTestsRecord,
    TestOutcome,
)

_CACHE_FOLDERS = ("__pycache__", ".pytest_cache")
_MAX_LINES = 15
"""The number of lines of a failure that the evidence contains."""
_FAILED = (TestOutcome.FAILED, TestOutcome.ERROR, TestOutcome.UNCOLLECTED)
_LEFT_OUT = (TestOutcome.SKIPPED, TestOutcome.XFAILED, TestOutcome.DESELECTED)


def folder_fault(folder: Path) -> str:
    """Return why a folder has no tests, or an empty string if it has some."""
    if not folder.is_dir():
        return "this folder does not exist"
    if not any(folder.rglob("test_*.py")):
        return "this folder has no test_*.py"
    return ""


def files(folder: Path) -> dict[str, bytes]:
    """Return the contents of the files below ``folder``, by relative path, without caches."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not set(path.parts).intersection(_CACHE_FOLDERS)
    }


def digest(contents: Mapping[str, bytes]) -> str:
    """Return one sha256 of the names and contents of files."""
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    return hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()


# ---- the lines that verification/probe/own_tests_plugin.py writes ----


class _Start(Model):
    kind: Literal["start"]
    pytest: str
    folder: str


class _Collected(Model):
    kind: Literal["collected"]
    number: int


class _Internal(Model):
    kind: Literal["internal"]
    text: str


class _Deselected(Model):
    kind: Literal["deselected"]
    nodes: tuple[str, ...]


class _Begun(Model):
    kind: Literal["begun"]
    node: str


class _Ended(Model):
    kind: Literal["ended"]
    node: str


class _Report(Model):
    kind: Literal["report"]
    node: str
    outcome: TestOutcome
    text: str


class _End(OwnTestsEnd):
    kind: Literal["end"]


_Line = Annotated[
    _Start | _Collected | _Internal | _Deselected | _Begun | _Ended | _Report | _End,
    pydantic.Field(discriminator="kind"),
]


class _TestEvents(Model):
    lines: tuple[_Line, ...]


def read_test_events(text: str) -> OwnTestsRecord:
    """Return the record of the events that the plugin wrote. An incomplete line is ignored.

    Raises:
        DataError: a line has a form that the plugin does not write.
    """
    outcomes: dict[str, TestOutcome] = {}
    texts: dict[str, str] = {}
    is_running: dict[str, bool] = {}
    version, internal = "", ""
    collected: int | None = None
    end: OwnTestsEnd | None = None
    for line in _lines(text):
        match line:
            case _Start():
                version = line.pytest
            case _Collected():
                collected = line.number
            case _Internal():
                internal = line.text
            case _Deselected():
                outcomes |= dict.fromkeys(line.nodes, TestOutcome.DESELECTED)
            case _Begun():
                is_running[line.node] = True
            case _Ended():
                is_running[line.node] = False
            case _Report():
                if _weight(line.outcome) <= _weight(outcomes.get(line.node)):
                    outcomes[line.node], texts[line.node] = line.outcome, line.text
            case _End():
                end = OwnTestsEnd(code=line.code, file=line.file, imported=line.imported)
    counts = Counter(outcomes.values())
    return OwnTestsRecord(
        pytest=version,
        collected=collected,
        internal=internal,
        end=end,
        counts={outcome: counts[outcome] for outcome in TestOutcome},
        begun=len(is_running),
        within=next((node for node, running in is_running.items() if running), ""),
        failures=tuple(
            OwnTestFailure(node=node, outcome=outcome, text=_last_lines(texts[node]))
            for node, outcome in outcomes.items()
            if outcome in _FAILED
        ),
        left_out=tuple(
            OwnTestLeftOut(node=node, outcome=outcome, reason=texts.get(node, ""))
            for node, outcome in outcomes.items()
            if outcome in _LEFT_OUT
        ),
    )


def _lines(events: str) -> tuple[_Line, ...]:
    lines = []
    for text in events.splitlines():
        with contextlib.suppress(json.JSONDecodeError):
            lines.append(json.loads(text))
    try:
        return _TestEvents.model_validate({"lines": lines}).lines
    except pydantic.ValidationError as error:
        message = error_line(error, _TestEvents)
        raise DataError(f"the events of the package's own tests: {message}") from None


def _weight(outcome: TestOutcome | None) -> int:
    """Return the rank of an outcome. The outcome with the lowest rank counts for a test."""
    return list(TestOutcome).index(outcome or TestOutcome.DESELECTED)


def _last_lines(text: str) -> str:
    return "\n".join(text.splitlines()[-_MAX_LINES:])
