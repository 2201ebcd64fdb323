"""Jobs, identified by the address of the client."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from forge.jobs import Jobs
from server.config import ConfigError

from tests.helpers.forge_server import BUILD, RELEASE, Forge


def test_unregistered_address_is_refused_after_a_wait(forge: Forge) -> None:
    forge.unregister()
    start = time.monotonic()
    response = forge.api("GET", "/git/ref/heads/main")
    assert time.monotonic() - start >= 0.3
    assert (response.status_code, response.json()["message"]) == (401, "Bad credentials")
    line = forge.line(response)
    assert line["refused"]
    assert line["job"] is None


def test_job_is_identified_if_it_is_registered_during_the_wait(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path, 10, threading.Event())

    def register() -> None:
        (tmp_path / "127.0.0.1.json").write_text(RELEASE.model_dump_json())

    timer = threading.Timer(0.2, register)
    timer.start()
    job = jobs.find("127.0.0.1", wait=True)
    timer.join()
    assert job is not None
    assert job.job == "release"


def test_end_of_the_server_ends_the_wait(tmp_path: Path) -> None:
    stopping = threading.Event()
    stopping.set()
    assert Jobs(tmp_path, 60, stopping).find("127.0.0.1", wait=True) is None


def test_address_of_a_new_job_has_the_permissions_of_this_job(forge: Forge) -> None:
    forge.register(BUILD)
    assert forge.api("POST", "/releases", json={"tag_name": "v0.5.0"}).status_code == 403
    forge.register(RELEASE)
    assert forge.api("POST", "/releases", json={"tag_name": "v0.5.0"}).status_code == 201
    forge.register(RELEASE, address="127.0.0.2")
    forge.register(BUILD)
    assert forge.api("POST", "/releases", json={"tag_name": "v0.6.0"}).status_code == 403


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"job": "x"}',
        '{"job": 5, "permissions": {}, "environment": null, "claims": {}}',
        '{"job": "x", "permissions": {"contents": 1}, "environment": null, "claims": {}}',
        '{"job": "x", "permissions": [], "environment": null, "claims": {}}',
        '{"job": "x", "permissions": {}, "environment": 7, "claims": {}}',
    ],
)
def test_invalid_file_of_a_job_is_an_error_with_its_address(tmp_path: Path, text: str) -> None:
    (tmp_path / "127.0.0.1.json").write_text(text)
    with pytest.raises(ConfigError, match=r"127\.0\.0\.1"):
        Jobs(tmp_path, 0.1, threading.Event()).find("127.0.0.1", wait=True)


def test_invalid_file_of_a_job_is_an_internal_error(forge: Forge) -> None:
    forge.register("{")
    response = forge.api("GET", "/releases")
    assert response.status_code == 500
    assert "127.0.0.1" in forge.line(response)["error"]
