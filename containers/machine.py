"""A running clean machine: its container, its files and its commands."""

from __future__ import annotations

import base64
import contextlib
import datetime
import gzip
from collections.abc import Callable, Mapping
from typing import Any, Self

import docker
import docker.errors
from pydantic import Field

from containers import limits, processors
from containers.commands import (
    MAX_OUTPUT_BYTES,
    CommandResult,
    ManagedContainer,
    execute,
    read_file,
)
from containers.engine_client import ENGINE_ERRORS
from containers.images import tar_of
from containers.network import NetworkHandle, new_container
from verification.models.base import Model
from verification.models.errors import TestbedFailure
from verification.models.limits import LimitRecord
from verification.models.machine import MachineSpec
from verification.models.testbed import Image

_USER_ID = 1000
# The CA bundles of the distributions: Debian and Alpine first, then Red Hat and Fedora.
_CA_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
)
_READY = "/run/ready"
# The first program of a machine.
# 1. Trust the CA certificate. The script writes what update-ca-certificates would write, but does
#    not need half a second. OpenSSL also searches the folder of the bundle, by a hash of the name
#    (openssl-rehash(1)). An image without the program openssl reads the bundle. Wine makes the
#    Windows certificate store from the bundle only.
# 2. Unpack the suite's files. This is faster than an archive that the engine copies. A small base
#    image may have no tar, but then it has a Python. Root owns the files, so that the processes of
#    the user can only read them. They can write into one folder.
_START_SCRIPT = f"""
for bundle in {" ".join(_CA_BUNDLES)}; do [ ! -f $bundle ] || break; done
[ -f $bundle ] || {{ echo "no CA bundle: none of {" ".join(_CA_BUNDLES)}"; exit 1; }}
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
mkdir -p "$4" && chown {_USER_ID}:{_USER_ID} "$4" || exit
shift 4
mkdir -p {_READY.rpartition("/")[0]} && : >{_READY} && exec "$@"
"""
_MAX_ARGUMENT_BYTES = 128 * 1024 - 1
"""The maximum length of one argument of a program on Linux (execve(2), MAX_ARG_STRLEN)."""
_WAIT_SCRIPT = f'until [ -e {_READY} ]; do sleep 0.01; done; exec "$@"'


class MachineSetup(Model):
    """The settings of a machine at its start, in addition to its image."""

    environment: Mapping[str, str] = Field(default_factory=dict)
    tmpfs: Mapping[str, str] = Field(default_factory=dict)
    """The mount options of each folder that is kept in memory (tmpfs), by path."""
    files: Mapping[str, bytes] = Field(default_factory=dict)
    """The contents of the files in the suite's folder on the machine, by name."""


class Machine(ManagedContainer):
    """A running machine: a context manager that removes it at the end.

    It has one network, on which only the index answers. It trusts the CA certificates of its image
    and of the run. By default commands run as the machine's user, who is not root.
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
        self._packed_files = self._pack()
        """The files as an argument of the start script. Empty if the engine must copy them."""
        self._options: dict[str, Any] = {
            **limits.options(network.engine, network.run, "machine", image.tag),
            "network": network.name,
            "labels": network.run.labels(),
            "user": self.layout.users["root"],
        }
        if spec.runs_on != "windows":
            # The engine forwards unknown names even on an internal network. This address is in the
            # machine, where no resolver answers.
            self._options["dns"] = ["127.0.0.1"]
        self._container = (
            new_container(network.engine, image)
            .with_command(self._start_command())
            .with_kwargs(**self._options)
            .with_envs(**setup.environment)
        )
        for folder, options in setup.tmpfs.items():
            self._container.with_tmpfs_mount(folder, options)

    def __enter__(self) -> Self:
        try:
            self._start()
            if not self._packed_files:
                self.put(self._files)
            if self.spec.runs_on == "windows":
                self._trust_ca()
        except BaseException as error:
            self.close()
            if isinstance(error, (*ENGINE_ERRORS, OSError)):
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
            # The engine has the same number of processors as this process, but with other numbers.
            self._container.with_kwargs(**self._options)
            self._container.start()

    def close(self) -> None:
        """Remove the machine. It may be removed already."""
        try:
            super().close()
        finally:
            self._stack.close()

    @property
    def client(self) -> docker.DockerClient:
        """The machine's connection to its engine. It is closed with the machine."""
        client: docker.DockerClient = self._container.get_docker_client().client
        return client

    def recorded_limits(
        self, keep: Callable[[LimitRecord], None]
    ) -> contextlib.AbstractContextManager[None]:
        """Watch the machine, and pass the record of its limits to ``keep`` at the end.

        A machine of Windows has no record.

        Raises:
            TestbedFailure: ``machine-lost``.
        """
        if self.spec.runs_on == "windows":
            return contextlib.nullcontext()
        container = self._container.get_wrapped_container()
        try:
            container.reload()
        except ENGINE_ERRORS as error:
            raise self._lost(error) from error
        return limits.recorded(self._network.engine, self._network.run, "machine", container, keep)

    def address_and_start_time(self) -> tuple[str, datetime.datetime]:
        """Return the address of the machine and the time of its start, by the engine's clock.

        Raises:
            TestbedFailure: ``machine-lost``: it has no address, because it has ended.
        """
        wrapped = self._container.get_wrapped_container()
        try:
            wrapped.reload()
        except ENGINE_ERRORS as error:
            raise self._lost(error) from error
        networks = wrapped.attrs["NetworkSettings"]["Networks"]
        address = str(networks.get(self._network.name, {}).get("IPAddress", ""))
        if not address:
            raise self._lost(f"the machine has no address: {self._output()}")
        return address, datetime.datetime.fromisoformat(wrapped.attrs["State"]["StartedAt"])

    def _start_command(self) -> list[str]:
        """Return the command of the machine's container."""
        if self.spec.runs_on == "windows":
            return list(self.layout.idle)
        settings = (self._network.ca_certificate, self.spec.runs_on)
        arguments = (*settings, self._packed_files, self.layout.data)
        return ["sh", "-c", _START_SCRIPT, "sh", *arguments, *self.layout.idle]

    def _pack(self) -> str:
        if self.spec.runs_on == "windows":
            return ""
        archive = tar_of(self._files, self.layout.folder)
        packed = base64.b64encode(gzip.compress(archive, mtime=0)).decode("ascii")
        return packed if len(packed) <= _MAX_ARGUMENT_BYTES else ""

    def _trust_ca(self) -> None:
        command = ["certutil", "-addstore", "Root", self.layout.path("ca.pem")]
        result = self.run(command, user="root")
        if result.code:
            raise TestbedFailure("machine-lost", self.spec.name, f"certutil: {result.output}")

    def wait(self) -> None:
        """Block until the machine is ready for its first user command. `run` waits as well.

        Raises:
            TestbedFailure: ``machine-lost``: the machine ended before it was ready.
        """
        self.run(["true"])

    def _lost(self, error: Exception | str) -> TestbedFailure:
        return TestbedFailure("machine-lost", self.spec.name, " ".join(str(error).split())[:300])

    def put(self, files: dict[str, bytes], folder: str | None = None, *, mode: int = 0o644) -> None:
        """Write ``files`` (names relative to ``folder``) on the machine.

        ``folder`` is a path of the container, by default the suite's folder. Root owns the files
        there, and the machine's user owns others.

        Raises:
            TestbedFailure: ``machine-lost``.
        """
        # The engine expects paths without the drive.
        path = (folder or self.layout.folder).removeprefix("C:")
        archive = tar_of(files, path, mode=mode, owner=_USER_ID if folder else 0)
        try:
            self._container.get_wrapped_container().put_archive("/", archive)
        except ENGINE_ERRORS as error:
            raise self._lost(error) from error

    def get(self, path: str, limit: int = MAX_OUTPUT_BYTES) -> bytes | None:
        """Return the content of a file on the machine, or None if it does not exist.

        ``limit`` is the largest number of bytes that are read.

        Raises:
            TestbedFailure: ``machine-lost``.
        """
        try:
            container = self._container.get_wrapped_container()
            return read_file(container, path, limit)
        except docker.errors.NotFound:
            return None
        except (*ENGINE_ERRORS, KeyError) as error:
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
        """Run ``command`` on the machine and wait for it. After ``seconds``, end it with code 124.

        Raises:
            TestbedFailure: ``machine-lost``: the machine or the engine ended.
        """
        command_line = " ".join(command)
        if seconds and self.spec.runs_on != "windows":
            # BusyBox (Alpine) has only the short option.
            command = ["timeout", "-k", "5", str(seconds), *command]
        if not self._is_ready and self.spec.runs_on != "windows":
            command = ["sh", "-c", _WAIT_SCRIPT, "sh", *command]
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
        except ENGINE_ERRORS as error:
            raise self._lost(f"{error}: {self._output()}") from error
        if wrapped.status != "running":
            raise self._lost(f"the machine ended during `{command_line[:80]}`: {self._output()}")
        self._is_ready = True
        return result

    def _output(self) -> str:
        """Return the last lines of the output of the machine's start script."""
        try:
            output = self._container.get_wrapped_container().logs(tail=3)
        except ENGINE_ERRORS:
            return "the engine does not return the machine's output"
        return output.decode("utf-8", "replace") or "no output"
