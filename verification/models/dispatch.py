"""Dispatches: the workflow files that can be dispatched, and the dispatches that jobs request."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from verification.models.base import Model
from verification.models.workflow import BadWorkflow, WorkflowInput
from verification.models.workflow_file import load


class DispatchTarget(Model):
    """A workflow file of the repository, as the forge knows it for dispatches."""

    path: str
    """The path in the repository."""
    name: str
    dispatchable: bool
    """True if the file has `on.workflow_dispatch`."""
    inputs: Mapping[str, WorkflowInput] = {}


class Dispatch(Model):
    """A dispatch that the forge accepted from a job."""

    path: str
    """The workflow file, relative to the repository."""
    ref: str
    """The full name of the branch or tag."""
    inputs: Mapping[str, str] = {}
    """The inputs with the defaults of the workflow."""
    job: str = ""
    """The job that requested it."""


def dispatch_targets(root: Path) -> tuple[DispatchTarget, ...]:
    """Return all valid workflow files of the repository at ``root``."""
    folder = root / ".github" / "workflows"
    files = sorted((*folder.glob("*.yml"), *folder.glob("*.yaml")))
    return tuple(filter(None, (_target(path, root) for path in files)))


def _target(path: Path, root: Path) -> DispatchTarget | None:
    try:
        workflow = load(path)
    except BadWorkflow:
        return None
    trigger = workflow.on.get("workflow_dispatch")
    return DispatchTarget(
        path=str(path.relative_to(root)),
        name=workflow.name,
        dispatchable=trigger is not None,
        inputs=trigger.inputs if trigger else {},
    )


def complete_inputs(
    declared_inputs: Mapping[str, WorkflowInput], inputs: Mapping[str, str]
) -> tuple[dict[str, str], str]:
    """Return the inputs of a dispatch with the defaults, and why GitHub refuses them, or "".

    The rules are those of GitHub's API. It refuses an unknown input, a missing required input, and
    a value that a choice or a boolean does not allow.
    """
    if unknown := [name for name in inputs if name not in declared_inputs]:
        names = ", ".join(declared_inputs) or "none"
        return {}, f"unknown input {unknown[0]!r}; the inputs are: {names}"
    complete = {}
    for name, declared in declared_inputs.items():
        value = complete[name] = inputs.get(name, declared.default_text)
        if declared.required and not value:
            return {}, f"the required input {name!r} is missing"
        allowed = ("true", "false") if declared.type == "boolean" else declared.options
        if allowed and name in inputs and value not in allowed:
            return {}, f"the input {name} cannot be {value!r}; the values are: {', '.join(allowed)}"
    return complete, ""
