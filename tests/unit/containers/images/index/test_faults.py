"""Planted faults: the wrong answers of the index, and their entries in its log."""

from __future__ import annotations

import os
import socket
import ssl
import time
from pathlib import Path

import pytest
import requests

from tests.helpers.index_front import (
    INDEX_HOST,
    Front,
    pip,
    sha256,
    wheel,
)


def test_a_truncated_download_fails_in_pip_and_is_logged_as_incomplete(
    front: Front, tmp_path: Path
) -> None:
    filename, content = wheel("cut", "1.0", payload=os.urandom(200_000))
    front.put((filename, content))
    with front.faults({"match": r"/packages/cut.*\.whl$", "fault": "truncate", "after": 1000}):
        done = pip(front, tmp_path, "download", "cut", "--dest", tmp_path)
    assert done.returncode != 0
    line = front.lines(file=filename)[0]
    assert (line["fault"], line["complete"], line["bytes"]) == ("truncate", False, 1000)
    assert line["sha256"] == sha256(content[:1000])
    assert front.get(f"/packages/{filename}").content == content


def test_a_truncated_answer_announces_its_whole_length(front: Front) -> None:
    filename, content = wheel("announced", "1.0", payload=bytes(9000))
    front.put((filename, content))
    with front.faults({"match": "announced", "fault": "truncate"}), front.session() as session:
        answer = session.get(f"{front.index}/packages/{filename}", stream=True, timeout=20)
        assert answer.headers["Content-Length"] == str(len(content))
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            _ = answer.content


def test_a_fault_strikes_as_often_as_it_is_told_to(front: Front) -> None:
    front.put(wheel("twice", "1.0"))
    with front.faults({"match": "/simple/twice/", "fault": "status", "status": 503, "times": 2}):
        statuses = [front.get("/simple/twice/").status_code for _ in range(3)]
    assert statuses == [503, 503, 200]
    assert [line.get("fault") for line in front.lines(path="/simple/twice/")] == [
        "status",
        "status",
        None,
    ]


def test_pip_gives_up_on_a_status_of_503(front: Front, tmp_path: Path) -> None:
    front.put(wheel("overloaded", "1.0"))
    with front.faults({"match": r"overloaded.*\.whl$", "fault": "status"}):
        done = pip(front, tmp_path, "download", "overloaded")
    assert done.returncode != 0
    assert "503" in done.stdout


def test_a_corrupted_download_has_its_length_and_fails_in_pip(front: Front, tmp_path: Path) -> None:
    filename, content = wheel("spoilt", "1.0", payload=os.urandom(100_000))
    front.put((filename, content))
    with front.faults({"match": r"spoilt.*\.whl$", "fault": "corrupt", "after": 70_000}):
        got = front.get(f"/packages/{filename}").content
        done = pip(front, tmp_path, "download", "spoilt")
    assert [at for at, byte in enumerate(got) if byte != content[at]] == [70_000]
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stdout
    assert front.lines(file=filename)[0]["sha256"] == sha256(got)


def ending(front: Front, path: str) -> str:
    """Ask for a path; tell how TCP says that the connection ended, below TLS."""
    context = ssl.create_default_context(cafile=str(front.authority))
    plain = socket.create_connection((INDEX_HOST, front.port), timeout=20)
    secured = context.wrap_socket(plain, server_hostname=INDEX_HOST)
    secured.sendall(f"GET {path} HTTP/1.1\r\nHost: {INDEX_HOST}\r\n\r\n".encode())
    with socket.socket(fileno=secured.detach()) as below:
        below.settimeout(20)
        try:
            while below.recv(1 << 16):
                pass
        except ConnectionResetError:
            return "reset"
    return "end"


def test_a_reset_reaches_the_client_as_one_and_a_truncation_as_an_end(front: Front) -> None:
    filename = front.put(wheel("torn", "1.0", payload=os.urandom(100_000)))
    path = f"/packages/{filename}"
    for after in (None, 10):
        with front.faults({"match": "torn", "fault": "reset", "after": after}):
            assert ending(front, path) == "reset"
            with pytest.raises(requests.exceptions.RequestException):
                front.get(path)
    with front.faults({"match": "torn", "fault": "truncate"}):
        assert ending(front, path) == "end"
    statuses = [line["status"] for line in front.lines(fault="reset")]
    assert statuses == [None, None, 200, 200]


def test_a_hang_lasts_until_the_client_gives_up_or_its_time_is_over(front: Front) -> None:
    filename = front.put(wheel("stuck", "1.0"))
    path = f"/packages/{filename}"
    with (
        front.faults({"match": "stuck", "fault": "hang", "seconds": 0.3}),
        front.session() as session,
    ):
        with pytest.raises(requests.exceptions.ReadTimeout):
            session.get(f"{front.index}{path}", timeout=0.1)
        with pytest.raises(requests.exceptions.ConnectionError):
            session.get(f"{front.index}{path}", timeout=5)
    deadline = time.monotonic() + 5
    while len(front.lines(fault="hang")) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_fault_for_one_client_leaves_the_others_alone(front: Front) -> None:
    front.put(wheel("personal", "1.0"))
    with front.faults({"match": "personal", "fault": "status", "client": "192.0.2.7"}):
        assert front.get("/simple/personal/").status_code == 200
    with front.faults({"match": "personal", "fault": "status", "client": "127.0.0.1"}):
        assert front.get("/simple/personal/").status_code == 503


@pytest.mark.parametrize(
    ("control", "reason"),
    [
        ("[", "cannot read"),
        ('{"match": "x"}', "faults must be a list"),
        ('[{"match": "x", "fault": "explode"}]', "fault must be one of truncate, status, hang"),
        ('[{"match": "x", "fault": "hang", "afte": 1}]', "faults[0].afte is not a known key"),
        ('[{"match": "(", "fault": "hang"}]', "is not a regular expression"),
        ('[{"match": "x", "fault": "status", "status": "503"}]', "status must be an integer"),
    ],
)
def test_a_control_file_with_a_mistake_stops_every_answer_but_the_health_report(
    front: Front, control: str, reason: str
) -> None:
    with front.faults(control):
        answer = front.get("/simple/")
        assert answer.status_code == 500
        assert reason in answer.text
        assert front.get("/_/health").status_code == 200
    assert front.lines(fault="control-file")
    assert front.get("/simple/").status_code == 200
