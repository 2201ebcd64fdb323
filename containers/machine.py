"""A clean machine: its running container."""

from __future__ import annotations

import base64
import contextlib
import datetime
import gzip
import io
import tarfile
from collections.abc import Mapping
from typing import Self

import docker
import docker.errors
import requests
from pydantic import Field

from containers import processors
from containers.commands import CommandResult, ManagedContainer, execute
from containers.images import tar_of
from containers.network import NetworkHandle, new_container
from verification.models.base import Model
from verification.models.errors import TestbedFailure
from verification.models.machine import MachineSpec
from verification.models.testbed import Image

_USER_ID = 1000
# Where the distributions keep the authorities that they trust: Debian, Alpine and the like; Red
# Hat, Fedora and the like.
_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
)
_READY = "/run/e2e-ready"
# The machine's own first program, before anything else of it runs. The CA: what
# update-ca-certificates and its like would write, without their half second. OpenSSL looks in the
# folder as well, by a hash of the name (openssl-rehash(1)); where the program is missing, the
# image's OpenSSL looks in the bundle. Wine makes the Windows certificate store from the bundle
# alone. Then the suite's files: the engine takes longer to put an archive into a machine than to
# run a program there. A small base image may be without tar, but then it has a Python.
_FIRST = f"""
for bundle in {" ".join(_BUNDLES)}; do [ ! -f $bundle ] || break; done
[ -f $bundle ] || {{ echo "no CA bundle: none of {" ".join(_BUNDLES)}"; exit 1; }}
printf %s "$1" >>$bundle || exit
if [ "$2" = linux ] && command -v openssl >/dev/null; then
    printf %s "$1" >/etc/ssl/certs/$(printf %s "$1" | openssl x509 -hash -noout).0 || exit
fi
if [ -z "$3" ]; then
    :
elif command -v tar >/dev/null && command -v gzip >/dev/null; then
    printf %s "$3" | base64 -d | tar -xzpf - -C / || exit
else
    python3 -c "import base64, io, sys, tarfile
archive = tarfile.open(fileobj=io.BytesIO(base64.b64decode(sys.argv[1])))
archive.extraction_filter = lambda member, path: member  # from 3.14 the default drops owners
archive.extractall('/', numeric_owner=True)" "$3" || exit
fi
shift 3
mkdir -p {_READY.rpartition("/")[0]} && : >{_READY} && exec "$@"
"""
_ARGUMENT = 128 * 1024 - 1
"""How long, in bytes, one argument of a program may be on Linux (execve(2), MAX_ARG_STRLEN)."""
_WAIT = f'until [ -e {_READY} ]; do sleep 0.01; done; exec "$@"'


class MachineSetup(Model):
    """What a machine starts with, in addition to its image."""

    environment: Mapping[str, str] = Field(default_factory=dict)
    tmpfs: Mapping[str, str] = Field(default_factory=dict)
    """Mount options by folder."""
    files: Mapping[str, bytes] = Field(default_factory=dict)
    """Files of the suite's own folder, by name."""


class Machine(ManagedContainer):
    """A running machine; a context manager that removes it at the end.

    It has one network, and on it one name answers: the index. Its certificate authorities are the
    image's own and the run's. Commands run as the machine's user, never as root, unless asked.
    """

    def __init__(
        self,
        spec: MachineSpec,
        image: Image,
        network: NetworkHandle,
        setup: MachineSetup | None = None,
    ) -> None:
        setup = setup or MachineSetup()
        self.spec = spec
        self.image = image
        self.layout = spec.layout
        self._network = network
        self._files = {"ca.pem": network.ca_certificate.encode(), **setup.files}
        self._stack = contextlib.ExitStack()
        self._is_ready = False
        self._packed = self._pack()
        """The files, as the machine's first program takes them; empty where they must be put."""
        self._options: dict[str, str | bool | list[str] | dict[str, str]] = {
            "network": network.name,
            "labels": network.run.labels(),
            "user": self.layout.users["root"],
        }
        if spec.runs_on != "windows":
            # The engine forwards names it does not know even on an internal network; sent to this
            # address, within the machine itself, they find nobody.
            self._options |= {"dns": ["127.0.0.1"], "init": True}
        self._container = (
            new_container(network.engine, image)
            .with_command(self._first())
            .with_kwargs(**self._options)
            .with_envs(**setup.environment)
        )
        for folder, options in setup.tmpfs.items():
            self._container.with_tmpfs_mount(folder, options)

    def __enter__(self) -> Self:
        try:
            self._start()
            if not self._packed:
                self.put(self._files)
            if self.spec.runs_on == "windows":
                self._trust_ca()
        except BaseException as error:
            self.close()
            if isinstance(error, (docker.errors.DockerException, requests.RequestException)):
                raise self._lost(error) from error
            raise
        return self

    def _start(self) -> None:
        if self.spec.runs_on == "wine":
            processor = self._stack.enter_context(processors.reserve(self._network.engine))
            self._container.with_kwargs(**self._options, cpuset_cpus=processor)
        try:
            self._container.start()
        except docker.errors.APIError as error:
            if "CPUs are not available" not in str(error):
                raise
            # The engine has as many processors as this process, but others; nothing was made.
            self._container.with_kwargs(**self._options)
            self._container.start()

    def close(self) -> None:
        """Remove it; harmless if it is gone."""
        try:
            super().close()
        finally:
            self._stack.close()

    @property
    def client(self) -> docker.DockerClient:
        """The connection to the engine that it is on; closed with it."""
        client: docker.DockerClient = self._container.get_docker_client().client
        return client

    def address_and_start(self) -> tuple[str, datetime.datetime]:
        """Return its address on its network, and since when, by the engine's clock, it has that.

        Raises:
            TestbedFailure: ``machine-lost``: it has none any more.
        """
        wrapped = self._container.get_wrapped_container()
        try:
            wrapped.reload()
        except (docker.errors.DockerException, requests.RequestException) as error:
            raise self._lost(error) from error
        networks = wrapped.attrs["NetworkSettings"]["Networks"]
        address = str(networks[self._network.name]["IPAddress"])
        if not address:
            raise self._lost(f"it has no address: {self._output()}")
        return address, datetime.datetime.fromisoformat(wrapped.attrs["State"]["StartedAt"])

    def _first(self) -> list[str]:
        """Return the command that the machine starts with."""
        if self.spec.runs_on == "windows":
            return list(self.layout.idle)
        arguments = (self._network.ca_certificate, self.spec.runs_on, self._packed)
        return ["sh", "-c", _FIRST, "sh", *arguments, *self.layout.idle]

    def _pack(self) -> str:
        if self.spec.runs_on == "windows":
            return ""
        archive = tar_of(self._files, self.layout.folder, owner=_USER_ID)
        packed = base64.b64encode(gzip.compress(archive, mtime=0)).decode("ascii")
        return packed if len(packed) <= _ARGUMENT else ""

    def _trust_ca(self) -> None:
        command = ["certutil", "-addstore", "Root", self.layout.path("ca.pem")]
        done = self.run(command, user="root")
        if done.code:
            raise TestbedFailure("machine-lost", self.spec.name, f"certutil: {done.output}")

    def wait(self) -> None:
        """Wait until it is as its user finds it. The first command that is run here waits as well.

        Raises:
            TestbedFailure: ``machine-lost``: it does not come so far.
        """
        self.run(["true"])

    def _lost(self, error: Exception | str) -> TestbedFailure:
        return TestbedFailure("machine-lost", self.spec.name, " ".join(str(error).split())[:300])

    def put(self, files: dict[str, bytes], folder: str | None = None, *, mode: int = 0o644) -> None:
        """Write ``files`` (names relative to ``folder``) on the machine, owned by its user.

        ``folder`` is as the engine sees it, the suite's own if it is left out.

        Raises:
            TestbedFailure: ``machine-lost``.
        """
        # The engine wants paths from the root of the drive.
        path = (folder or self.layout.folder).removeprefix("C:")
        archive = tar_of(files, path, mode=mode, owner=_USER_ID)
        try:
            self._container.get_wrapped_container().put_archive("/", archive)
        except (docker.errors.DockerException, requests.RequestException) as error:
            raise self._lost(error) from error

    def get(self, path: str) -> bytes | None:
        """Return the content of a file on the machine, or None if there is none.

        Raises:
            TestbedFailure: ``machine-lost``.
        """
        try:
            chunks, _ = self._container.get_wrapped_container().get_archive(path)
            with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
                member = tar.extractfile(tar.next() or "")
                return member.read() if member else None
        except docker.errors.NotFound:
            return None
        except (docker.errors.DockerException, requests.RequestException, KeyError) as error:
            raise self._lost(error) from error

    def run(
        self,
        command: list[str],
        *,
        user: str = "user",
        folder: str | None = None,
        environment: dict[str, str] | None = None,
        seconds: int | None = None,
    ) -> CommandResult:
        """Run ``command`` on the machine and wait for it; it is ended after ``seconds`` (code 124).

        Raises:
            TestbedFailure: ``machine-lost`` if the machine or the engine goes away meanwhile.
        """
        ran = " ".join(command)
        if seconds and self.spec.runs_on != "windows":
            # BusyBox, on Alpine, knows the short option alone.
            command = ["timeout", "-k", "5", str(seconds), *command]
        if not self._is_ready and self.spec.runs_on != "windows":
            command = ["sh", "-c", _WAIT, "sh", *command]
        wrapped = self._container.get_wrapped_container()
        try:
            result = execute(
                wrapped,
                command,
                user=self.layout.users[user],
                folder=folder or self.layout.home,
                environment=environment,
            )
            wrapped.reload()
        except (docker.errors.DockerException, requests.RequestException) as error:
            raise self._lost(f"{error}: {self._output()}") from error
        if wrapped.status != "running":
            raise self._lost(f"the machine stopped while `{ran[:80]}` ran: {self._output()}")
        self._is_ready = True
        return result

    def _output(self) -> str:
        """Return the last lines that the machine's first program printed."""
        try:
            output = self._container.get_wrapped_container().logs(tail=3)
        except (docker.errors.DockerException, requests.RequestException):
            return "the engine does not tell why"
        return output.decode("utf-8", "replace") or "no word of why"
