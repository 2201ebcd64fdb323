"""Credentials: which are valid, for which projects, and for how long."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import Any

import pytest
from index.config import Credential, load
from index.credentials import Keyring
from werkzeug.test import Client, TestResponse

from tests.helpers.index_front import (
    PASSWORD,
    SCOPED,
    Front,
    sha256,
    wheel,
)
from tests.helpers.oidc import PublishingIndex, publisher


@pytest.mark.parametrize(
    ("username", "password"),
    [("__token__", "wrong"), ("someone", PASSWORD), ("__token__", None)],
    ids=["wrong token", "wrong user", "no credentials"],
)
def test_without_valid_credentials_nothing_is_taken(
    front: Front, username: str, password: str | None
) -> None:
    file = wheel("intruder", "1.0")
    answer = front.send_upload(file, username=username, password=password)
    assert answer.status_code == 403
    assert answer.reason.startswith("Invalid or non-existent authentication information. See ")
    assert not (front.store / file[0]).exists()


def test_a_token_for_one_project_uploads_to_that_project_only(front: Front) -> None:
    assert front.send_upload(wheel("only-this", "1.0"), password=SCOPED).status_code == 200
    file = wheel("another", "1.0")
    answer = front.send_upload(file, password=SCOPED)
    assert answer.status_code == 403
    assert answer.reason.startswith(
        "The given token isn't allowed to upload to project 'another'. See "
    )
    assert not (front.store / file[0]).exists()


def test_an_upload_token_ends_after_fifteen_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    ring = Keyring()
    ring.add(Credential("__token__", "minted", frozenset({"app"}), expires=now + 900))
    monkeypatch.setattr("time.time", lambda: now + 899)
    assert ring.find("__token__", "minted") is not None
    monkeypatch.setattr("time.time", lambda: now + 900)
    assert ring.find("__token__", "minted") is None
    ring.add(Credential("__token__", "next", frozenset({"app"}), expires=now + 1800))
    assert len(ring._credentials) == 1, "what has ended is not kept"


# Importing pypiserver warns of its own ways.
@pytest.mark.filterwarnings("ignore:'cgi' is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ImportWarning")
def test_a_minted_token_that_has_expired_opens_nothing(
    index: PublishingIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In this process, where the clock can be set.
    from index.app import IndexApp

    publishers, log = [publisher("strict", "strict")], str(tmp_path / "log.jsonl")
    told = json.loads((index.folder / "config.json").read_text())
    told |= {"publishers": publishers, "pending_publishers": [], "log": log}
    (tmp_path / "config.json").write_text(json.dumps(told))
    client = Client(IndexApp(load(tmp_path / "config.json")))

    def upload(token: str, version: str) -> TestResponse:
        filename, content = wheel("strict", version)
        form: dict[str, Any] = {
            ":action": "file_upload",
            "metadata_version": "2.1",
            "name": "strict",
            "version": version,
            "filetype": "bdist_wheel",
            "sha256_digest": sha256(content),
            "content": (io.BytesIO(content), filename),
        }
        return client.post(
            "/legacy/", base_url="https://localhost", data=form, auth=("__token__", token)
        )

    body = {"token": index.token()}
    minted = client.post("/_/oidc/mint-token", base_url="https://localhost", json=body).json
    assert minted is not None
    token, expires = minted["token"], minted["expires"]
    monkeypatch.setattr("time.time", lambda: expires - 0.1)
    assert upload(token, "7.0").status == "200 OK"
    monkeypatch.setattr("time.time", lambda: expires)
    late = upload(token, "7.1")
    assert late.status.startswith("403 Invalid or non-existent authentication information.")
