"""Credentials: their projects and their expiry."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path

import pytest
from index.config import Credential, load
from index.credentials import Keyring
from werkzeug.test import Client, TestResponse

from tests.helpers.index_front import (
    PASSWORD,
    SCOPED,
    Front,
    upload_form,
    wheel,
)
from tests.helpers.oidc import PublishingIndex, publisher


@pytest.mark.parametrize(
    ("username", "password"),
    [("__token__", "wrong"), ("someone", PASSWORD), ("__token__", None)],
    ids=["wrong token", "wrong user", "no credentials"],
)
def test_upload_with_wrong_credentials_is_refused(
    front: Front, username: str, password: str | None
) -> None:
    file = wheel("intruder", "1.0")
    response = front.send_upload(file, username=username, password=password)
    assert response.status_code == 403
    assert response.reason.startswith("Invalid or non-existent authentication information. See ")
    assert not (front.store / file[0]).exists()


def test_token_for_one_project_cannot_upload_to_another(front: Front) -> None:
    assert front.send_upload(wheel("only-this", "1.0"), password=SCOPED).status_code == 200
    file = wheel("another", "1.0")
    response = front.send_upload(file, password=SCOPED)
    assert response.status_code == 403
    assert response.reason.startswith(
        "Invalid API Token: project-scoped token is not valid for project: 'another'"
    )
    assert not (front.store / file[0]).exists()


def test_expired_credential_is_invalid_and_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    ring = Keyring()
    ring.add(Credential("__token__", "minted", frozenset({"app"}), expires=now + 900))
    monkeypatch.setattr("time.time", lambda: now + 899)
    assert ring.find("__token__", "minted") is not None
    monkeypatch.setattr("time.time", lambda: now + 900)
    assert ring.find("__token__", "minted") is None
    ring.add(Credential("__token__", "next", frozenset({"app"}), expires=now + 1800))
    assert len(ring._credentials) == 1


# pypiserver causes these warnings when it is imported.
@pytest.mark.filterwarnings("ignore:'cgi' is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ImportWarning")
def test_minted_token_expires(
    index: PublishingIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The index runs in this process, because the test changes the clock.
    from index.app import IndexApp

    publishers, log = [publisher("strict", "strict")], str(tmp_path / "log.jsonl")
    config = json.loads((index.folder / "config.json").read_text())
    config |= {"publishers": publishers, "pending_publishers": [], "log": log}
    (tmp_path / "config.json").write_text(json.dumps(config))
    client = Client(IndexApp(load(tmp_path / "config.json")))

    def upload(token: str, version: str) -> TestResponse:
        filename, content = wheel("strict", version)
        form = {**upload_form(filename, content), "content": (io.BytesIO(content), filename)}
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
    response = upload(token, "7.1")
    assert response.status.startswith("403 Invalid or non-existent authentication information.")
