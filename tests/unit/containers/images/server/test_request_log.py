"""The request log: its lines and its markers."""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from server import request_log
from werkzeug.test import EnvironBuilder

from tests.helpers.index_front import (
    Front,
    running,
    wheel,
)


@contextlib.contextmanager
def active_request(front: Front, seconds: float) -> Iterator[str]:
    """Send a request that ends after ``seconds``. Yield its path while it is active."""
    path = f"/simple/active-{secrets.token_hex(4)}/"
    send = functools.partial(pytest.raises, requests.ConnectionError, front.get, path)
    fault = {"match": path, "fault": "hang", "seconds": seconds}
    with front.faults(fault), ThreadPoolExecutor() as pool:
        request = pool.submit(send)
        while front.get("/_/health").json()["in_flight"] == 0:
            time.sleep(0.01)
        yield path
        request.result()


def test_mark_follows_all_lines_of_its_client(front: Front) -> None:
    with active_request(front, 0.5) as path:
        other_client = front.lines_until(front.write_marker("127.0.0.2"))
        same_client = front.lines_until(front.write_marker("127.0.0.1"))
    assert path not in [line.get("path") for line in other_client]
    (line,) = [line for line in same_client if line.get("path") == path]
    assert "open" not in line


def test_mark_after_its_wait_lists_active_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_log, "_MARKER_SECONDS", 0.05)
    log = request_log.RequestLog(tmp_path / "log.jsonl")
    builder = EnvironBuilder(path="/slow", environ_overrides={"REMOTE_ADDR": "127.0.0.1"})
    entry = log.begin(builder.get_environ())
    log.write_marker("first", "")
    entry.finish(200, complete=True)
    log.write_marker("second", "")
    text = (tmp_path / "log.jsonl").read_text()
    open_line, first, closed_line, second = map(json.loads, text.splitlines())
    assert (open_line["open"], open_line["status"]) == (True, None)
    assert (open_line["path"], open_line["client"]) == ("/slow", "127.0.0.1")
    assert (first, second) == ({"mark": "first"}, {"mark": "second"})
    assert closed_line["status"] == 200
    assert "open" not in closed_line


def test_client_that_disconnects_is_logged_as_incomplete(front: Front) -> None:
    filename = front.put(wheel("abandoned", "1.0", payload=bytes(32_000_000)))
    with (
        front.session() as session,
        session.get(f"{front.index}/packages/{filename}", stream=True, timeout=20) as response,
    ):
        next(response.iter_content(1000))
    (line,) = front.lines(file=filename)
    assert line["complete"] is False
    assert line["bytes"] < 32_000_000


def test_head_request_has_no_body(front: Front) -> None:
    filename, content = wheel("headed", "1.0")
    front.put((filename, content))
    response = front.shared_session.head(f"{front.index}/packages/{filename}", timeout=20)
    assert response.headers["Content-Length"] == str(len(content))
    (line,) = front.lines(file=filename)
    assert (line["method"], line["bytes"]) == ("HEAD", 0)
    assert "sha256" not in line


def test_health_report_has_the_error_of_a_log_on_a_full_disk(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full: run the test on Linux")
    with running(tmp_path, log=str(full)) as front:
        front.get("/simple/")
        report = front.get("/_/health")
    assert report.status_code == 500
    assert os.strerror(errno.ENOSPC) in report.json()["status"]
