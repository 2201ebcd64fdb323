"""Start and end of a server: output, exit codes and signals."""

from __future__ import annotations

import json
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from forge.app import ForgeApp
from forge.config import load
from server.start import run

from tests.helpers.forge_server import configure as configure_forge
from tests.helpers.forge_server import running as running_forge
from tests.helpers.index_front import (
    refusal,
    running,
)


def test_index_ends_soon_after_sigterm_while_a_request_is_active(tmp_path: Path) -> None:
    with (
        running(tmp_path) as front,
        front.faults({"match": "/simple/", "fault": "hang"}),
        ThreadPoolExecutor(1) as pool,
    ):
        waiting = pool.submit(front.get, "/simple/")
        deadline = time.monotonic() + 5
        while front.get("/_/health").json()["in_flight"] == 0:
            assert time.monotonic() < deadline
        start = time.monotonic()
        front.process.send_signal(signal.SIGTERM)
        assert front.process.wait(10) == 0
        assert time.monotonic() - start < 4
        assert waiting.exception(5) is not None
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    (line,) = [line for line in lines if line["path"] == "/simple/"]
    assert (line["fault"], line["status"], line["complete"]) == ("hang", None, False)


def test_index_that_cannot_start_ends_with_code_2_and_one_line(tmp_path: Path) -> None:
    assert str(tmp_path / "none.json") in refusal(tmp_path / "none.json")


def run_forge(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a forge with wrong arguments in this process and return its error line."""
    assert run("forge", lambda path: ForgeApp(load(path)), arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_error_line_has_the_wrong_path_or_address(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = str(tmp_path / "none")
    assert missing in run_forge([str(configure_forge(tmp_path, certificate=missing))], capsys)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        path = configure_forge(tmp_path, port=port)
        assert f"127.0.0.1:{port}" in run_forge([str(path)], capsys)
    path = configure_forge(tmp_path)
    (tmp_path / "server.pem").write_text("no certificate")
    assert "PEM" in run_forge([str(path)], capsys)


def test_server_needs_exactly_one_argument(capsys: pytest.CaptureFixture[str]) -> None:
    run_forge([], capsys)
    run_forge(["a", "b"], capsys)


def test_forge_ends_on_sigint_while_a_client_is_connected(tmp_path: Path) -> None:
    with (
        running_forge(tmp_path / "ending") as forge,
        socket.create_connection(("127.0.0.1", forge.port)),
    ):
        forge.process.send_signal(signal.SIGINT)
        assert forge.process.wait(10) == 0
