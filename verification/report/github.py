"""In GitHub Actions: the verdict as the job's summary, and the causes as annotations.

The forms are those of GitHub's documentation, "Workflow commands for GitHub Actions".
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from verification.report.results import project

SIGNS = {"verified": "✅", "failed": "❌", "unverified": "❔", "testbed-failure": "⚠️"}
_LEVELS = {"broken": "error", "testbed": "error", "flawed": "warning", "note": "notice"}
_MOST = 10  # GitHub shows ten annotations of a kind for a step
_BYTES = 1 << 20  # and takes a mebibyte of summary


def tell(told: Mapping[str, Any], folder: Path, environment: Mapping[str, str]) -> list[str]:
    """Tell the verdict to the job that this runs in, if it does; return remarks on what failed."""
    if environment.get("GITHUB_ACTIONS") != "true":
        return []
    # A command counts at the beginning of a line only, and pytest may be in the middle of one.
    print("", *commands(told), sep="\n", file=sys.stdout, flush=True)
    if not (path := environment.get("GITHUB_STEP_SUMMARY")):
        return []
    try:
        with Path(path).open("ab") as file:
            file.write(summary(told, folder).encode("utf-8", "backslashreplace")[:_BYTES])
    except OSError as error:
        return [f"not written: the job's summary {path}: {error.strerror or error}"]
    return []


def commands(told: Mapping[str, Any]) -> Iterator[str]:
    """Yield a workflow command for each cause, at most as many of a kind as GitHub shows."""
    found = {
        (c["name"], c["severity"], c["where"], c["message"], c["remedy"]): None
        for item in told["items"]
        for c in item["causes"]
    }
    left = dict.fromkeys(_LEVELS.values(), _MOST)
    for name, severity, where, message, remedy in found:
        level = _LEVELS[severity]
        if left[level]:
            left[level] -= 1
            text = _data(f"{where}: {message}. {remedy}")
            yield f"::{level} title={_property(f'{name} ({severity})')}::{text}"
    for item in told["items"]:
        if item["verdict"] != "verified" and not item["causes"] and left["error"]:
            left["error"] -= 1
            title = _property(f"{item['id']}: {item['verdict']}")
            yield f"::error title={title}::{_data(item['reason'] or item['title'])}"


def summary(told: Mapping[str, Any], folder: Path) -> str:
    """Return the verdict as Markdown."""
    name = f"{project(told)} {told.get('version', '')}"
    lines = [f"## {SIGNS[told['verdict']]} {name}: {told['verdict']}"]
    if told.get("interrupted"):
        lines.append("**The run was interrupted**: what it did not come to is not verified.")
    lines += ["", "| item | verdict | causes |", "| --- | --- | --- |"]
    lines += [
        f"| {_cell(item['title'])} | {SIGNS[item['verdict']]} {item['verdict']} "
        f"| {_cell(_names(item['causes']) or item['reason'])} |"
        for item in told["items"]
    ]
    if told["cells"]:
        lines += ["", f"<details><summary>{len(told['cells'])} cells</summary>", ""]
        lines += ["| cell | verdict | causes | seconds |", "| --- | --- | --- | ---: |"]
        lines += [
            f"| {_cell(cell['id'])} | {SIGNS[cell['verdict']]} {cell['verdict']} "
            f"| {_cell(_names(cell['causes']) or cell['reason'])} | {cell['seconds']:.1f} |"
            for cell in told["cells"]
        ]
        lines += ["", "</details>"]
    remedies = {
        cause["name"]: cause["remedy"] for item in told["items"] for cause in item["causes"]
    }
    if remedies:
        lines += ["", *(f"- **{_cell(k)}**: {_cell(v)}" for k, v in remedies.items())]
    lines += ["", f"Open `{folder.name}/index.html` for the evidence.", ""]
    return "\n".join(lines)


def _names(causes: list[dict[str, str]]) -> str:
    return ", ".join(dict.fromkeys(cause["name"] for cause in causes))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("<", "&lt;").replace("|", "\\|")


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
