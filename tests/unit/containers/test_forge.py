"""The host's part of the forge with the real server. A fake engine connects them."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any, Self

import docker.errors
import pytest
import requests
import trustme
from testcontainers.core.network import Network

from containers import forge as forges
from containers import network as networks
from containers.engine import Engine, Run
from containers.forge import HOSTS, ISSUER
from containers.network import ClosedNetwork
from tests.helpers import forge_server
from tests.helpers.exec_client import ExecClient, Result
from tests.helpers.forge_server import BUILD, RELEASE, REPOSITORY, WORKFLOW
from verification.models.errors import TestbedFailure
from verification.models.forge import ForgeRequest
from verification.models.testbed import Image

ENGINE = Engine(url="unix:///sock", origin="a test", version="20.10", os="linux")
RUN = Run(id="1", owner="a:b:c:d")
TOP = "/srv/forge"


class _Container:
    """A fake of docker's and testcontainers' containers. `folder`: its forge folder on the host."""

    id = "0123"

    def __init__(self, image: str) -> None:
        self.image = image
        self.folder = Path("/nowhere")
        self.copied_files: dict[str, bytes] = {}
        self.aliases: tuple[str, ...] = ()
        self.options: dict[str, Any] = {}
        self.error: Exception | None = None
        self.removals = 0
        self.connections: list[tuple[str, str, list[str]]] = []

    def with_network(self, _: Network) -> Self:
        return self

    def with_network_aliases(self, *names: str) -> Self:
        self.aliases = names
        return self

    def with_kwargs(self, **options: Any) -> Self:
        self.options = options
        return self

    def waiting_for(self, _: object) -> Self:
        return self

    def with_copy_into_container(self, content: bytes, path: str) -> Self:
        self.copied_files[path] = content
        return self

    def start(self) -> None:
        self._fail()

    def logs(self, **_: int) -> bytes:
        return b"forge: token is missing\n"

    def remove(self, **_: bool) -> None:
        self.removals += 1

    def get_wrapped_container(self) -> Self:
        return self

    def get_docker_client(self) -> Any:
        def get(name: str) -> Any:
            self._fail()
            return SimpleNamespace(
                connect=lambda container, aliases: self.connections.append(
                    (name, container, aliases)
                )
            )

        networks = SimpleNamespace(get=get)
        return SimpleNamespace(client=SimpleNamespace(networks=networks, close=lambda: None))

    def put_archive(self, _: str, data: bytes | IO[bytes]) -> None:
        self._fail()
        packed = io.BytesIO(data) if isinstance(data, bytes) else data
        with tarfile.open(fileobj=packed) as tar:
            for member in tar.getmembers():
                if file := tar.extractfile(member):
                    path = self._host_path(f"/{member.name}")
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(file.read())

    def get_archive(self, path: str) -> tuple[list[bytes], dict[str, Any]]:
        self._fail()
        if not self._host_path(path).exists():
            raise docker.errors.NotFound(path)
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            tar.add(self._host_path(path), "file")
        return [packed.getvalue()], {}

    @property
    def client(self) -> ExecClient:
        return ExecClient(self._run_program, self.get_archive)

    def _run_program(self, command: list[str], **_: Any) -> Result:
        self._fail()
        assert command[:2] == ["rm", "-f"]
        self._host_path(command[2]).unlink(missing_ok=True)
        return 0, (None, None)

    def _host_path(self, path: str) -> Path:
        assert path.startswith(f"{TOP}/")
        return self.folder / path.removeprefix(f"{TOP}/")

    def _fail(self) -> None:
        if self.error:
            raise self.error


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def forge_and_container(
    monkeypatch: pytest.MonkeyPatch, ca: trustme.CA
) -> tuple[forges.Forge, _Container]:
    """Return a forge with a fake container, and this container."""
    containers: list[_Container] = []

    def new_container(image: str, docker_client_kw: dict[str, Any]) -> _Container:
        assert docker_client_kw == ENGINE.library_arguments()
        containers.append(_Container(image))
        return containers[0]

    monkeypatch.setattr(networks, "DockerContainer", new_container)
    monkeypatch.setattr(networks, "_replace_client", lambda *_: None)
    image = Image(name="forge", tag="e2e/forge:1", id="sha256:1", created="2026")
    network: Any = SimpleNamespace(name="pipeline")
    closed = ClosedNetwork(ENGINE, RUN, network, ca)
    return forges.Forge(image, closed, REPOSITORY, WORKFLOW), containers[0]


@pytest.fixture
def forge(forge_and_container: tuple[forges.Forge, _Container]) -> forges.Forge:
    return forge_and_container[0]


@pytest.fixture
def container(forge_and_container: tuple[forges.Forge, _Container]) -> _Container:
    return forge_and_container[1]


@pytest.fixture(scope="module")
def running_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[forge_server.Forge]:
    with forge_server.running(tmp_path_factory.mktemp("forge")) as server:
        yield server


@pytest.fixture
def server(running_server: forge_server.Forge, container: _Container) -> forge_server.Forge:
    """Return the real forge server without earlier data. The fake container has its folder."""
    running_server.clean()
    container.folder = running_server.folder
    return running_server


def test_forge_container_has_labels_github_names_and_no_resolver(
    forge: forges.Forge, container: _Container
) -> None:
    assert container.image == "e2e/forge:1"
    assert container.aliases == HOSTS
    assert container.options["labels"] == RUN.labels()
    assert container.options["dns"] == ["127.0.0.1"]
    assert forge.token.startswith("ghs_")
    assert len(forge.token) == 40


def test_server_starts_with_the_configuration_of_the_forge(
    forge: forges.Forge, container: _Container, tmp_path: Path
) -> None:
    config = json.loads(container.copied_files["/etc/forge/config.json"])
    for key in ("certificate", "key"):
        assert config[key] in container.copied_files
        (tmp_path / key).write_bytes(container.copied_files[config[key]])
    host_config = {
        **config,
        "certificate": str(tmp_path / "certificate"),
        "key": str(tmp_path / "key"),
        "folder": str(tmp_path),
        "address": "127.0.0.1",
        "port": 0,
    }
    path = tmp_path / "config.json"
    path.write_text(json.dumps(host_config))
    process = forge_server.launch(path)
    assert process.stdout is not None
    try:
        assert process.stdout.readline().startswith("ready"), (tmp_path / "stderr").read_text()
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()
    assert config["token"] == forge.environment["GITHUB_TOKEN"]
    assert forge.environment["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] == config["request_token"]
    url = forge.environment["ACTIONS_ID_TOKEN_REQUEST_URL"]
    assert url.startswith("https://pipelines.actions.githubusercontent.com/idtoken/4711?")


def test_job_can_be_registered_and_forgotten(
    forge: forges.Forge, server: forge_server.Forge
) -> None:
    forge.register("127.0.0.1", BUILD)
    assert server.line(server.api("GET", "/releases"))["job"] == "build"
    forge.register("127.0.0.1", RELEASE)
    assert server.line(server.api("GET", "/releases"))["job"] == "release"
    forge.unregister("127.0.0.1")
    assert server.api("GET", "/releases").status_code == 401
    forge.unregister("127.0.0.1")


@pytest.mark.parametrize("address", ["", "release", "10.0.0.2/24", "../keys"])
def test_job_without_a_valid_address_is_a_testbed_failure(
    forge: forges.Forge, address: str
) -> None:
    with pytest.raises(TestbedFailure) as raised:
        forge.register(address, RELEASE)
    assert (raised.value.cause, raised.value.where) == ("machine-lost", "job release")


def test_forge_gets_the_bare_repository_at_its_start(
    forge: forges.Forge, container: _Container, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    (bare / "refs").mkdir(parents=True)
    (bare / "refs" / "x").write_text("content", "utf-8")
    container.folder = tmp_path
    forge._bare = bare
    with forge:
        assert (tmp_path / "repository.git" / "refs" / "x").read_text("utf-8") == "content"


def test_forge_that_cannot_get_the_repository_is_removed(
    forge: forges.Forge, container: _Container, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forge._bare = tmp_path
    monkeypatch.setattr(container, "start", lambda: None)
    container.error = docker.errors.DockerException("gone")
    with pytest.raises(TestbedFailure) as failure:
        forge.__enter__()
    assert failure.value.cause == "forge-unreachable"
    assert container.removals == 1


def test_releases_and_their_assets_are_read(
    forge: forges.Forge, server: forge_server.Forge
) -> None:
    assert forge.releases() == ()
    created = server.create("v0.5.0", name="Five", body="B", prerelease=True)
    server.create("v0.6.0", draft=True)
    uploaded = server.upload(created, "a.whl", b"bytes", label="A").json()
    draft, release = forge.releases()
    assert (draft.tag, draft.draft, draft.published_at) == ("v0.6.0", True, None)
    assert (release.tag, release.name, release.body) == ("v0.5.0", "Five", "B")
    assert (release.prerelease, release.latest, release.id) == (True, False, created["id"])
    (asset,) = release.assets
    assert (asset.name, asset.label, asset.size) == ("a.whl", "A", 5)
    assert f"sha256:{asset.sha256}" == uploaded["digest"]
    assert forge.content(asset) == b"bytes"


def test_log_is_read_without_an_incomplete_last_line(
    forge: forges.Forge, server: forge_server.Forge
) -> None:
    line = server.line(server.api("GET", "/releases"))
    with (server.folder / "requests.jsonl").open("a") as file:
        file.write('{"time": "now", ')
    assert forge.log()[-1].model_dump(exclude_unset=True) == line
    with (server.folder / "requests.jsonl").open("a") as file:
        file.write('"client": "10.0.0.2"}\n')
    assert forge.log()[-1] == ForgeRequest(time="now", client="10.0.0.2")


def test_log_in_an_unknown_format_is_a_testbed_failure(
    forge: forges.Forge, server: forge_server.Forge
) -> None:
    with (server.folder / "requests.jsonl").open("a") as file:
        file.write('{"time": "now", "client": "10.0.0.2", "colour": "blue"}\n')
    try:
        with pytest.raises(TestbedFailure, match="colour") as raised:
            forge.log()
        assert raised.value.cause == "forge-unreachable"
    finally:
        path = server.folder / "requests.jsonl"
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def test_keys_are_published_rotated_and_withheld(
    forge: forges.Forge, server: forge_server.Forge
) -> None:
    def published_keys() -> list[str]:
        response = server.send("GET", f"{ISSUER}/.well-known/jwks", token=None).json()
        return [key["kid"] for key in response["keys"]]

    def signing_key() -> str:
        url = "https://pipelines.actions.githubusercontent.com/idtoken/4711"
        bearer = {"Authorization": f"bearer {forge_server.REQUEST_TOKEN}"}
        response = server.send("GET", url, token=None, headers=bearer)
        assert response.status_code == 200
        return str(server.line(response)["kid"])

    server.register(forge_server.PUBLISH)
    (first,) = published_keys()
    assert signing_key() == first
    forge.publish_next_key()
    _, second = published_keys()
    assert signing_key() == first
    forge.rotate_keys()
    assert published_keys() == [first, second]
    assert signing_key() == second
    forge.sign_with_unpublished_key()
    assert signing_key() not in published_keys()
    forge.rotate_keys(keep_published=False)
    (third,) = published_keys()
    assert signing_key() == third
    assert third not in (first, second)


def test_forge_connects_to_a_further_network_with_all_its_names(
    forge: forges.Forge, container: _Container
) -> None:
    forge.connect("machines")
    assert container.connections == [("machines", "0123", list(HOSTS))]


@pytest.mark.parametrize(
    "error", [docker.errors.DockerException("no\nspace"), requests.ConnectionError("no\nspace")]
)
def test_lost_engine_is_a_testbed_failure(
    forge: forges.Forge, container: _Container, error: Exception
) -> None:
    container.error = error
    for call in (
        forge.__enter__,
        forge.releases,
        forge.log,
        forge.rotate_keys,
        lambda: forge.register("10.0.0.2", RELEASE),
        lambda: forge.unregister("10.0.0.2"),
        lambda: forge.connect("machines"),
    ):
        with pytest.raises(TestbedFailure, match="no space") as raised:
            call()
        assert (raised.value.cause, raised.value.where) == ("forge-unreachable", "forge")
    assert container.removals == 1


def test_failure_to_start_has_the_output_of_the_server(
    forge: forges.Forge, container: _Container
) -> None:
    container.error = docker.errors.DockerException("ended")
    with pytest.raises(TestbedFailure, match=r"(?=.*ended)(?=.*forge: token is missing)"):
        forge.__enter__()
    assert container.removals == 1
