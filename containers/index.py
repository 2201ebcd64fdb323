"""The package index of a testbed, and the files that are published to it.

pypiserver behind a TLS front (``images/index``) stands in for the default index. On the internal
network it answers at the host names that pip and twine use by default, with a certificate from the
run's CA.
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
import requests
from docker.types import LogConfig
from pydantic import Field
from testcontainers.core.container import DockerContainer
from testcontainers.core.exceptions import ContainerStartException
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

from containers.commands import (
    CommandResult,
    ManagedContainer,
    execute,
    read_state,
    remove,
    send,
)
from containers.engine import Engine, is_kept
from containers.network import ClosedNetwork
from verification.models.base import DataError, Model, parse_json
from verification.models.errors import TestbedFailure
from verification.models.index_log import IndexRequest
from verification.models.publisher import TrustedPublisher
from verification.models.testbed import Image, IndexHosts, Upload

_FOLDER = "/srv/index"
_LOG = "/dev/stdout"
"""The engine keeps what a container prints, and gives it without starting a program there."""
# An engine may be set up to keep its containers' logs elsewhere, or the last megabytes alone.
_LOG_CONFIG = LogConfig(type=LogConfig.types.JSON, config={"max-size": "1g"})
_FAULTS = f"{_FOLDER}/faults.json"
_CA_CERTIFICATE = f"{_FOLDER}/authority.pem"
_CERTIFICATE = f"{_FOLDER}/certificate.pem"
_KEY = f"{_FOLDER}/key.pem"
_CONFIG = f"{_FOLDER}/config.json"
_READY_SECONDS = 30
_MARK = b'{"mark":'
_IDS = 65536
"""How many users and groups a rootless engine has, as a rule (subuid(5), subgid(5))."""
_ASK = (
    "import json;"
    "from pip._internal.models.index import PyPI;"
    "from twine.utils import DEFAULT_REPOSITORY;"
    "print(json.dumps([PyPI.url, 'https://' + PyPI.file_storage_domain, DEFAULT_REPOSITORY]))"
)


class IndexFault(Model):
    """What the index does wrong on request, for tests; see ``images/index/faults.py``."""

    match: str
    """A regular expression that is searched for in the path of a request."""
    fault: Literal["truncate", "status", "hang", "corrupt", "reset"]
    status: int | None = None
    after: int | None = None
    """Bytes of the body that are sent first."""
    client: str | None = None
    """The address of the only client that meets it."""
    times: int | None = None
    seconds: float | None = None
    """How long a hang lasts."""


class IndexContents(Model):
    """What an index serves, and the project that can be uploaded to it."""

    project: str
    files: tuple[Path, ...] = ()
    """Files that are there from the start, before any client can come."""
    yanked: Mapping[str, str] = Field(default_factory=dict)
    """The reason by file name, of those that were withdrawn."""
    faults: tuple[IndexFault, ...] = ()


class TrustedPublishing(Model):
    """The trusted publishers of an index."""

    publishers: tuple[TrustedPublisher, ...] = ()
    issuers: tuple[str, ...] = ()
    """The addresses whose identity tokens the index takes. Their certificates are of the run's CA.
    """
    enabled: bool = True


class UploadMachine(ManagedContainer):
    """The machine from which a release is uploaded, with the real twine."""

    def __init__(self, image: Image, network: ClosedNetwork) -> None:
        self._container = (
            network.container(image)
            .with_kwargs(labels=network.run.labels(), dns=["127.0.0.1"], init=True)
            .with_copy_into_container(network.ca_certificate, "/etc/e2e-ca.pem")
        )

    def __enter__(self) -> Self:
        _start(self._container, "publisher")
        return self

    def hosts(self) -> IndexHosts:
        """Ask pip and twine where they go by default.

        Raises:
            TestbedFailure: ``image-build-failed``: they are not installed as they should be.
        """
        answer = self._run(["python", "-c", f"import sys; sys.path.append('{_PIP}'); {_ASK}"])
        try:
            index, files, upload = (
                urlsplit(url).hostname or "" for url in json.loads(answer.output)
            )
        except (ValueError, TypeError):
            raise TestbedFailure(
                "image-build-failed",
                "publisher",
                f"pip and twine do not answer ({answer.code}): {answer.output}",
            ) from None
        return IndexHosts(index=index, files=files, upload=upload)

    def upload(self, files: Sequence[Path], password: str) -> Upload:
        """Upload ``files`` with ``twine upload``, to the index that twine takes by default."""
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
        done = self._run(command, environment)
        return Upload(
            command=tuple(command),
            code=done.code,
            output=done.output.replace(password, "[hidden]"),
        )

    def _run(self, command: list[str], environment: dict[str, str] | None = None) -> CommandResult:
        try:
            result = execute(
                self._container.get_wrapped_container(), command, environment=environment
            )
        except (docker.errors.DockerException, requests.RequestException) as error:
            raise TestbedFailure("machine-lost", "publisher", str(error)) from error
        return result


_PIP = "/usr/lib/python3/dist-packages"  # where Debian's own pip lives


def publish(
    upload_machine: UploadMachine, index: Index, client: docker.DockerClient, files: Sequence[Path]
) -> Upload:
    """Upload ``files`` to the index; return what twine did, and which files the index refused.

    Raises:
        TestbedFailure: ``machine-lost`` or ``index-unreachable``: the upload failed, and the upload
            machine or the index ended, or the index gave no answer.
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


class Index(ManagedContainer):
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
        self.password = secrets.token_urlsafe(24)
        trusted = trusted_publishing or TrustedPublishing()
        certificate = network.ca.issue_cert(*hosts.all())
        token = {
            "username": "__token__",
            "password": self.password,
            "projects": [contents.project],
        }
        config = {
            "certificate": _CERTIFICATE,
            "key": _KEY,
            "hosts": hosts.model_dump(),
            "store": f"{_FOLDER}/store",
            "log": _LOG,
            "faults": _FAULTS,
            "yanked": dict(contents.yanked),
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
            .with_network_aliases(*hosts.all())
            .with_kwargs(
                labels=network.run.labels(),
                dns=["127.0.0.1"],
                init=True,
                # Detached, its standard input outlives the first that writes to it.
                stdin_open=True,
                detach=True,
                log_config=_LOG_CONFIG,
            )
            .waiting_for(
                LogMessageWaitStrategy("ready")
                .with_startup_timeout(_READY_SECONDS)
                .with_poll_interval(0.05)
            )
        )

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            try:
                scratch = stack.enter_context(tempfile.TemporaryDirectory())
                folder = Path(scratch) / Path(_FOLDER).name
                self._fill(folder)
            except OSError as error:
                cause = "disk-full" if error.errno == errno.ENOSPC else "index-unreachable"
                raise TestbedFailure(cause, "index", f"its files: {error}") from error
            if max(os.getuid(), os.getgid()) < _IDS:
                # One folder is one call to the engine, and each file alone would be one as well.
                self._container.with_copy_into_container(folder, str(Path(_FOLDER).parent))
            else:
                # A folder goes with its owner, whom a rootless engine has not.
                for path in (one for one in folder.rglob("*") if one.is_file()):
                    where = f"{_FOLDER}/{path.relative_to(folder).as_posix()}"
                    self._container.with_copy_into_container(path, where)
            _start(self._container, "index")
        return self

    def _fill(self, folder: Path) -> None:
        (folder / "store").mkdir(parents=True)
        (folder / "store" / ".keep").touch()  # an empty folder is none where files go alone
        for path, content in self._files.items():
            (folder / Path(path).name).write_bytes(content)
        for file in self._store:
            shutil.copy(file, folder / "store")

    def close(self) -> None:
        """Remove it; harmless if it is gone. One that is kept for a person stays."""
        with contextlib.suppress(
            ContainerStartException, docker.errors.DockerException, requests.RequestException
        ):
            wrapped = self._container.get_wrapped_container()
            wrapped.reload()
            if is_kept(wrapped.name):
                self._container.get_docker_client().client.close()
                return
        super().close()


def read_files(engine: Engine, index: str, project: str) -> dict[str, bytes]:
    """Return the files of ``project`` that the index with this container id holds, by name.

    Raises:
        TestbedFailure: ``index-unreachable``: the index is gone.
    """
    client = engine.client()
    try:
        chunks, _ = client.containers.get(index).get_archive(f"{_FOLDER}/store")
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
            found = {
                Path(member.name).name: file.read()
                for member in tar
                if (file := tar.extractfile(member)) is not None
            }
    except (docker.errors.DockerException, requests.RequestException) as error:
        raise TestbedFailure("index-unreachable", "index", str(error)) from error
    finally:
        client.close()
    return {name: data for name, data in found.items() if name.startswith(f"{project}-")}


def read_log(
    client: docker.DockerClient,
    index: str,
    since: datetime.datetime | None = None,
    address: str | None = None,
) -> list[IndexRequest]:
    """Return the requests that the index with this container id got so far, oldest first.

    With ``since``, a time by the engine's clock, those alone that ended later; with ``address``,
    those of this client alone.

    Raises:
        TestbedFailure: ``index-unreachable``: the index is gone, or does not write its log in the
            known form.
    """
    token = secrets.token_hex(8)
    try:
        container = client.containers.get(index)
        if failure := read_state(container).failure:
            raise TestbedFailure("index-unreachable", "index", failure)
        # An answer is given before its line is written, and the engine takes the lines in its own
        # time: what was written before this mark has been read when the mark has.
        send(container, f"{token} {address or ''}\n".encode())
        deadline = time.monotonic() + _READY_SECONDS
        while True:
            lines = _lines(container.logs(stderr=False, since=since.timestamp() if since else None))
            if any(_MARK in line and token.encode() in line for line in lines):
                break
            if time.monotonic() > deadline:
                raise TestbedFailure("index-unreachable", "index", "it does not write its log")
            time.sleep(0.005)
    except (docker.errors.DockerException, requests.RequestException, OSError) as error:
        raise TestbedFailure("index-unreachable", "index", str(error)) from error
    try:
        log = [parse_json(IndexRequest, line, "its log") for line in lines if _MARK not in line]
    except DataError as error:
        raise TestbedFailure("index-unreachable", "index", str(error)) from None
    return log if address is None else [line for line in log if line.client == address]


def _lines(printed: bytes) -> list[bytes]:
    # A line that is just being written is not yet one; the front itself says when it is ready.
    whole, _, _ = printed.rpartition(b"\n")
    return [line for line in whole.splitlines() if line.startswith(b"{")]


def _start(container: DockerContainer, name: str) -> None:
    try:
        container.start()
    except BaseException as error:
        logs = ""
        with contextlib.suppress(
            ContainerStartException, docker.errors.DockerException, requests.RequestException
        ):
            logs = container.get_wrapped_container().logs(tail=3).decode("utf-8", "replace")
        remove(container)
        if isinstance(error, (docker.errors.DockerException, requests.RequestException, OSError)):
            reason = " ".join(f"{error} {logs}".split())[:400]
            cause = "index-unreachable" if name == "index" else "machine-lost"
            raise TestbedFailure(cause, name, f"does not start: {reason}") from error
        raise
