"""The forge and the real `gh`, in containers on a closed network.

`gh` comes from Debian and has no configuration. It uses the host names of GitHub and trusts the CA
of the run through the system's certificate store.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Iterator

import pytest
from docker.models.containers import Container
from joserfc import jwt
from joserfc.jwk import KeySet

from containers import images
from containers.commands import CommandResult, execute
from containers.engine import Engine, Run
from containers.forge import HOSTS, ISSUER, Forge
from containers.images import tar_of
from containers.network import ClosedNetwork, closed_network, new_network
from verification.models.errors import TestbedFailure
from verification.models.forge import JobIdentity, Repository, WorkflowRun

OLD, NEW, TAG_OBJECT = "b" * 40, "c" * 40, "d" * 40
REPOSITORY = Repository(
    owner="quiver-owner",
    name="quiver2",
    id=74,
    owner_id=65,
    branches={"main": NEW},
    tags={"v0.4.0": OLD, "v0.5.0": NEW},
    annotated={"v0.5.0": TAG_OBJECT},
)
WORKFLOW = WorkflowRun(
    workflow="Publish",
    path=".github/workflows/publish.yml",
    ref="refs/tags/v0.5.0",
    sha=NEW,
)
RELEASE = JobIdentity(job="release", permissions={"contents": "write"})
LINUX = "quiverdb-0.5.0-cp313-cp313-manylinux_2_28_x86_64.whl"
WINDOWS = "quiverdb-0.5.0-cp313-cp313-win_amd64.whl"
TRUST = "cat /etc/e2e-ca.pem >> /etc/ssl/certs/ca-certificates.crt"

# The tests share one network and one container with gh, and so one worker.


@dataclasses.dataclass(frozen=True)
class Job:
    """A container with gh that stands for a job of the workflow."""

    container: Container
    network: str
    forge: Forge

    @property
    def address(self) -> str:
        """Its address on the network of the forge."""
        self.container.reload()
        return str(self.container.attrs["NetworkSettings"]["Networks"][self.network]["IPAddress"])

    def run(self, *command: str, **environment: str) -> CommandResult:
        """Run a command with the variables of a job."""
        variables = self.forge.environment | {"GH_REPO": "quiver-owner/quiver2", "NO_COLOR": "1"}
        return execute(
            self.container, command, folder="/dist", environment={**variables, **environment}
        )

    def gh(self, *arguments: str, **environment: str) -> str:
        """Run gh, which must succeed, and return its output."""
        result = self.run("gh", *arguments, **environment)
        assert result.code == 0, result.output
        return result.output

    def failing_gh(self, *arguments: str, **environment: str) -> str:
        """Run gh, which must fail, and return its output."""
        result = self.run("gh", *arguments, **environment)
        assert result.code != 0, result.output
        return result.output

    def put(self, name: str, content: bytes) -> None:
        """Write a file to the folder in which commands run."""
        assert self.container.put_archive("/", tar_of({name: content}, "dist"))

    def digest(self, path: str) -> str:
        """Return the sha256 of a file in the container, as a program in it prints it."""
        return self.run("sha256sum", path).output.split()[0]


@pytest.fixture(scope="module")
def network(container_engine: Engine, run: Run) -> Iterator[ClosedNetwork]:
    """Return an internal network."""
    with closed_network(container_engine, run) as closed:
        yield closed


@pytest.fixture
def forge(container_engine: Engine, network: ClosedNetwork) -> Iterator[Forge]:
    """Return a running forge without any release page."""
    image = images.ensure(container_engine, "forge")
    with Forge(image, network, REPOSITORY, WORKFLOW, registration_timeout_seconds=2) as started:
        yield started


@pytest.fixture(scope="module")
def machine(container_engine: Engine, network: ClosedNetwork) -> Iterator[Container]:
    """Return a container with gh that trusts the CA of the run."""
    container = (
        network.container(images.ensure(container_engine, "gh"))
        .with_command("sleep infinity")
        .with_kwargs(labels=network.run.labels(), dns=["127.0.0.1"], init=True)
        .with_copy_into_container(network.ca_certificate, "/etc/e2e-ca.pem")
    )
    with container as started:
        wrapped = started.get_wrapped_container()
        assert execute(wrapped, ["sh", "-c", f"mkdir /dist && {TRUST}"]).code == 0
        yield wrapped
    container.get_docker_client().client.close()


@pytest.fixture
def job(machine: Container, network: ClosedNetwork, forge: Forge) -> Job:
    """Register the address of the container for the job release, and return it as a `Job`."""
    registered = Job(machine, network.name, forge)
    forge.register(registered.address, RELEASE)
    return registered


def _last(forge: Forge, key: str) -> str:
    """Return the value of a key in the last line of the forge's log.

    Wait for the line, because the forge can write it after the client has ended.
    """
    deadline = time.monotonic() + 10
    while True:
        for line in forge.log()[-1:]:
            if value := getattr(line, key):
                return str(value)
        assert time.monotonic() < deadline, f"the last line has no {key}"
        time.sleep(0.05)


def test_release_by_gh_has_notes_and_its_wheels(forge: Forge, job: Job) -> None:
    wheels = {LINUX: os.urandom(2_500_000), WINDOWS: os.urandom(700_000)}
    for name, content in wheels.items():
        job.put(name, content)

    output = job.gh(
        "release", "create", "v0.5.0", "--verify-tag", "--generate-notes", LINUX, WINDOWS
    )

    assert output.strip() == "https://github.com/quiver-owner/quiver2/releases/tag/v0.5.0"
    (release,) = forge.releases()
    assert (release.tag, release.draft, release.latest) == ("v0.5.0", False, True)
    assert release.body == (
        "**Full Changelog**: https://github.com/quiver-owner/quiver2/compare/v0.4.0...v0.5.0"
    )
    assert {asset.name for asset in release.assets} == set(wheels)
    for asset in release.assets:
        content = wheels[asset.name]
        assert forge.content(asset) == content
        assert asset.size == len(content)
        assert asset.sha256 == hashlib.sha256(content).hexdigest()
    uploads = [line for line in forge.log() if line.uploaded_sha256]
    assert {(line.job, line.client, line.host) for line in uploads} == {
        ("release", job.address, "uploads.github.com")
    }
    assert {line.uploaded_sha256 for line in uploads} == {asset.sha256 for asset in release.assets}

    job.gh("release", "download", "v0.5.0", "--dir", "/tmp/out")  # noqa: S108 - in the container
    for asset in release.assets:
        assert job.digest(f"/tmp/out/{asset.name}") == asset.sha256  # noqa: S108
    assert set(wheels) <= set(job.gh("release", "view", "v0.5.0").split())
    assert job.gh("release", "list").split()[:2] == ["v0.5.0", "Latest"]


def test_duplicate_is_refused_and_can_be_replaced(forge: Forge, job: Job) -> None:
    job.put(LINUX, b"first")
    job.gh("release", "create", "v0.5.0", "--notes", "Mine", LINUX)
    job.put(LINUX, b"second")

    assert "already exists" in job.failing_gh("release", "create", "v0.5.0", "--notes", "")
    assert "already exists" in job.failing_gh("release", "upload", "v0.5.0", LINUX)
    first = forge.releases()[0].assets[0]
    assert forge.content(first) == b"first"
    job.gh("release", "upload", "v0.5.0", LINUX, "--clobber")

    (release,) = forge.releases()
    (asset,) = release.assets
    assert forge.content(asset) == b"second"
    assert asset.id != first.id
    assert release.body == "Mine"
    with pytest.raises(TestbedFailure) as failure:
        forge.content(first)
    assert failure.value.cause == "forge-unreachable"


def test_draft_is_edited_published_and_deleted(forge: Forge, job: Job) -> None:
    job.gh("release", "create", "v0.6.0", "--draft", "--notes", "Later", "--target", "main")
    assert "draft:\ttrue" in job.gh("release", "view", "v0.6.0")
    assert "v0.6.0" not in job.gh("api", "repos/{owner}/{repo}/tags", "--jq", ".[].name")
    job.gh("release", "edit", "v0.6.0", "--draft=false", "--title", "Six")
    (release,) = forge.releases()
    assert (release.draft, release.name, release.body) == (False, "Six", "Later")
    commit = job.gh("api", "repos/{owner}/{repo}/git/ref/tags/v0.6.0", "--jq", ".object.sha")
    assert commit.strip() == NEW
    job.gh("release", "delete", "v0.6.0", "--yes", "--cleanup-tag")
    assert forge.releases() == ()
    assert "release not found" in job.failing_gh("release", "view", "v0.6.0")


def test_gh_api_follows_pages_and_uses_graphql(job: Job) -> None:
    for number in range(3):
        job.gh("release", "create", f"v1.{number}", "--notes", "")
    listed = job.gh(
        "api", "--paginate", "repos/{owner}/{repo}/releases?per_page=2", "--jq", ".[].tag_name"
    )
    assert listed.split() == ["v1.2", "v1.1", "v1.0"]
    viewer = job.gh("api", "graphql", "-f", "query={viewer{login}}", "--jq", ".data.viewer.login")
    assert viewer.strip() == "github-actions[bot]"
    fields = job.gh("release", "list", "--json", "tagName,isLatest", "--limit", "1")
    assert json.loads(fields) == [{"tagName": "v1.2", "isLatest": True}]


@pytest.mark.parametrize(
    ("identity", "message"),
    [
        (
            JobIdentity(job="build", permissions={"contents": "read"}),
            "Resource not accessible by integration",
        ),
        (
            JobIdentity(job="publish", permissions={"id-token": "write"}),
            "Resource not accessible by integration",
        ),
        (None, "Bad credentials"),
    ],
    ids=["read", "id-token", "unregistered"],
)
def test_job_without_the_permission_creates_no_release(
    forge: Forge, job: Job, identity: JobIdentity | None, message: str
) -> None:
    forge.unregister(job.address)
    if identity:
        forge.register(job.address, identity)
    assert message in job.failing_gh("release", "create", "v0.5.0", "--notes", "")
    assert forge.releases() == ()
    assert _last(forge, "refused")


def test_wrong_token_is_bad_credentials(forge: Forge, job: Job) -> None:
    output = job.failing_gh("release", "create", "v0.5.0", "--notes", "", GITHUB_TOKEN="ghs_wrong")  # noqa: S106
    assert "Bad credentials" in output
    assert _last(forge, "refused")


def test_client_without_the_ca_certificate_cannot_connect(forge: Forge, job: Job) -> None:
    output = job.failing_gh("release", "list", SSL_CERT_FILE="/dev/null", SSL_CERT_DIR="/nowhere")
    assert "certificate signed by unknown authority" in output
    assert _last(forge, "tls_refused")


def test_identity_token_is_verified_on_a_second_network(
    container_engine: Engine, run: Run, forge: Forge, job: Job, network: ClosedNetwork
) -> None:
    url = f"{forge.environment['ACTIONS_ID_TOKEN_REQUEST_URL']}&audience=pypi"
    header = f"Authorization: bearer {forge.environment['ACTIONS_ID_TOKEN_REQUEST_TOKEN']}"
    request = ["api", url, "-H", header, "--jq", ".value"]
    forge.register(
        job.address,
        JobIdentity(job="publish", permissions={"id-token": "write"}, environment="pypi"),
    )
    first = job.gh(*request).strip()
    forge.rotate_keys()
    second = job.gh(*request).strip()
    with new_network(container_engine, run) as second_network:
        forge.connect(second_network.name)
        client = container_engine.client()
        try:
            reader = client.containers.run(
                images.ensure(container_engine, "gh").tag,
                ["sleep", "60"],
                network=second_network.name,
                labels=run.labels(),
                detach=True,
                init=True,
            )
            try:
                assert reader.put_archive(
                    "/", tar_of({"e2e-ca.pem": network.ca_certificate}, "etc")
                )
                assert execute(reader, ["sh", "-c", TRUST]).code == 0
                command = ["gh", "api", f"{ISSUER}/.well-known/jwks"]
                jwks = execute(reader, command, environment={"GH_TOKEN": "not-checked"})
            finally:
                reader.remove(force=True)
        finally:
            client.close()
            disconnect(container_engine, forge, second_network.name)
    assert jwks.code == 0, jwks.output
    keys = KeySet.import_key_set(json.loads(jwks.output))
    for value in (first, second):
        claims = jwt.decode(value, keys, algorithms=["RS256"]).claims
        assert claims["sub"] == "repo:quiver-owner/quiver2:environment:pypi"
        assert claims["aud"] == "pypi"
        assert claims["job_workflow_ref"].endswith("/publish.yml@refs/tags/v0.5.0")
    assert first.split(".")[0] != second.split(".")[0]
    forge.register(job.address, RELEASE)
    assert "Resource not accessible by integration" in job.failing_gh(*request)


def disconnect(container_engine: Engine, forge: Forge, network: str) -> None:
    """Disconnect the forge from a network, so that the network can be removed."""
    client = container_engine.client()
    client.networks.get(network).disconnect(forge.id, force=True)
    client.close()


def test_only_the_names_of_the_forge_resolve(job: Job) -> None:
    for host in HOSTS:
        assert job.run("getent", "hosts", host).code == 0, host
    # The engine forwards no name. With its default settings, the attempts take twenty seconds.
    short = {"RES_OPTIONS": "timeout:1 attempts:1"}
    assert job.run("getent", "hosts", "codeload.github.com", **short).code != 0


def test_stopped_forge_is_a_testbed_failure(forge: Forge, job: Job) -> None:
    forge.close()
    with pytest.raises(TestbedFailure) as failure:
        forge.register(job.address, RELEASE)
    assert (failure.value.cause, failure.value.where) == ("forge-unreachable", "forge")
