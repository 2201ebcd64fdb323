"""The environment of the jobs of a run: the closed network, and the forge on it."""

from __future__ import annotations

import dataclasses
from typing import Protocol

from pydantic import JsonValue

from verification.models.forge import JobIdentity, Repository, WorkflowRun
from verification.models.pipeline import Push
from verification.models.workflow import RunningJob, Workflow


class JobRegistry(Protocol):
    """Registers a job at the forge by the address of the job's container."""

    def __call__(
        self, address: str, job: RunningJob, push: Push, run_id: int, attempt: int, /
    ) -> None:
        """Register ``job``, whose container has ``address``."""


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


def forge_environment(
    forge: RunningForge, *, network: str, ca_certificate: str
) -> RunnerEnvironment:
    """Return the environment with this forge on a network.

    The forge is started with the values of one run of the workflow. If a job belongs to another
    run, its registration contains the claims that differ, such as the tag or the attempt.
    """
    variables = forge.environment

    def register(address: str, running: RunningJob, push: Push, run_id: int, attempt: int) -> None:
        identity = JobIdentity(
            job=running.id,
            permissions=running.job.permissions,
            environment=running.job.environment,
            claims=_claims(forge, running, push, run_id, attempt),
        )
        forge.register(address, identity)

    return RunnerEnvironment(
        network=network,
        ca_certificate=ca_certificate,
        register=register,
        token=variables["GITHUB_TOKEN"],
        identity_url=variables["ACTIONS_ID_TOKEN_REQUEST_URL"],
        identity_token=variables["ACTIONS_ID_TOKEN_REQUEST_TOKEN"],
    )


def _claims(
    forge: RunningForge, running: RunningJob, push: Push, run_id: int, attempt: int
) -> dict[str, JsonValue]:
    """Return the claims of a job that differ from those of the forge's run.

    `workflow_ref` names the file that was started, `job_workflow_ref` the file of the job.
    """
    started, claims = forge.workflow, dict[str, JsonValue]()
    slug = f"{forge.repository.owner}/{forge.repository.name}"
    if started.sha != push.sha:
        claims |= dict.fromkeys(("sha", "workflow_sha", "job_workflow_sha"), push.sha)
    if started.ref != push.ref:
        claims["ref"] = push.ref
        workflow = f"{slug}/{started.path}@{push.ref}"
        claims |= dict.fromkeys(("workflow_ref", "job_workflow_ref"), workflow)
        if not running.job.environment:
            claims["sub"] = f"repo:{slug}:ref:{push.ref}"
    if running.callers:
        claims |= _called_claims(running.workflow, slug, push)
    if started.run_id != run_id:
        claims["run_id"] = str(run_id)
    if started.run_attempt != attempt:
        claims["run_attempt"] = str(attempt)
    return claims


def _called_claims(called: Workflow, slug: str, push: Push) -> dict[str, JsonValue]:
    """Return the claims about the file of a called workflow.

    For a workflow of another repository, the commit is known only if the call names it.
    """
    if not called.origin:
        file = f"{slug}/.github/workflows/{called.path.name}@{push.ref}"
        return {"job_workflow_ref": file, "job_workflow_sha": push.sha}
    ref = called.origin.partition("@")[2]
    return {
        "job_workflow_ref": called.origin,
        "job_workflow_sha": None if ref.startswith("refs/") else ref,
    }
