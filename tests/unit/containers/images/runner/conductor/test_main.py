"""The command, environment and output of act. A small program replaces act."""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

conductor = importlib.import_module("conductor.main")
ADDRESS = "10.0.0.9"
REPORT = """
import json, os, pathlib, sys
variables = {name: os.environ.get(name) for name in ("DOCKER_HOST", "GITHUB_TOKEN", "OUTSIDE")}
print(json.dumps({"arguments": sys.argv[1:], "folder": os.getcwd(), "variables": variables}))
"""


@dataclasses.dataclass
class FakeServer:
    """A fake server, which does not listen. It records its arguments."""

    arguments: tuple[Any, ...]
    running: bool = False

    def start(self) -> None:
        self.running = True


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> dict[str, FakeServer]:
    """Replace the conductor's servers by fakes. Return the created fakes by class name."""
    created: dict[str, FakeServer] = {}

    def factory(name: str) -> Any:
        def create(*arguments: Any) -> FakeServer:
            created[name] = FakeServer(arguments)
            return created[name]

        return create

    for name in ("Service", "Relay"):
        monkeypatch.setattr(conductor, name, factory(name))
    monkeypatch.setattr(conductor.socket, "gethostbyname", lambda _: ADDRESS)
    return created


@dataclasses.dataclass(frozen=True)
class Act:
    """Runs the conductor with a Python program instead of act."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    captured: pytest.CaptureFixture[str]

    def run(
        self, program: str, dockerfiles: tuple[str, ...] = ()
    ) -> tuple[int, list[dict[str, Any]]]:
        """Run the conductor. Return its exit code and its output lines without their times."""
        config = {
            "command": [sys.executable, "-c", program],
            "environment": {"GITHUB_TOKEN": "x"},
            "folder": str(self.folder),
            "labels": {},
            "dns": [],
            "network": "closed",
            "host_config": {},
            "capabilities": [],
            "prefix": "mine-",
            "volume": "shared",
            "registered_jobs": str(self.folder),
            "artifacts": str(self.folder / "artifacts"),
            "attempt": 2,
            "identity": {"url": "", "token": ""},
            "dockerfiles": dockerfiles,
        }
        (self.folder / "config.json").write_text(json.dumps(config), "utf-8")
        path = str(self.folder / "config.json")
        self.monkeypatch.setattr(conductor.sys, "argv", ["main.py", path])
        code = int(conductor.main())
        lines = [json.loads(line) for line in self.captured.readouterr().out.splitlines()]
        assert all(line.pop("at") > 0 for line in lines)
        return code, lines


@pytest.fixture
def act(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Act:
    return Act(tmp_path, monkeypatch, capsys)


@pytest.mark.usefixtures("servers")
@pytest.mark.parametrize("code", [0, 3])
def test_last_line_has_the_exit_code_of_act(act: Act, code: int) -> None:
    assert act.run(f"raise SystemExit({code})") == (code, [{"ended": code}])


@pytest.mark.usefixtures("servers")
def test_log_lines_and_other_output_of_act_have_separate_keys(act: Act) -> None:
    program = r"""
import sys
print('{"msg": "a"}', flush=True)
print("text", file=sys.stderr, flush=True)
sys.stdout.buffer.write(b"[1]\n\n\xff\n")
"""
    assert act.run(program)[1] == [
        {"act": {"msg": "a"}},
        {"text": "text"},
        {"text": "[1]"},
        {"text": ""},
        {"text": "\ufffd"},
        {"ended": 0},
    ]


@pytest.mark.usefixtures("servers")
def test_act_gets_folder_variables_and_the_relay_as_engine(
    act: Act, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTSIDE", "1")
    _, (line, _) = act.run(REPORT)
    assert line["act"]["folder"] == str(act.folder)
    assert line["act"]["variables"] == {
        "DOCKER_HOST": f"unix://{conductor.RELAY}",
        "GITHUB_TOKEN": "x",
        "OUTSIDE": "1",
    }


def test_relay_replaces_the_artifact_server_of_act_by_the_service(
    act: Act, servers: dict[str, FakeServer]
) -> None:
    _, (line, _) = act.run(REPORT)
    arguments = line["act"]["arguments"]
    options = dict(argument.removeprefix("--").split("=") for argument in arguments)
    assert options["artifact-server-addr"] == ADDRESS
    assert "artifact-server-path" in options
    address, store = servers["Service"].arguments
    _, act_url, service_url = servers["Relay"].arguments
    assert act_url == f"http://{ADDRESS}:{options['artifact-server-port']}/"
    assert service_url == f"http://{address[0]}:{address[1]}/"
    assert act_url != service_url
    assert isinstance(store, conductor.Store)
    assert all(server.running for server in servers.values())


@pytest.mark.usefixtures("servers")
def test_act_does_not_start_if_an_image_cannot_be_built(
    act: Act, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, text in {"good": "FROM a", "bad": "FROM b"}.items():
        (tmp_path / name).write_text(text, "utf-8")
    monkeypatch.setattr(
        conductor, "missing_source", lambda text: "it needs b" if "b" in text else ""
    )
    absolute = str(tmp_path / "good")
    assert act.run("", (absolute, "no such file"))[1] == [{"ended": 0}]
    unavailable = {"image": "bad", "why": "it needs b"}
    assert act.run("", (absolute, "bad")) == (0, [{"unavailable": unavailable}])
