"""What a cell showed, in short: what the other forms of the report tell of its evidence."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from verification.rules import own_tests

STEPS = ("install", "import", "exercise", "tests", "uninstall")


def of_folder(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what each cell with evidence in ``folder`` showed, by the cell's id.

    A file that a run left half written tells nothing and is passed over.
    """
    found = {}
    for path in sorted(folder.glob("*.json")):
        try:
            evidence = json.loads(path.read_text("utf-8"))
        except ValueError:
            continue
        found[path.stem] = summary(evidence)
    return found


def summary(evidence: Mapping[str, Any]) -> dict[str, Any]:
    """Return the evidence in short; what the cell did not come to is left out."""
    windows = evidence.get("os") == "windows"
    steps = evidence.get("exercise", {}).get("steps", {})
    told: dict[str, Any] = {
        "commands": [
            {
                "name": name,
                "command": typed(evidence[name].get("command", ()), windows=windows),
                "code": evidence[name].get("code"),
                "seconds": evidence[name].get("seconds"),
                "timed_out": bool(evidence[name].get("timed_out")),
            }
            for name in STEPS
            if name in evidence
        ],
        "steps": {name: bool(step.get("ok")) for name, step in steps.items()},
    }
    for key in ("python", "implementation", "system", "deviation", "started"):
        if evidence.get(key):
            told[key] = evidence[key]
    native = steps.get("native-call", {}).get("value")
    if isinstance(native, dict):
        told["native"] = {key: native.get(key) for key in ("version", "source")}
    if evidence.get("image"):
        told["image"] = evidence["image"].get("tag")
    served = {
        line["file"]: line.get("sha256")
        for line in evidence.get("requests", ())
        if str(line.get("file") or "").endswith(".whl")
    }
    if served:
        told["served"] = served
    if counted := evidence.get("tests", {}).get("counts"):
        tests = evidence["tests"]
        told["tests"] = {
            "counts": dict(counted),
            "failures": [one["node"] for one in tests["failures"]],
            "left_out": own_tests.reasons(tests),
            "sha256": tests["sha256"],
        }
    if evidence.get("testbed"):
        told["testbed"] = dict(evidence["testbed"])
    return told


def typed(command: list[str] | tuple[str, ...], *, windows: bool = False) -> str:
    """Return a command in a form that can be pasted into the machine's own shell."""
    words = [str(word) for word in command]
    return subprocess.list2cmdline(words) if windows else shlex.join(words)


def sentence(told: Mapping[str, Any]) -> str:
    """Return in one line what the cell showed."""
    parts = []
    for command in told.get("commands", ()):
        if command["name"] in ("install", "uninstall"):
            ended = "did not end in its time" if command["timed_out"] else f"-> {command['code']}"
            parts.append(f"`{_literal(command['command'])}` {ended}")
        elif command["name"] == "import":
            parts.append(f"import -> {command['code']}")
        elif command["name"] == "tests":
            counted = own_tests.sentence(told["tests"]) if told.get("tests") else "none ran"
            parts.append(f"the package's own tests: {counted}")
        else:
            steps = told.get("steps", {})
            good = [name for name, ok in steps.items() if ok]
            bad = [name for name, ok in steps.items() if not ok]
            if native := told.get("native"):
                parts.append(f"native version {native['version']} ({native['source']})")
            if good:
                parts.append(f"passed: {', '.join(good)}")
            if bad:
                parts.append(f"failed: {', '.join(bad)}")
    if told.get("testbed"):
        parts.append(f"testbed: {told['testbed'].get('cause')}: {told['testbed'].get('seen')}")
    if told.get("deviation"):
        parts.append(f"deviation: {told['deviation']}")
    return "; ".join(parts)


def _literal(command: str) -> str:
    """Return the command as the user types it: the program without its folder."""
    program, space, rest = command.partition(" ")
    name = program.replace("\\", "/").rpartition("/")[2].removesuffix(".exe")
    return f"{name}{space}{rest}"
