"""For tests of trusted publishing: an index that knows publishers, and their issuer."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import trustme

from tests.helpers.index_front import Front, running, wheel
from tests.helpers.issuer import Issuer, standard_claims

OWNER = "octo-org"
OWNER_ID = "4242"
SHA = "f" * 40
TAG = "refs/tags/v1.0.0"
NOT_FOUND = "Publisher with matching claims was not found"


def publisher(project: str, repository: str, environment: str = "pypi") -> dict[str, str]:
    """Fill in a registration."""
    form = {
        "project": project,
        "owner": OWNER,
        "owner_id": OWNER_ID,
        "repository": repository,
        "workflow": "publish.yml",
    }
    return {**form, "environment": environment} if environment else form


ACTIVE = (
    publisher("strict", "strict"),
    publisher("open", "open", ""),
    publisher("both-exact", "both"),
    publisher("both-any", "both", ""),
    publisher("pair-one", "pair"),
    publisher("Pair_Two", "pair"),
)
PENDING = (
    publisher("fresh", "fresh"),
    publisher("contested", "contested"),
    publisher("taken", "taken"),
    publisher("Strict", "late"),
)


@dataclass(frozen=True)
class PublishingIndex:
    """A running index and a running issuer that it knows."""

    front: Front
    issuer: Issuer
    folder: Path

    def claims(self, named: str = "strict", /, **changes: Any) -> dict[str, Any]:
        """Give the claims of a job that may publish; one changed to None is left out."""
        slug = f"{OWNER}/{named}"
        claims = standard_claims(
            self.issuer.url,
            sub=f"repo:{slug}:environment:pypi",
            repository=slug,
            repository_owner=OWNER,
            repository_owner_id=OWNER_ID,
            job_workflow_ref=f"{slug}/.github/workflows/publish.yml@{TAG}",
            workflow_ref=f"{slug}/.github/workflows/publish.yml@{TAG}",
            event_name="push",
            ref=TAG,
            sha=SHA,
            environment="pypi",
            run_id="7",
            actor="octocat",
        )
        return {name: value for name, value in (claims | changes).items() if value is not None}

    def token(self, named: str = "strict", /, **changes: Any) -> str:
        """Give a token with such claims."""
        return self.issuer.token(self.claims(named, **changes))

    def post(self, body: Any, path: str = "/_/oidc/mint-token") -> requests.Response:
        """Send a body, as it is or as JSON, to the exchange."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        with self.front.session() as session:
            return session.post(f"{self.front.upload}{path}", data=data, timeout=30)

    def exchange(self, token: str) -> requests.Response:
        """Ask for an upload token."""
        return self.post({"token": token})

    def mint(self, named: str = "strict", /, **changes: Any) -> str:
        """Give an upload token, which must be granted."""
        answer = self.exchange(self.token(named, **changes))
        assert answer.status_code == 200, answer.text
        return str(answer.json()["token"])

    def upload(self, token: str, file: tuple[str, bytes]) -> requests.Response:
        """Upload a wheel as a client does."""
        return self.front.send_upload(file, password=token)

    def noted(self) -> dict[str, Any]:
        """Give what the log notes of the last exchange."""
        return dict([line["oidc"] for line in self.front.lines() if "oidc" in line][-1])

    def logs(self) -> str:
        """Give all that the index wrote down: its log and its standard error."""
        return json.dumps(self.front.lines()) + (self.front.folder / "stderr").read_text()


@contextlib.contextmanager
def publishing_index(
    folder: Path,
    *,
    active: Sequence[dict[str, str]] = ACTIVE,
    pending: Sequence[dict[str, str]] = PENDING,
    **changes: Any,
) -> Iterator[PublishingIndex]:
    """Run an index and its issuer for as long as the block lasts."""
    (folder / "store").mkdir()
    name, content = wheel("taken", "0.1")
    (folder / "store" / name).write_bytes(content)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "issuer-ca.pem")
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(
        folder / "issuer.pem"
    )
    with Issuer(folder / "issuer.pem") as issuer:
        settings = {
            "issuers": [{"url": issuer.url, "ca": str(folder / "issuer-ca.pem")}],
            "publishers": list(active),
            "pending_publishers": list(pending),
            **changes,
        }
        with running(folder, **settings) as front:
            yield PublishingIndex(front, issuer, folder)


def assert_refused(answer: requests.Response, code: str, description: str) -> None:
    """Check that a token was refused in the very words of the default index."""
    assert answer.status_code == 422, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json() == {
        "message": "Token request failed",
        "errors": [{"code": code, "description": description}],
    }


def no_publisher(reason: str) -> str:
    """Give the description for claims that no publisher fits."""
    return f"valid token, but no corresponding publisher ({reason})"
