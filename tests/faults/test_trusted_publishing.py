"""Trusted publishing by the real clients: twine and uv, each from a job's place in the pipeline.

The index and an issuer of the test's own answer on a closed network, at the names that the clients
ask by themselves; the clients get what GitHub gives a job, and no index, host or password.
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
    """Give what GitHub says of a job that this registration is meant for."""
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
    """A place where a job's step runs: with the clients, and with nothing of an index told."""

    def __init__(self, image: Image, network: ClosedNetwork) -> None:
        self._container = (
            network.container(image)
            .with_kwargs(labels=network.run.labels(), dns=["127.0.0.1"], init=True)
            .with_copy_into_container(network.ca_certificate, CA_CERTIFICATE)
        )
        self._container.start()

    def publish(self, client: str, path: Path, given: dict[str, str]) -> CommandResult:
        """Upload one file with a client, as a step with these variables would."""
        self._container.copy_into_container(path, f"/dist/{path.name}")
        # Each client has its own way of being told which authorities there are.
        trust = dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "TWINE_CERT"), CA_CERTIFICATE)
        return execute(
            self._container.get_wrapped_container(),
            [*CLIENTS[client], f"/dist/{path.name}"],
            environment={**trust, "NO_COLOR": "1", "COLUMNS": "400", "HOME": "/tmp", **given},  # noqa: S108
        )


@dataclasses.dataclass(frozen=True)
class Bed:
    """An index with these registrations, an issuer, and a job beside them."""

    engine: Engine
    index: str
    job: Job
    given: dict[str, str]
    """What GitHub gives a job that may ask for an identity token."""

    def requests(self) -> list[IndexRequest]:
        """Give every request that the index got."""
        with contextlib.closing(self.engine.client()) as client:
            return read_log(client, self.index)

    def uploads(self) -> list[UploadLog]:
        """Give what the index noted of uploads."""
        return [line.upload for line in self.requests() if line.upload]

    def exchanges(self) -> list[ExchangeLog]:
        """Give what the index noted of exchanges of identity tokens."""
        return [line.oidc for line in self.requests() if line.oidc]


@contextlib.contextmanager
def start(engine: Engine, run: Run, registered: Sequence[TrustedPublisher]) -> Iterator[Bed]:
    """Start all that is needed; the issuer speaks for a job of publishers.toml's workflow."""
    clients = images.ensure(engine, "publisher-uv")
    index_image = images.ensure(engine, "index")
    bearer = secrets.token_urlsafe(24)
    told = {
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
            .with_copy_into_container(json.dumps(told).encode(), "/issuer/settings.json")
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
        given = {
            "GITHUB_ACTIONS": "true",
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{ISSUER}{issuers.ID_TOKEN}?api-version=1",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": bearer,
        }
        yield Bed(engine, index.id, job, given)


@pytest.fixture(scope="module")
def right(found: Engine, run: Run) -> Iterator[Bed]:
    """An index with the registration of publishers.toml."""
    with start(found, run, publishers.load(PUBLISHERS)) as bed:
        yield bed


@pytest.fixture(scope="module")
def wrong(found: Engine, run: Run) -> Iterator[Bed]:
    """The same, but the form was filled in with another environment."""
    registered = [
        publisher.model_copy(update={"environment": "release"})
        for publisher in publishers.load(PUBLISHERS)
    ]
    with start(found, run, registered) as bed:
        yield bed


def made(folder: Path, project: str, version: str) -> Path:
    name, content = wheel(project, version)
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.xdist_group("trusted-publishing")
@pytest.mark.parametrize(("client", "version"), [("twine", "1.0"), ("uv", "1.1")])
def test_a_real_client_publishes_without_any_password(
    right: Bed, tmp_path: Path, client: str, version: str
) -> None:
    file = made(tmp_path, "quiverdb", version)
    done = right.job.publish(client, file, right.given)
    assert done.code == 0, done.output
    (noted,) = [note for note in right.uploads() if note.file == file.name]
    publisher = publishers.load(PUBLISHERS)[0]
    assert noted.sha256 == sha256(file.read_bytes())
    assert noted.identity is not None
    assert noted.identity["publisher"] == (
        f"{publisher.slug}/.github/workflows/{publisher.workflow}, "
        f"environment {publisher.environment}"
    )
    assert noted.identity["ref"] == TAG
    assert noted.identity["sub"] == claims(publisher)["sub"]
    assert not [note for note in right.exchanges() if note.code]
    told = "".join(line.model_dump_json() for line in right.requests())
    assert right.given["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] not in told
    assert '"pypi-' not in told
    assert "eyJ" not in told


@pytest.mark.xdist_group("trusted-publishing")
@pytest.mark.parametrize("client", CLIENTS)
def test_a_real_client_prints_the_indexs_reason_for_a_wrong_registration(
    wrong: Bed, tmp_path: Path, client: str
) -> None:
    done = wrong.job.publish(client, made(tmp_path, "quiverdb", "1.0"), wrong.given)
    assert done.code != 0
    assert "invalid-publisher" in done.output
    assert (
        "valid token, but no corresponding publisher (Publisher with matching claims was not found)"
    ) in " ".join(done.output.split())
    assert wrong.uploads() == []
    identity = wrong.exchanges()[-1].identity
    assert identity is not None
    assert identity["environment"] == "pypi"


@pytest.mark.xdist_group("trusted-publishing")
@pytest.mark.parametrize("client", CLIENTS)
def test_a_real_client_prints_the_indexs_reason_for_another_project(
    right: Bed, tmp_path: Path, client: str
) -> None:
    done = right.job.publish(client, made(tmp_path, "another", "1.0"), right.given)
    assert done.code != 0
    assert "403" in done.output
    assert "The given token isn't allowed to upload to project 'another'." in " ".join(
        done.output.split()
    )


@pytest.mark.xdist_group("trusted-publishing")
@pytest.mark.parametrize(
    ("client", "said"),
    [
        ("twine", "ACTIONS_ID_TOKEN_REQUEST_TOKEN environment variable was unset"),
        ("uv", "ACTIONS_ID_TOKEN_REQUEST"),
    ],
)
def test_a_job_without_the_permission_gets_no_identity(
    right: Bed, tmp_path: Path, client: str, said: str
) -> None:
    exchanges = len(right.exchanges())
    file = made(tmp_path, "quiverdb", "2.0")
    done = right.job.publish(client, file, {"GITHUB_ACTIONS": "true"})
    assert done.code != 0
    assert said in done.output
    assert len(right.exchanges()) == exchanges
    assert file.name not in [note.file for note in right.uploads()]
