"""Check the programs that the steps of a workflow install."""

from __future__ import annotations

import re
from collections.abc import Iterator

from verification.models.cause import Cause
from verification.models.workflow import Workflow
from verification.pipeline.workflow_causes import cause, possible_cause, step_location

_INSTALL = re.compile(
    r"\b(?:pip3?|pipx|uv(?:\s+(?:pip|tool))?|npm|yarn|gem|cargo|conda|apt(?:-get)?|choco|brew)"
    r"\s+(?:-\S+\s+)*(?:install|add|ci|run|i)\b"
    r"|\b(?:uvx|npx)\s|\b(?:curl|wget)\b"
)
_LOCKED = re.compile(r"--require-hashes|--locked|\bnpm\s+ci\b|==[\w.]+")


def check_installs(workflow: Workflow) -> Iterator[Cause]:
    """Yield a cause for each unpinned installation, and each script with an identity token."""
    for job in workflow.jobs.values():
        trusted = job.permissions.get("id-token") == "write"
        for step in job.steps:
            if step.run is None:
                continue
            where = step_location(workflow, job, step)
            unlocked = [
                line.strip()
                for line in step.run.splitlines()
                if _INSTALL.search(line) and not _LOCKED.search(line)
            ]
            if unlocked:
                message = f"installs the newest version: {unlocked[0]}"
                yield (cause if trusted else possible_cause)("unpinned-install", where, message)
            elif trusted:
                message = "runs a script in a job that can request the identity token"
                yield cause("unpinned-install", where, message)
