"""Apply all static rules to the files of the release workflow and the trials of its validate job.

The rules collect all faults.
"""

from __future__ import annotations

from verification.models.cause import Cause, sorted_causes
from verification.models.publisher import TrustedPublisher
from verification.models.subject import Subject
from verification.models.workflow import BadWorkflow, Event, Workflow
from verification.pipeline.action_inputs import check_inputs
from verification.pipeline.action_pins import (
    check_actions,
    check_installs,
    check_pins,
    check_runners,
)
from verification.pipeline.job_order import (
    check_conditions,
    check_interruption,
    check_order,
    check_triggers,
)
from verification.pipeline.permissions import (
    check_credentials,
    check_permissions,
    check_publisher,
    check_tokens,
)
from verification.pipeline.plan import Plan
from verification.pipeline.release_page import check_release_page
from verification.pipeline.repository_files import WORKFLOW_FOLDER, RepositoryFiles
from verification.pipeline.trials import Trials, check_trials
from verification.pipeline.wheel_transfer import check_built_wheels, check_source, check_transfer
from verification.pipeline.workflow_causes import cause


def check_files(
    files: RepositoryFiles,
    plan: Plan,
    subject: Subject,
    trials: Trials,
    *,
    event: Event,
    publishers: tuple[TrustedPublisher, ...] = (),
) -> tuple[Cause, ...]:
    """Return the causes of the release workflow in a repository.

    ``event`` starts the workflow. ``publishers`` are the registrations of the project on the index;
    without one, the identity of the workflow is not compared.
    """
    if files.fault:
        return (_invalid(files.fault),)
    if files.workflow is None:
        workflows = ", ".join(files.workflows) or "none"
        message = f"is registered, but does not exist; the workflows are: {workflows}"
        where = str(WORKFLOW_FOLDER / plan.workflow)
        return (cause("publisher-mismatch", where, message, registered=plan.workflow),)
    try:
        return sorted_causes(_causes(files.workflow, files, plan, subject, trials))
    except BadWorkflow as error:
        return (_invalid(str(error).removeprefix(f"{files.workflow.path.parent}/")),)


def _causes(
    workflow: Workflow, files: RepositoryFiles, plan: Plan, subject: Subject, trials: Trials
) -> list[Cause]:
    causes = [
        *check_triggers(workflow, plan, f"v{files.project.version}"),
        *check_order(workflow, plan),
        *check_permissions(workflow, plan),
        *check_publisher(workflow, plan),
        *check_actions(workflow, plan),
        *check_built_wheels(workflow, plan, subject, files.project),
        *check_transfer(workflow),
        *check_trials(workflow, files.project, plan, trials),
        *check_release_page(workflow, trials),
    ]
    for file in workflow.files:
        causes += [
            *check_conditions(file),
            *check_interruption(file),
            *check_tokens(file),
            *check_credentials(file),
            *check_pins(file, plan),
            *check_inputs(file),
            *check_installs(file),
            *check_runners(file, plan),
            *check_source(file, plan),
        ]
    return causes


def _invalid(fault: str) -> Cause:
    where, _, message = fault.partition(": ")
    return cause("workflow-invalid", where, message)
