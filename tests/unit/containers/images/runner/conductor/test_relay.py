"""The relay between act and the engine: the changes of requests, and the reports for the host."""

from __future__ import annotations

import dataclasses
import http.server
import importlib
import io
import json
import socketserver
import tarfile
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
    network="closed",
    host_config={"Init": True, "Memory": 5, "CapDrop": ["ALL"]},
    capabilities=["KILL"],
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


@pytest.mark.parametrize("mode", ["host", "bridge", "", "other"])
def test_options_of_a_job_cannot_leave_the_closed_network(relay: Any, mode: str) -> None:
    request: dict[str, Any] = {"HostConfig": {"NetworkMode": mode}}
    relay._change_creation(request)
    assert request["HostConfig"]["NetworkMode"] == "closed"


@pytest.mark.parametrize(
    "host",
    [
        {"Privileged": True},
        {"CapAdd": ["NET_RAW"]},
        {"CapAdd": ["CAP_NET_ADMIN"]},
        {"CapAdd": ["all"]},
        {"PidMode": "host"},
        {"Devices": [{"PathOnHost": "/dev/mem"}]},
        {"Binds": ["/var/run/docker.sock:/var/run/docker.sock"]},
    ],
)
def test_access_to_the_host_is_refused_and_reported(
    relay: Any, host: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(messages.Refusal) as raised:
        relay._change_creation({"HostConfig": {"NetworkMode": "closed", **host}})
    assert raised.value.status == 403
    assert "unsupported" in json.loads(capsys.readouterr().out)


def test_options_without_access_to_the_host_are_allowed(relay: Any) -> None:
    host = {"Binds": ["data:/data"], "PidMode": "", "Privileged": False}
    request: dict[str, Any] = {"HostConfig": {"NetworkMode": "closed", "CapAdd": ["CHOWN"], **host}}
    relay._change_creation(request)
    assert host.items() <= request["HostConfig"].items()
    assert "CHOWN" in request["HostConfig"]["CapAdd"]


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


JOB = "c" * 64


@pytest.fixture
def job(relay: Any) -> str:
    """Return the id of the container of a job that can request identity tokens."""
    relay._containers["mine-act-job"] = JOB
    (Path(relay._config.registered_jobs) / JOB).write_text("identity", "utf-8")
    return JOB


def action_request(**values: Any) -> dict[str, Any]:
    """Return act's request for the container of a Docker action."""
    mounts = [
        {"Type": "volume", "Source": "act-job", "Target": "/home/runner/work/n/n"},
        {"Type": "volume", "Source": "act-job-env", "Target": "/var/run/act"},
    ]
    return {
        "Env": ["GITHUB_JOB=publish", "GITHUB_WORKSPACE=/home/runner/work/n/n"],
        "HostConfig": {"NetworkMode": "container:act-job", "Mounts": mounts},
        "Image": "x/y:1",
        "WorkingDir": "/home/runner/work/n/n",
        **values,
    }


def variables_of(request: dict[str, Any]) -> dict[str, str]:
    return dict(entry.partition("=")[::2] for entry in request["Env"])


def test_docker_action_uses_the_network_of_its_job(relay: Any, job: str) -> None:
    request = action_request()
    relay._change_creation(request)
    assert request["HostConfig"]["NetworkMode"] == "container:mine-act-job"
    assert "Dns" not in request["HostConfig"]
    assert request["Labels"] == {"run": "1"}
    assert job in relay._reported


@pytest.mark.usefixtures("job")
def test_docker_action_has_the_folder_of_github(relay: Any) -> None:
    request = action_request(
        Env=["A=/home/runner/work/n/n", "B=/home/runner/work/n/n/x", "C=/home/runner/work/n/nx"]
    )
    relay._change_creation(request)
    mounts = {mount["Target"]: mount["Source"] for mount in request["HostConfig"]["Mounts"]}
    assert mounts["/github/workspace"] == mounts["/home/runner/work/n/n"] == "mine-act-job"
    assert request["WorkingDir"] == "/github/workspace"
    variables = variables_of(request)
    assert [variables[name] for name in "ABC"] == [
        "/github/workspace",
        "/github/workspace/x",
        "/home/runner/work/n/nx",
    ]


@pytest.mark.usefixtures("job")
def test_docker_action_gets_the_services_and_the_ca_of_the_run(relay: Any) -> None:
    request = action_request(
        Env=["GITHUB_JOB=a", "ACTIONS_RESULTS_URL=http://10.0.0.2:1/", "SSL_CERT_FILE=/own"]
    )
    relay._change_creation(request)
    variables = variables_of(request)
    assert variables["ACTIONS_RESULTS_URL"] == "http://10.0.0.2:2/"
    assert variables["REQUESTS_CA_BUNDLE"] == "/e2e/ca-certificates.pem"
    assert variables["SSL_CERT_FILE"] == "/own"


@pytest.mark.parametrize("content", ["identity", ""])
def test_only_a_docker_action_of_a_job_with_identity_gets_the_variables_for_token_requests(
    relay: Any, job: str, content: str
) -> None:
    (Path(relay._config.registered_jobs) / job).write_text(content, "utf-8")
    request = action_request()
    relay._change_creation(request)
    names = {"ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"}
    assert variables_of(request).keys() & names == (names if content else set())


def refuse(relay: Any, request: Any) -> str:
    """Return the message with which the relay refuses a request."""
    with pytest.raises(messages.Refusal) as caught:
        relay._change(request, None)
    return str(caught.value)


@pytest.mark.parametrize(
    ("query", "image"),
    [("fromImage=a/b&tag=1", "a/b:1"), ("fromImage=a&tag=sha256%3A0", "a@sha256:0")],
)
def test_image_is_not_pulled(
    relay: Any, capsys: pytest.CaptureFixture[str], query: str, image: str
) -> None:
    message = refuse(relay, make_request("POST", f"/v1.41/images/create?{query}"))
    assert image in message
    assert json.loads(capsys.readouterr().out)["unavailable"]["image"] == image


def test_network_of_services_is_refused(relay: Any, capsys: pytest.CaptureFixture[str]) -> None:
    refuse(relay, make_request("POST", "/v1.41/networks/create"))
    assert "service" in json.loads(capsys.readouterr().out)["unsupported"]


def build_request(dockerfile: str) -> Any:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w") as tar:
        info = tarfile.TarInfo("Dockerfile")
        info.size = len(dockerfile)
        tar.addfile(info, io.BytesIO(dockerfile.encode()))
    target = "/v1.41/build?t=act-a-dockeraction%3Alatest&dockerfile=Dockerfile&pull=1"
    return make_request("POST", target, output.getvalue())


@pytest.fixture
def engine_images(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Return the names of the images of the engine."""
    names: set[str] = set()

    def get(path: str) -> tuple[int, bytes]:
        return (200 if path.split("/")[2] in names else 404), b"{}"

    monkeypatch.setattr(relays, "get", get)
    return names


def test_image_is_built_without_a_network_under_a_name_of_the_run(
    relay: Any, engine_images: set[str]
) -> None:
    engine_images.add("base:1")
    request = build_request("FROM base:1\n")
    relay._change(request, None)
    parameters = {name: values[0] for name, values in request.parameters.items()}
    assert parameters["t"] == "mine-act-a-dockeraction:latest"
    assert (parameters["networkmode"], parameters["pull"]) == ("none", "0")
    with tarfile.open(fileobj=io.BytesIO(request.body)) as tar:
        file = tar.extractfile("Dockerfile")
        assert file is not None
        assert b'LABEL "run"="1"' in file.read()


@pytest.mark.usefixtures("engine_images")
@pytest.mark.parametrize("dockerfile", ["FROM base:1\n", "FROM scratch\nADD https://x/y /y\n"])
def test_image_with_a_missing_source_is_not_built(
    relay: Any, capsys: pytest.CaptureFixture[str], dockerfile: str
) -> None:
    refuse(relay, build_request(dockerfile))
    unavailable = json.loads(capsys.readouterr().out)["unavailable"]
    assert unavailable["image"] == "act-a-dockeraction:latest"
    assert dockerfile.split()[1] in unavailable["why"] or "https://x/y" in unavailable["why"]


def test_failed_build_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    request = make_request("POST", "/v1.41/build?t=x")
    relays._check_build(request, b'{"stream":"ok"}')
    assert not capsys.readouterr().out
    failed = b'{"errorDetail":{"code":1,"message":"returned \\"1\\""},"error":"x"}'
    relays._check_build(request, failed)
    assert 'returned "1"' in json.loads(capsys.readouterr().out)["unavailable"]["why"]


@pytest.mark.parametrize("suffix", ["", "/json"])
def test_built_image_is_found_under_its_name_in_the_run(relay: Any, suffix: str) -> None:
    for name, expected in {
        "act-a-dockeraction:latest": "mine-act-a-dockeraction:latest",
        "act-dockeraction:latest": "mine-act-dockeraction:latest",
        "other/image:1": "other/image:1",
        "act-image:latest": "act-image:latest",
    }.items():
        request = make_request("GET", f"/v1.41/images/{name}{suffix}")
        relay._change(request, None)
        assert request.path == f"/v1.41/images/{expected}{suffix}"
        creation = action_request(Image=name)
        relay._change_creation(creation)
        assert creation["Image"] == expected


@pytest.mark.parametrize(
    ("state", "is_reported"),
    [
        ({"status": "exited", "exit_code": 1, "out_of_memory": False}, False),
        ({"status": "exited", "exit_code": 137, "out_of_memory": False}, True),
        ({"status": "exited", "exit_code": 1, "out_of_memory": True}, True),
    ],
)
def test_only_a_killed_docker_action_is_reported(
    relay: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    state: dict[str, Any],
    is_reported: bool,
) -> None:
    monkeypatch.setattr(relays, "_state", lambda _: state)
    creation = make_request(
        "POST",
        "/v1.41/containers/create?name=mine-step",
        json.dumps(action_request()).encode(),
    )
    relay._keep_container(creation, f'{{"Id":"{"e" * 64}"}}'.encode())
    relay._change(make_request("DELETE", f"/v1.41/containers/{'e' * 64}"), None)
    assert bool(capsys.readouterr().out) is is_reported


def test_container_gets_the_limits_and_keeps_the_capabilities_of_its_options(relay: Any) -> None:
    request = {"HostConfig": {"Memory": 0, "CapAdd": ["SYS_TIME"], "Binds": ["a:/a"]}}
    relay._change_creation(request)
    host = request["HostConfig"]
    assert (host["Memory"], host["Init"], host["CapDrop"]) == (5, True, ["ALL"])
    assert (host["CapAdd"], host["Binds"]) == (["KILL", "SYS_TIME"], ["a:/a"])


@pytest.mark.parametrize(
    ("output", "out_of_memory", "met_limit"),
    [
        ("/sys/fs/cgroup/pids/pids.events:max 0\r\n", False, ""),
        ("/sys/fs/cgroup/pids/pids.events:max 3\r\n", False, "processes"),
        ("/sys/fs/cgroup/memory.events:max 9\r\n", False, ""),
        ("/sys/fs/cgroup/memory.events:oom_kill 1\r\n", True, ""),
        ("/sys/fs/cgroup/memory/memory.oom_control:oom_kill 1\r\n", True, ""),
    ],
)
def test_state_of_a_running_job_has_the_limits_that_it_met(
    monkeypatch: pytest.MonkeyPatch, output: str, out_of_memory: bool, met_limit: str
) -> None:
    state = {"State": {"Status": "running", "Running": True, "ExitCode": 0, "OOMKilled": False}}
    answers = {
        "/containers/c1/exec": (201, b'{"Id": "p1"}'),
        "/exec/p1/start": (200, output.encode()),
    }
    monkeypatch.setattr(relays, "get", lambda _: (200, json.dumps(state).encode()))
    monkeypatch.setattr(relays, "post", lambda path, _: answers[path])
    assert relays._state("c1") == {
        "status": "running",
        "exit_code": None,
        "out_of_memory": out_of_memory,
        "met_limit": met_limit,
    }


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
            {"status": "running", "exit_code": None, "out_of_memory": False, "met_limit": ""},
        ),
        (
            200,
            {"State": {"Status": "exited", "Running": False, "ExitCode": 137, "OOMKilled": True}},
            {"status": "exited", "exit_code": 137, "out_of_memory": True, "met_limit": ""},
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

    monkeypatch.setattr(relays, "_met_limits", lambda _: set())
    monkeypatch.setattr(messages, "ENGINE", str(tmp_path / "engine.sock"))
    with socketserver.UnixStreamServer(messages.ENGINE, Engine) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        relay._change(make_request("DELETE", f"/v1.41/containers/{'c' * 64}?force=1"), None)
    assert paths == [f"/containers/{'c' * 64}/json"]
    removed = json.loads(capsys.readouterr().out)["removed"]
    assert removed == {"container": "c" * 64, "state": state}
