"""Who is trusted to publish: the registered publishers, found and checked by a token's claims.

The look-up, its order and the reasons given are those of the default index's code as of 2026, for
GitHub's tokens.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

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
"""The claims that must be there. The last two may say what they like."""
_TEXTS = REQUIRED[:6]
_FORBIDDEN_EVENT = "pull_request_target"


class NoPublisher(Exception):
    """No publisher corresponds to the claims; the message is the reason the client is told."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a registration says of the workflow; two with the same are one publisher."""

    owner: str
    owner_id: str
    repository: str
    workflow: str
    environment: str = ""
    """In lower case; empty if the registration names none."""

    def __str__(self) -> str:
        where = f", environment {self.environment}" if self.environment else ""
        return f"{self.workflow_ref}{where}"

    @property
    def slug(self) -> str:
        """Owner and name of the repository, as GitHub joins them."""
        return f"{self.owner}/{self.repository}"

    @property
    def workflow_ref(self) -> str:
        """The workflow's file, as the claim has it before the @."""
        return f"{self.slug}/.github/workflows/{self.workflow}"


@dataclass(frozen=True, slots=True)
class Publisher:
    """A registration: this workflow may publish this project, named as it is normalised."""

    project: str
    identity: Identity


class Publishers:
    """The registrations in force, and those waiting for their project's first release."""

    def __init__(self, active: Iterable[Publisher], pending: Iterable[Publisher]) -> None:
        self._active = list(active)
        self._pending = list(pending)

    @property
    def projects(self) -> set[str]:
        """The projects that have a publisher in force, and so exist."""
        return {publisher.project for publisher in self._active}

    def find(self, claims: dict[str, Any]) -> tuple[Identity, frozenset[str]]:
        """Give the publisher in force that the claims fit, with the projects it publishes.

        Raises:
            NoPublisher: there is none, or a claim differs.
        """
        found = _find(claims, self._active)
        return found.identity, frozenset(
            other.project for other in self._active if other.identity == found.identity
        )

    def find_pending(self, claims: dict[str, Any]) -> Publisher | None:
        """Give the waiting publisher that the claims fit, or None."""
        try:
            return _find(claims, self._pending)
        except NoPublisher:
            return None

    def promote(self, publisher: Publisher) -> None:
        """Put a waiting publisher in force: its project exists from now on."""
        self._pending.remove(publisher)
        self._active.append(publisher)

    def discard(self, publisher: Publisher) -> None:
        """Forget a waiting publisher that came too late."""
        self._pending.remove(publisher)


def _find(claims: dict[str, Any], publishers: Iterable[Publisher]) -> Publisher:
    for name in REQUIRED:
        if claims.get(name) is None:
            raise NoPublisher(f"Missing claim {name!r}")
    for name in _TEXTS:
        if not isinstance(claims[name], str):
            raise NoPublisher(f"Check failed for required claim {name!r}")
    environment = claims.get("environment") or ""
    if not isinstance(environment, str):
        raise NoPublisher("Check failed for optional claim 'environment'")
    workflow = _workflow_file(claims["job_workflow_ref"])
    if workflow is None:
        raise NoPublisher("Could not job extract workflow filename from OIDC claims")
    owner, _, repository = claims["repository"].partition("/")
    wanted = (owner, claims["repository_owner_id"], repository, workflow)
    candidates: dict[str, Publisher] = {}
    for publisher in publishers:
        known = publisher.identity
        if (known.owner, known.owner_id, known.repository, known.workflow) == wanted:
            candidates.setdefault(known.environment, publisher)
    found = candidates.get(environment.lower()) or candidates.get("")
    if found is None:
        raise NoPublisher("Publisher with matching claims was not found")
    _check(found.identity, claims, environment)
    return found


def _workflow_file(ref: str) -> str | None:
    """Give the name of the workflow's file in a claim like OWNER/REPO/.github/workflows/FILE@REF.

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


def _check(identity: Identity, claims: dict[str, Any], environment: str) -> None:
    expected = {
        "repository": claims["repository"].lower() == identity.slug.lower(),
        "repository_owner": claims["repository_owner"] == identity.owner,
        "repository_owner_id": claims["repository_owner_id"] == identity.owner_id,
    }
    for name, holds in expected.items():
        if not holds:
            raise NoPublisher(f"Check failed for required claim {name!r}")
    refs = [ref for ref in (claims["ref"], claims["sha"]) if ref and isinstance(ref, str)]
    if not refs:
        raise NoPublisher("The ref and sha claims are empty")
    fitting = sorted({f"{identity.workflow_ref}@{ref}" for ref in refs})
    if claims["job_workflow_ref"] not in fitting:
        raise NoPublisher(
            "The job_workflow_ref claim does not match, expecting one of "
            f"{fitting!r}, got {claims['job_workflow_ref']!r}"
        )
    if claims["event_name"] == _FORBIDDEN_EVENT:
        raise NoPublisher(
            f"Publishing from a workflow invoked via {_FORBIDDEN_EVENT!r} is not supported."
        )
    if identity.environment and environment.lower() != identity.environment:
        raise NoPublisher("Check failed for optional claim 'environment'")
