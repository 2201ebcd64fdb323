"""Planted faults: the wrong responses of the index, and their log lines."""

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


def test_truncated_download_fails_in_pip_and_is_logged_as_incomplete(
    front: Front, tmp_path: Path
) -> None:
    filename, content = wheel("cut", "1.0", payload=os.urandom(200_000))
    front.put((filename, content))
    with front.faults({"match": r"/packages/cut.*\.whl$", "fault": "truncate", "after": 1000}):
        process = pip(front, tmp_path, "download", "cut", "--dest", tmp_path)
    assert process.returncode != 0
    line = front.lines(file=filename)[0]
    assert (line["fault"], line["complete"], line["bytes"]) == ("truncate", False, 1000)
    assert line["sha256"] == sha256(content[:1000])
    assert front.get(f"/packages/{filename}").content == content


def test_truncated_response_announces_its_full_length(front: Front) -> None:
    filename, content = wheel("announced", "1.0", payload=bytes(9000))
    front.put((filename, content))
    with front.faults({"match": "announced", "fault": "truncate"}), front.session() as session:
        response = session.get(f"{front.index}/packages/{filename}", stream=True, timeout=20)
        assert response.headers["Content-Length"] == str(len(content))
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            _ = response.content


def test_fault_applies_to_the_given_number_of_requests(front: Front) -> None:
    front.put(wheel("twice", "1.0"))
    with front.faults({"match": "/simple/twice/", "fault": "status", "status": 503, "times": 2}):
        statuses = [front.get("/simple/twice/").status_code for _ in range(3)]
    assert statuses == [503, 503, 200]
    assert [line.get("fault") for line in front.lines(path="/simple/twice/")] == [
        "status",
        "status",
        None,
    ]


def test_status_fault_of_a_file_has_no_content(front: Front) -> None:
    filename, content = wheel("overloaded", "1.0")
    front.put((filename, content))
    with front.faults({"match": r"overloaded.*\.whl$", "fault": "status"}):
        assert front.get("/simple/overloaded/").status_code == 200
        response = front.get(f"/packages/{filename}")
    assert response.status_code == 503
    assert content not in response.content


def test_corrupt_download_has_its_length_and_fails_in_pip(front: Front, tmp_path: Path) -> None:
    filename, content = wheel("spoilt", "1.0", payload=os.urandom(100_000))
    front.put((filename, content))
    with front.faults({"match": r"spoilt.*\.whl$", "fault": "corrupt", "after": 70_000}):
        download = front.get(f"/packages/{filename}").content
        process = pip(front, tmp_path, "download", "spoilt")
    changed = [offset for offset, byte in enumerate(download) if byte != content[offset]]
    assert changed == [70_000]
    assert process.returncode != 0
    assert "DO NOT MATCH THE HASHES" in process.stdout
    assert front.lines(file=filename)[0]["sha256"] == sha256(download)


def connection_end(front: Front, path: str) -> str:
    """Request a path. Return how the TCP connection ends: "reset" or "end"."""
    context = ssl.create_default_context(cafile=str(front.ca))
    plain = socket.create_connection((INDEX_HOST, front.port), timeout=20)
    secure = context.wrap_socket(plain, server_hostname=INDEX_HOST)
    secure.sendall(f"GET {path} HTTP/1.1\r\nHost: {INDEX_HOST}\r\n\r\n".encode())
    with socket.socket(fileno=secure.detach()) as connection:
        connection.settimeout(20)
        try:
            while connection.recv(1 << 16):
                pass
        except ConnectionResetError:
            return "reset"
    return "end"


def test_reset_and_truncation_end_the_connection_in_different_ways(front: Front) -> None:
    filename = front.put(wheel("torn", "1.0", payload=os.urandom(100_000)))
    path = f"/packages/{filename}"
    for after in (None, 10):
        with front.faults({"match": "torn", "fault": "reset", "after": after}):
            assert connection_end(front, path) == "reset"
            with pytest.raises(requests.exceptions.RequestException):
                front.get(path)
    with front.faults({"match": "torn", "fault": "truncate"}):
        assert connection_end(front, path) == "end"
    statuses = [line["status"] for line in front.lines(fault="reset")]
    assert statuses == [None, None, 200, 200]


def test_hang_ends_when_the_client_disconnects_or_after_its_time(front: Front) -> None:
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
    while len(front.lines(fault="hang", path=path)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_fault_for_one_client_does_not_affect_others(front: Front) -> None:
    front.put(wheel("personal", "1.0"))
    with front.faults({"match": "personal", "fault": "status", "client": "192.0.2.7"}):
        assert front.get("/simple/personal/").status_code == 200
    with front.faults({"match": "personal", "fault": "status", "client": "127.0.0.1"}):
        assert front.get("/simple/personal/").status_code == 503


@pytest.mark.parametrize(
    ("control", "name"),
    [
        ("[", "faults.json"),
        ('{"match": "x"}', "faults"),
        ('[{"match": "x", "fault": "explode"}]', "faults[0].fault"),
        ('[{"match": "x", "fault": "hang", "afte": 1}]', "faults[0].afte"),
        ('[{"match": "(", "fault": "hang"}]', "faults[0].match"),
        ('[{"match": "x", "fault": "status", "status": "503"}]', "faults[0].status"),
    ],
)
def test_invalid_control_file_is_an_error_of_all_requests_except_the_health_report(
    front: Front, control: str, name: str
) -> None:
    with front.faults(control):
        response = front.get("/simple/")
        assert response.status_code == 500
        assert name in response.text
        assert front.get("/_/health").status_code == 200
    assert front.lines(fault="control-file")
    assert front.get("/simple/").status_code == 200
