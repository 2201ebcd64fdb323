"""Check the programs that the steps of a workflow install, and the code of the publishing job."""

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
_BUILD = "pypa/cibuildwheel"
_LOCKED = re.compile(r"--require-hashes|--locked|\bnpm\s+ci\b|==[\w.]+")


def check_installs(workflow: Workflow) -> Iterator[Cause]:
    """Yield a cause for each unpinned installation, and for code in the job that can publish.

    The linters know neither installations with pip nor which job needs the identity token.
    """
    for job in workflow.jobs.values():
        trusted = job.permissions.get("id-token") == "write"
        for step in job.steps:
            where = step_location(workflow, job, step)
            unlocked = [
                line.strip()
                for line in (step.run or "").splitlines()
                if _INSTALL.search(line) and not _LOCKED.search(line)
            ]
            if unlocked:
                message = f"installs the newest version: {unlocked[0]}"
                yield (cause if trusted else possible_cause)("unpinned-install", where, message)
            elif trusted and step.action == _BUILD:
                message = "builds the package in a job that can request the identity token"
                yield cause("identity-exposed", where, message)
            elif trusted and step.run is not None:
                message = "runs a script in a job that can request the identity token"
                yield possible_cause("identity-exposed", where, message)
