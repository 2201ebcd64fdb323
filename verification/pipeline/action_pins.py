"""The actions a workflow runs: which they are, and whether they are pinned to a known commit."""

from __future__ import annotations

import re
from collections.abc import Iterator

from verification.models.cause import Cause
from verification.models.workflow import Job, Step, Workflow
from verification.pipeline.plan import Plan
from verification.rules.catalogue import catalogue

_COMMIT = re.compile(r"[0-9a-f]{40}")
_INSTALL = re.compile(
    r"\b(?:pip3?|pipx|uv(?:\s+(?:pip|tool))?|npm|yarn|gem|cargo|conda|apt(?:-get)?|choco|brew)"
    r"\s+(?:-\S+\s+)*(?:install|add|ci|run|i)\b"
    r"|\b(?:uvx|npx)\s|\b(?:curl|wget)\b"
)
_LOCKED = re.compile(r"--require-hashes|--locked|\bnpm\s+ci\b|==[\w.]+")


def known(workflow: Workflow, plan: Plan) -> Iterator[Cause]:
    """Yield every job, action, script and image that the plan does not have, or that it lacks."""
    for job in workflow.jobs.values():
        planned = plan.jobs.get(job.id)
        if planned is None:
            seen = f"is none of the pipeline's jobs, which are {', '.join(plan.jobs)}"
            yield catalogue().cause("unknown-job", where=_where(workflow, job), seen=seen)
        for image in job.containers:
            seen = f"runs in, or beside, the container image {image}"
            yield catalogue().cause("unknown-action", where=_where(workflow, job), seen=seen)
        if job.uses:
            seen = f"is the work of another workflow: {job.uses}"
            yield catalogue().cause("unknown-action", where=_where(workflow, job), seen=seen)
        for step in job.steps:
            if planned and step.action and step.action not in planned.all_actions:
                seen = f"uses {step.action}, and may use {', '.join(sorted(planned.all_actions))}"
                yield catalogue().cause(
                    "unknown-action", where=_where(workflow, job, step), seen=seen
                )
            if planned and planned.action and step.run is not None:
                seen = "runs a script, and its work is that of actions alone"
                yield catalogue().cause(
                    "unknown-action", where=_where(workflow, job, step), seen=seen
                )
        if planned and planned.action and all(s.action != planned.action for s in job.steps):
            seen = f"has no step that uses {planned.action}"
            yield catalogue().cause("step-missing", where=_where(workflow, job), seen=seen)
        elif planned and not planned.action and all(step.run is None for step in job.steps):
            seen = "has no step that runs anything"
            yield catalogue().cause("step-missing", where=_where(workflow, job), seen=seen)


def pinned(workflow: Workflow, plan: Plan) -> Iterator[Cause]:
    """Yield every action that is not pinned, or is pinned to another commit than it says."""
    for job in workflow.jobs.values():
        for step in job.steps:
            if not step.uses or step.uses.startswith("./"):
                continue
            where = _where(workflow, job, step)
            action, _, ref = step.uses.partition("@")
            if not _COMMIT.fullmatch(ref):
                seen = f"takes {action} by {ref or 'nothing'}, which can be moved"
                yield catalogue().cause("unpinned-action", where=where, seen=seen)
                continue
            pin = plan.pin(action)
            if pin is None:
                continue  # no action of this pipeline: told as unknown
            version = step.comment.partition(" ")[0]
            if ref != pin.commit:
                seen = f"takes {action} by {ref}, and {pin.version} is {pin.commit}"
                yield catalogue().cause("pin-mismatch", where=where, seen=seen)
            elif version != pin.version:
                told = f"says {version}" if version else "says no version"
                seen = f"{told} of {action} beside the commit of {pin.version}"
                yield catalogue().cause("pin-mismatch", where=where, seen=seen)


def installs(workflow: Workflow) -> Iterator[Cause]:
    """Yield what is installed unpinned, and whatever runs beside the identity token."""
    for job in workflow.jobs.values():
        trusted = job.permissions.get("id-token") == "write"
        for step in job.steps:
            if step.run is None:
                continue
            where = _where(workflow, job, step)
            unlocked = [
                line.strip()
                for line in step.run.splitlines()
                if _INSTALL.search(line) and not _LOCKED.search(line)
            ]
            if unlocked:
                seen = f"installs what is newest: {unlocked[0]}"
                yield catalogue().cause(
                    "unpinned-install", where=where, seen=seen, risk=not trusted
                )
            elif trusted:
                seen = "runs a script where the identity token can be asked for"
                yield catalogue().cause("unpinned-install", where=where, seen=seen)


def _where(workflow: Workflow, job: Job, step: Step | None = None) -> str:
    return f"{workflow.at(step.line if step else job.line)} ({job.id})"


def runners(workflow: Workflow, plan: Plan) -> Iterator[Cause]:
    """Yield every job that runs on a machine that is not GitHub's own, fresh for each job."""
    for job in workflow.jobs.values():
        for label in job.runs_on:
            if not any(label.startswith(f"{system}-") for system in plan.runners):
                seen = f"runs on {label}, none of {', '.join(f'{s}-*' for s in plan.runners)}"
                yield catalogue().cause("unknown-runner", where=_where(workflow, job), seen=seen)
