from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import docker.errors
import pytest
import requests
import trustme

from containers import index as indexes
from containers.engine import Engine, Run
from containers.index import Index, IndexContents, IndexFault, TrustedPublishing, read_log
from containers.network import ClosedNetwork
from tests.helpers import engine_server
from verification.models.errors import TestbedFailure
from verification.models.index_log import IndexRequest, UploadLog
from verification.models.publisher import TrustedPublisher
from verification.models.testbed import ContainerState, Image, IndexHosts, Upload

HOSTS = IndexHosts(index="index.invalid", files="files.invalid", upload="upload.invalid")
RUN = Run(id="1", owner="a:b:c:d")
IMAGE = Image(name="index", tag="e2e/index:1", id="sha256:1", created="2026")
RUNNING = ContainerState(status="running")
PUBLISHER = TrustedPublisher(
    project="x", owner="octo-org", owner_id="42", repository="x", workflow="a.yml", pending=False
)


@pytest.fixture
def network(tmp_path: Path) -> Iterator[ClosedNetwork]:
    with engine_server.running(tmp_path / "engine.sock") as server:
        engine = Engine(url=server.url, origin="a test", version="27.1", os="linux")
        named: Any = SimpleNamespace(name="closed")
        yield ClosedNetwork(engine, RUN, named, trustme.CA())


def _config(index: Index) -> dict[str, Any]:
    config: dict[str, Any] = json.loads(index._files[indexes._CONFIG])
    return config


def test_an_index_takes_the_project_from_whoever_has_its_password(network: ClosedNetwork) -> None:
    contents = IndexContents(project="x", yanked={"x-1.tar.gz": "broken"})
    one, other = (Index(IMAGE, network, HOSTS, contents) for _ in range(2))
    config = _config(one)
    (credential,) = config["credentials"]
    assert credential == {"username": "__token__", "password": one.password, "projects": ["x"]}
    assert one.password != other.password
    assert config["hosts"] == HOSTS.model_dump()
    assert config["yanked"] == {"x-1.tar.gz": "broken"}
    assert config["publishers"] == config["pending_publishers"] == config["issuers"] == []


def test_the_publishers_of_an_index_are_apart_from_the_pending_ones(network: ClosedNetwork) -> None:
    pending = PUBLISHER.model_copy(update={"pending": True, "project": "y"})
    trusted = TrustedPublishing(publishers=(PUBLISHER, pending), issuers=("https://i.invalid",))
    config = _config(Index(IMAGE, network, HOSTS, IndexContents(project="x"), trusted))
    assert config["publishers"] == [PUBLISHER.form()]
    assert config["pending_publishers"] == [pending.form()]
    assert [issuer["url"] for issuer in config["issuers"]] == ["https://i.invalid"]


def test_a_fault_is_written_with_what_it_sets(network: ClosedNetwork) -> None:
    fault = IndexFault(match="/simple/", fault="status", status=404)
    index = Index(IMAGE, network, HOSTS, IndexContents(project="x", faults=(fault,)))
    assert json.loads(index._files[indexes._FAULTS]) == [
        {"match": "/simple/", "fault": "status", "status": 404}
    ]


# ---- the request log ----


class _Container:
    """The engine's side of an index that prints these lines, and then the mark that it is sent."""

    def __init__(self, *lines: str, marks: bool = True) -> None:
        self.lines = [*lines]
        self.marks = marks
        self.attrs = {"State": {"Status": "running", "Running": True, "OOMKilled": False}}
        self.since: list[float | None] = []

    def reload(self) -> None:
        """Ask the engine for the state, which is known."""

    def send(self, data: bytes) -> None:
        if self.marks:
            self.lines.append(json.dumps({"mark": data.split()[0].decode()}))

    def logs(self, *, stderr: bool, since: float | None) -> bytes:
        assert not stderr
        self.since.append(since)
        return "".join(f"{line}\n" for line in self.lines).encode() + b'{"time": "half'


@pytest.fixture(autouse=True)
def sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hand what is sent to a container to its stand-in."""
    monkeypatch.setattr(indexes, "send", lambda container, data: container.send(data))


def _read(container: _Container, **options: Any) -> list[str]:
    client: Any = SimpleNamespace(containers=SimpleNamespace(get=lambda _: container))
    return [line.path for line in read_log(client, "0123", **options)]


def _line(path: str, client: str = "10.0.0.2") -> str:
    return json.dumps({"time": "2026-01-01T00:00:00Z", "client": client, "path": path})


def test_the_log_has_every_whole_line_but_the_marks() -> None:
    container = _Container("ready", _line("/a"), '{"mark": "another"}', _line("/b", "10.0.0.3"))
    assert _read(container) == ["/a", "/b"]
    assert _read(container, address="10.0.0.3") == ["/b"]


def test_the_log_is_read_from_a_time_on() -> None:
    container = _Container(_line("/a"))
    since = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    _read(container, since=since)
    assert container.since == [since.timestamp()]


@pytest.mark.parametrize(
    ("container", "message"),
    [
        (_Container(_line("/a"), marks=False), "it does not write its log"),
        (_Container('{"time": "now"}'), "its log: client: Field required"),
        (_Container('{"colour": "red"}'), "its log: colour: unknown key"),
        (_Container("{nonsense"), "its log: not JSON"),
    ],
    ids=["silent", "incomplete", "unknown", "not-json"],
)
def test_a_log_that_cannot_be_used_is_the_testbeds_failure(
    monkeypatch: pytest.MonkeyPatch, container: _Container, message: str
) -> None:
    monkeypatch.setattr(indexes, "_READY_SECONDS", 0)
    with pytest.raises(TestbedFailure, match=f"index-unreachable: index: {message}"):
        _read(container)


def test_an_index_that_ended_is_the_testbeds_failure() -> None:
    container = _Container(_line("/a"))
    container.attrs = {"State": {"Status": "exited", "Running": False, "ExitCode": 137}}
    with pytest.raises(TestbedFailure, match=r"index-unreachable: index: .*137"):
        _read(container)


# ---- the upload ----


REFUSAL = IndexRequest(
    time="2026-01-01T00:00:00Z",
    client="10.0.0.2",
    status=400,
    complete=True,
    upload=UploadLog(file="a.whl", refused="File already exists"),
)


def _publish(
    monkeypatch: pytest.MonkeyPatch,
    *log: IndexRequest,
    code: int = 1,
    state: ContainerState = RUNNING,
) -> Upload:
    upload = Upload(command=("twine",), code=code, output="ERROR")
    machine: Any = SimpleNamespace(upload=lambda *_: upload, state=lambda: state)
    index: Any = SimpleNamespace(id="c1", password="p")  # noqa: S106
    client: Any = None
    monkeypatch.setattr(indexes, "read_log", lambda *_: list(log))
    return indexes.publish(machine, index, client, ())


def test_a_failed_upload_has_the_refusals_of_the_index(monkeypatch: pytest.MonkeyPatch) -> None:
    other = REFUSAL.model_copy(update={"upload": None, "status": 200})
    accepted = REFUSAL.model_copy(update={"upload": UploadLog(file="b.whl"), "status": 200})
    upload = _publish(monkeypatch, other, accepted, REFUSAL)
    assert (upload.code, upload.refusals) == (1, ("400 File already exists",))
    assert _publish(monkeypatch, accepted).refusals == ()


def test_an_upload_that_succeeds_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _publish(monkeypatch, REFUSAL, code=0).refusals == ()


@pytest.mark.parametrize(
    "changes", [{"status": 500}, {"status": None}, {"open": True}, {"complete": False}]
)
def test_an_upload_without_an_answer_is_the_testbeds_failure(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    with pytest.raises(TestbedFailure, match="index-unreachable: index"):
        _publish(monkeypatch, REFUSAL.model_copy(update=changes))


def test_an_upload_machine_that_ended_is_the_testbeds_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    killed = ContainerState(status="exited", exit_code=137)
    with pytest.raises(TestbedFailure, match="machine-lost: publisher"):
        _publish(monkeypatch, REFUSAL, state=killed)


@pytest.mark.parametrize(
    "error", [docker.errors.NotFound("gone"), requests.ConnectionError("gone"), OSError("gone")]
)
def test_an_index_that_is_gone_is_the_testbeds_failure(error: Exception) -> None:
    def get(_: str) -> None:
        raise error

    client: Any = SimpleNamespace(containers=SimpleNamespace(get=get))
    with pytest.raises(TestbedFailure, match="index-unreachable: index: gone"):
        read_log(client, "0123")
