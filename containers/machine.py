"""A clean machine: its line in machines.toml, and the running container that is one."""

from __future__ import annotations

import dataclasses
import io
import tarfile
import tomllib
from pathlib import Path
from typing import Any, Self

import docker.errors
import requests
from testcontainers.core.container import DockerContainer

from containers.commands import Held, Result, execute
from containers.engine import Run
from containers.errors import TestbedFailure, WrongUse
from containers.images import Image, tar_of

MACHINES = Path(__file__).with_name("machines.toml")
FOLDER = "/e2e"
"""Where the suite puts its own files on a machine; nothing of the user's is there."""
_USER_ID = 1000
_WORDS = {list: "list of strings", str: "string"}


@dataclasses.dataclass(frozen=True)
class MachineSpec:
    """One line of machines.toml."""

    name: str
    title: str
    os: str
    image: str
    python: str
    installers: tuple[str, ...]
    scenarios: tuple[str, ...]


def load(path: Path = MACHINES) -> dict[str, MachineSpec]:
    """Read the machines, by name.

    Raises:
        WrongUse: an unknown or missing key, with the keys there are; a value of another type.
    """
    keys = {field.name for field in dataclasses.fields(MachineSpec)} - {"name"}
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise WrongUse(f"{path.name}: {error}") from None
    found = {}
    for name, line in data.items():
        if not isinstance(line, dict):
            raise WrongUse(f"{path.name}: {name}: not a table; write [{name}]")
        if unknown := sorted(set(line) - keys):
            raise WrongUse(
                f"{path.name}: {name}: unknown key {unknown[0]!r}; "
                f"there are: {', '.join(sorted(keys))}"
            )
        if missing := sorted(keys - set(line)):
            raise WrongUse(f"{path.name}: {name}: missing key {missing[0]!r}")
        for key, value in line.items():
            wanted = list if key in ("installers", "scenarios") else str
            if not isinstance(value, wanted):
                raise WrongUse(f"{path.name}: {name}: {key} must be a {_WORDS[wanted]}")
        values: dict[str, Any] = {
            key: tuple(v) if isinstance(v, list) else v for key, v in line.items()
        }
        found[name] = MachineSpec(name=name, **values)
    return found


class Machine(Held):
    """A running machine; a context manager that removes it at the end.

    It has one network, and on it one name answers: the index. Its certificate authorities are the
    image's own and the run's. Commands run as the machine's user, never as root, unless asked.
    """

    def __init__(
        self,
        spec: MachineSpec,
        image: Image,
        *,
        network: str,
        run: Run,
        authority: bytes,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.spec = spec
        self.image = image
        self._authority = authority
        self._network = network
        self._container = (
            DockerContainer(image.tag)
            .with_command("sleep infinity")
            .with_kwargs(
                network=network,
                labels=run.labels(),
                user="root",
                # The engine forwards names it does not know even on an internal network; sent to
                # this address, within the machine itself, they find nobody.
                dns=["127.0.0.1"],
                init=True,
            )
            .with_envs(**environment or {})
        )

    def __enter__(self) -> Self:
        try:
            self._container.start()
            self.put({"ca.pem": self._authority})
            self._trust_authority()
        except BaseException as error:
            self.close()
            if isinstance(error, (docker.errors.DockerException, requests.RequestException)):
                raise self._lost(error) from error
            raise
        return self

    @property
    def address(self) -> str:
        """The machine's address on its network."""
        wrapped = self._container.get_wrapped_container()
        wrapped.reload()
        return str(wrapped.attrs["NetworkSettings"]["Networks"][self._network]["IPAddress"])

    def _trust_authority(self) -> None:
        # What update-ca-certificates would write, without its half second.
        bundle = "/etc/ssl/certs/ca-certificates.crt"
        done = self.run(["sh", "-c", f"cat {FOLDER}/ca.pem >> {bundle}"], user="root")
        if done.code:
            raise TestbedFailure("machine-lost", self.spec.name, f"no CA bundle: {done.output}")

    def _lost(self, error: object) -> TestbedFailure:
        return TestbedFailure("machine-lost", self.spec.name, " ".join(str(error).split())[:300])

    def put(self, files: dict[str, bytes], folder: str = FOLDER, *, mode: int = 0o644) -> None:
        """Write ``files`` (names relative to ``folder``) on the machine, owned by its user.

        Raises:
            TestbedFailure: ``machine-lost``.
        """
        archive = tar_of(files, folder, mode=mode, owner=_USER_ID)
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
        folder: str = "/home/user",
        environment: dict[str, str] | None = None,
        seconds: int | None = None,
    ) -> Result:
        """Run ``command`` on the machine and wait for it; it is ended after ``seconds`` (code 124).

        Raises:
            TestbedFailure: ``machine-lost`` if the machine or the engine goes away meanwhile.
        """
        if seconds:
            command = ["timeout", "--kill-after=5", str(seconds), *command]
        wrapped = self._container.get_wrapped_container()
        try:
            result = execute(wrapped, command, user=user, folder=folder, environment=environment)
            wrapped.reload()
        except (docker.errors.DockerException, requests.RequestException) as error:
            raise self._lost(error) from error
        if wrapped.status != "running":
            raise self._lost(f"the machine stopped while `{' '.join(command)[:80]}` ran")
        return result

    def facts(self) -> dict[str, Any]:
        """Return what identifies this machine in evidence."""
        return {
            "name": self.spec.name,
            "title": self.spec.title,
            "image": self.image.tag,
            "image_id": self.image.id,
        }
