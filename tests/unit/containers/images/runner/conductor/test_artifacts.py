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
    made = store.call("CreateArtifact", {"name": name, "mime_type": "application/zip"}, BASE)
    number = str(made["signed_upload_url"]).rpartition("/")[2]
    store.put(number, {}, content)
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    asked = {"name": name, "size": str(len(content)), "hash": digest}
    return str(store.call("FinalizeArtifact", asked, BASE)["artifact_id"])


def names(store: Any, **asked: str) -> list[str]:
    return [found["name"] for found in store.call("ListArtifacts", dict(asked), BASE)["artifacts"]]


def test_an_artifact_is_listed_by_name_and_number_and_comes_back(tmp_path: Path) -> None:
    store = Store(tmp_path, 1)
    first, second = upload(store, "a", b"one"), upload(store, "b", b"two")
    assert names(store) == ["a", "b"]
    assert names(store, name_filter="a") == names(store, id_filter=first) == ["a"]
    url = store.call("GetSignedArtifactURL", {"name": "b"}, BASE)["signed_url"]
    assert url == f"{BASE}/blobs/{second}"
    assert store.blob(second).read_bytes() == b"two"


def test_a_name_is_taken_once_in_an_attempt_and_again_in_the_next(tmp_path: Path) -> None:
    upload(Store(tmp_path, 1), "a", b"one")
    with pytest.raises(Refused, match="already exists") as caught:
        Store(tmp_path, 1).call("CreateArtifact", {"name": "a"}, BASE)
    assert (caught.value.status, caught.value.code) == (409, "already_exists")
    number = upload(Store(tmp_path, 2), "a", b"two")
    assert Store(tmp_path, 2).blob(number).read_bytes() == b"two"


def test_blocks_make_a_blob_in_the_order_of_their_list(tmp_path: Path) -> None:
    store = Store(tmp_path, 1)
    store.put("7", {"comp": ["block"], "blockid": ["Mg=="]}, b"two")
    store.put("7", {"comp": ["block"], "blockid": ["MQ=="]}, b"one")
    listed = b"<BlockList><Latest>MQ==</Latest><Latest>Mg==</Latest></BlockList>"
    store.put("7", {"comp": ["blocklist"]}, listed)
    assert store.blob("7").read_bytes() == b"onetwo"


@pytest.mark.parametrize("wrong", [{"hash": "sha256:00"}, {"size": "99"}])
def test_an_upload_that_is_not_what_was_announced_is_refused(
    tmp_path: Path, wrong: dict[str, str]
) -> None:
    store = Store(tmp_path, 1)
    made = store.call("CreateArtifact", {"name": "a"}, BASE)
    store.put(str(made["signed_upload_url"]).rpartition("/")[2], {}, b"content")
    with pytest.raises(Refused, match="not that of what was uploaded"):
        store.call("FinalizeArtifact", {"name": "a", **wrong}, BASE)
    assert names(store) == []


def test_a_deleted_artifact_is_gone_and_its_name_is_free(tmp_path: Path) -> None:
    store = Store(tmp_path, 1)
    number = upload(store, "a", b"one")
    store.call("DeleteArtifact", {"name": "a"}, BASE)
    assert names(store) == []
    assert not store.blob(number).exists()
    upload(store, "a", b"two")
    assert names(store) == ["a"]


@pytest.mark.parametrize("method", ["GetSignedArtifactURL", "DeleteArtifact", "FinalizeArtifact"])
def test_what_is_not_there_is_refused(tmp_path: Path, method: str) -> None:
    with pytest.raises(Refused) as caught:
        Store(tmp_path, 1).call(method, {"name": "none"}, BASE)
    assert caught.value.status == 404


def test_a_blob_is_named_by_a_number_only(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        Store(tmp_path, 1).blob("../../etc/passwd")
