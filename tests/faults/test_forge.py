"""The forge as the real `gh` sees it, in containers on a network of their own.

`gh` is Debian's, unconfigured: it asks the names it always asks, and trusts the run's authority
through the system's store.
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

# One forge for all: its tests belong to one worker.
pytestmark = pytest.mark.xdist_group("forge")


@dataclasses.dataclass(frozen=True)
class Job:
    """A container in which a step of a job could run."""

    container: Container
    network: str
    forge: Forge

    @property
    def address(self) -> str:
        """Its address on the network that the forge is on."""
        self.container.reload()
        return str(self.container.attrs["NetworkSettings"]["Networks"][self.network]["IPAddress"])

    def run(self, *command: str, **environment: str) -> CommandResult:
        """Run a command with what a job is given."""
        given = self.forge.environment | {"GH_REPO": "quiver-owner/quiver2", "NO_COLOR": "1"}
        return execute(
            self.container, command, folder="/dist", environment={**given, **environment}
        )

    def gh(self, *arguments: str, **environment: str) -> str:
        """Run gh, which must succeed, and return what it says."""
        done = self.run("gh", *arguments, **environment)
        assert done.code == 0, done.output
        return done.output

    def refused(self, *arguments: str, **environment: str) -> str:
        """Run gh, which must fail, and return what it says."""
        done = self.run("gh", *arguments, **environment)
        assert done.code != 0, done.output
        return done.output

    def put(self, name: str, content: bytes) -> None:
        """Put a file where commands run."""
        assert self.container.put_archive("/", tar_of({name: content}, "dist"))

    def digest(self, path: str) -> str:
        """Return the digest of a file, by the container's own tool."""
        return self.run("sha256sum", path).output.split()[0]


@pytest.fixture(scope="module")
def network(found: Engine, run: Run) -> Iterator[ClosedNetwork]:
    """Return an internal network."""
    with closed_network(found, run) as closed:
        yield closed


@pytest.fixture
def forge(found: Engine, network: ClosedNetwork) -> Iterator[Forge]:
    """Return a running forge without any release."""
    image = images.ensure(found, "forge")
    with Forge(image, network, REPOSITORY, WORKFLOW, patience=2) as started:
        yield started


@pytest.fixture(scope="module")
def machine(found: Engine, network: ClosedNetwork) -> Iterator[Container]:
    """Return a container with gh that trusts the run's authority."""
    held = (
        network.container(images.ensure(found, "gh"))
        .with_command("sleep infinity")
        .with_kwargs(labels=network.run.labels(), dns=["127.0.0.1"], init=True)
        .with_copy_into_container(network.ca_certificate, "/etc/e2e-ca.pem")
    )
    with held as started:
        wrapped = started.get_wrapped_container()
        assert execute(wrapped, ["sh", "-c", f"mkdir /dist && {TRUST}"]).code == 0
        yield wrapped
    held.get_docker_client().client.close()


@pytest.fixture
def job(machine: Container, network: ClosedNetwork, forge: Forge) -> Job:
    """Return that container, which the forge takes for the release job."""
    made = Job(machine, network.name, forge)
    forge.register(made.address, RELEASE)
    return made


def _last(forge: Forge, key: str) -> str:
    """What the log's last line says under ``key``: the client is gone before it is written."""
    deadline = time.monotonic() + 10
    while True:
        if said := [str(getattr(line, key)) for line in forge.log()[-1:] if getattr(line, key)]:
            return said[0]
        assert time.monotonic() < deadline, f"the last line has no {key}"
        time.sleep(0.05)


def test_a_release_by_the_real_gh_has_notes_and_its_wheels_byte_for_byte(
    forge: Forge, job: Job
) -> None:
    wheels = {LINUX: os.urandom(2_500_000), WINDOWS: os.urandom(700_000)}
    for name, content in wheels.items():
        job.put(name, content)

    said = job.gh("release", "create", "v0.5.0", "--verify-tag", "--generate-notes", LINUX, WINDOWS)

    assert said.strip() == "https://github.com/quiver-owner/quiver2/releases/tag/v0.5.0"
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
    assert {line.uploaded_sha256 for line in uploads} == {one.sha256 for one in release.assets}

    job.gh("release", "download", "v0.5.0", "--dir", "/tmp/out")  # noqa: S108 - in the container
    for asset in release.assets:
        assert job.digest(f"/tmp/out/{asset.name}") == asset.sha256  # noqa: S108
    assert set(wheels) <= set(job.gh("release", "view", "v0.5.0").split())
    assert job.gh("release", "list").split()[:2] == ["v0.5.0", "Latest"]


def test_duplicates_are_refused_and_clobbered_on_demand(forge: Forge, job: Job) -> None:
    job.put(LINUX, b"first")
    job.gh("release", "create", "v0.5.0", "--notes", "Mine", LINUX)
    job.put(LINUX, b"second")

    assert "already exists" in job.refused("release", "create", "v0.5.0", "--notes", "")
    assert "already exists" in job.refused("release", "upload", "v0.5.0", LINUX)
    before = forge.releases()[0].assets[0]
    assert forge.content(before) == b"first"
    job.gh("release", "upload", "v0.5.0", LINUX, "--clobber")

    (release,) = forge.releases()
    (asset,) = release.assets
    assert forge.content(asset) == b"second"
    assert asset.id != before.id
    assert release.body == "Mine"
    with pytest.raises(TestbedFailure) as gone:
        forge.content(before)
    assert gone.value.cause == "forge-unreachable"


def test_drafts_are_published_edited_and_deleted(forge: Forge, job: Job) -> None:
    job.gh("release", "create", "v0.6.0", "--draft", "--notes", "Later", "--target", "main")
    assert "draft:\ttrue" in job.gh("release", "view", "v0.6.0")
    assert "v0.6.0" not in job.gh("api", "repos/{owner}/{repo}/tags", "--jq", ".[].name")
    job.gh("release", "edit", "v0.6.0", "--draft=false", "--title", "Six")
    (release,) = forge.releases()
    assert (release.draft, release.name, release.body) == (False, "Six", "Later")
    told = job.gh("api", "repos/{owner}/{repo}/git/ref/tags/v0.6.0", "--jq", ".object.sha")
    assert told.strip() == NEW
    job.gh("release", "delete", "v0.6.0", "--yes", "--cleanup-tag")
    assert forge.releases() == ()
    assert "release not found" in job.refused("release", "view", "v0.6.0")


def test_gh_api_follows_pages_and_asks_graphql(job: Job) -> None:
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
    ("identity", "told"),
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
def test_a_job_without_the_permission_makes_no_release(
    forge: Forge, job: Job, identity: JobIdentity | None, told: str
) -> None:
    forge.forget(job.address)
    if identity:
        forge.register(job.address, identity)
    said = job.refused("release", "create", "v0.5.0", "--notes", "")
    assert told in said
    assert forge.releases() == ()
    assert _last(forge, "refused")


def test_a_wrong_token_is_bad_credentials(forge: Forge, job: Job) -> None:
    said = job.refused("release", "create", "v0.5.0", "--notes", "", GITHUB_TOKEN="ghs_wrong")  # noqa: S106
    assert "Bad credentials" in said
    assert _last(forge, "refused") == "the token is not the run's"


def test_a_machine_that_does_not_trust_the_run_gets_nothing(forge: Forge, job: Job) -> None:
    said = job.refused("release", "list", SSL_CERT_FILE="/dev/null", SSL_CERT_DIR="/nowhere")
    assert "certificate signed by unknown authority" in said
    assert _last(forge, "tls_refused")


def test_an_identity_token_is_verified_on_a_second_network(
    found: Engine, run: Run, forge: Forge, job: Job, network: ClosedNetwork
) -> None:
    url = f"{forge.environment['ACTIONS_ID_TOKEN_REQUEST_URL']}&audience=pypi"
    header = f"Authorization: bearer {forge.environment['ACTIONS_ID_TOKEN_REQUEST_TOKEN']}"
    asking = ["api", url, "-H", header, "--jq", ".value"]
    forge.register(
        job.address,
        JobIdentity(job="publish", permissions={"id-token": "write"}, environment="pypi"),
    )
    first = job.gh(*asking).strip()
    forge.rotate_keys()
    second = job.gh(*asking).strip()
    with new_network(found, run) as other:
        forge.connect(other.name)
        client = found.client()
        try:
            reader = client.containers.run(
                images.ensure(found, "gh").tag,
                ["sleep", "60"],
                network=other.name,
                labels=run.labels(),
                detach=True,
                init=True,
            )
            try:
                assert reader.put_archive(
                    "/", tar_of({"e2e-ca.pem": network.ca_certificate}, "etc")
                )
                assert execute(reader, ["sh", "-c", TRUST]).code == 0
                asked = ["gh", "api", f"{ISSUER}/.well-known/jwks"]
                jwks = execute(reader, asked, environment={"GH_TOKEN": "not-looked-at"})
            finally:
                reader.remove(force=True)
        finally:
            client.close()
            disconnect(found, forge, other.name)
    assert jwks.code == 0, jwks.output
    keys = KeySet.import_key_set(json.loads(jwks.output))
    for value in (first, second):
        claims = jwt.decode(value, keys, algorithms=["RS256"]).claims
        assert claims["sub"] == "repo:quiver-owner/quiver2:environment:pypi"
        assert claims["aud"] == "pypi"
        assert claims["job_workflow_ref"].endswith("/publish.yml@refs/tags/v0.5.0")
    assert first.split(".")[0] != second.split(".")[0]
    forge.register(job.address, RELEASE)
    assert "Resource not accessible by integration" in job.refused(*asking)


def disconnect(found: Engine, forge: Forge, network: str) -> None:
    """Take the forge off a network, which cannot be removed before."""
    client = found.client()
    client.networks.get(network).disconnect(forge.id, force=True)
    client.close()


def test_every_name_leads_to_the_forge_and_nothing_else_answers(job: Job) -> None:
    for host in HOSTS:
        assert job.run("getent", "hosts", host).code == 0, host
    # The engine asks nobody else for a name; its own attempts would take twenty seconds.
    quick = {"RES_OPTIONS": "timeout:1 attempts:1"}
    assert job.run("getent", "hosts", "codeload.github.com", **quick).code != 0


def test_a_forge_that_is_gone_is_the_testbeds_failure(forge: Forge, job: Job) -> None:
    forge.close()
    with pytest.raises(TestbedFailure) as lost:
        forge.register(job.address, RELEASE)
    assert (lost.value.cause, lost.value.where) == ("forge-unreachable", "forge")
