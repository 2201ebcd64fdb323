"""Apply all static rules to the files of the release workflow and the trials of its version check.

The rules collect all faults. They judge the jobs and steps that can run for the event.
"""

from __future__ import annotations

import functools

from verification.models.cause import Cause, sorted_causes
from verification.models.publisher import TrustedPublisher
from verification.models.subject import Subject
from verification.models.workflow import BadWorkflow, Event, Workflow
from verification.pipeline.action_inputs import check_inputs, check_names
from verification.pipeline.action_pins import check_installs
from verification.pipeline.built_wheels import (
    check_built_wheels,
    check_package,
    check_publishes,
    check_settings,
    check_source,
    platforms_of,
)
from verification.pipeline.conditions import (
    check_conditions,
    check_interruption,
    check_triggers,
)
from verification.pipeline.contexts import Runs, for_event
from verification.pipeline.dispatches import check_dispatches
from verification.pipeline.job_order import check_order
from verification.pipeline.permissions import check_permissions, check_publisher, check_tokens
from verification.pipeline.plan import Plan
from verification.pipeline.release_page import check_release_page
from verification.pipeline.repository_files import WORKFLOW_FOLDER, RepositoryFiles
from verification.pipeline.trials import Trials, check_trials
from verification.pipeline.wheel_transfer import check_transfer
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
    repository = publishers[0].slug if publishers else ""
    built = functools.partial(platforms_of, subject=subject, project=files.project)
    try:
        workflow, runs = for_event(files.workflow, event, repository)
        return sorted_causes(
            (
                *check_triggers(files.workflow, event, repository),
                *check_conditions(files.workflow, event, repository, built),
                *check_interruption(files.workflow, event, repository),
                *check_dispatches(files.workflow, event, repository),
                *_causes_of_files(files.workflow),
                *_causes_of_jobs(workflow, runs),
                *check_publisher(workflow, publishers, runs),
                *check_source(workflow, event, runs),
                *check_package(workflow, plan, runs),
                *check_built_wheels(workflow, plan, subject, files.project, runs),
                *check_trials(workflow, files, plan, trials),
                *check_release_page(workflow, trials, runs),
            )
        )
    except BadWorkflow as error:
        return (_invalid(str(error).removeprefix(f"{files.workflow.path.parent}/")),)


def _causes_of_files(workflow: Workflow) -> list[Cause]:
    """Return the causes of the rules that judge the text of the files."""
    causes = [*check_publishes(workflow)]
    causes += check_tokens(workflow)
    for file in workflow.files:
        causes += [
            *check_inputs(file),
            *check_names(file),
            *check_installs(file),
        ]
    return causes


def _causes_of_jobs(workflow: Workflow, runs: Runs) -> list[Cause]:
    """Return the causes of the rules that judge what runs for the event."""
    return [
        *check_order(workflow),
        *check_permissions(workflow, runs),
        *check_settings(workflow),
        *check_transfer(workflow, runs),
    ]


def _invalid(fault: str) -> Cause:
    where, _, message = fault.partition(": ")
    return cause("workflow-invalid", where, message)
