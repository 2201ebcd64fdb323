"""The artifact service: names, blobs, refused calls."""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path
from typing import Any

import pytest

artifacts = importlib.import_module("conductor.artifacts")
Store, Refused = artifacts.Store, artifacts.Refused
BASE = "http://10.0.0.2:8080"


def upload(store: Any, name: str, content: bytes) -> str:
    created = store.call("CreateArtifact", {"name": name, "mime_type": "application/zip"}, BASE)
    number = str(created["signed_upload_url"]).rpartition("/")[2]
    store.put(number, {}, content)
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    call = {"name": name, "size": str(len(content)), "hash": digest}
    return str(store.call("FinalizeArtifact", call, BASE)["artifact_id"])


def names(store: Any, **filters: str) -> list[str]:
    artifacts = store.call("ListArtifacts", dict(filters), BASE)["artifacts"]
    return [artifact["name"] for artifact in artifacts]


def test_artifact_is_listed_by_name_and_number_and_has_its_content(tmp_path: Path) -> None:
    store = Store(tmp_path, 1)
    first, second = upload(store, "a", b"one"), upload(store, "b", b"two")
    assert names(store) == ["a", "b"]
    assert names(store, name_filter="a") == names(store, id_filter=first) == ["a"]
    url = store.call("GetSignedArtifactURL", {"name": "b"}, BASE)["signed_url"]
    assert url == f"{BASE}/blobs/{second}"
    assert store.blob(second).read_bytes() == b"two"


def test_name_can_be_used_once_in_each_attempt(tmp_path: Path) -> None:
    upload(Store(tmp_path, 1), "a", b"one")
    with pytest.raises(Refused) as refusal:
        Store(tmp_path, 1).call("CreateArtifact", {"name": "a"}, BASE)
    assert (refusal.value.status, refusal.value.code) == (409, "already_exists")
    number = upload(Store(tmp_path, 2), "a", b"two")
    assert Store(tmp_path, 2).blob(number).read_bytes() == b"two"


def test_blob_has_its_blocks_in_the_order_of_the_list(tmp_path: Path) -> None:
    store = Store(tmp_path, 1)
    store.put("7", {"comp": ["block"], "blockid": ["Mg=="]}, b"two")
    store.put("7", {"comp": ["block"], "blockid": ["MQ=="]}, b"one")
    block_list = b"<BlockList><Latest>MQ==</Latest><Latest>Mg==</Latest></BlockList>"
    store.put("7", {"comp": ["blocklist"]}, block_list)
    assert store.blob("7").read_bytes() == b"onetwo"


@pytest.mark.parametrize("wrong", [{"hash": "sha256:00"}, {"size": "99"}])
def test_upload_with_another_digest_or_size_is_refused(
    tmp_path: Path, wrong: dict[str, str]
) -> None:
    store = Store(tmp_path, 1)
    created = store.call("CreateArtifact", {"name": "a"}, BASE)
    store.put(str(created["signed_upload_url"]).rpartition("/")[2], {}, b"content")
    with pytest.raises(Refused) as refusal:
        store.call("FinalizeArtifact", {"name": "a", **wrong}, BASE)
    assert (refusal.value.status, refusal.value.code) == (400, "invalid_argument")
    assert names(store) == []


def test_name_of_a_deleted_artifact_can_be_used_again(tmp_path: Path) -> None:
    store = Store(tmp_path, 1)
    number = upload(store, "a", b"one")
    store.call("DeleteArtifact", {"name": "a"}, BASE)
    assert names(store) == []
    assert not store.blob(number).exists()
    upload(store, "a", b"two")
    assert names(store) == ["a"]


@pytest.mark.parametrize("method", ["GetSignedArtifactURL", "DeleteArtifact", "FinalizeArtifact"])
def test_unknown_artifact_is_not_found(tmp_path: Path, method: str) -> None:
    with pytest.raises(Refused) as refusal:
        Store(tmp_path, 1).call(method, {"name": "none"}, BASE)
    assert refusal.value.status == 404


def test_name_of_a_blob_is_a_number(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        Store(tmp_path, 1).blob("../../etc/passwd")
