"""The configuration of the forge, and its content at the end of a run.

The forge stands in for GitHub. Keys of repositories, runs and releases are those of GitHub's API.
"""

from __future__ import annotations

from collections.abc import Mapping

import pydantic
from pydantic import JsonValue

from verification.models.base import Model
from verification.models.index_log import LoggedRequest


class Repository(Model):
    """The repository on the forge, with numeric ids as GitHub assigns them."""

    owner: str
    name: str
    id: int
    owner_id: int
    visibility: str = "public"
    default_branch: str = "main"
    branches: Mapping[str, str] = {}
    """The commit of each branch."""
    tags: Mapping[str, str] = {}
    """The commit of each tag."""
    annotated: Mapping[str, str] = {}
    """The tag object of each annotated tag."""


class WorkflowRun(Model):
    """The values that all jobs of a run share. The identity tokens of the jobs contain them."""

    workflow: str
    """The workflow's name."""
    path: str
    """The workflow's file, relative to the repository: ``.github/workflows/publish.yml``."""
    ref: str
    sha: str
    event_name: str = "push"
    actor: str = "maintainer"
    actor_id: int = 1
    run_id: int = 1
    run_number: int = 1
    run_attempt: int = 1
    head_ref: str = ""
    base_ref: str = ""
    ref_protected: bool = False


class JobIdentity(Model):
    """A job, as the workflow file defines it."""

    job: str
    permissions: Mapping[str, str] = {}
    """The effective permissions: ``{"contents": "write"}``; all others are not granted."""
    environment: str | None = None
    claims: Mapping[str, JsonValue] = {}
    """Claims that differ from those of the run. None removes a claim."""


class ForgeAsset(Model):
    """A file of a release page, as the forge stored it. Other keys of the forge are ignored."""

    model_config = pydantic.ConfigDict(extra="ignore")

    id: int
    name: str
    label: str | None
    size: int
    sha256: str
    content_type: str


class ForgeRelease(Model):
    """A release page that a job created on the forge. Other keys of the forge are ignored."""

    model_config = pydantic.ConfigDict(extra="ignore")

    id: int
    tag: str
    target: str
    name: str | None
    body: str | None
    draft: bool
    prerelease: bool
    latest: bool
    created_at: str
    published_at: str | None
    assets: tuple[ForgeAsset, ...]


class ForgeRequest(LoggedRequest):
    """One line of the forge's log."""

    job: str | None = None
    """The job whose container has the client's address; None if no job has it."""
    request_id: str = ""
    refused: str = ""
    """Why the forge refused the request."""
    unsupported: str = ""
    """What the job requests and the forge does not support."""
    problem: str = ""
    """The message of an error response."""
    kids: tuple[str, ...] = ()
    """The ids of the keys that the forge published in this response."""
    kid: str = ""
    """The id of the key that signed the identity token."""
    claims: Mapping[str, JsonValue] | None = None
    """The claims of the issued identity token."""
    release: str = ""
    """The tag of the release page."""
    asset: str = ""
    uploaded_bytes: int | None = None
    uploaded_sha256: str = ""
    deleted: str = ""
    """The full name of the ref that was deleted."""
    dispatched: str = ""
    """The workflow file that the job dispatched."""
