"""The environment of the jobs of a run: the closed network, and the forge on it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Protocol

from pydantic import JsonValue

from verification.models.forge import JobIdentity, Repository, WorkflowRun
from verification.models.pipeline import RunEvent
from verification.models.workflow import RunningJob, Workflow

BOT = "github-actions[bot]"
"""The actor of an event that a job causes with its GITHUB_TOKEN."""


@dataclasses.dataclass(frozen=True)
class StartedRun:
    """A run of a workflow: the started file, the event and the numbers of the run."""

    workflow: str
    """The name of the workflow."""
    path: str
    """The started file, relative to the repository."""
    event: RunEvent
    run_id: int
    attempt: int


class JobRegistry(Protocol):
    """Registers a job at the forge by the address of the job's container."""

    def __call__(self, address: str, job: RunningJob, run: StartedRun, /) -> None:
        """Register ``job`` of ``run``, whose container has ``address``."""


class RunningForge(Protocol):
    """The part of a forge that the jobs need (`containers.forge.Forge`)."""

    repository: Repository
    workflow: WorkflowRun

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which a job gets its tokens."""

    def register(self, address: str, identity: JobIdentity) -> None:
        """Register the job whose container has this address."""


@dataclasses.dataclass(frozen=True)
class RunnerEnvironment:
    """The closed network of the jobs, and the forge that answers on it."""

    network: str
    ca_certificate: str
    """The certificate of the CA of the servers on the network, PEM."""
    register: JobRegistry | None = None
    token: str = "ghs_none"  # noqa: S105  (act needs a token; without a forge nothing reads it)
    """The value of GITHUB_TOKEN in the jobs."""
    identity_url: str = ""
    """The address for requests of an identity token. Empty if no job can request one."""
    identity_token: str = ""
    """The bearer token for requests of an identity token."""
    secrets: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """The other secrets of the repository, by their names in upper case."""


def forge_environment(
    forge: RunningForge, *, network: str, ca_certificate: str, secrets: Mapping[str, str] = {}
) -> RunnerEnvironment:
    """Return the environment with this forge on a network, and with secrets of the repository.

    The forge is started with the values of one run of the workflow. If a job belongs to another
    run, its registration contains the claims that differ, such as the tag or the attempt.
    """
    variables = forge.environment

    def register(address: str, running: RunningJob, run: StartedRun) -> None:
        identity = JobIdentity(
            job=running.id,
            permissions=running.job.permissions,
            environment=running.job.environment,
            claims=_claims(forge, running, run),
        )
        forge.register(address, identity)

    return RunnerEnvironment(
        network=network,
        ca_certificate=ca_certificate,
        register=register,
        token=variables["GITHUB_TOKEN"],
        identity_url=variables["ACTIONS_ID_TOKEN_REQUEST_URL"],
        identity_token=variables["ACTIONS_ID_TOKEN_REQUEST_TOKEN"],
        secrets=secrets,
    )


def _claims(forge: RunningForge, running: RunningJob, run: StartedRun) -> dict[str, JsonValue]:
    """Return the claims of a job that differ from those of the forge's run.

    `workflow_ref` names the file that was started, `job_workflow_ref` the file of the job.
    """
    started, event, claims = forge.workflow, run.event, dict[str, JsonValue]()
    slug = f"{forge.repository.owner}/{forge.repository.name}"
    if started.sha != event.sha:
        claims |= dict.fromkeys(("sha", "workflow_sha", "job_workflow_sha"), event.sha)
    if (started.ref, started.path) != (event.ref, run.path):
        workflow = f"{slug}/{run.path}@{event.ref}"
        claims |= dict.fromkeys(("workflow_ref", "job_workflow_ref"), workflow)
    if started.ref != event.ref and not running.job.environment:
        claims["sub"] = f"repo:{slug}:ref:{event.ref}"
    if running.callers:
        claims |= _called_claims(running.workflow, slug, event)
    values = {
        "ref": (started.ref, event.ref),
        "ref_type": (_ref_type(started.ref), _ref_type(event.ref)),
        "workflow": (started.workflow, run.workflow),
        "event_name": (started.event_name, event.name),
        "actor": (started.actor, BOT if event.by_workflow else started.actor),
        "run_id": (str(started.run_id), str(run.run_id)),
        "run_attempt": (str(started.run_attempt), str(run.attempt)),
    }
    return claims | {name: new for name, (old, new) in values.items() if old != new}


def _ref_type(ref: str) -> str:
    return "tag" if ref.startswith("refs/tags/") else "branch"


def _called_claims(called: Workflow, slug: str, event: RunEvent) -> dict[str, JsonValue]:
    """Return the claims about the file of a called workflow.

    For a workflow of another repository, the commit is known only if the call names it.
    """
    if not called.origin:
        file = f"{slug}/.github/workflows/{called.path.name}@{event.ref}"
        return {"job_workflow_ref": file, "job_workflow_sha": event.sha}
    ref = called.origin.partition("@")[2]
    return {
        "job_workflow_ref": called.origin,
        "job_workflow_sha": None if ref.startswith("refs/") else ref,
    }
