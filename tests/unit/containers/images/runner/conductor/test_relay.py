"""The relay between act and the engine: the changes of requests, and the reports for the host."""

from __future__ import annotations

import dataclasses
import http.server
import importlib
import json
import socketserver
import threading
from pathlib import Path
from typing import Any

import pytest

relays = importlib.import_module("conductor.relay")
messages = importlib.import_module("conductor.engine_http")
configs = importlib.import_module("conductor.config")
CONFIG = configs.Config(
    command=["act"],
    environment={},
    folder="/work",
    labels={"run": "1"},
    dns=["127.0.0.1"],
    prefix="mine-",
    volume="shared",
    registered_jobs="registered_jobs",
    artifacts="/artifacts",
    attempt=1,
    identity=configs.IdentityEndpoint(
        url="https://token.example",
        token="secret",  # noqa: S106
    ),
    dockerfiles=[],
)


def make_request(method: str, target: str, body: bytes = b"") -> Any:
    """Return a request of act."""
    head = f"{method} {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}"
    return messages.EngineRequest.parse(head.encode(), body)


@pytest.fixture
def relay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(relays, "RELAY", str(tmp_path / "relay.sock"))
    (tmp_path / "registered_jobs").mkdir()
    for container in ("c" * 64, "d" * 64):
        (tmp_path / "registered_jobs" / container).touch()
    config = dataclasses.replace(CONFIG, registered_jobs=str(tmp_path / "registered_jobs"))
    return relays.Relay(config, "http://10.0.0.2:1/", "http://10.0.0.2:2/")


def test_containers_and_volumes_get_names_and_labels_of_the_run(relay: Any) -> None:
    mount = {"Type": "volume", "Source": "act-x", "Target": "/x"}
    request: dict[str, Any] = {"Labels": {"a": "b"}, "HostConfig": {"Mounts": [mount]}}
    relay._change_creation(request)
    assert request["Labels"] == {"a": "b", "run": "1"}
    first, second = request["HostConfig"]["Mounts"]
    assert (first["Source"], first["VolumeOptions"]["Labels"]) == ("mine-act-x", {"run": "1"})
    assert (second["Source"], second["Target"], second["ReadOnly"]) == ("shared", "/e2e", True)
    assert request["HostConfig"]["Dns"] == ["127.0.0.1"]


@pytest.mark.parametrize(("content", "has_identity"), [("identity", True), ("", False)])
def test_only_a_job_with_identity_gets_the_variables_for_token_requests(
    relay: Any, content: str, has_identity: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    (Path(relay._config.registered_jobs) / ("c" * 64)).write_text(content, "utf-8")
    request: dict[str, Any] = {"Env": ["GITHUB_JOB=publish"]}
    relay._change_execution("c" * 64, request)
    names = {entry.partition("=")[0] for entry in request["Env"]}
    variables = {"ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"}
    assert names & variables == (variables if has_identity else set())
    assert '"id": "publish"' in capsys.readouterr().out


def test_container_of_a_job_is_reported_once(
    relay: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        relay._change_execution("c" * 64, {"Env": ["GITHUB_JOB=a"]})
    relay._change_execution("d" * 64, {"Env": None})
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_variables_get_the_url_of_the_artifact_service(relay: Any) -> None:
    request = {"Env": ["ACTIONS_RESULTS_URL=http://10.0.0.2:1/", "OTHER=x"]}
    relay._change_execution("c" * 64, request)
    assert request["Env"] == ["ACTIONS_RESULTS_URL=http://10.0.0.2:2/", "OTHER=x"]


def test_job_waits_until_the_forge_knows_its_container(
    relay: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        (Path(relay._config.registered_jobs) / ("e" * 64)).touch()

    monkeypatch.setattr(relays.time, "sleep", sleep)
    relay._change_execution("e" * 64, {"Env": ["GITHUB_JOB=publish"]})
    assert len(waits) == 1
    assert "publish" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("code", "body", "state"),
    [
        (
            200,
            {"State": {"Status": "running", "Running": True, "ExitCode": 0, "OOMKilled": False}},
            {"status": "running", "exit_code": None, "out_of_memory": False},
        ),
        (
            200,
            {"State": {"Status": "exited", "Running": False, "ExitCode": 137, "OOMKilled": True}},
            {"status": "exited", "exit_code": 137, "out_of_memory": True},
        ),
        (404, {"message": "No such container"}, {"status": "gone"}),
    ],
)
def test_state_of_a_removed_container_is_reported(
    relay: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    code: int,
    body: dict[str, Any],
    state: dict[str, Any],
) -> None:
    paths: list[str] = []

    class Engine(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            content = json.dumps(body).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def address_string(self) -> str:
            return "a socket"

    monkeypatch.setattr(messages, "ENGINE", str(tmp_path / "engine.sock"))
    with socketserver.UnixStreamServer(messages.ENGINE, Engine) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        relay._change(make_request("DELETE", f"/v1.41/containers/{'c' * 64}?force=1"), None)
    assert paths == [f"/containers/{'c' * 64}/json"]
    removed = json.loads(capsys.readouterr().out)["removed"]
    assert removed == {"container": "c" * 64, "state": state}
