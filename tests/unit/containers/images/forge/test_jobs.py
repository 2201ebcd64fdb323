"""Jobs: found by the client's address, when they are registered."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from tests.helpers.forge_server import BUILD, RELEASE, Forge, running


def test_an_address_that_nobody_registered_is_refused_and_the_log_says_why(forge: Forge) -> None:
    forge.forget()
    begun = time.monotonic()
    refused = forge.api("GET", "/git/ref/heads/main")
    assert time.monotonic() - begun >= 0.3
    assert (refused.status_code, refused.json()["message"]) == (401, "Bad credentials")
    line = forge.line(refused)
    assert line["refused"] == "no job is registered at this address"
    assert line["job"] is None


def test_a_job_that_asks_before_it_is_registered_is_waited_for(tmp_path: Path) -> None:
    with running(tmp_path / "patient", patience=10) as forge:
        late = threading.Timer(0.5, forge.register, (RELEASE,))
        late.start()
        made = forge.api("POST", "/releases", json={"tag_name": "v0.5.0"})
        late.join()
        assert made.status_code == 201
        assert forge.line(made)["job"] == "release"


def test_an_address_that_goes_to_another_job_has_its_permissions(forge: Forge) -> None:
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
def test_a_job_that_is_told_wrongly_is_the_testbeds_failure(forge: Forge, text: str) -> None:
    forge.register(text)
    failed = forge.api("GET", "/releases")
    assert failed.status_code == 500
    assert "a file of the testbed is not valid" in failed.json()["message"]
    assert "127.0.0.1" in forge.line(failed)["error"]
