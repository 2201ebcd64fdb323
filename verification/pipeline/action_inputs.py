"""Read the inputs of a workflow's step, and check that its GitHub action has them.

All rules read inputs through this module, because an input name can have aliases and any case, and
actions parse boolean values in different ways.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from pathlib import Path

from verification.models.action import ActionDefinition, ActionVersions, StepInputs
from verification.models.cause import Cause
from verification.models.pipeline import ActionUse
from verification.models.workflow import Workflow, WorkflowStep
from verification.pipeline.tasks import similar_action
from verification.pipeline.workflow_causes import cause, step_location

_STAND_INS = Path(__file__).parents[2] / "containers" / "images" / "runner" / "actions"


def _definition(step: WorkflowStep) -> ActionDefinition | None:
    """Return the inputs of a GitHub action with a stand-in; None for any other action.

    If the stand-in does not replace the version of the step, they are the newest version's.

    Raises:
        DataError: the stand-in's files cannot be used.
    """
    return _load(step.action, (step.uses or "").partition("@")[2], step.comment)


@functools.cache
def _load(action: str | None, ref: str, comment: str) -> ActionDefinition | None:
    owner, _, subpath = (action or "").partition("/")
    repository, _, path = subpath.partition("/")
    folder = _STAND_INS / f"{owner}-{repository}"
    if not (folder / path / "inputs.toml").is_file():
        return None
    version = ActionVersions.load(folder).find(ref, comment)
    return ActionDefinition.load(folder / path, version.version if version else "")


def inputs_of(step: WorkflowStep) -> StepInputs:
    """Return the inputs of a step. Defaults and aliases are known only for actions with a stand-in.

    Raises:
        DataError: the stand-in's files cannot be used.
    """
    return (_definition(step) or ActionDefinition(inputs={})).read(step.with_)


def check_inputs(workflow: Workflow) -> Iterator[Cause]:
    """Yield a cause for each input that its action does not have. GitHub warns and ignores it."""
    for job in workflow.jobs.values():
        for step in job.steps:
            if step.action and _definition(step):
                where = step_location(workflow, job, step)
                for name, similar in inputs_of(step).unknown.items():
                    yield _unknown_input(where, step.action, name, similar)


def check_names(workflow: Workflow) -> Iterator[Cause]:
    """Yield a cause for each action whose name is similar to that of a known action of its owner.

    GitHub does not find a misspelled action, and the job fails.
    """
    for job in workflow.jobs.values():
        for step in job.steps:
            if step.action and (similar := similar_action(step.action)):
                message = f"uses {step.action}, which is similar to {similar}"
                where = step_location(workflow, job, step)
                yield cause("similar-action", where, message, action=step.action, similar=similar)


def check_real_inputs(uses: Iterable[ActionUse]) -> Iterator[Cause]:
    """Yield a cause for each input that a real action of the run does not have.

    Actions with a stand-in are left out, because `check_inputs` reports them.
    """
    for use in uses:
        action, _, ref = use.uses.partition("@")
        if _load(action, ref, "") is None:
            for name in use.unknown:
                yield _unknown_input(use.where, action, name, "")


def _unknown_input(where: str, action: str, name: str, similar: str) -> Cause:
    message = f"passes the input `{name}`, but {action} has no such input"
    if similar:
        message += f"; it has `{similar}`"
    return cause("unknown-input", where, message, action=action, input=name, similar=similar)
