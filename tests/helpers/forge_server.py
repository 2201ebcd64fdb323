"""Run the forge for tests, register jobs with it, and send requests to it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import requests
import trustme
from joserfc import jwt
from joserfc.jwk import KeySet

from containers.forge import HOSTS, ISSUER
from verification.models.forge import JobIdentity, Repository, WorkflowRun

IMAGES = Path(__file__).resolve().parents[2] / "containers" / "images"
TOKEN = "ghs_forgeTestToken"  # noqa: S105 - valid for one test run
REQUEST_TOKEN = "forge-test-request-token"  # noqa: S105 - valid for one test run
MAIN, OLD, NEW = "a" * 40, "b" * 40, "c" * 40
TAG_OBJECT = "d" * 40
REPOSITORY = Repository(
    owner="quiver-owner",
    name="quiver2",
    id=74,
    owner_id=65,
    branches={"main": MAIN},
    tags={"v0.4.0": OLD, "v0.10.0": OLD, "v0.5.0": NEW, "v0.6.0": NEW, "nightly": MAIN},
    annotated={"v0.5.0": TAG_OBJECT},
)
WORKFLOW = WorkflowRun(
    workflow="Publish",
    path=".github/workflows/publish.yml",
    ref="refs/tags/v0.5.0",
    sha=NEW,
    actor="octo",
    actor_id=12,
    run_id=4711,
    run_number=10,
    run_attempt=2,
)
RELEASE = JobIdentity(job="release", permissions={"contents": "write"})
PUBLISH = JobIdentity(job="publish", permissions={"id-token": "write"}, environment="pypi")
BUILD = JobIdentity(job="build", permissions={"contents": "read"})
TOKEN_ENDPOINT = "https://pipelines.actions.githubusercontent.com/idtoken/4711?api-version=2.0"  # noqa: S105
BEARER = {"Authorization": f"bearer {REQUEST_TOKEN}"}


@dataclasses.dataclass(frozen=True)
class Forge:
    """The forge in another process, and a client of it.

    The forge knows a job by its address. The test's requests come from 127.0.0.1, so they are
    requests of the job that is registered for this address.
    """

    process: subprocess.Popen[str]
    port: int
    folder: Path
    session: requests.Session

    def register(self, identity: JobIdentity | str, address: str = "127.0.0.1") -> None:
        """Register a job for an address: write the file that the forge reads.

        If ``identity`` is a string, it is the content of the file.
        """
        text = identity if isinstance(identity, str) else identity.model_dump_json()
        temporary = self.folder / "jobs" / "temporary"
        temporary.write_text(text)
        temporary.replace(self.folder / "jobs" / f"{address}.json")

    def unregister(self, address: str = "127.0.0.1") -> None:
        (self.folder / "jobs" / f"{address}.json").unlink(missing_ok=True)

    def send(
        self, method: str, url: str, *, token: str | None = TOKEN, **options: Any
    ) -> requests.Response:
        """Send a request to the forge with the host name of ``url``. Do not follow redirects."""
        parts = urlsplit(url)
        headers = {"Host": parts.netloc, **options.pop("headers", {})}
        if token is not None:
            headers.setdefault("Authorization", f"token {token}")
        local_url = parts._replace(netloc=f"127.0.0.1:{self.port}").geturl()
        return self.session.request(
            method, local_url, headers=headers, timeout=20, allow_redirects=False, **options
        )

    def api(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request about the repository to the API."""
        return self.send(
            method, f"https://api.github.com/repos/quiver-owner/quiver2{path}", **options
        )

    def create(self, tag: str, **values: Any) -> dict[str, Any]:
        """Create a release page with the API, and return its data."""
        response = self.api("POST", "/releases", json={"tag_name": tag, **values})
        assert response.status_code == 201, response.text
        return dict(response.json())

    def upload(
        self, release: dict[str, Any], name: str, content: bytes, **query: str
    ) -> requests.Response:
        """Upload an asset to the URL in the data of a release page, as clients do."""
        url = release["upload_url"].partition("{")[0]
        return self.send("POST", url, params={"name": name, **query}, data=content)

    def tags(self) -> dict[str, str]:
        """Return the tags and their commits, in the order of the API."""
        return {tag["name"]: tag["commit"]["sha"] for tag in self.api("GET", "/tags").json()}

    def request_token(self, audience: str | None = "pypi", **options: Any) -> requests.Response:
        """Request an identity token. Return the response of the forge."""
        query = f"&audience={audience}" if audience is not None else ""
        return self.send(
            "GET", f"{TOKEN_ENDPOINT}{query}", token=None, **{"headers": BEARER, **options}
        )

    def identity_token(self, audience: str | None = "pypi") -> str:
        """Request an identity token, and return it."""
        response = self.request_token(audience)
        assert response.status_code == 200, response.text
        body = response.json()
        assert set(body) == {"count", "value"}
        assert body["count"] == len(body["value"])
        return str(body["value"])

    def issuer_keys(self) -> KeySet:
        """Return the keys of the issuer, from the URL in its discovery document."""
        url = f"{ISSUER}/.well-known/openid-configuration"
        document = self.send("GET", url, token=None).json()
        assert document["issuer"] == ISSUER
        return KeySet.import_key_set(self.send("GET", document["jwks_uri"], token=None).json())

    def claims(self, audience: str | None = "pypi") -> dict[str, Any]:
        """Request a token, verify its signature and return its claims."""
        token = self.identity_token(audience)
        return dict(jwt.decode(token, self.issuer_keys(), algorithms=["RS256"]).claims)

    def lines(self, **values: Any) -> list[dict[str, Any]]:
        """Return the log lines with these values. Wait up to 5 s for the first one."""
        deadline = time.monotonic() + 5
        while True:
            text = (self.folder / "requests.jsonl").read_text()
            complete_lines = text[: text.rfind("\n") + 1].splitlines()
            entries: list[dict[str, Any]] = [json.loads(line) for line in complete_lines]
            matching = [
                entry
                for entry in entries
                if all(entry.get(key) == value for key, value in values.items())
            ]
            if matching or time.monotonic() > deadline:
                return matching
            time.sleep(0.01)

    def line(self, response: requests.Response) -> dict[str, Any]:
        """Return the log line of the request with this response."""
        (line,) = self.lines(request_id=response.headers["X-GitHub-Request-Id"])
        return line

    def stored_releases(self) -> list[dict[str, Any]]:
        """Return the release pages in the file that the forge writes for the host."""
        releases: list[dict[str, Any]] = json.loads((self.folder / "releases.json").read_text())
        return releases

    def clean(self) -> None:
        """Remove the release pages, tags and keys of a test, and register the release job."""
        (self.folder / "keys.json").unlink(missing_ok=True)
        self.register(RELEASE)
        for release in self.stored_releases():
            assert self.api("DELETE", f"/releases/{release['id']}").status_code == 204
        for tag in self.api("GET", "/tags?per_page=100").json():
            if tag["name"] not in REPOSITORY.tags:
                response = self.api("DELETE", f"/git/refs/tags/{quote(tag['name'])}")
                assert response.status_code == 204

    def select_keys(self, signing: int, published: list[int]) -> None:
        self.write_keys_file(json.dumps({"signing": signing, "published": published}))

    def write_keys_file(self, text: str) -> None:
        temporary = self.folder / "keys.new"
        temporary.write_text(text)
        temporary.replace(self.folder / "keys.json")


def configure(folder: Path, /, **changes: Any) -> Path:
    """Write a configuration and a certificate. Return the path of the configuration."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1", *HOSTS)
    authority.cert_pem.write_to_path(folder / "ca.pem")
    certificate.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    settings = {
        "address": "127.0.0.1",
        "port": 0,
        "certificate": str(folder / "server.pem"),
        "key": str(folder / "server.pem"),
        "folder": str(folder),
        "token": TOKEN,
        "request_token": REQUEST_TOKEN,
        "repository": REPOSITORY.model_dump(mode="json"),
        "run": WORKFLOW.model_dump(mode="json"),
        "registration_timeout_seconds": 0.3,
        **changes,
    }
    path = folder / "config.json"
    path.write_text(json.dumps({k: v for k, v in settings.items() if v != "left out"}))
    return path


def launch(config: Path) -> subprocess.Popen[str]:
    """Start a forge without waiting for it."""
    with (config.parent / "stderr").open("w") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", "forge.main", str(config)],
            env={"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(IMAGES)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )


def client_session(folder: Path) -> requests.Session:
    """Return a client session that trusts the CA certificate in the folder of a forge."""
    session = requests.Session()
    session.trust_env = False
    session.verify = str(folder / "ca.pem")
    return session


@contextlib.contextmanager
def running(folder: Path, /, **changes: Any) -> Iterator[Forge]:
    """Run a forge during the block. Then check that its error output has no traceback."""
    folder.mkdir(exist_ok=True)
    process = launch(configure(folder, **changes))
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line.startswith("ready 127.0.0.1:"), (folder / "stderr").read_text()
        with client_session(folder) as session:
            yield Forge(process, int(line.rpartition(":")[2]), folder, session)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)
        process.stdout.close()
    assert "Traceback" not in (folder / "stderr").read_text(), (folder / "stderr").read_text()


def refused_fields(response: requests.Response) -> list[tuple[str, str, str]]:
    """Return the resource, field and code of each error in a response with status 422."""
    body = response.json()
    assert response.status_code == 422
    assert body["message"] == "Validation Failed"
    assert body["status"] == "422"
    assert body["documentation_url"].startswith("https://docs.github.com/")
    return [(item["resource"], item.get("field", ""), item["code"]) for item in body["errors"]]
