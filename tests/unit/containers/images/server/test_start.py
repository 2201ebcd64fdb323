"""Start and end of a server: what it prints, its exit codes, its signals."""

from __future__ import annotations

import json
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.helpers.forge_server import running as running_forge
from tests.helpers.index_front import (
    configure,
    refusal,
    running,
)


def test_the_front_ends_soon_after_it_is_told_to_even_while_a_client_hangs(
    tmp_path: Path,
) -> None:
    with (
        running(tmp_path) as front,
        front.faults({"match": "/simple/", "fault": "hang"}),
        ThreadPoolExecutor(1) as pool,
    ):
        waiting = pool.submit(front.get, "/simple/")
        deadline = time.monotonic() + 5
        while front.get("/_/health").json()["in_flight"] == 0:
            assert time.monotonic() < deadline
        begun = time.monotonic()
        front.process.send_signal(signal.SIGTERM)
        assert front.process.wait(10) == 0
        assert time.monotonic() - begun < 4
        assert waiting.exception(5) is not None
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    (hung,) = [line for line in lines if line["path"] == "/simple/"]
    assert (hung["fault"], hung["status"], hung["complete"]) == ("hang", None, False)


def test_a_front_that_cannot_start_says_why_in_one_line(tmp_path: Path) -> None:
    assert "cannot read the configuration" in refusal(tmp_path / "none.json")
    assert "no such folder" in refusal(configure(tmp_path, store=str(tmp_path / "none")))
    config = configure(tmp_path)
    (tmp_path / "server.pem").write_text("no certificate")
    assert "the certificate or its key cannot be used" in refusal(config)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = configure(tmp_path, port=taken.getsockname()[1])
        assert "cannot listen on 127.0.0.1:" in refusal(config)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_on_a_signal_though_a_client_stays(tmp_path: Path, number: int) -> None:
    with (
        running_forge(tmp_path / "ending") as forge,
        socket.create_connection(("127.0.0.1", forge.port)),
    ):
        forge.process.send_signal(number)
        assert forge.process.wait(10) == 0
