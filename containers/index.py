"""The package index of a testbed, and the files that are published to it.

pypiserver behind a TLS front (``images/index``) stands in for the default index. On the closed
network it answers at the default host names of pip and twine, with a certificate from the run's CA.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import io
import json
import os
import secrets
import shutil
import tarfile
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

import docker
import docker.errors
from docker.types import LogConfig
from pydantic import Field

from containers.commands import (
    CommandResult,
    ManagedContainer,
    execute,
    read_state,
    ready_line,
    send,
    start,
)
from containers.engine import Engine, is_kept
from containers.engine_client import ENGINE_ERRORS, failing_as
from containers.limits import LimitedContainer, checked_state
from containers.network import ClosedNetwork
from verification.models.base import DataError, Model, parse_json
from verification.models.errors import TestbedFailure
from verification.models.index_log import IndexRequest
from verification.models.publisher import TrustedPublisher
from verification.models.testbed import Image, IndexHosts, Upload

SIGNING_HOST = "sigstore.test"
"""The host name of the signing servers on the network of a run."""
_FOLDER = "/srv/index"
_LOG = "/dev/stdout"
"""The request log is the output of the container. The engine stores this output and returns it
without starting a program in the container."""
# By default an engine may store the logs elsewhere, or only the last megabytes.
_LOG_CONFIG = LogConfig(type=LogConfig.types.JSON, config={"max-size": "1g"})
_FAULTS = f"{_FOLDER}/faults.json"
_CA_CERTIFICATE = f"{_FOLDER}/authority.pem"
_CERTIFICATE = f"{_FOLDER}/certificate.pem"
_KEY = f"{_FOLDER}/key.pem"
_CONFIG = f"{_FOLDER}/config.json"
_LOG_SECONDS = 30
_EMPTY_ANSWERS = 3
"""How often a command runs again that passes without its output."""
_LOG_MARKER = b'{"mark":'
_ROOTLESS_ID_COUNT = 65536
"""The usual number of user and group ids of a rootless engine (subuid(5), subgid(5))."""
_PIP_FOLDER = "/usr/lib/python3/dist-packages"
"""The folder of Debian's pip."""
_PRINT_DEFAULT_HOSTS = (
    "import json;"
    "from pip._internal.models.index import PyPI;"
    "from twine.utils import DEFAULT_REPOSITORY;"
    "print(json.dumps([PyPI.url, 'https://' + PyPI.file_storage_domain, DEFAULT_REPOSITORY]))"
)


class IndexFault(Model):
    """A fault that the index plants in its responses, for tests (``images/index/faults.py``)."""

    match: str
    """A regular expression that matches a part of the request's path."""
    fault: Literal["truncate", "status", "hang", "corrupt", "reset"]
    status: int | None = None
    after: int | None = None
    """The number of bytes of the body that are sent before the fault."""
    client: str | None = None
    """The address of the client that gets the fault; None for all clients."""
    times: int | None = None
    """The number of requests that get the fault; None for all requests."""
    seconds: float | None = None
    """The duration of a hang."""


class IndexContents(Model):
    """The files that an index serves, and the project that can be uploaded to it."""

    project: str
    files: tuple[Path, ...] = ()
    """The files that the index has before its first client."""
    exists: bool = False
    """Whether the project exists on the live index, also without a file here."""
    yanked: Mapping[str, str] = Field(default_factory=dict)
    """The reason of each yanked file, by file name."""
    faults: tuple[IndexFault, ...] = ()


class TrustedPublishing(Model):
    """The trusted publishers of an index."""

    publishers: tuple[TrustedPublisher, ...] = ()
    issuers: tuple[str, ...] = ()
    """The URLs of the accepted issuers of identity tokens. Their TLS certificates are from the
    run's CA."""
    enabled: bool = True
    signing: bool = False
    """Whether the index has the signing servers, and trusts only attestations of them."""


class UploadMachine(ManagedContainer):
    """The machine that uploads a release with twine."""

    def __init__(self, image: Image, network: ClosedNetwork) -> None:
        self._container = (
            network.container(image)
            .with_kwargs(
                **network.limits("publisher", image), labels=network.run.labels(), dns=["127.0.0.1"]
            )
            .with_copy_into_container(network.ca_certificate, "/etc/e2e-ca.pem")
        )

    def __enter__(self) -> Self:
        start(self._container, "machine-lost", "publisher")
        return self

    def hosts(self) -> IndexHosts:
        """Return the host names of the default index, as set in pip and twine.

        Raises:
            TestbedFailure: ``image-build-failed``: pip or twine cannot be read. ``machine-lost``:
                the machine ended.
        """
        script = f"import sys; sys.path.append('{_PIP_FOLDER}'); {_PRINT_DEFAULT_HOSTS}"
        result = self._run(["python", "-c", script])
        for _ in range(_EMPTY_ANSWERS):  # a busy engine can lose the output of a command
            if result.output or result.code:
                break
            result = self._run(["python", "-c", script])
        try:
            index, files, upload = (
                urlsplit(url).hostname or "" for url in json.loads(result.output)
            )
        except (ValueError, TypeError):
            if failure := self.state().failure:
                raise TestbedFailure("machine-lost", "publisher", failure) from None
            raise TestbedFailure(
                "image-build-failed",
                "publisher",
                "cannot read the default hosts of pip and twine "
                f"(exit code {result.code}): {result.output}",
            ) from None
        return IndexHosts(index=index, files=files, upload=upload)

    def upload(self, files: Sequence[Path], password: str) -> Upload:
        """Upload ``files`` with ``twine upload``, without an option for the index.

        On the network of the run, the default name of twine is the index of the run."""
        with failing_as("machine-lost", "publisher"):
            for path in files:
                self._container.copy_into_container(path, f"/dist/{path.name}")
        command = ["twine", "upload", "--non-interactive", "--disable-progress-bar", "--verbose"]
        command += [f"/dist/{path.name}" for path in files]
        environment = {
            "TWINE_USERNAME": "__token__",
            "TWINE_PASSWORD": password,
            "TWINE_CERT": "/etc/e2e-ca.pem",
            "NO_COLOR": "1",
            "COLUMNS": "200",
        }
        result = self._run(command, environment)
        return Upload(
            command=tuple(command),
            code=result.code,
            output=result.output.replace(password, "[hidden]"),
        )

    def _run(self, command: list[str], environment: dict[str, str] | None = None) -> CommandResult:
        with failing_as("machine-lost", "publisher"):
            return execute(
                self._container.get_wrapped_container(), command, environment=environment
            )


def publish(
    upload_machine: UploadMachine, index: Index, client: docker.DockerClient, files: Sequence[Path]
) -> Upload:
    """Upload ``files`` to the index. Return the result of twine and the index's refusals.

    Raises:
        TestbedFailure: the upload failed. ``machine-lost``: the upload machine ended.
            ``index-unreachable``: the index ended or sent no complete response.
    """
    upload = upload_machine.upload(files, index.password)
    if not upload.code:
        return upload
    if failure := upload_machine.state().failure:
        raise TestbedFailure("machine-lost", "publisher", failure)
    log = read_log(client, index.id)
    for line in log:
        if line.upload is not None and line.failure:
            raise TestbedFailure("index-unreachable", "index", line.failure)
    refusals = (
        f"{line.status} {line.upload.refused}"
        for line in log
        if line.upload and line.upload.refused
    )
    return upload.model_copy(update={"refusals": tuple(refusals)})


class Index(LimitedContainer):
    """The running index; a context manager that removes it at the end."""

    def __init__(
        self,
        image: Image,
        network: ClosedNetwork,
        hosts: IndexHosts,
        contents: IndexContents,
        trusted_publishing: TrustedPublishing | None = None,
    ) -> None:
        self.hosts = hosts
        self._kind, self._owning_run, self._engine = "index", network.run, network.engine
        self.password = f"pypi-{secrets.token_urlsafe(96)}"
        """A token in the form of the live index. It is valid for the project of the contents."""
        trusted = trusted_publishing or TrustedPublishing()
        signing = {"signing": SIGNING_HOST} if trusted.signing else {}
        names = (*hosts.all(), *signing.values())
        certificate = network.ca.issue_cert(*names)
        token = {
            "username": "__token__",
            "password": self.password,
            "projects": [contents.project],
        }
        config = {
            "certificate": _CERTIFICATE,
            "key": _KEY,
            "hosts": hosts.model_dump() | signing,
            "store": f"{_FOLDER}/store",
            "log": _LOG,
            "faults": _FAULTS,
            "yanked": dict(contents.yanked),
            "existing_projects": [contents.project] if contents.exists else [],
            "credentials": [token],
            "trusted_publishing": trusted.enabled,
            "issuers": [{"url": url, "ca": _CA_CERTIFICATE} for url in trusted.issuers],
            "publishers": [p.form() for p in trusted.publishers if not p.pending],
            "pending_publishers": [p.form() for p in trusted.publishers if p.pending],
        }
        faults = [fault.model_dump(exclude_none=True) for fault in contents.faults]
        self._files = {
            _CERTIFICATE: b"".join(blob.bytes() for blob in certificate.cert_chain_pems),
            _KEY: certificate.private_key_pem.bytes(),
            _CA_CERTIFICATE: network.ca_certificate,
            _CONFIG: json.dumps(config).encode(),
            _FAULTS: json.dumps(faults).encode(),
        }
        self._store = contents.files
        self._container = (
            network.container(image)
            .with_command(_CONFIG)
            .with_network_aliases(*names)
            .with_kwargs(
                **network.limits("index", image) | {"log_config": _LOG_CONFIG},
                labels=network.run.labels(),
                dns=["127.0.0.1"],
                # If it is detached, its standard input stays open after the first writer.
                stdin_open=True,
                detach=True,
            )
            .waiting_for(ready_line())
        )

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            try:
                scratch = stack.enter_context(tempfile.TemporaryDirectory())
                folder = Path(scratch) / Path(_FOLDER).name
                self._fill(folder)
            except OSError as error:
                cause = "disk-full" if error.errno == errno.ENOSPC else "index-unreachable"
                raise TestbedFailure(cause, "index", f"cannot write its files: {error}") from error
            if max(os.getuid(), os.getgid()) < _ROOTLESS_ID_COUNT:
                # The complete folder needs one call to the engine.
                self._container.with_copy_into_container(folder, str(Path(_FOLDER).parent))
            else:
                # A folder is copied with its owner. A rootless engine does not know this owner.
                for path in filter(Path.is_file, folder.rglob("*")):
                    target = f"{_FOLDER}/{path.relative_to(folder).as_posix()}"
                    self._container.with_copy_into_container(path, target)
            start(self._container, "index-unreachable", "index")
        self.watch()
        return self

    def _fill(self, folder: Path) -> None:
        (folder / "store").mkdir(parents=True)
        (folder / "store" / ".keep").touch()  # copying single files skips an empty folder
        for path, content in self._files.items():
            (folder / Path(path).name).write_bytes(content)
        for file in self._store:
            shutil.copy(file, folder / "store")

    def close(self) -> None:
        """Remove the container, unless it is kept. It may be removed already."""
        with contextlib.suppress(*ENGINE_ERRORS):
            wrapped = self._container.get_wrapped_container()
            wrapped.reload()
            if is_kept(wrapped.name):
                self.end_watch()
                self._container.get_docker_client().client.close()
                return
        super().close()


def read_files(engine: Engine, index: str, project: str) -> dict[str, bytes]:
    """Return the files of ``project`` on the index with this container id, by name.

    Raises:
        TestbedFailure: ``index-unreachable``: the container or the engine is gone.
    """
    client = engine.client()
    try:
        chunks, _ = client.containers.get(index).get_archive(f"{_FOLDER}/store")
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
            files = {
                Path(member.name).name: file.read()
                for member in tar
                if (file := tar.extractfile(member)) is not None
            }
    except ENGINE_ERRORS as error:
        raise TestbedFailure("index-unreachable", "index", str(error)) from error
    finally:
        client.close()
    return {name: data for name, data in files.items() if name.startswith(f"{project}-")}


def read_log(
    client: docker.DockerClient,
    index: str,
    since: datetime.datetime | None = None,
    address: str | None = None,
) -> list[IndexRequest]:
    """Return the requests that the index with this container id has answered, oldest first.

    With ``since``, a time of the engine's clock, return only requests that ended later. With
    ``address``, return only requests of this client.

    Raises:
        TestbedFailure: ``index-unreachable``: the index is gone, writes no log, or its log has an
            unknown format.
    """
    token = secrets.token_hex(8)
    try:
        container = client.containers.get(index)
        state = read_state(container)
        if state.failure:
            raise TestbedFailure(state.cause("index-unreachable"), "index", state.failure)
        # The index writes a line after its response, and the engine reads the lines with a delay.
        # The index copies this marker to its log. All lines before the marker are then complete.
        send(container, f"{token} {address or ''}\n".encode())
        deadline = time.monotonic() + _LOG_SECONDS
        while True:
            lines = _lines(container.logs(stderr=False, since=since.timestamp() if since else None))
            if any(_LOG_MARKER in line and token.encode() in line for line in lines):
                break
            if time.monotonic() > deadline:
                raise TestbedFailure("index-unreachable", "index", f"no log after {_LOG_SECONDS} s")
            time.sleep(0.005)
    except (*ENGINE_ERRORS, OSError) as error:
        raise TestbedFailure("index-unreachable", "index", str(error)) from error
    try:
        log = [
            parse_json(IndexRequest, line, "its log") for line in lines if _LOG_MARKER not in line
        ]
    except DataError as error:
        raise TestbedFailure("index-unreachable", "index", str(error)) from None
    requested = log if address is None else [line for line in log if line.client == address]
    if any(line.failure for line in requested) and (state := checked_state(container)).failure:
        raise TestbedFailure(state.cause("index-unreachable"), "index", state.failure)
    return requested


def _lines(output: bytes) -> list[bytes]:
    # The last line may be incomplete. The front also prints a line when it is ready.
    complete_lines, _, _ = output.rpartition(b"\n")
    return [line for line in complete_lines.splitlines() if line.startswith(b"{")]
