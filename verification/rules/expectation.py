"""What a cell must show, and what every part of the diagnosis says it with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from packaging.version import Version

from verification.models.cause import Cause
from verification.models.scenario import Scenario
from verification.rules.catalogue import catalogue
from verification.scenarios import scenarios

Evidence = Mapping[str, Any]
FULL = re.compile(r"No space left on device|database or disk is full")


@dataclass(frozen=True)
class Expected:
    """What a cell must show: the release that was published, and what is published beside it."""

    project: str
    version: str
    digests: Mapping[str, str]
    """sha256 by file name."""
    locked: Mapping[str, str]
    """Version by normalised project name."""
    libraries: tuple[str, ...]
    """The native libraries of the machine's platform, in loading order."""
    refused: str = ""
    """Who refused the upload and why; empty if the index took every file."""
    package: str = ""
    """The name that is imported, where it is not the project's."""

    @property
    def module(self) -> str:
        """The name that is imported."""
        return self.package or self.project


def scenario_of(evidence: Evidence) -> Scenario:
    """Return the scenario of the cell, as it is on its machine."""
    every = scenarios.load()
    name = evidence["cell"].get("scenario", "")
    on_system = every["windows" if evidence.get("os") == "windows" else "linux"]
    return on_system.get(name) or every["linux"].get(name) or every["linux"]["venv"]


def cause_of(name: str, *, where: str, seen: str) -> Cause:
    """Return the cause of this name."""
    return catalogue().cause(name, where=where, seen=seen)


def last_error(output: str) -> str:
    """Return the last line that speaks of an error, or the last of all, with uv's reasons."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")]
    # uv's reasons follow, the innermost last.
    reason = "".join(f" ({line})" for line in lines if errors and line.startswith("cause: "))
    return ((errors or lines or ["no output"])[-1] + reason)[:400]


def differs(one: str, other: str) -> bool:
    """Return whether two versions are not the same, however they are written."""
    try:
        return Version(one) != Version(other)
    except ValueError:
        return one != other
