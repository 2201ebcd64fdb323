"""An index with registered publishers, and their issuer, for tests of trusted publishing."""

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
    """Return the registration of a trusted publisher, as in the settings of the index."""
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
    publisher("upload-first", "upload-first"),
    publisher("contested", "contested"),
    publisher("existing", "existing"),
    publisher("Strict", "late"),
    publisher("Strict", "late-and-used"),
    publisher("unused", "unused"),
)


@dataclass(frozen=True)
class PublishingIndex:
    """A running index and its running issuer."""

    front: Front
    issuer: Issuer
    folder: Path

    def claims(self, repository: str = "strict", /, **changes: Any) -> dict[str, Any]:
        """Return the claims of a job that can publish. A claim changed to None is left out."""
        slug = f"{OWNER}/{repository}"
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

    def token(self, repository: str = "strict", /, **changes: Any) -> str:
        """Return an identity token with the claims of `claims`."""
        return self.issuer.token(self.claims(repository, **changes))

    def post(self, body: Any, path: str = "/_/oidc/mint-token") -> requests.Response:
        """Send a body to the URL that exchanges tokens. Other values than bytes become JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        url = f"{self.front.upload}{path}"
        return self.front.shared_session.post(url, data=data, timeout=30)

    def exchange(self, token: str) -> requests.Response:
        """Request an upload token for an identity token. Return the response of the index."""
        return self.post({"token": token})

    def mint(self, repository: str = "strict", /, **changes: Any) -> str:
        """Request an upload token for the claims of `claims`, and return it."""
        response = self.exchange(self.token(repository, **changes))
        assert response.status_code == 200, response.text
        return str(response.json()["token"])

    def upload(self, token: str, file: tuple[str, bytes]) -> requests.Response:
        """Upload a wheel as a client does."""
        return self.front.send_upload(file, password=token)

    def last_exchange(self) -> dict[str, Any]:
        """Return what the log of the index says about the last exchange of a token."""
        return dict([line["oidc"] for line in self.front.lines() if "oidc" in line][-1])

    def logs(self) -> str:
        """Return the log of the index and its error output."""
        return json.dumps(self.front.lines()) + (self.front.folder / "stderr").read_text()


@contextlib.contextmanager
def publishing_index(
    folder: Path,
    *,
    active: Sequence[dict[str, str]] = ACTIVE,
    pending: Sequence[dict[str, str]] = PENDING,
    **changes: Any,
) -> Iterator[PublishingIndex]:
    """Run an index and its issuer during the block."""
    (folder / "store").mkdir()
    name, content = wheel("existing", "0.1")
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


def assert_refused(response: requests.Response, code: str, description: str) -> None:
    """Check that the index refused a token, in the format of the live index."""
    assert response.status_code == 422, response.text
    assert response.headers["Content-Type"] == "application/json"
    assert response.json() == {
        "message": "Token request failed",
        "errors": [{"code": code, "description": description}],
    }


def no_publisher(reason: str) -> str:
    """Return the error description for claims that match no registered publisher."""
    return f"valid token, but no corresponding publisher ({reason})"
