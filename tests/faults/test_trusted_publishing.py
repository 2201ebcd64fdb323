"""Trusted publishing with the real clients twine and uv.

The index and a stand-in for the issuer have their real host names on a closed network. The clients
get the variables that GitHub sets for a job, and no index, host or password.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

from containers import images
from containers.commands import CommandResult, ManagedContainer, execute, remove
from containers.engine import Engine, Run
from containers.index import (
    Index,
    IndexContents,
    TrustedPublishing,
    UploadMachine,
    read_log,
)
from containers.network import ClosedNetwork, closed_network
from tests.helpers import issuer as issuers
from tests.helpers.index_front import sha256, wheel
from tests.helpers.release_workflow import PUBLISHERS
from verification.models.index_log import ExchangeLog, IndexRequest, UploadLog
from verification.models.publisher import TrustedPublisher
from verification.models.testbed import Image
from verification.pipeline import publishers

ISSUER = "https://token.actions.githubusercontent.com"
TAG = "refs/tags/v1.0.0"
CA_CERTIFICATE = "/etc/e2e-ca.pem"
CLIENTS = {
    "twine": ("twine", "upload", "--non-interactive", "--disable-progress-bar", "--verbose"),
    "uv": ("uv", "publish", "--trusted-publishing", "always"),
}


def claims(publisher: TrustedPublisher) -> dict[str, Any]:
    """Return the claims of GitHub about a job that matches the registration."""
    workflow = f"{publisher.slug}/.github/workflows/{publisher.workflow}@{TAG}"
    return {
        "sub": f"repo:{publisher.slug}:environment:{publisher.environment}",
        "repository": publisher.slug,
        "repository_owner": publisher.owner,
        "repository_owner_id": publisher.owner_id,
        "job_workflow_ref": workflow,
        "workflow_ref": workflow,
        "event_name": "push",
        "environment": publisher.environment,
        "ref": TAG,
        "sha": "a" * 40,
        "run_id": "1",
    }


class Job(ManagedContainer):
    """A container with the clients and without settings of an index."""

    def __init__(self, image: Image, network: ClosedNetwork) -> None:
        self._container = (
            network.container(image)
            .with_kwargs(labels=network.run.labels(), dns=["127.0.0.1"], init=True)
            .with_copy_into_container(network.ca_certificate, CA_CERTIFICATE)
        )
        self._container.start()

    def publish(self, client: str, path: Path, variables: dict[str, str]) -> CommandResult:
        """Upload one file with a client and these variables of a step."""
        self._container.copy_into_container(path, f"/dist/{path.name}")
        # Each client reads the path of the CA certificate from another variable.
        trust = dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "TWINE_CERT"), CA_CERTIFICATE)
        return execute(
            self._container.get_wrapped_container(),
            [*CLIENTS[client], f"/dist/{path.name}"],
            environment={**trust, "NO_COLOR": "1", "COLUMNS": "400", "HOME": "/tmp", **variables},  # noqa: S108
        )


@dataclasses.dataclass(frozen=True)
class PublishingTestbed:
    """An index with registrations, an issuer, and a job."""

    engine: Engine
    index: str
    job: Job
    variables: dict[str, str]
    """The variables of a job that may request an identity token."""

    def requests(self) -> list[IndexRequest]:
        """Return all requests of the index."""
        with contextlib.closing(self.engine.client()) as client:
            return read_log(client, self.index)

    def uploads(self) -> list[UploadLog]:
        """Return the uploads that the index logged."""
        return [line.upload for line in self.requests() if line.upload]

    def exchanges(self) -> list[ExchangeLog]:
        """Return the exchanges of identity tokens that the index logged."""
        return [line.oidc for line in self.requests() if line.oidc]


@contextlib.contextmanager
def start(
    engine: Engine, run: Run, registered: Sequence[TrustedPublisher]
) -> Iterator[PublishingTestbed]:
    """Start the testbed. The issuer issues tokens for a job of the workflow of publishers.toml."""
    clients = images.ensure(engine, "publisher-uv")
    index_image = images.ensure(engine, "index")
    bearer = secrets.token_urlsafe(24)
    settings = {
        "url": ISSUER,
        "port": 443,
        "certificate": "/issuer/server.pem",
        "claims": claims(publishers.load(PUBLISHERS)[0]),
        "bearer": bearer,
    }
    with contextlib.ExitStack() as stack:
        network = stack.enter_context(closed_network(engine, run))
        certificate = network.ca.issue_cert("token.actions.githubusercontent.com")
        issuer = (
            network.container(index_image)
            .with_network_aliases("token.actions.githubusercontent.com")
            .with_kwargs(
                labels=run.labels(),
                dns=["127.0.0.1"],
                init=True,
                entrypoint=["python3", "/issuer/issuer.py", "/issuer/settings.json"],
            )
            .with_copy_into_container(Path(issuers.__file__), "/issuer/issuer.py")
            .with_copy_into_container(json.dumps(settings).encode(), "/issuer/settings.json")
            .with_copy_into_container(
                certificate.private_key_and_cert_chain_pem.bytes(), "/issuer/server.pem"
            )
            .waiting_for(LogMessageWaitStrategy("ready").with_startup_timeout(30))
        )
        stack.callback(remove, issuer)
        issuer.start()
        with UploadMachine(images.ensure(engine, "publisher"), network) as upload_machine:
            hosts = upload_machine.hosts()
        index = stack.enter_context(
            Index(
                index_image,
                network,
                hosts,
                IndexContents(project="quiverdb"),
                TrustedPublishing(
                    publishers=tuple(registered),
                    issuers=(ISSUER,),
                ),
            )
        )
        job = stack.enter_context(contextlib.closing(Job(clients, network)))
        variables = {
            "GITHUB_ACTIONS": "true",
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{ISSUER}{issuers.ID_TOKEN}?api-version=1",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": bearer,
        }
        yield PublishingTestbed(engine, index.id, job, variables)


@pytest.fixture(scope="module")
def registered_testbed(container_engine: Engine, run: Run) -> Iterator[PublishingTestbed]:
    """Return a testbed with the registration of publishers.toml."""
    with start(container_engine, run, publishers.load(PUBLISHERS)) as testbed:
        yield testbed


@pytest.fixture(scope="module")
def misregistered_testbed(container_engine: Engine, run: Run) -> Iterator[PublishingTestbed]:
    """Return a testbed with a registration for another environment."""
    registered = [
        publisher.model_copy(update={"environment": "release"})
        for publisher in publishers.load(PUBLISHERS)
    ]
    with start(container_engine, run, registered) as testbed:
        yield testbed


def write_wheel(folder: Path, project: str, version: str) -> Path:
    name, content = wheel(project, version)
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(("client", "version"), [("twine", "1.0"), ("uv", "1.1")])
def test_client_publishes_without_a_password(
    registered_testbed: PublishingTestbed, tmp_path: Path, client: str, version: str
) -> None:
    file = write_wheel(tmp_path, "quiverdb", version)
    result = registered_testbed.job.publish(client, file, registered_testbed.variables)
    assert result.code == 0, result.output
    (upload,) = (upload for upload in registered_testbed.uploads() if upload.file == file.name)
    publisher = publishers.load(PUBLISHERS)[0]
    assert upload.sha256 == sha256(file.read_bytes())
    assert upload.identity is not None
    assert upload.identity["publisher"] == (
        f"{publisher.slug}/.github/workflows/{publisher.workflow}, "
        f"environment {publisher.environment}"
    )
    assert upload.identity["ref"] == TAG
    assert upload.identity["sub"] == claims(publisher)["sub"]
    assert not [exchange for exchange in registered_testbed.exchanges() if exchange.code]
    log = "".join(line.model_dump_json() for line in registered_testbed.requests())
    assert registered_testbed.variables["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] not in log
    assert '"pypi-' not in log
    assert "eyJ" not in log


@pytest.mark.parametrize("client", CLIENTS)
def test_client_prints_the_error_of_a_wrong_registration(
    misregistered_testbed: PublishingTestbed, tmp_path: Path, client: str
) -> None:
    result = misregistered_testbed.job.publish(
        client, write_wheel(tmp_path, "quiverdb", "1.0"), misregistered_testbed.variables
    )
    assert result.code != 0
    assert "invalid-publisher" in result.output
    assert (
        "valid token, but no corresponding publisher (Publisher with matching claims was not found)"
    ) in " ".join(result.output.split())
    assert misregistered_testbed.uploads() == []
    identity = misregistered_testbed.exchanges()[-1].identity
    assert identity is not None
    assert identity["environment"] == "pypi"


@pytest.mark.parametrize("client", CLIENTS)
def test_client_prints_the_error_of_another_project(
    registered_testbed: PublishingTestbed, tmp_path: Path, client: str
) -> None:
    result = registered_testbed.job.publish(
        client, write_wheel(tmp_path, "another", "1.0"), registered_testbed.variables
    )
    assert result.code != 0
    assert "400" in result.output
    assert "Non-user identities cannot create new projects." in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("client", "variable"),
    [
        ("twine", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"),
        ("uv", "ACTIONS_ID_TOKEN_REQUEST"),
    ],
)
def test_job_without_the_permission_gets_no_identity(
    registered_testbed: PublishingTestbed, tmp_path: Path, client: str, variable: str
) -> None:
    exchanges = len(registered_testbed.exchanges())
    file = write_wheel(tmp_path, "quiverdb", "2.0")
    result = registered_testbed.job.publish(client, file, {"GITHUB_ACTIONS": "true"})
    assert result.code != 0
    assert variable in result.output
    assert len(registered_testbed.exchanges()) == exchanges
    assert file.name not in [upload.file for upload in registered_testbed.uploads()]
