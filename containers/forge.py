"""The forge of a run: the container that stands in for GitHub for the jobs of the release workflow.

``images/forge`` answers at the host names of GitHub, with certificates from the run's CA. The host
configures it by files that the engine copies into the container. There is no configuration endpoint
that a job could use.
"""

from __future__ import annotations

import contextlib
import io
import ipaddress
import json
import secrets
import string
import tarfile
from collections.abc import Iterable
from typing import Self

import docker.errors
import pydantic
import requests
from testcontainers.core.exceptions import ContainerStartException
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

from containers.commands import ManagedContainer, execute, remove
from containers.images import tar_of
from containers.network import ClosedNetwork
from verification.models.errors import TestbedFailure
from verification.models.forge import (
    ForgeAsset,
    ForgeRelease,
    ForgeRequest,
    JobIdentity,
    Repository,
    WorkflowRun,
)
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
_RELEASES = pydantic.TypeAdapter(tuple[ForgeRelease, ...])


class Forge(ManagedContainer):
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
        self._signing = 1
        self._published = [1]
        certificate = network.ca.issue_cert(*HOSTS)
        config = {
            "certificate": f"{_FOLDER}/certificate.pem",
            "key": f"{_FOLDER}/key.pem",
            "folder": _FOLDER,
            "token": self.token,
            "request_token": self.request_token,
            "repository": repository.model_dump(mode="json"),
            "run": workflow.model_dump(mode="json"),
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
        self._put({f"{address}.json": identity.model_dump_json().encode()}, _JOBS)

    def forget(self, address: str) -> None:
        """Say that no job is at ``address`` any more; the engine gives addresses out again.

        Raises:
            TestbedFailure: ``forge-unreachable``.
        """
        self._run(["rm", "-f", f"{_JOBS}/{address}.json"])

    def releases(self) -> tuple[ForgeRelease, ...]:
        """Return every release there is, drafts too, the newest first.

        Raises:
            TestbedFailure: ``forge-unreachable``; also if they have an unknown form.
        """
        try:
            return _RELEASES.validate_json(self._get(f"{_FOLDER}/releases.json"))
        except ValueError as error:
            raise _lost(f"its releases: {error}") from error

    def content(self, asset: ForgeAsset) -> bytes:
        """Return the bytes of an asset.

        Raises:
            TestbedFailure: ``forge-unreachable``; also if the asset has been deleted.
        """
        return self._get(f"{_FOLDER}/assets/{asset.id}")

    def log(self) -> list[ForgeRequest]:
        """Return every request that the forge answered, oldest first.

        Raises:
            TestbedFailure: ``forge-unreachable``; also if the log has an unknown form.
        """
        whole, _, _ = self._get(f"{_FOLDER}/requests.jsonl").decode().rpartition("\n")
        try:
            return [ForgeRequest.model_validate_json(line) for line in whole.splitlines()]
        except ValueError as error:
            raise _lost(f"its log: {error}") from error

    def rotate_keys(self, *, keep_published: bool = True) -> None:
        """Sign with a new key from now on; the earlier ones stay published if asked to.

        Raises:
            TestbedFailure: ``forge-unreachable``.
        """
        new = self._signing + 1
        kept = self._published if keep_published else []
        self._choose(new, [*kept, new])

    def publish_next_key(self) -> None:
        """Publish the key that `rotate_keys` will sign with, before it does.

        Raises:
            TestbedFailure: ``forge-unreachable``.
        """
        self._choose(self._signing, [*self._published, self._signing + 1])

    def sign_with_unpublished_key(self) -> None:
        """Sign with a key that nobody can fetch: a planted fault.

        Raises:
            TestbedFailure: ``forge-unreachable``.
        """
        self._choose(max(self._signing + 1, *self._published) + 1, self._published)

    def _choose(self, signing: int, published: Iterable[int]) -> None:
        self._signing, self._published = signing, sorted(set(published))
        keys = {"signing": self._signing, "published": self._published}
        self._put({"keys.json": json.dumps(keys).encode()}, _FOLDER)

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


def _lost(observed: Exception | str) -> TestbedFailure:
    return TestbedFailure("forge-unreachable", "forge", " ".join(str(observed).split())[:400])


def _random(length: int) -> str:
    letters = string.ascii_letters + string.digits
    return "".join(secrets.choice(letters) for _ in range(length))
