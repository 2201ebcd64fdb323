"""The forge of a run: the container that plays GitHub for the jobs of the release workflow.

``images/forge`` answers to GitHub's own names, with certificates of the run's own authority. The
host side tells it everything by files that the engine puts into the container: there is no door for
it that a job could use as well.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import ipaddress
import json
import secrets
import string
import tarfile
from collections.abc import Mapping
from typing import Any, Self

import docker.errors
import requests
from testcontainers.core.exceptions import ContainerStartException
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

from containers.commands import Held, execute, remove
from containers.images import tar_of
from containers.network import ClosedNetwork
from verification.models.errors import TestbedFailure
from verification.models.testbed import Image

HOSTS = (
    "github.com",
    "api.github.com",
    "uploads.github.com",
    "release-assets.githubusercontent.com",
    "token.actions.githubusercontent.com",
    "pipelines.actions.githubusercontent.com",
)
"""The names that the forge has on its networks; see ``images/forge/routing.py``."""
ISSUER = "https://token.actions.githubusercontent.com"
_FOLDER = "/srv/forge"
_JOBS = f"{_FOLDER}/jobs"
_READY_SECONDS = 30


@dataclasses.dataclass(frozen=True)
class Repository:
    """The repository that the forge has; its numbers are those that the real one would tell."""

    owner: str
    name: str
    id: int
    owner_id: int
    visibility: str = "public"
    default_branch: str = "main"
    branches: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Branch to commit."""
    tags: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Tag to commit."""
    annotated: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Annotated tag to its tag object."""


@dataclasses.dataclass(frozen=True)
class WorkflowRun:
    """The facts of a run that all of its jobs share; they end up in their identity tokens."""

    workflow: str
    """The workflow's name."""
    path: str
    """The workflow's file, relative to the repository: ``.github/workflows/publish.yml``."""
    ref: str
    sha: str
    event_name: str = "push"
    actor: str = "maintainer"
    actor_id: int = 1
    run_id: int = 1
    run_number: int = 1
    run_attempt: int = 1
    head_ref: str = ""
    base_ref: str = ""
    ref_protected: bool = False


@dataclasses.dataclass(frozen=True)
class JobIdentity:
    """A job as the workflow file makes it."""

    job: str
    permissions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """The effective permissions: ``{"contents": "write"}``; what is not named is not granted."""
    environment: str | None = None
    claims: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Claims that shall differ from the true ones; one that is None is left out. For tests."""


@dataclasses.dataclass(frozen=True)
class Asset:
    """A file of a release, as the forge took it in."""

    id: int
    name: str
    label: str | None
    size: int
    sha256: str
    content_type: str


@dataclasses.dataclass(frozen=True)
class Release:
    """A release that a job made."""

    id: int
    tag: str
    target: str
    name: str | None
    body: str | None
    draft: bool
    prerelease: bool
    latest: bool
    created_at: str
    published_at: str | None
    assets: tuple[Asset, ...]


class Forge(Held):
    """The running forge; a context manager that removes it at the end.

    It starts on ``network``; `connect` puts it on further ones. ``patience`` is how many seconds it
    waits for the registration of an address it does not know.
    """

    def __init__(
        self,
        image: Image,
        network: ClosedNetwork,
        repository: Repository,
        workflow: WorkflowRun,
        *,
        patience: float = 5.0,
    ) -> None:
        self.repository = repository
        self.workflow = workflow
        self.token = f"ghs_{_random(36)}"
        self.request_token = _random(64)
        self._keys: dict[str, Any] = {"signing": 1, "published": [1]}
        certificate = network.ca.issue_cert(*HOSTS)
        config = {
            "certificate": f"{_FOLDER}/certificate.pem",
            "key": f"{_FOLDER}/key.pem",
            "folder": _FOLDER,
            "token": self.token,
            "request_token": self.request_token,
            "repository": dataclasses.asdict(repository),
            "run": dataclasses.asdict(workflow),
            "patience": patience,
        }
        files = {
            f"{_FOLDER}/certificate.pem": b"".join(
                blob.bytes() for blob in certificate.cert_chain_pems
            ),
            f"{_FOLDER}/key.pem": certificate.private_key_pem.bytes(),
            "/etc/forge/config.json": json.dumps(config).encode(),
        }
        self._container = (
            network.container(image)
            .with_network_aliases(*HOSTS)
            .with_kwargs(labels=network.run.labels(), dns=["127.0.0.1"], init=True)
            .waiting_for(
                LogMessageWaitStrategy("ready")
                .with_startup_timeout(_READY_SECONDS)
                .with_poll_interval(0.05)
            )
        )
        for name, content in files.items():
            self._container.with_copy_into_container(content, name)

    def __enter__(self) -> Self:
        try:
            self._container.start()
        except BaseException as error:
            logs = ""
            with contextlib.suppress(
                ContainerStartException, docker.errors.DockerException, requests.RequestException
            ):
                wrapped = self._container.get_wrapped_container()
                logs = wrapped.logs(tail=3).decode("utf-8", "replace")
            remove(self._container)
            if isinstance(
                error, (docker.errors.DockerException, requests.RequestException, OSError)
            ):
                raise _lost(f"does not start: {error} {logs}") from error
            raise
        return self

    @property
    def environment(self) -> dict[str, str]:
        """The variables through which a runner gives a job its tokens.

        A real runner gives the two about identity only to a job with ``id-token: write``; the forge
        refuses any other job that has got them.
        """
        return {
            "GITHUB_TOKEN": self.token,
            "ACTIONS_ID_TOKEN_REQUEST_URL": (
                f"https://{HOSTS[-1]}/idtoken/{self.workflow.run_id}?api-version=2.0"
            ),
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": self.request_token,
        }

    def connect(self, network: str) -> None:
        """Put the forge on a further network, with all of its names.

        Raises:
            TestbedFailure: ``forge-unreachable``.
        """
        try:
            client = self._container.get_docker_client().client
            client.networks.get(network).connect(self.id, aliases=list(HOSTS))
        except (docker.errors.DockerException, requests.RequestException) as error:
            raise _lost(error) from error

    def register(self, address: str, identity: JobIdentity) -> None:
        """Say that the container at ``address`` is this job's, from now on.

        Raises:
            TestbedFailure: ``forge-unreachable``; ``machine-lost`` if that is no address, as of a
                container that has ended.
        """
        try:
            ipaddress.ip_address(address)
        except ValueError:
            raise TestbedFailure(
                "machine-lost", f"job {identity.job}", f"its container has no address: {address!r}"
            ) from None
        told = json.dumps(dataclasses.asdict(identity)).encode()
        self._put({f"{address}.json": told}, _JOBS)

    def forget(self, address: str) -> None:
        """Say that no job is at ``address`` any more; the engine gives addresses out again.

        Raises:
            TestbedFailure: ``forge-unreachable``.
        """
        self._run(["rm", "-f", f"{_JOBS}/{address}.json"])

    def releases(self) -> tuple[Release, ...]:
        """Return every release there is, drafts too, the newest first.

        Raises:
            TestbedFailure: ``forge-unreachable``.
        """
        return tuple(
            Release(
                assets=tuple(
                    Asset(**{field.name: told[field.name] for field in dataclasses.fields(Asset)})
                    for told in one["assets"]
                ),
                **{
                    field.name: one[field.name]
                    for field in dataclasses.fields(Release)
                    if field.name != "assets"
                },
            )
            for one in json.loads(self._get(f"{_FOLDER}/releases.json"))
        )

    def content(self, asset: Asset) -> bytes:
        """Return the bytes of an asset.

        Raises:
            TestbedFailure: ``forge-unreachable``; also if the asset has been deleted.
        """
        return self._get(f"{_FOLDER}/assets/{asset.id}")

    def log(self) -> list[dict[str, Any]]:
        """Return every request that the forge answered, oldest first.

        A line has ``time``, ``client``, ``job``, ``method``, ``host``, ``path`` and ``status``; an
        upload ``uploaded_sha256``, a token that was given its ``claims``, a refusal ``refused``.

        Raises:
            TestbedFailure: ``forge-unreachable``.
        """
        whole, _, _ = self._get(f"{_FOLDER}/requests.jsonl").decode().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    def rotate_keys(self, *, keep_published: bool = True) -> None:
        """Sign with a new key from now on; the earlier ones stay published, unless told otherwise.

        Raises:
            TestbedFailure: ``forge-unreachable``.
        """
        new = self._next()
        kept = self._keys["published"] if keep_published else []
        self._choose(new, sorted({*kept, new}))

    def publish_next_key(self) -> None:
        """Publish the key that `rotate_keys` will sign with, before it does.

        Raises:
            TestbedFailure: ``forge-unreachable``.
        """
        self._choose(self._keys["signing"], sorted({*self._keys["published"], self._next()}))

    def sign_with_unpublished_key(self) -> None:
        """Sign with a key that nobody can fetch: a planted fault.

        Raises:
            TestbedFailure: ``forge-unreachable``.
        """
        self._choose(max(self._next(), *self._keys["published"]) + 1, self._keys["published"])

    def _next(self) -> int:
        return int(self._keys["signing"]) + 1

    def _choose(self, signing: int, published: list[int]) -> None:
        self._keys = {"signing": signing, "published": published}
        self._put({"keys.json": json.dumps(self._keys).encode()}, _FOLDER)

    def _put(self, files: dict[str, bytes], folder: str) -> None:
        try:
            self._container.get_wrapped_container().put_archive("/", tar_of(files, folder))
        except (docker.errors.DockerException, requests.RequestException) as error:
            raise _lost(error) from error

    def _get(self, path: str) -> bytes:
        try:
            chunks, _ = self._container.get_wrapped_container().get_archive(path)
            with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
                member = tar.extractfile(tar.next() or "")
                return member.read() if member else b""
        except (docker.errors.DockerException, requests.RequestException, KeyError) as error:
            raise _lost(error) from error

    def _run(self, command: list[str]) -> None:
        try:
            done = execute(self._container.get_wrapped_container(), command)
        except (docker.errors.DockerException, requests.RequestException) as error:
            raise _lost(error) from error
        if done.code:
            raise _lost(f"{' '.join(command)} ended with {done.code}: {done.output}")


def _lost(seen: object) -> TestbedFailure:
    return TestbedFailure("forge-unreachable", "forge", " ".join(str(seen).split())[:400])


def _random(length: int) -> str:
    letters = string.ascii_letters + string.digits
    return "".join(secrets.choice(letters) for _ in range(length))
