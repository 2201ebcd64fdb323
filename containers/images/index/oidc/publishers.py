"""The registered publishers: who may publish, found and checked by the claims of a token.

The look-up, its order and the reasons given are those of the default index's code as of 2026, for
GitHub's tokens.
"""

from __future__ import annotations

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
"""The claims that must be there. The last two may have any value."""
_TEXTS = REQUIRED[:6]
_FORBIDDEN_EVENT = "pull_request_target"


class NoPublisher(Exception):
    """No publisher corresponds to the claims; the message is the reason that the client gets."""


@dataclass(frozen=True, slots=True)
class WorkflowIdentity:
    """The workflow that a registration names; two registrations with the same are one publisher."""

    owner: str
    owner_id: str
    repository: str
    file: str
    environment: str = ""
    """In lower case; empty if the registration names none."""

    def __str__(self) -> str:
        where = f", environment {self.environment}" if self.environment else ""
        return f"{self.ref}{where}"

    @property
    def slug(self) -> str:
        """Owner and name of the repository, as GitHub joins them."""
        return f"{self.owner}/{self.repository}"

    @property
    def ref(self) -> str:
        """The workflow's file, as the claim has it before the @."""
        return f"{self.slug}/.github/workflows/{self.file}"


@dataclass(frozen=True, slots=True)
class RegisteredPublisher:
    """A registration: this workflow may publish this project, named as it is normalised."""

    project: str
    workflow: WorkflowIdentity


class PublisherRegistry:
    """The registrations in force, and those that wait for their project's first release."""

    def __init__(
        self, active: Iterable[RegisteredPublisher], pending: Iterable[RegisteredPublisher]
    ) -> None:
        self._active = list(active)
        self._pending = list(pending)

    @property
    def projects(self) -> set[str]:
        """The projects that have a publisher in force, and so exist."""
        return {publisher.project for publisher in self._active}

    def find(self, claims: JsonObject) -> tuple[WorkflowIdentity, frozenset[str]]:
        """Return the workflow in force that the claims fit, with the projects it publishes.

        Raises:
            NoPublisher: there is none, or a claim differs.
        """
        workflow = _find(claims, self._active).workflow
        return workflow, frozenset(
            other.project for other in self._active if other.workflow == workflow
        )

    def find_pending(self, claims: JsonObject) -> RegisteredPublisher | None:
        """Return the waiting publisher that the claims fit, or None."""
        try:
            return _find(claims, self._pending)
        except NoPublisher:
            return None

    def promote(self, publisher: RegisteredPublisher) -> None:
        """Put a waiting publisher in force: its project exists from now on."""
        self._pending.remove(publisher)
        self._active.append(publisher)

    def discard(self, publisher: RegisteredPublisher) -> None:
        """Drop a waiting publisher that came too late."""
        self._pending.remove(publisher)


def _find(claims: JsonObject, publishers: Iterable[RegisteredPublisher]) -> RegisteredPublisher:
    texts = _texts(claims)
    file = _workflow_file(texts["job_workflow_ref"])
    if file is None:
        raise NoPublisher("Could not job extract workflow filename from OIDC claims")
    owner, _, repository = texts["repository"].partition("/")
    claimed = (owner, texts["repository_owner_id"], repository, file)
    candidates: dict[str, RegisteredPublisher] = {}
    for publisher in publishers:
        known = publisher.workflow
        if (known.owner, known.owner_id, known.repository, known.file) == claimed:
            candidates.setdefault(known.environment, publisher)
    matching = candidates.get(texts["environment"].lower()) or candidates.get("")
    if matching is None:
        raise NoPublisher("Publisher with matching claims was not found")
    refs = [ref for ref in (claims["ref"], claims["sha"]) if ref and isinstance(ref, str)]
    _check(matching.workflow, texts, refs)
    return matching


def _texts(claims: JsonObject) -> dict[str, str]:
    """Return the claims that must be strings, if all required claims are there."""
    for name in REQUIRED:
        if claims.get(name) is None:
            raise NoPublisher(f"Missing claim {name!r}")
    texts: dict[str, str] = {}
    for name in _TEXTS:
        value = claims[name]
        if not isinstance(value, str):
            raise NoPublisher(f"Check failed for required claim {name!r}")
        texts[name] = value
    environment = claims.get("environment") or ""
    if not isinstance(environment, str):
        raise NoPublisher("Check failed for optional claim 'environment'")
    return {**texts, "environment": environment}


def _workflow_file(ref: str) -> str | None:
    """Return the workflow's file in a claim like OWNER/REPO/.github/workflows/FILE@REF, or None.

    It is in the first part between slashes where a name ending .yml or .yaml stands before an @:
    both characters may be in file names and in what follows, too.
    """
    for part in ref.split("/"):
        ends = [part.rfind(f"{suffix}@") + len(suffix) for suffix in (".yml", ".yaml")]
        # rfind gives -1 for none; and a name is more than its suffix.
        names = [part[:end] for end, least in zip(ends, (5, 6), strict=True) if end >= least]
        if names:
            return max(names, key=len)
    return None


def _check(workflow: WorkflowIdentity, texts: dict[str, str], refs: list[str]) -> None:
    expected = {
        "repository": texts["repository"].lower() == workflow.slug.lower(),
        "repository_owner": texts["repository_owner"] == workflow.owner,
        "repository_owner_id": texts["repository_owner_id"] == workflow.owner_id,
    }
    for name, holds in expected.items():
        if not holds:
            raise NoPublisher(f"Check failed for required claim {name!r}")
    if not refs:
        raise NoPublisher("The ref and sha claims are empty")
    fitting = sorted({f"{workflow.ref}@{ref}" for ref in refs})
    if texts["job_workflow_ref"] not in fitting:
        raise NoPublisher(
            "The job_workflow_ref claim does not match, expecting one of "
            f"{fitting!r}, got {texts['job_workflow_ref']!r}"
        )
    if texts["event_name"] == _FORBIDDEN_EVENT:
        raise NoPublisher(
            f"Publishing from a workflow invoked via {_FORBIDDEN_EVENT!r} is not supported."
        )
    if workflow.environment and texts["environment"].lower() != workflow.environment:
        raise NoPublisher("Check failed for optional claim 'environment'")
