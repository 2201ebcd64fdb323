"""The host side of the forge, against the real server, with a fake engine between them."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

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
from tests.helpers.forge_server import BUILD, RELEASE, REPOSITORY, WORKFLOW
from verification.models.errors import TestbedFailure
from verification.models.forge import ForgeRequest
from verification.models.testbed import Image

ENGINE = Engine(url="unix:///sock", origin="a test", version="20.10", os="linux")
RUN = Run(id="1", owner="a:b:c:d")
TOP = "/srv/forge"


class _Container:
    """A container whose folder of the forge is a folder here; it stands for the library's too."""

    id = "0123"

    def __init__(self, image: str) -> None:
        self.image = image
        self.folder = Path("/nowhere")
        self.given: dict[str, bytes] = {}
        self.aliases: tuple[str, ...] = ()
        self.how: dict[str, Any] = {}
        self.error: Exception | None = None
        self.removed = 0
        self.joined: list[tuple[str, str, list[str]]] = []

    def with_network(self, _: Network) -> Self:
        return self

    def with_network_aliases(self, *names: str) -> Self:
        self.aliases = names
        return self

    def with_kwargs(self, **how: Any) -> Self:
        self.how = how
        return self

    def waiting_for(self, _: object) -> Self:
        return self

    def with_copy_into_container(self, content: bytes, path: str) -> Self:
        self.given[path] = content
        return self

    def start(self) -> None:
        self._fail()

    def logs(self, **_: int) -> bytes:
        return b"forge: token is missing\n"

    def remove(self, **_: bool) -> None:
        self.removed += 1

    def get_wrapped_container(self) -> Self:
        return self

    def get_docker_client(self) -> Any:
        def get(name: str) -> Any:
            self._fail()
            return SimpleNamespace(
                connect=lambda container, aliases: self.joined.append((name, container, aliases))
            )

        networks = SimpleNamespace(get=get)
        return SimpleNamespace(client=SimpleNamespace(networks=networks, close=lambda: None))

    def put_archive(self, _: str, data: bytes) -> None:
        self._fail()
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            for member in tar.getmembers():
                if file := tar.extractfile(member):
                    self._here(f"/{member.name}").write_bytes(file.read())

    def get_archive(self, path: str) -> tuple[list[bytes], dict[str, Any]]:
        self._fail()
        if not self._here(path).exists():
            raise docker.errors.NotFound(path)
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            tar.add(self._here(path), "file")
        return [packed.getvalue()], {}

    def exec_run(self, command: list[str], **_: Any) -> tuple[int, tuple[bytes, None]]:
        self._fail()
        assert command[:2] == ["rm", "-f"]
        self._here(command[2]).unlink(missing_ok=True)
        return 0, (b"", None)

    def _here(self, path: str) -> Path:
        assert path.startswith(f"{TOP}/")
        return self.folder / path.removeprefix(f"{TOP}/")

    def _fail(self) -> None:
        if self.error:
            raise self.error


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> tuple[forges.Forge, _Container]:
    """Return a forge whose container is not real, and that."""
    made: list[_Container] = []

    def container(image: str, docker_client_kw: dict[str, Any]) -> _Container:
        assert docker_client_kw == ENGINE.library_arguments()
        made.append(_Container(image))
        return made[0]

    monkeypatch.setattr(networks, "DockerContainer", container)
    image = Image(name="forge", tag="e2e/forge:1", id="sha256:1", created="2026")
    network: Any = SimpleNamespace(name="pipeline")
    closed = ClosedNetwork(ENGINE, RUN, network, trustme.CA())
    return forges.Forge(image, closed, REPOSITORY, WORKFLOW), made[0]


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[forge_server.Forge]:
    with forge_server.running(tmp_path_factory.mktemp("forge")) as server:
        yield server


@pytest.fixture
def server(
    started: forge_server.Forge, held: tuple[forges.Forge, _Container]
) -> forge_server.Forge:
    started.clean()
    held[1].folder = started.folder
    return started


def test_a_forge_has_the_runs_labels_githubs_names_and_no_resolver(
    held: tuple[forges.Forge, _Container],
) -> None:
    forge, container = held
    assert container.image == "e2e/forge:1"
    assert container.aliases == HOSTS
    assert container.how["labels"] == RUN.labels()
    assert container.how["dns"] == ["127.0.0.1"]
    assert forge.token.startswith("ghs_")
    assert len(forge.token) == 40


def test_the_server_takes_what_the_forge_gives_it(
    held: tuple[forges.Forge, _Container], tmp_path: Path
) -> None:
    forge, container = held
    given = json.loads(container.given["/etc/forge/config.json"])
    for key in ("certificate", "key"):
        assert given[key] in container.given
        (tmp_path / key).write_bytes(container.given[given[key]])
    told = {
        **given,
        "certificate": str(tmp_path / "certificate"),
        "key": str(tmp_path / "key"),
        "folder": str(tmp_path),
        "address": "127.0.0.1",
        "port": 0,
    }
    path = tmp_path / "given.json"
    path.write_text(json.dumps(told))
    process = forge_server.launch(path)
    assert process.stdout is not None
    try:
        assert process.stdout.readline().startswith("ready"), (tmp_path / "stderr").read_text()
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()
    assert given["token"] == forge.environment["GITHUB_TOKEN"]
    assert forge.environment["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] == given["request_token"]
    url = forge.environment["ACTIONS_ID_TOKEN_REQUEST_URL"]
    assert url.startswith("https://pipelines.actions.githubusercontent.com/idtoken/4711?")


def test_a_job_is_registered_and_forgotten(
    held: tuple[forges.Forge, _Container], server: forge_server.Forge
) -> None:
    forge, _ = held
    forge.register("127.0.0.1", BUILD)
    assert server.line(server.api("GET", "/releases"))["job"] == "build"
    forge.register("127.0.0.1", RELEASE)
    assert server.line(server.api("GET", "/releases"))["job"] == "release"
    forge.forget("127.0.0.1")
    assert server.api("GET", "/releases").status_code == 401
    forge.forget("127.0.0.1")


@pytest.mark.parametrize("address", ["", "release", "10.0.0.2/24", "../keys"])
def test_a_job_without_an_address_is_lost(
    held: tuple[forges.Forge, _Container], address: str
) -> None:
    with pytest.raises(TestbedFailure, match="its container has no address") as lost:
        held[0].register(address, RELEASE)
    assert (lost.value.cause, lost.value.where) == ("machine-lost", "job release")


def test_releases_and_their_bytes_are_read_back(
    held: tuple[forges.Forge, _Container], server: forge_server.Forge
) -> None:
    forge, _ = held
    assert forge.releases() == ()
    made = server.create("v0.5.0", name="Five", body="B", prerelease=True)
    server.create("v0.6.0", draft=True)
    uploaded = server.upload(made, "a.whl", b"bytes", label="A").json()
    draft, release = forge.releases()
    assert (draft.tag, draft.draft, draft.published_at) == ("v0.6.0", True, None)
    assert (release.tag, release.name, release.body) == ("v0.5.0", "Five", "B")
    assert (release.prerelease, release.latest, release.id) == (True, False, made["id"])
    (asset,) = release.assets
    assert (asset.name, asset.label, asset.size) == ("a.whl", "A", 5)
    assert f"sha256:{asset.sha256}" == uploaded["digest"]
    assert forge.content(asset) == b"bytes"


def test_the_log_is_read_without_a_line_that_is_being_written(
    held: tuple[forges.Forge, _Container], server: forge_server.Forge
) -> None:
    forge, _ = held
    line = server.line(server.api("GET", "/releases"))
    with (server.folder / "requests.jsonl").open("a") as file:
        file.write('{"time": "now", ')
    found = forge.log()
    assert found[-1].model_dump(exclude_unset=True) == line
    with (server.folder / "requests.jsonl").open("a") as file:
        file.write('"client": "10.0.0.2"}\n')
    assert forge.log()[-1] == ForgeRequest(time="now", client="10.0.0.2")


def test_a_log_of_another_form_is_the_testbeds_failure(
    held: tuple[forges.Forge, _Container], server: forge_server.Forge
) -> None:
    with (server.folder / "requests.jsonl").open("a") as file:
        file.write('{"time": "now", "client": "10.0.0.2", "colour": "blue"}\n')
    try:
        with pytest.raises(TestbedFailure, match="colour") as lost:
            held[0].log()
        assert lost.value.cause == "forge-unreachable"
    finally:
        path = server.folder / "requests.jsonl"
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def test_keys_are_published_rotated_and_withheld(
    held: tuple[forges.Forge, _Container], server: forge_server.Forge
) -> None:
    forge, _ = held

    def published() -> list[str]:
        told = server.send("GET", f"{ISSUER}/.well-known/jwks", token=None).json()
        return [key["kid"] for key in told["keys"]]

    def signing() -> str:
        url = "https://pipelines.actions.githubusercontent.com/idtoken/4711"
        bearer = {"Authorization": f"bearer {forge_server.REQUEST_TOKEN}"}
        told = server.send("GET", url, token=None, headers=bearer)
        assert told.status_code == 200
        return str(server.line(told)["kid"])

    server.register(forge_server.PUBLISH)
    (first,) = published()
    assert signing() == first
    forge.publish_next_key()
    _, second = published()
    assert signing() == first
    forge.rotate_keys()
    assert published() == [first, second]
    assert signing() == second
    forge.sign_with_unpublished_key()
    assert signing() not in published()
    forge.rotate_keys(keep_published=False)
    assert published() == [signing()]
    assert signing() not in (first, second)


def test_it_joins_a_further_network_with_all_its_names(
    held: tuple[forges.Forge, _Container],
) -> None:
    forge, container = held
    forge.connect("machines")
    assert container.joined == [("machines", "0123", list(HOSTS))]


@pytest.mark.parametrize(
    "error", [docker.errors.DockerException("no\nspace"), requests.ConnectionError("no\nspace")]
)
def test_an_engine_that_is_gone_is_the_testbeds_failure(
    held: tuple[forges.Forge, _Container], error: Exception
) -> None:
    forge, container = held
    container.error = error
    for call in (
        forge.__enter__,
        forge.releases,
        forge.log,
        forge.rotate_keys,
        lambda: forge.register("10.0.0.2", RELEASE),
        lambda: forge.forget("10.0.0.2"),
        lambda: forge.connect("machines"),
    ):
        with pytest.raises(TestbedFailure, match="no space") as lost:
            call()
        assert (lost.value.cause, lost.value.where) == ("forge-unreachable", "forge")
    assert container.removed == 1


def test_a_forge_that_does_not_start_says_what_its_server_said(
    held: tuple[forges.Forge, _Container],
) -> None:
    forge, container = held
    container.error = docker.errors.DockerException("ended")
    with pytest.raises(TestbedFailure, match="does not start: ended forge: token is missing"):
        forge.__enter__()
    assert container.removed == 1
