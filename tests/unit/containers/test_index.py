from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import docker.errors
import pytest
import requests
import trustme
from cryptography import x509

from containers import index as indexes
from containers.commands import CommandResult
from containers.engine import Engine, Run
from containers.index import (
    SIGNING_HOST,
    Index,
    IndexContents,
    IndexFault,
    TrustedPublishing,
    UploadMachine,
    read_log,
)
from containers.network import ClosedNetwork
from tests.helpers import engine_server
from tests.helpers.exec_client import ExecClient
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


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClosedNetwork]:
    with engine_server.running(tmp_path_factory.mktemp("engine") / "engine.sock") as server:
        engine = Engine(url=server.url, origin="a test", version="27.1", os="linux")
        network: Any = SimpleNamespace(name="closed")
        yield ClosedNetwork(engine, RUN, network, trustme.CA())


def _config(index: Index) -> dict[str, Any]:
    config: dict[str, Any] = json.loads(index._files[indexes._CONFIG])
    return config


def test_uploads_of_the_project_need_the_password_of_the_index(network: ClosedNetwork) -> None:
    contents = IndexContents(project="x", yanked={"x-1.tar.gz": "broken"})
    index, other_index = (Index(IMAGE, network, HOSTS, contents) for _ in range(2))
    config = _config(index)
    (credential,) = config["credentials"]
    assert credential == {"username": "__token__", "password": index.password, "projects": ["x"]}
    assert index.password != other_index.password
    assert config["hosts"] == HOSTS.model_dump()
    assert config["yanked"] == {"x-1.tar.gz": "broken"}
    assert config["publishers"] == config["pending_publishers"] == config["issuers"] == []


@pytest.mark.parametrize(("exists", "projects"), [(True, ["x"]), (False, [])])
def test_existing_project_is_in_the_configuration(
    network: ClosedNetwork, projects: list[str], *, exists: bool
) -> None:
    config = _config(Index(IMAGE, network, HOSTS, IndexContents(project="x", exists=exists)))
    assert config["existing_projects"] == projects


def test_pending_publishers_are_separate_in_the_configuration(network: ClosedNetwork) -> None:
    pending = PUBLISHER.model_copy(update={"pending": True, "project": "y"})
    trusted = TrustedPublishing(publishers=(PUBLISHER, pending), issuers=("https://i.invalid",))
    config = _config(Index(IMAGE, network, HOSTS, IndexContents(project="x"), trusted))
    assert config["publishers"] == [PUBLISHER.form()]
    assert config["pending_publishers"] == [pending.form()]
    assert [issuer["url"] for issuer in config["issuers"]] == ["https://i.invalid"]


def test_signing_servers_have_a_host_name_and_a_certificate(network: ClosedNetwork) -> None:
    trusted = TrustedPublishing(publishers=(PUBLISHER,), signing=True)
    index = Index(IMAGE, network, HOSTS, IndexContents(project="x"), trusted)
    assert _config(index)["hosts"] == {**HOSTS.model_dump(), "signing": SIGNING_HOST}
    certificate = x509.load_pem_x509_certificate(index._files[indexes._CERTIFICATE])
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {SIGNING_HOST, *HOSTS.all()} == set(names.get_values_for_type(x509.DNSName))


def test_fault_is_written_without_unset_values(network: ClosedNetwork) -> None:
    fault = IndexFault(match="/simple/", fault="status", status=404)
    index = Index(IMAGE, network, HOSTS, IndexContents(project="x", faults=(fault,)))
    assert json.loads(index._files[indexes._FAULTS]) == [
        {"match": "/simple/", "fault": "status", "status": 404}
    ]


# ---- the request log ----


class _Container:
    """The fake container of an index. It prints these lines, then each marker it receives."""

    id = "0123"

    def __init__(self, *lines: str, markers: bool = True, refused: int = 0) -> None:
        self.lines = [*lines]
        counters = f"/sys/fs/cgroup/pids/pids.events:max {refused}\n"
        self.client = ExecClient(lambda *_, **__: (0, (counters.encode(), None)))
        self.markers = markers
        self.attrs = {"State": {"Status": "running", "Running": True, "OOMKilled": False}}
        self.since: list[float | None] = []

    def reload(self) -> None:
        """Keep the state."""

    def send(self, data: bytes) -> None:
        if self.markers:
            self.lines.append(json.dumps({"mark": data.split()[0].decode()}))

    def logs(self, *, stderr: bool, since: float | None) -> bytes:
        assert not stderr
        self.since.append(since)
        return "".join(f"{line}\n" for line in self.lines).encode() + b'{"time": "half'


@pytest.fixture(autouse=True)
def sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace `send` by a function that sends the data to the fake container."""
    monkeypatch.setattr(indexes, "send", lambda container, data: container.send(data))


def _read(container: _Container, **options: Any) -> list[str]:
    client: Any = SimpleNamespace(containers=SimpleNamespace(get=lambda _: container))
    return [line.path for line in read_log(client, "0123", **options)]


def _line(path: str, client: str = "10.0.0.2") -> str:
    return json.dumps({"time": "2026-01-01T00:00:00Z", "client": client, "path": path})


def test_log_has_all_complete_lines_except_marks() -> None:
    container = _Container("ready", _line("/a"), '{"mark": "another"}', _line("/b", "10.0.0.3"))
    assert _read(container) == ["/a", "/b"]
    assert _read(container, address="10.0.0.3") == ["/b"]


def test_index_that_met_a_limit_is_named_if_a_request_failed() -> None:
    failed, complete = (
        _line("/a"),
        json.dumps({**json.loads(_line("/a")), "status": 200, "complete": True}),
    )
    assert _read(_Container(complete, refused=1)) == ["/a"]
    with pytest.raises(TestbedFailure) as raised:
        _read(_Container(failed, refused=1))
    assert (raised.value.cause, raised.value.where) == ("testbed-limit", "index")


def test_log_is_read_since_a_time() -> None:
    container = _Container(_line("/a"))
    since = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    _read(container, since=since)
    assert container.since == [since.timestamp()]


def _assert_unreachable(read: Callable[[], object], text: str = "") -> None:
    with pytest.raises(TestbedFailure) as raised:
        read()
    assert (raised.value.cause, raised.value.where) == ("index-unreachable", "index")
    assert text in raised.value.message


@pytest.mark.parametrize(
    ("container", "text"),
    [
        (_Container(_line("/a"), markers=False), ""),
        (_Container('{"time": "now"}'), "client"),
        (_Container('{"colour": "red"}'), "colour"),
        (_Container("{nonsense"), "JSON"),
    ],
    ids=["no output", "missing key", "unknown key", "not JSON"],
)
def test_invalid_log_is_a_testbed_failure(
    monkeypatch: pytest.MonkeyPatch, container: _Container, text: str
) -> None:
    monkeypatch.setattr(indexes, "_LOG_SECONDS", 0)
    _assert_unreachable(lambda: _read(container), text)


def test_log_of_an_ended_index_is_a_testbed_failure() -> None:
    container = _Container(_line("/a"))
    container.attrs = {"State": {"Status": "exited", "Running": False, "ExitCode": 137}}
    _assert_unreachable(lambda: _read(container), "137")


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


def test_failed_upload_has_the_refusals_of_the_index(monkeypatch: pytest.MonkeyPatch) -> None:
    download = REFUSAL.model_copy(update={"upload": None, "status": 200})
    accepted = REFUSAL.model_copy(update={"upload": UploadLog(file="b.whl"), "status": 200})
    upload = _publish(monkeypatch, download, accepted, REFUSAL)
    assert (upload.code, upload.refusals) == (1, ("400 File already exists",))
    assert _publish(monkeypatch, accepted).refusals == ()


def test_successful_upload_has_no_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _publish(monkeypatch, REFUSAL, code=0).refusals == ()


@pytest.mark.parametrize(
    "changes", [{"status": 500}, {"status": None}, {"open": True}, {"complete": False}]
)
def test_upload_without_a_complete_response_is_a_testbed_failure(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    request = REFUSAL.model_copy(update=changes)
    _assert_unreachable(lambda: _publish(monkeypatch, request))


def test_ended_upload_machine_is_a_testbed_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    killed = ContainerState(status="exited", exit_code=137)
    with pytest.raises(TestbedFailure) as raised:
        _publish(monkeypatch, REFUSAL, state=killed)
    assert (raised.value.cause, raised.value.where) == ("machine-lost", "publisher")


@pytest.mark.parametrize(
    "error", [docker.errors.NotFound("gone"), requests.ConnectionError("gone"), OSError("gone")]
)
def test_lost_index_is_a_testbed_failure(error: Exception) -> None:
    def get(_: str) -> None:
        raise error

    client: Any = SimpleNamespace(containers=SimpleNamespace(get=get))
    _assert_unreachable(lambda: read_log(client, "0123"), "gone")


@pytest.mark.parametrize(("lost", "is_read"), [(0, True), (2, True), (9, False)])
def test_hosts_are_read_again_if_the_engine_loses_the_output(
    monkeypatch: pytest.MonkeyPatch, lost: int, *, is_read: bool
) -> None:
    names = ("index.example", "files.example", "upload.example")
    answers = [CommandResult(0, "", "")] * lost
    answers.append(CommandResult(0, json.dumps([f"https://{name}/" for name in names]), ""))
    monkeypatch.setattr(UploadMachine, "_run", lambda *_: answers.pop(0))
    monkeypatch.setattr(UploadMachine, "state", lambda _: ContainerState(status="running"))
    machine = UploadMachine.__new__(UploadMachine)
    if is_read:
        assert set(machine.hosts().all()) == set(names)
    else:
        with pytest.raises(TestbedFailure) as failure:
            machine.hosts()
        assert failure.value.cause == "image-build-failed"
