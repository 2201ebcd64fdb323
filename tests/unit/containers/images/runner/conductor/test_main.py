"""How act is run, with a small program in its place."""

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
print(json.dumps({"words": sys.argv[1:], "folder": os.getcwd(), "variables": variables}))
"""


@dataclasses.dataclass
class Started:
    """What a server of the conductor was started with."""

    arguments: tuple[Any, ...]
    running: bool = False

    def start(self) -> None:
        self.running = True


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Started]:
    """Return the servers by name. None of them listens."""
    made: dict[str, Started] = {}

    def of(name: str) -> Any:
        def start(*arguments: Any) -> Started:
            made[name] = Started(arguments)
            return made[name]

        return start

    for name in ("Service", "Relay"):
        monkeypatch.setattr(conductor, name, of(name))
    monkeypatch.setattr(conductor.socket, "gethostbyname", lambda _: ADDRESS)
    return made


@dataclasses.dataclass(frozen=True)
class Act:
    """Runs the conductor with a program as act."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    captured: pytest.CaptureFixture[str]

    def run(self, program: str) -> tuple[int, list[dict[str, Any]]]:
        """Return the exit code, and the lines without their times."""
        config = {
            "command": [sys.executable, "-c", program],
            "environment": {"GITHUB_TOKEN": "x"},
            "folder": str(self.folder),
            "labels": {},
            "dns": [],
            "prefix": "mine-",
            "volume": "shared",
            "known": str(self.folder),
            "artifacts": str(self.folder / "artifacts"),
            "attempt": 2,
            "identity": {"url": "", "token": ""},
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
def test_the_exit_code_of_act_is_the_last_line(act: Act, code: int) -> None:
    assert act.run(f"raise SystemExit({code})") == (code, [{"ended": code}])


@pytest.mark.usefixtures("servers")
def test_lines_of_acts_log_and_other_text_are_kept_apart(act: Act) -> None:
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
def test_act_has_its_folder_its_variables_and_the_relay_as_its_engine(
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


def test_jobs_are_sent_from_acts_artifact_server_to_ours(
    act: Act, servers: dict[str, Started]
) -> None:
    _, (line, _) = act.run(REPORT)
    options = dict(word.removeprefix("--").split("=") for word in line["act"]["words"])
    assert options["artifact-server-addr"] == ADDRESS
    assert "artifact-server-path" in options
    address, store = servers["Service"].arguments
    _, acts, ours = servers["Relay"].arguments
    assert acts == f"http://{ADDRESS}:{options['artifact-server-port']}/"
    assert ours == f"http://{address[0]}:{address[1]}/"
    assert acts != ours
    assert isinstance(store, conductor.Store)
    assert all(server.running for server in servers.values())
