"""The claims of an identity token. They describe the job that requested it.

The names, the precedence in ``sub`` and the times are from GitHub Docs, "OpenID Connect
reference". The ids of the check run and of the environment are stand-ins in GitHub's form.
"""

from __future__ import annotations

import base64
import hashlib
import time
import uuid

from server.json_reader import JsonObject

from .config import Repository, WorkflowRun
from .jobs import JobIdentity
from .routing import ISSUER

NAMES = (
    "sub",
    "aud",
    "exp",
    "iat",
    "iss",
    "jti",
    "nbf",
    "ref",
    "sha",
    "repository",
    "repository_id",
    "repository_owner",
    "repository_owner_id",
    "repository_visibility",
    "run_id",
    "run_number",
    "run_attempt",
    "actor",
    "actor_id",
    "workflow",
    "workflow_ref",
    "workflow_sha",
    "head_ref",
    "base_ref",
    "event_name",
    "ref_type",
    "ref_protected",
    "environment",
    "environment_node_id",
    "check_run_id",
    "job_workflow_ref",
    "job_workflow_sha",
    "runner_environment",
)
ISSUER_URL = f"https://{ISSUER}"
_LIFETIME_SECONDS = 300
_NOT_BEFORE_SECONDS = 600


def default_audience(repository: Repository) -> str:
    """Return the audience of a token for a request without an audience."""
    return f"https://github.com/{repository.owner}"


def job_claims(
    repository: Repository, run: WorkflowRun, job: JobIdentity, audience: str
) -> JsonObject:
    """Return all claims of a new token for a job."""
    now = int(time.time())
    workflow_ref = f"{repository.full_name}/{run.path}@{run.ref}"
    claims: JsonObject = {
        "jti": str(uuid.uuid4()),
        "sub": subject(repository, run, job),
        "aud": audience,
        "ref": run.ref,
        "sha": run.sha,
        "repository": repository.full_name,
        "repository_owner": repository.owner,
        "repository_owner_id": str(repository.owner_id),
        "run_id": str(run.run_id),
        "run_number": str(run.run_number),
        "run_attempt": str(run.run_attempt),
        "repository_visibility": repository.visibility,
        "repository_id": str(repository.id),
        "actor_id": str(run.actor_id),
        "actor": run.actor,
        "workflow": run.workflow,
        "head_ref": run.head_ref,
        "base_ref": run.base_ref,
        "event_name": run.event_name,
        "ref_protected": str(run.ref_protected).lower(),
        "ref_type": "tag" if run.ref.startswith("refs/tags/") else "branch",
        "workflow_ref": workflow_ref,
        "workflow_sha": run.sha,
        "job_workflow_ref": workflow_ref,
        "job_workflow_sha": run.sha,
        "runner_environment": "github-hosted",
        "check_run_id": _check_run_id(run, job),
        "iss": ISSUER_URL,
        "nbf": now - _NOT_BEFORE_SECONDS,
        "exp": now + _LIFETIME_SECONDS,
        "iat": now,
    }
    if job.environment:
        claims["environment"] = job.environment
        claims["environment_node_id"] = _environment_node_id(repository, job.environment)
    # A claim with the value null in the file of the job is left out.
    return {name: value for name, value in {**claims, **job.claims}.items() if value is not None}


def _check_run_id(run: WorkflowRun, job: JobIdentity) -> str:
    """Return the number of the job's check run: equal for all tokens of a job of one attempt."""
    return str(int.from_bytes(_digest(run.run_id, run.run_attempt, job.job)[:5], "big"))


def _environment_node_id(repository: Repository, environment: str) -> str:
    """Return the id of an environment in the GraphQL API. The case of its name does not matter."""
    digest = _digest(repository.full_name, environment.lower())
    return f"EN_{base64.urlsafe_b64encode(digest[:12]).decode()}"


def _digest(*parts: object) -> bytes:
    return hashlib.sha256("/".join(map(str, parts)).encode()).digest()


def subject(repository: Repository, run: WorkflowRun, job: JobIdentity) -> str:
    """Return the claim ``sub``, with the environment, or else the pull request or the ref."""
    if job.environment:
        context = f"environment:{job.environment.replace(':', '%3A')}"
    elif run.event_name in ("pull_request", "pull_request_target"):
        context = "pull_request"
    else:
        context = f"ref:{run.ref}"
    return f"repo:{repository.full_name}:{context}"
