"""The forge of a run: the container that stands in for GitHub for the jobs of the release workflow.

``images/forge`` answers at the host names of GitHub, with certificates from the run's CA. The host
configures it with files that the engine copies into the container. The forge has no endpoint for
its configuration, so a job cannot change it.
"""

from __future__ import annotations

import ipaddress
import json
import secrets
import string
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Self

import pydantic
from pydantic import JsonValue

from containers.builder import owned_by_root
from containers.commands import execute, read_file, ready_line, start
from containers.engine_client import ENGINE_ERRORS
from containers.images import tar_of
from containers.limits import LimitedContainer
from containers.network import ClosedNetwork
from verification.models.base import Model
from verification.models.dispatch import Dispatch, DispatchTarget
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
"""The host names of the forge on its networks (``images/forge/routing.py``)."""
ISSUER = "https://token.actions.githubusercontent.com"
_FOLDER = "/srv/forge"
_JOBS = f"{_FOLDER}/jobs"
_RELEASES = pydantic.TypeAdapter(tuple[ForgeRelease, ...])


_DISPATCHES = pydantic.TypeAdapter(tuple[Dispatch, ...])


class ForgeContents(Model):
    """What the forge has at the start of a run, in addition to the repository's refs."""

    workflows: tuple[DispatchTarget, ...] = ()
    """The workflow files of the repository."""
    releases: tuple[ForgeRelease, ...] = ()
    """The releases, without assets."""
    bare: Path | None = None
    """The folder of the bare repository that it serves over git; None if it serves none."""

    def config(self) -> dict[str, JsonValue]:
        """Return the contents in the format of the forge's configuration."""
        keys = {"tag", "target", "name", "body", "prerelease"}
        return {
            "workflows": [target.model_dump(mode="json") for target in self.workflows],
            "releases": [
                release.model_dump(mode="json", include=keys) for release in self.releases
            ],
        }


class Forge(LimitedContainer):
    """The running forge: a context manager that removes it at the end.

    It starts on ``network``. `connect` adds further networks. If a request comes from an address
    without a registered job, the forge waits up to ``registration_timeout_seconds`` for the
    registration.
    """

    def __init__(
        self,
        image: Image,
        network: ClosedNetwork,
        repository: Repository,
        workflow: WorkflowRun,
        contents: ForgeContents | None = None,
        *,
        registration_timeout_seconds: float = 5.0,
    ) -> None:
        self._kind, self._owning_run, self._engine = "forge", network.run, network.engine
        self.repository = repository
        contents = contents or ForgeContents()
        self._bare = contents.bare
        self.workflow = workflow
        self.token = f"ghs_{_random(36)}"
        self.request_token = _random(64)
        self._signing_key = 1
        self._published_keys = [1]
        certificate = network.ca.issue_cert(*HOSTS)
        config = {
            "certificate": f"{_FOLDER}/certificate.pem",
            "key": f"{_FOLDER}/key.pem",
            "folder": _FOLDER,
            "token": self.token,
            "request_token": self.request_token,
            "repository": repository.model_dump(mode="json"),
            "run": workflow.model_dump(mode="json"),
            **contents.config(),
            "registration_timeout_seconds": registration_timeout_seconds,
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
            .with_kwargs(
                **network.limits("forge", image), labels=network.run.labels(), dns=["127.0.0.1"]
            )
            .waiting_for(ready_line())
        )
        for name, content in files.items():
            self._container.with_copy_into_container(content, name)

    def __enter__(self) -> Self:
        start(self._container, "forge-unreachable", "forge")
        self.watch()
        if self._bare:
            self._put_repository(self._bare)
        return self

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which a runner passes the tokens to a job.

        A real runner sets the two variables for identity tokens only for a job with
        ``id-token: write``. The forge refuses identity tokens for any other job.
        """
        return {
            "GITHUB_TOKEN": self.token,
            "ACTIONS_ID_TOKEN_REQUEST_URL": (
                f"https://{HOSTS[-1]}/idtoken/{self.workflow.run_id}?api-version=2.0"
            ),
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": self.request_token,
        }

    def connect(self, network: str) -> None:
        """Add the forge to a further network, with all its host names.

        Raises:
            TestbedFailure: ``forge-unreachable``.
        """
        try:
            client = self._container.get_docker_client().client
            client.networks.get(network).connect(self.id, aliases=list(HOSTS))
        except ENGINE_ERRORS as error:
            raise _unreachable(error) from error

    def register(self, address: str, identity: JobIdentity) -> None:
        """Register the job whose container has this address.

        Raises:
            TestbedFailure: ``forge-unreachable``. ``machine-lost``: the address is not valid,
                because the container has ended.
        """
        try:
            ipaddress.ip_address(address)
        except ValueError:
            raise TestbedFailure(
                "machine-lost",
                f"job {identity.job}",
                f"the container has no valid address: {address!r}",
            ) from None
        self._put({f"{address}.json": identity.model_dump_json().encode()}, _JOBS)

    def unregister(self, address: str) -> None:
        """Remove the registration of an address. The engine can assign it to another container.

        Raises:
            TestbedFailure: ``forge-unreachable``.
        """
        self._run(["rm", "-f", f"{_JOBS}/{address}.json"])

    def releases(self) -> tuple[ForgeRelease, ...]:
        """Return all release pages, also drafts, the newest first.

        Raises:
            TestbedFailure: ``forge-unreachable``, also if their format is unknown.
        """
        try:
            return _RELEASES.validate_json(self._get(f"{_FOLDER}/releases.json"))
        except ValueError as error:
            raise _unreachable(f"its releases cannot be read: {error}") from error

    def dispatches(self) -> tuple[Dispatch, ...]:
        """Return the dispatches that jobs requested, the oldest first.

        Raises:
            TestbedFailure: ``forge-unreachable``, also if their format is unknown.
        """
        try:
            return _DISPATCHES.validate_json(self._get(f"{_FOLDER}/dispatches.json"))
        except ValueError as error:
            raise _unreachable(f"its dispatches cannot be read: {error}") from error

    def content(self, asset: ForgeAsset) -> bytes:
        """Return the bytes of an asset.

        Raises:
            TestbedFailure: ``forge-unreachable``, also if the asset does not exist any more.
        """
        return self._get(f"{_FOLDER}/assets/{asset.id}")

    def log(self) -> list[ForgeRequest]:
        """Return every request that the forge answered, oldest first.

        Raises:
            TestbedFailure: ``forge-unreachable``, also if the format of the log is unknown.
        """
        # The forge may be writing the last line.
        lines, _, _ = self._get(f"{_FOLDER}/requests.jsonl").decode().rpartition("\n")
        try:
            return [ForgeRequest.model_validate_json(line) for line in lines.splitlines()]
        except ValueError as error:
            raise _unreachable(f"its log cannot be read: {error}") from error

    def rotate_keys(self, *, keep_published: bool = True) -> None:
        """Sign with a new key from now on. By default the earlier keys stay published.

        Raises:
            TestbedFailure: ``forge-unreachable``.
        """
        new_key = self._signing_key + 1
        earlier_keys = self._published_keys if keep_published else []
        self._set_keys(new_key, [*earlier_keys, new_key])

    def publish_next_key(self) -> None:
        """Publish in advance the key that signs after the next call of `rotate_keys`.

        Raises:
            TestbedFailure: ``forge-unreachable``.
        """
        self._set_keys(self._signing_key, [*self._published_keys, self._signing_key + 1])

    def sign_with_unpublished_key(self) -> None:
        """Sign with a key that is not published: a planted fault.

        Raises:
            TestbedFailure: ``forge-unreachable``.
        """
        unpublished_key = max(self._signing_key + 1, *self._published_keys) + 1
        self._set_keys(unpublished_key, self._published_keys)

    def _set_keys(self, signing_key: int, published_keys: Iterable[int]) -> None:
        self._signing_key, self._published_keys = signing_key, sorted(set(published_keys))
        keys = {"signing": self._signing_key, "published": self._published_keys}
        self._put({"keys.json": json.dumps(keys).encode()}, _FOLDER)

    def _put_repository(self, bare: Path) -> None:
        with tempfile.TemporaryFile() as packed:
            with tarfile.open(fileobj=packed, mode="w") as tar:
                tar.add(bare, f"{_FOLDER}/repository.git", filter=owned_by_root)
            packed.seek(0)
            try:
                self._container.get_wrapped_container().put_archive("/", packed)
            except ENGINE_ERRORS as error:
                self.close()
                raise _unreachable(error) from error

    def _put(self, files: dict[str, bytes], folder: str) -> None:
        try:
            self._container.get_wrapped_container().put_archive("/", tar_of(files, folder))
        except ENGINE_ERRORS as error:
            raise _unreachable(error) from error

    def _get(self, path: str) -> bytes:
        try:
            return read_file(self._container.get_wrapped_container(), path) or b""
        except (*ENGINE_ERRORS, KeyError) as error:
            raise _unreachable(error) from error

    def _run(self, command: list[str]) -> None:
        try:
            result = execute(self._container.get_wrapped_container(), command)
        except ENGINE_ERRORS as error:
            raise _unreachable(error) from error
        if result.code:
            raise _unreachable(
                f"`{' '.join(command)}` ended with exit code {result.code}: {result.output}"
            )


def _unreachable(message: Exception | str) -> TestbedFailure:
    return TestbedFailure("forge-unreachable", "forge", " ".join(str(message).split())[:400])


def _random(length: int) -> str:
    alphabet = string.ascii_letters + string.digits
    return "".join(secrets.choice(alphabet) for _ in range(length))
