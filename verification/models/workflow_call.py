"""Read the workflows that a workflow calls (`jobs.*.uses`), with the permissions of their jobs.

The rules are from GitHub's documentation ("Reuse workflows"). A job of a called workflow has at
most the permissions of the job that calls it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from verification.models.workflow import BadWorkflow, Workflow, WorkflowJob, WorkflowStep
from verification.models.workflow_file import composite_steps, load

LEVELS = ("none", "read", "write")
_LOCAL = ("./", "$/")
"""The prefixes of a path in the same repository. `$/` needs no checkout."""
_REMOTE = re.compile(r"([^/@]+/[^/@]+)/(\.github/workflows/[^/@]+)@(.+)")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_VERSION = re.compile(r"v?\d")
_INPUT = re.compile(r"\$\{\{\s*inputs\.([\w-]+)\s*\}\}")
_OTHER_INPUT = re.compile(r"\binputs\.(?=[A-Za-z_])")
_MAX_DEPTH = 10
"""The largest depth of nested composite actions on GitHub."""

FindCheckout = Callable[[str, str], Path | None]
"""A function that returns the checkout of a repository (OWNER/NAME) at a ref, or None."""


def no_checkout(_repository: str, _ref: str) -> None:
    """Return None. This default look-up has no checkout of another repository."""


def load_with_called(path: Path, root: Path, find: FindCheckout = no_checkout) -> Workflow:
    """Read a workflow file of the repository at ``root``, with the workflows that its jobs call.

    Raises:
        BadWorkflow: GitHub would refuse this file or a called one (`with_called_workflows`).
    """
    return with_called_workflows(load(path), root, find)


def with_called_workflows(
    workflow: Workflow, root: Path, find: FindCheckout = no_checkout
) -> Workflow:
    """Return a workflow of the repository at ``root``, with the workflows that its jobs call.

    The result also has the other workflow files of the repository.

    Raises:
        BadWorkflow: GitHub would refuse the run. A called workflow is missing, cannot be called or
            calls itself, or one of its jobs requests more permissions than the calling job has.
    """
    called = _with_called(workflow, root, find, (workflow.path,))
    return called.model_copy(update={"others": tuple(_others(workflow.path))})


def _others(path: Path) -> Iterator[Workflow]:
    for other in sorted(path.parent.glob("*.y*ml")):
        if other != path:
            try:
                yield load(other)
            except BadWorkflow:
                continue


def _with_called(
    workflow: Workflow, root: Path, find: FindCheckout, chain: tuple[Path, ...]
) -> Workflow:
    called: dict[str, Workflow] = {}
    for job in workflow.jobs.values():
        if job.uses is None:
            continue
        where = f"{workflow.path}:{job.line}"
        target = _target(job.uses, root, find, workflow.origin, where)
        if target is None:
            continue
        folder, path, origin = target
        if path in chain:
            raise BadWorkflow(
                f"{where}: the job {job.id!r} calls {path.name}, and that workflow calls this one"
            )
        inner = load(path)
        if "workflow_call" not in inner.on:
            raise BadWorkflow(
                f"{where}: the job {job.id!r} calls {path.name}; add `workflow_call` under `on` in "
                "that file"
            )
        if fault := _wrong_inputs(job, inner):
            raise BadWorkflow(f"{where}: the job {job.id!r} calls {path.name}, {fault}")
        jobs = {key: _granted(inner_job, job, inner.path) for key, inner_job in inner.jobs.items()}
        inner = inner.model_copy(update={"jobs": jobs, "origin": origin})
        called[job.id] = _with_called(inner, folder, find, (*chain, path))
    return workflow.model_copy(update={"called": called})


def with_local_actions(workflow: Workflow, root: Path) -> Workflow:
    """Return a workflow with the steps of the composite actions of the repository at ``root``."""
    jobs = {
        name: job.model_copy(update={"steps": _with_inner(job.steps, root, 0)})
        for name, job in workflow.jobs.items()
    }
    called = {
        name: inner if inner.origin else with_local_actions(inner, root)
        for name, inner in workflow.called.items()
    }
    return workflow.model_copy(update={"jobs": jobs, "called": called})


def _with_inner(steps: Iterable[WorkflowStep], root: Path, depth: int) -> tuple[WorkflowStep, ...]:
    return tuple(_with_steps(step, root, depth) for step in steps)


def _with_steps(step: WorkflowStep, root: Path, depth: int) -> WorkflowStep:
    """Return a step with the steps of its composite action, which have the line of the step."""
    if step.uses is None or not step.uses.startswith(_LOCAL) or depth == _MAX_DEPTH:
        return step
    inner = (
        _with_inputs(action_step, step.with_).model_copy(update={"line": step.line})
        for action_step in composite_steps(root / step.uses[2:])
    )
    return step.model_copy(update={"steps": _with_inner(inner, root, depth + 1)})


def _with_inputs(step: WorkflowStep, inputs: Mapping[str, str]) -> WorkflowStep:
    """Return a step of a composite action with the values of the inputs of the action."""
    values = {name.lower(): value for name, value in inputs.items()}

    def replaced(text: str | None) -> str | None:
        if text is None:
            return None
        filled = _INPUT.sub(lambda match: values.get(match[1].lower(), match[0]), text)
        # The inputs of the workflow have the same names. The other inputs have no known value.
        return _OTHER_INPUT.sub("steps.inputs.outputs.", filled)

    def texts(table: Mapping[str, str]) -> dict[str, str]:
        return {name: replaced(text) or "" for name, text in table.items()}

    return step.model_copy(
        update={
            "run": replaced(step.run),
            "condition": replaced(step.condition),
            "with_": texts(step.with_),
            "env": texts(step.env),
        }
    )


def _target(
    uses: str, root: Path, find: FindCheckout, origin: str, where: str
) -> tuple[Path, Path, str] | None:
    """Return the folder of the repository, the file and the origin; None without a checkout.

    Raises:
        BadWorkflow: ``uses`` does not name a workflow.
    """
    if uses.startswith(_LOCAL):
        name = uses[2:]
        repository, _, ref = origin.partition("@")
        slug = "/".join(repository.split("/")[:2])
        return root, root / name, f"{slug}/{name}@{ref}" if origin else ""
    match = _REMOTE.fullmatch(uses)
    if match is None:
        raise BadWorkflow(
            f"{where}: `uses: {uses}` is not a workflow; write ./.github/workflows/FILE or "
            "OWNER/NAME/.github/workflows/FILE@REF"
        )
    repository, name, ref = match.groups()
    folder = find(repository, ref)
    return (folder, folder / name, f"{repository}/{name}@{_full(ref)}") if folder else None


def _full(ref: str) -> str:
    """Return the full name of a ref. A ref that looks like a version counts as a tag."""
    if _COMMIT.fullmatch(ref) or ref.startswith("refs/"):
        return ref
    return f"refs/{'tags' if _VERSION.match(ref) else 'heads'}/{ref}"


def _wrong_inputs(job: WorkflowJob, called: Workflow) -> str:
    """Return what is wrong with the inputs of a call, or "". GitHub ignores the case of names."""
    passed = {name.lower() for name in job.with_}
    declared = {name.lower(): item for name, item in called.on["workflow_call"].inputs.items()}
    if unknown := sorted(passed - declared.keys()):
        return f"which has no input {', '.join(unknown)}"
    required = [name for name, item in declared.items() if item.required and item.default is None]
    if missing := [name for name in required if name not in passed]:
        return f"which requires the input {', '.join(missing)}; add it under `with`"
    return ""


def _granted(job: WorkflowJob, caller: WorkflowJob, path: Path) -> WorkflowJob:
    """Return a job of a called workflow with its effective permissions.

    Raises:
        BadWorkflow: the job requests more permissions than the calling job has.
    """
    if job.permissions_from == "default":
        return job.model_copy(
            update={
                "permissions": caller.permissions,
                "permissions_from": caller.permissions_from,
            }
        )
    if excess := excess_permissions(job.permissions, caller.permissions):
        listed = ", ".join(f"{scope}: {level}" for scope, level in excess.items())
        raise BadWorkflow(
            f"{path}:{job.line}: the job {job.id!r} requests {listed}; give the calling job "
            f"{caller.id!r} these permissions"
        )
    return job


def excess_permissions(permissions: Mapping[str, str], limit: Mapping[str, str]) -> dict[str, str]:
    """Return the permissions that exceed a limit."""
    return {
        scope: level
        for scope, level in permissions.items()
        if LEVELS.index(level) > LEVELS.index(limit.get(scope, "none"))
    }
