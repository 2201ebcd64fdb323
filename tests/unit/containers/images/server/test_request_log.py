"""The request log: its lines, and the marks that show a reader that it is complete."""

from __future__ import annotations

import contextlib
import functools
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.helpers.index_front import (
    Front,
    running,
    wheel,
)


@contextlib.contextmanager
def held(front: Front, seconds: float) -> Iterator[str]:
    """Have a request under way that ends after ``seconds``; its path."""
    path = f"/simple/held-{secrets.token_hex(4)}/"
    ask = functools.partial(pytest.raises, requests.ConnectionError, front.get, path)
    fault = {"match": path, "fault": "hang", "seconds": seconds}
    with front.faults(fault), ThreadPoolExecutor() as pool:
        asked = pool.submit(ask)
        while front.get("/_/health").json()["in_flight"] == 0:
            time.sleep(0.01)
        yield path
        asked.result()


def test_a_mark_comes_after_every_line_of_its_client(front: Front) -> None:
    with held(front, 1) as path:
        others = front.until(front.mark("127.0.0.2"))
        own = front.until(front.mark("127.0.0.1"))
    assert path not in [line.get("path") for line in others]
    (line,) = [line for line in own if line.get("path") == path]
    assert "open" not in line


def test_a_mark_does_not_wait_for_ever_and_tells_what_goes_on(front: Front) -> None:
    with held(front, 5) as path:
        told = front.until(front.mark())
    (line,) = [line for line in told if line.get("path") == path]
    assert (line["open"], line["status"], line["client"]) == (True, None, "127.0.0.1")


def test_a_client_that_breaks_off_is_logged_as_incomplete(front: Front) -> None:
    filename = front.put(wheel("abandoned", "1.0", payload=bytes(32_000_000)))
    with (
        front.session() as session,
        session.get(f"{front.index}/packages/{filename}", stream=True, timeout=20) as answer,
    ):
        next(answer.iter_content(1000))
    (line,) = front.lines(file=filename)
    assert line["complete"] is False
    assert line["bytes"] < 32_000_000


def test_a_head_request_has_no_body(front: Front) -> None:
    filename, content = wheel("headed", "1.0")
    front.put((filename, content))
    with front.session() as session:
        answer = session.head(f"{front.index}/packages/{filename}", timeout=20)
    assert answer.headers["Content-Length"] == str(len(content))
    (line,) = front.lines(file=filename)
    assert (line["method"], line["bytes"]) == ("HEAD", 0)
    assert "sha256" not in line


def test_a_log_that_cannot_be_written_shows_in_the_health_report(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full: run the test on Linux")
    with running(tmp_path, log=str(full)) as front:
        front.get("/simple/")
        report = front.get("/_/health")
    assert report.status_code == 500
    assert report.json()["status"].startswith("the request log cannot be written: ")
