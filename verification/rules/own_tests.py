"""The package's own tests, run on a machine: their folder, what a run showed, and its causes."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from verification.models.cause import Cause
from verification.rules.catalogue import catalogue

OUTCOMES = (
    "failed", "error", "uncollected", "passed", "xpassed", "xfailed", "skipped", "deselected",
)  # fmt: skip
"""Of several outcomes of one test, such as of its teardown, the first counts."""
_BAD = ("failed", "error", "uncollected")
_RAN = ("failed", "error", "passed", "xpassed", "xfailed")
_NO_TESTS = ("__pycache__", ".pytest_cache")
_LINES = 15  # of a failure, in the evidence
_TOLD = 5  # failures that become causes of their own; the evidence has all


def unusable(folder: Path) -> str:
    """Return why there is nothing to run in ``folder``; empty if there is."""
    if not folder.is_dir():
        return "there is no such folder"
    if not any(folder.rglob("test_*.py")):
        return "there is no test_*.py in it"
    return ""


def files(folder: Path) -> dict[str, bytes]:
    """Return the files of the tests by path below ``folder``, without what Python left there."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not set(path.parts).intersection(_NO_TESTS)
    }


def digest(found: Mapping[str, bytes]) -> str:
    """Return one sha256 for all these files, by name and content."""
    each = {name: hashlib.sha256(content).hexdigest() for name, content in found.items()}
    return hashlib.sha256(json.dumps(each, sort_keys=True).encode()).hexdigest()


def read(ledger: str) -> dict[str, Any]:
    """Return what the lines tell that ledger.py wrote; a line that is cut short tells nothing."""
    outcomes: dict[str, str] = {}
    texts: dict[str, str] = {}
    begun: dict[str, bool] = {}
    found: dict[str, Any] = {"pytest": "", "collected": None, "internal": "", "end": None}
    for line in ledger.splitlines():
        try:
            told = json.loads(line)
        except ValueError:
            continue
        match told["kind"]:
            case "start":
                found["pytest"] = told["pytest"]
            case "collected":
                found["collected"] = told["number"]
            case "internal":
                found["internal"] = told["text"]
            case "deselected":
                outcomes |= dict.fromkeys(told["nodes"], "deselected")
            case "begun":
                begun[told["node"]] = True
            case "ended":
                begun[told["node"]] = False
            case "report":
                node, outcome = told["node"], told["outcome"]
                known = outcomes.get(node, OUTCOMES[-1])
                if OUTCOMES.index(outcome) <= OUTCOMES.index(known):
                    outcomes[node] = outcome
                    texts[node] = told["text"]
            case "end":
                found["end"] = {key: told[key] for key in ("code", "file", "imported")}
            case strange:
                raise ValueError(f"the ledger of the tests has a line of the kind {strange!r}")
    counted = Counter(outcomes.values())
    return found | {
        "counts": {name: counted[name] for name in OUTCOMES},
        "begun": len(begun),
        "within": next((node for node, is_open in begun.items() if is_open), ""),
        "failures": [
            {"node": node, "outcome": outcome, "text": _last(texts[node])}
            for node, outcome in outcomes.items()
            if outcome in _BAD
        ],
        "left_out": [
            {"node": node, "outcome": outcome, "reason": texts.get(node, "")}
            for node, outcome in outcomes.items()
            if outcome in ("skipped", "xfailed", "deselected")
        ],
    }


def _last(text: str) -> str:
    return "\n".join(text.splitlines()[-_LINES:])


def judge(
    told: Mapping[str, Any],
    cell: str,
    subject: str,
    *,
    died: tuple[str, str] | None,
    hung: bool,
    frame: str,
) -> Iterator[Cause]:
    """Yield the causes in a run of the tests.

    ``died`` tells by what cause the interpreter was killed and what was seen, if it was; ``hung``
    whether it had to be ended; ``frame`` where it was then.
    """
    if (tool := told.get("tool", {})).get("code"):
        seen = f"pytest could not be installed: {_errors(tool)}"
        yield _cause("machine-lost", f"{cell}: own tests", seen)
        return
    node = told["within"] or ("at exit" if told["end"] else "own tests")
    if hung:
        seen = f"no end after {told['seconds']:.0f} s; the stack's innermost frame: {frame}"
        yield _cause("hang", f"{cell}: {node}", seen)
    elif died:
        name, seen = died
        yield _cause(name, f"{cell}: {node}", seen)
    elif told["end"] is None and told["begun"]:
        seen = f"the interpreter ended with {told['code']} in the midst of the tests"
        yield _cause("crash", f"{cell}: {node}", seen)
    elif told["end"] is None:
        seen = f"pytest ended with {told['code']} before any test: {_errors(told)}"
        yield _cause("own-tests-not-run", f"{cell}: own tests", seen)
    else:
        yield from _not_run(told, cell, subject)
    yield from _failed(told, cell)


def _failed(told: Mapping[str, Any], cell: str) -> Iterator[Cause]:
    for name, outcomes in (
        ("own-tests-failed", ("failed", "error")),
        ("own-tests-not-run", ("uncollected",)),
    ):
        bad = [one for one in told["failures"] if one["outcome"] in outcomes]
        for one in bad[:_TOLD]:
            said = _said(one["text"]) or one["outcome"]
            yield _cause(name, f"{cell}: {one['node']}", said)
        if more := bad[_TOLD:]:
            seen = f"{len(more)} more ({', '.join(one['node'] for one in more)[:200]})"
            yield _cause(name, f"{cell}: own tests", seen)


def _not_run(told: Mapping[str, Any], cell: str, subject: str) -> Iterator[Cause]:
    counts, code = told["counts"], told["end"]["code"]
    where = f"{cell}: own tests"
    if told["internal"]:
        yield _cause("own-tests-not-run", where, f"pytest failed: {_said(told['internal'])}")
    elif counts["uncollected"]:
        return  # each is told by its name
    elif told["begun"] < (told["collected"] or 0):
        seen = f"{told['begun']} of {told['collected']} tests ran, then pytest ended with {code}"
        yield _cause("own-tests-not-run", where, seen)
    elif not sum(counts[name] for name in _RAN):
        yield _cause("own-tests-not-run", where, f"no test ran ({sentence(told) or 'none found'})")
    elif not told["end"]["imported"]:
        yield _cause("own-tests-not-run", where, f"none of the tests imported {subject}")
    elif told["code"] and not told["failures"]:
        seen = f"no test failed, and pytest ended with {told['code']}: {_errors(told)}"
        yield _cause("own-tests-not-run", where, seen)


def sentence(told: Mapping[str, Any]) -> str:
    """Return the counts in words: ``120 passed, 4 skipped``."""
    ordered = ("passed", *(name for name in OUTCOMES if name != "passed"))
    counts = told["counts"]
    return ", ".join(f"{counts[name]} {name}" for name in ordered if counts[name])


def reasons(told: Mapping[str, Any]) -> list[str]:
    """Return why tests were left out or expected to fail, each with how often."""
    found = Counter((one["outcome"], one["reason"]) for one in told["left_out"])
    return [
        f"{number} {outcome}" + (f": {reason}" if reason else "")
        for (outcome, reason), number in sorted(found.items())
    ]


def _said(text: str) -> str:
    """Return in one line what pytest says went wrong: its lines with an E, or else the last."""
    lines = [line for line in text.splitlines() if line.strip()]
    marked = [line[1:].strip() for line in lines if line.startswith("E ")]
    return " ".join(marked or lines[-1:])[:300]


def _errors(ran: Mapping[str, Any]) -> str:
    return _said(ran["stdout"] + "\n" + ran["stderr"]) or "it said nothing"


def _cause(name: str, where: str, seen: str) -> Cause:
    return catalogue().cause(name, where=where, seen=seen)
