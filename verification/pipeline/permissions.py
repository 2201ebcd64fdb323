"""Check the permissions, the publisher and the tokens of the jobs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from verification.models.cause import Cause
from verification.models.publisher import TrustedPublisher
from verification.models.workflow import RunningJob, Workflow, WorkflowStep
from verification.models.workflow_call import excess_permissions
from verification.pipeline.action_inputs import inputs_of
from verification.pipeline.contexts import Runs, job_contexts, known_text
from verification.pipeline.publishing import (
    PUBLISH_ACTION,
    Publication,
    is_credential,
    publications,
)
from verification.pipeline.shell import commands
from verification.pipeline.tasks import all_steps, command_task, job_key, step_tasks
from verification.pipeline.workflow_causes import cause, not_evaluated, step_location

_TOKEN = re.compile(r"\bpypi-[A-Za-z0-9_-]{16,}|\bgh[opsur]_[A-Za-z0-9]{16,}")
_JOB_TOKEN = re.compile(r"\$\{\{\s*(?:github\.token|secrets\.GITHUB_TOKEN)\s*\}\}", re.IGNORECASE)
_GH_TOKENS = ("GH_TOKEN", "GITHUB_TOKEN")
_CREDENTIAL_INPUTS = ("password", "user")
_TOKEN_INPUTS = ("token", "repo_token", "github_token", "github-token", "repo-token")
"""The inputs with which an action for releases gets another token than that of the job."""
_ACTION_NEEDS: Mapping[str, Mapping[str, str]] = {
    "actions/attest-build-provenance": {"id-token": "write", "attestations": "write"},
    "actions/attest": {"id-token": "write", "attestations": "write"},
    "sigstore/gh-action-sigstore-python": {"id-token": "write"},
}
_CONTENTS = {"contents": "write"}


def check_permissions(workflow: Workflow, runs: Runs) -> Iterator[Cause]:
    """Yield a cause for each job whose token cannot do what its steps do.

    `permissions` of the job replaces that of the workflow. Without both, the repository decides,
    but never gives `id-token`.
    """
    identities = {
        (job_key(publication.running), publication.step.line)
        for publication in publications(workflow, runs)
        if publication.by_identity
    }
    for running in workflow.running_jobs:
        for step in all_steps(running.job.steps):
            needed = _needs(running, step)
            if (job_key(running), step.line) in identities and "publish" in step_tasks(step):
                needed = {**needed, "id-token": "write"}
            yield from _missing(running, step, needed)
            yield from _without_token(running, step)


def _needs(running: RunningJob, step: WorkflowStep) -> dict[str, str]:
    """Return the permissions that a step needs for requests with the token of the job."""
    if step.continue_on_error not in (None, "false"):
        return {}
    action = (step.action or "").lower()
    if action == "actions/download-artifact" and inputs_of(step).is_set("run-id"):
        token = inputs_of(step).get("github-token")
        is_other = inputs_of(step).is_set("github-token") and not _JOB_TOKEN.fullmatch(token)
        return {} if is_other else {"actions": "read"}
    if action in _ACTION_NEEDS:
        return dict(_ACTION_NEEDS[action])
    if step.run is None:
        is_release = "create-release" in step_tasks(step) and not step.steps
        return dict(_CONTENTS) if is_release and not _has_other_token(running, step) else {}
    if "||" in step.run or _has_other_token(running, step):
        return {}
    needed: dict[str, str] = {}
    for words in commands(step.run, step.shell):
        match command_task(words):
            case "create-release":
                needed |= _CONTENTS
            case "dispatch":
                is_event = any(re.search(r"repos/[^/]+/[^/]+/dispatches$", word) for word in words)
                needed |= _CONTENTS if is_event else {"actions": "write"}
            case _:
                pass
    return needed


def _has_other_token(running: RunningJob, step: WorkflowStep) -> bool:
    """Return whether a step uses another token than that of the job."""
    env = {**running.workflow.env, **running.job.env, **step.env}
    values = [env[name] for name in _GH_TOKENS if name in env]
    values += [text for name, text in step.with_.items() if name.lower() in _TOKEN_INPUTS]
    return any(not _JOB_TOKEN.fullmatch(value.strip()) for value in values)


def _missing(running: RunningJob, step: WorkflowStep, needed: Mapping[str, str]) -> Iterator[Cause]:
    missing = excess_permissions(needed, running.job.permissions)
    where = step_location(running.workflow, running.job, step)
    if running.job.permissions_from == "default":
        by_repository = {name for name in missing if name != "id-token"}
        if by_repository:
            listed = _listed({name: missing[name] for name in by_repository})
            reason = f"needs {listed}, and the settings of the repository decide this"
            yield not_evaluated(where, reason)
        missing = {name: level for name, level in missing.items() if name == "id-token"}
    if missing:
        message = f"does not have {_listed(missing)}"
        yield cause("permission-missing", where, message, job=running.id, missing=_listed(missing))


def _without_token(running: RunningJob, step: WorkflowStep) -> Iterator[Cause]:
    """Yield a cause if `gh` has no token. It then refuses to start in a job."""
    script = step.run or ""
    env = {**running.workflow.env, **running.job.env, **step.env}
    can_set_it = re.search(r"GH_TOKEN|GITHUB_TOKEN|\bgh\s+auth\b|\|\|", script)
    if can_set_it or set(_GH_TOKENS) & env.keys() or _sets_variables(running):
        return
    tasks = {command_task(words) for words in commands(script, step.shell) if words[0] == "gh"}
    if tasks & {"create-release", "dispatch"}:
        where = step_location(running.workflow, running.job, step)
        message = "runs gh without the variable GH_TOKEN"
        yield cause("permission-missing", where, message, job=running.id, missing="GH_TOKEN")


def _sets_variables(running: RunningJob) -> bool:
    return any("GITHUB_ENV" in (step.run or "") for step in all_steps(running.job.steps))


# ---- the publisher ----


def check_publisher(
    workflow: Workflow, publishers: tuple[TrustedPublisher, ...], runs: Runs
) -> Iterator[Cause]:
    """Yield the reasons why the index refuses the identity of the workflow, or does not use it.

    The index finds the publisher by the claim `job_workflow_ref`. This is the file that contains
    the job, not the file that calls it. Without a registration, nothing is compared.
    """
    published = publications(workflow, runs)
    releases = [publication for publication in published if publication.default_index is not False]
    if published and not releases:
        first = published[0]
        where = step_location(first.running.workflow, first.running.job, first.step)
        message = "uploads to another index, but the publisher is registered on the default index"
        yield cause("publisher-mismatch", where, message)
    if not publishers:
        return
    if not published:
        yield from _foreign_publisher(workflow)
    for publication in releases:
        if publication.by_identity is False:
            where = _location(publication)
            message = "publishes with a stored token, so the registered publisher is not used"
            yield cause("publisher-unused", where, message)
        else:
            yield from _publisher_causes(publication, publishers, runs)


def _foreign_publisher(workflow: Workflow) -> Iterator[Cause]:
    """Yield a cause for each call of a workflow of another repository that gets the identity."""
    for running in workflow.running_jobs:
        if running.job.uses and running.job.permissions.get("id-token") == "write":
            where = step_location(running.workflow, running.job)
            message = f"calls {running.job.uses}, but the index accepts only workflows of the"
            facts = {"workflow": running.job.uses}
            yield cause("publisher-mismatch", where, f"{message} repository", **facts)


def _location(publication: Publication) -> str:
    running = publication.running
    return step_location(running.workflow, running.job, publication.step)


def _publisher_causes(
    publication: Publication, publishers: tuple[TrustedPublisher, ...], runs: Runs
) -> Iterator[Cause]:
    running = publication.running
    job, file = running.job, running.workflow
    where = step_location(file, job)
    if file.origin:
        message = f"is a job of {file.origin}, but the index accepts only workflows of the"
        yield cause("publisher-mismatch", where, f"{message} repository", workflow=file.origin)
        return
    of_file = [publisher for publisher in publishers if publisher.workflow == file.path.name]
    if not of_file:
        registered = publishers[0].workflow
        message = f"is a job of {file.path.name}, but the registered workflow is {registered}"
        facts = {"workflow": file.path.name, "registered": registered}
        yield cause("publisher-mismatch", where, message, **facts)
    yield from _environment_causes(running, of_file or list(publishers), runs)
    if running.callers and publication.action == PUBLISH_ACTION and publication.attests:
        message = "publishes attestations without `attestations: false`; their certificates"
        message += f" have the workflow that started, so the index refuses {file.path.name}"
        facts = {"workflow": file.path.name, "input": "attestations"}
        yield cause("publisher-mismatch", _location(publication), message, **facts)


def _environment_causes(
    running: RunningJob, publishers: list[TrustedPublisher], runs: Runs
) -> Iterator[Cause]:
    """Yield a cause if no registration has the environment of a job. An empty one fits each job."""
    where = step_location(running.workflow, running.job)
    registered = {publisher.environment for publisher in publishers}
    environment = known_text(running.job.environment or "", job_contexts(running, runs)[0])
    if "" in registered:
        return
    if environment is None:
        yield not_evaluated(where, f"has the environment {running.job.environment}")
    # The index compares environments without regard to case.
    elif environment.lower() not in registered:
        has = f"the environment {environment}" if environment else "no environment"
        message = f"has {has}, but the registered environment is {', '.join(sorted(registered))}"
        yield cause("publisher-mismatch", where, message, environment=environment)


# ---- tokens ----


def check_tokens(workflow: Workflow) -> Iterator[Cause]:
    """Yield a cause for each publication with a stored token, and each token in the text."""
    publishes = {
        running.workflow.path
        for running in workflow.running_jobs
        if any("publish" in step_tasks(step) for step in running.job.steps)
    }
    for file in workflow.files:
        if file.path in publishes:
            yield from _variables(file.location(1), file.env)
        yield from _texts(file.location(1), file.env.values())
        for job in file.jobs.values():
            steps = list(all_steps(job.steps))
            if any("publish" in step_tasks(step) for step in steps):
                yield from _variables(file.location(job.line), job.env)
            yield from _texts(file.location(job.line), job.env.values())
            for step in steps:
                yield from _step_tokens(file.location(step.line), step)


def _step_tokens(where: str, step: WorkflowStep) -> Iterator[Cause]:
    yield from _texts(where, (*step.with_.values(), *step.env.values(), step.run or ""))
    if "publish" not in step_tasks(step):
        return
    yield from _variables(where, step.env)
    inputs = inputs_of(step)
    for name in _CREDENTIAL_INPUTS if step.action == PUBLISH_ACTION else ():
        if inputs.is_set(name):
            message = f"publishes with the input `{name}`"
            yield cause("token-in-workflow", where, message, input=name)


def _variables(where: str, env: Mapping[str, str]) -> Iterator[Cause]:
    for name in filter(is_credential, env):
        message = f"sets the variable {name}, which is for credentials"
        yield cause("token-in-workflow", where, message, variable=name)


def _texts(where: str, texts: Iterable[str]) -> Iterator[Cause]:
    if any(_TOKEN.search(text) for text in texts):
        yield cause("token-in-workflow", where, "contains a token in plain text")


def _listed(permissions: Mapping[str, str]) -> str:
    return ", ".join(f"{scope}: {level}" for scope, level in permissions.items()) or "none"
