"""The registered publishers, and the check of the claims of a token.

The look-up, its order and the messages are those of the default index, 2026, for GitHub's tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from server.json_reader import JsonObject

REQUIRED = (
    "repository",
    "repository_owner",
    "repository_owner_id",
    "job_workflow_ref",
    "jti",
    "event_name",
    "ref",
    "sha",
)
"""The required claims. The last two can have any value."""
_STRING_CLAIMS = REQUIRED[:6]
_FORBIDDEN_EVENT = "pull_request_target"


class NoPublisher(Exception):
    """No publisher matches the claims. The client gets the message."""


@dataclass(frozen=True, slots=True)
class WorkflowIdentity:
    """A workflow that is registered as a publisher, for one or more projects."""

    owner: str
    owner_id: str
    repository: str
    file: str
    environment: str = ""
    """In lower case; empty if the registration has none."""

    def __str__(self) -> str:
        environment = f", environment {self.environment}" if self.environment else ""
        return f"{self.ref}{environment}"

    @property
    def slug(self) -> str:
        """The repository, ``owner/name``."""
        return f"{self.owner}/{self.repository}"

    @property
    def ref(self) -> str:
        """The workflow file, in the format of the claim ``job_workflow_ref``, without ``@REF``."""
        return f"{self.slug}/.github/workflows/{self.file}"


@dataclass(frozen=True, slots=True)
class RegisteredPublisher:
    """A registration: the workflow may publish the project (normalised name)."""

    project: str
    workflow: WorkflowIdentity


class PublisherRegistry:
    """The active registrations, and the pending ones for projects that do not exist yet."""

    def __init__(
        self, active: Iterable[RegisteredPublisher], pending: Iterable[RegisteredPublisher]
    ) -> None:
        self._active = list(active)
        self._pending = list(pending)

    @property
    def projects(self) -> set[str]:
        """The projects with an active publisher. They exist."""
        return {publisher.project for publisher in self._active}

    def find(self, claims: JsonObject) -> tuple[WorkflowIdentity, frozenset[str]]:
        """Return the active workflow that matches the claims, and its projects.

        Raises:
            NoPublisher: no workflow matches, or a claim differs.
        """
        workflow = _find(claims, self._active).workflow
        return workflow, frozenset(
            publisher.project for publisher in self._active if publisher.workflow == workflow
        )

    def find_pending(self, claims: JsonObject) -> RegisteredPublisher | None:
        """Return the pending publisher that matches the claims, or None."""
        try:
            return _find(claims, self._pending)
        except NoPublisher:
            return None

    def promote(self, publisher: RegisteredPublisher) -> None:
        """Make a pending publisher active. This creates its project."""
        self._pending.remove(publisher)
        self._active.append(publisher)

    def discard(self, publisher: RegisteredPublisher) -> None:
        """Remove a pending publisher because its project exists."""
        self._pending.remove(publisher)


def _find(claims: JsonObject, publishers: Iterable[RegisteredPublisher]) -> RegisteredPublisher:
    texts = _string_claims(claims)
    file = _workflow_file(texts["job_workflow_ref"])
    if file is None:
        raise NoPublisher("Could not job extract workflow filename from OIDC claims")
    owner, _, repository = texts["repository"].partition("/")
    claimed = (owner, texts["repository_owner_id"], repository, file)
    candidates: dict[str, RegisteredPublisher] = {}
    for publisher in publishers:
        workflow = publisher.workflow
        registered = (workflow.owner, workflow.owner_id, workflow.repository, workflow.file)
        if registered == claimed:
            candidates.setdefault(workflow.environment, publisher)
    matching = candidates.get(texts["environment"].lower()) or candidates.get("")
    if matching is None:
        raise NoPublisher("Publisher with matching claims was not found")
    refs = [ref for ref in (claims["ref"], claims["sha"]) if ref and isinstance(ref, str)]
    _check(matching.workflow, texts, refs)
    return matching


def _string_claims(claims: JsonObject) -> dict[str, str]:
    """Return the claims that must be strings.

    Raises:
        NoPublisher: a required claim is missing, or a claim is not a string.
    """
    for name in REQUIRED:
        if claims.get(name) is None:
            raise NoPublisher(f"Missing claim {name!r}")
    texts: dict[str, str] = {}
    for name in _STRING_CLAIMS:
        value = claims[name]
        if not isinstance(value, str):
            raise NoPublisher(f"Check failed for required claim {name!r}")
        texts[name] = value
    environment = claims.get("environment") or ""
    if not isinstance(environment, str):
        raise NoPublisher("Check failed for optional claim 'environment'")
    return {**texts, "environment": environment}


def _workflow_file(ref: str) -> str | None:
    """Return the file name in a claim OWNER/REPO/.github/workflows/FILE@REF, or None.

    It is in the first part between slashes that contains `.yml@` or `.yaml@`. FILE and REF can
    contain @ as well, so the last `.yml@` or `.yaml@` of the part ends the name.
    """
    for part in ref.split("/"):
        match = re.match(r"(.+\.ya?ml)@", part, re.DOTALL)
        if match:
            return match[1]
    return None


def _check(workflow: WorkflowIdentity, texts: dict[str, str], refs: list[str]) -> None:
    matches = {
        "repository": texts["repository"].lower() == workflow.slug.lower(),
        "repository_owner": texts["repository_owner"] == workflow.owner,
        "repository_owner_id": texts["repository_owner_id"] == workflow.owner_id,
    }
    for name, is_equal in matches.items():
        if not is_equal:
            raise NoPublisher(f"Check failed for required claim {name!r}")
    if not refs:
        raise NoPublisher("The ref and sha claims are empty")
    expected_refs = sorted({f"{workflow.ref}@{ref}" for ref in refs})
    if texts["job_workflow_ref"] not in expected_refs:
        raise NoPublisher(
            "The job_workflow_ref claim does not match, expecting one of "
            f"{expected_refs!r}, got {texts['job_workflow_ref']!r}"
        )
    if texts["event_name"] == _FORBIDDEN_EVENT:
        raise NoPublisher(
            f"Publishing from a workflow invoked via {_FORBIDDEN_EVENT!r} is not supported."
        )
    if workflow.environment and texts["environment"].lower() != workflow.environment:
        raise NoPublisher("Check failed for optional claim 'environment'")
