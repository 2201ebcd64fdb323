"""The rules for releases and assets."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from forge.config import Repository
from forge.refs import Refs
from forge.releases import Asset, Release, ReleaseFields, ReleaseStore, Upload, now, rename
from forge.routing import Problem
from server.json_reader import Json

MAIN, OLD = "a" * 40, "b" * 40


@pytest.fixture
def refs() -> Refs:
    return Refs(
        Repository(
            owner="o",
            name="n",
            id=1,
            owner_id=2,
            visibility="public",
            default_branch="main",
            branches={"main": MAIN},
            tags={"v1.0": OLD, "v2.0": OLD, "v3.0": OLD},
            annotated={},
        )
    )


@pytest.fixture
def store(tmp_path: Path, refs: Refs) -> ReleaseStore:
    return ReleaseStore(tmp_path, refs)


def create(
    store: ReleaseStore,
    tag: str = "v1.0",
    *,
    target: str = "main",
    draft: bool = False,
    prerelease: bool = False,
    make_latest: str = "true",
) -> Release:
    fields = ReleaseFields(tag=tag, target=target, draft=draft, prerelease=prerelease)
    return store.create(fields, make_latest)


def upload(name: str = "a.whl", content: bytes = b"bytes", length: int | None = None) -> Upload:
    size = len(content) if length is None else length
    return Upload(name, None, "application/zip", io.BytesIO(content), size)


def file_content(folder: Path) -> list[Mapping[str, Json]]:
    """Return the releases in `releases.json`, the file that the host reads."""
    releases: list[Mapping[str, Json]] = json.loads((folder / "releases.json").read_text("utf-8"))
    return releases


def codes(problem: Problem) -> list[str]:
    return [error["code"] for error in problem.errors]


def latest_tag(store: ReleaseStore) -> str:
    release = store.latest()
    return release.tag if release else ""


def test_new_store_is_empty_and_has_a_file(tmp_path: Path, store: ReleaseStore) -> None:
    assert store.all(drafts=True) == []
    assert store.latest() is None
    assert file_content(tmp_path) == []
    assert (tmp_path / "assets").is_dir()


def test_published_release_has_a_time_and_is_public(store: ReleaseStore) -> None:
    release = create(store)
    assert release.published_at is not None
    assert store.by_tag("v1.0") is release
    assert store.find(release.id, drafts=False) is release
    assert store.latest() is release


def test_draft_is_only_for_writers(store: ReleaseStore) -> None:
    draft = create(store, draft=True)
    assert draft.published_at is None
    assert re.fullmatch("[0-9a-f]{20}", draft.untagged)
    assert store.find(draft.id, drafts=True) is draft
    with pytest.raises(Problem) as problem:
        store.find(draft.id, drafts=False)
    assert problem.value.status == 404
    assert store.by_tag("v1.0") is None
    assert store.latest() is None


def test_unknown_id_is_not_found(store: ReleaseStore) -> None:
    with pytest.raises(Problem) as problem:
        store.find(7, drafts=True)
    assert problem.value.status == 404
    with pytest.raises(Problem) as problem:
        store.asset(7, drafts=True)
    assert problem.value.status == 404


def test_releases_are_sorted_with_the_newest_first(store: ReleaseStore) -> None:
    first, draft, last = create(store), create(store, "v2.0", draft=True), create(store, "v3.0")
    assert store.all(drafts=True) == [last, draft, first]
    assert store.all(drafts=False) == [last, first]


@pytest.mark.parametrize(
    ("tag", "target", "draft", "expected"),
    [
        ("", "main", True, ["missing_field", "custom"]),
        ("a b", "main", True, ["custom"]),
        ("a b", "main", False, ["custom", "custom"]),
        ("v9", "nowhere", False, ["invalid"]),
        ("v9", "nowhere", True, ["invalid"]),
        ("v1.0", "main", False, ["already_exists"]),
    ],
)
def test_invalid_release_is_refused_and_not_stored(
    store: ReleaseStore, tag: str, target: str, draft: bool, expected: list[str]
) -> None:
    existing = create(store)
    with pytest.raises(Problem) as problem:
        create(store, tag, target=target, draft=draft)
    assert problem.value.status == 422
    assert codes(problem.value) == expected
    assert store.all(drafts=True) == [existing]


def test_draft_can_have_the_tag_of_a_published_release(store: ReleaseStore) -> None:
    create(store)
    assert create(store, draft=True).tag == "v1.0"


def test_publishing_creates_the_tag_at_its_target(store: ReleaseStore, refs: Refs) -> None:
    draft = create(store, "v9", target="v1.0", draft=True)
    assert "v9" not in refs.tags()
    store.update(draft, ReleaseFields(draft=False), None)
    assert refs.tags()["v9"] == OLD


def test_unknown_target_is_accepted_if_the_tag_exists(store: ReleaseStore, refs: Refs) -> None:
    create(store, "v1.0", target="nowhere")
    assert refs.tags()["v1.0"] == OLD


def test_update_changes_only_the_named_fields(store: ReleaseStore) -> None:
    release = create(store)
    published = release.published_at
    store.update(release, ReleaseFields(body="new"), None)
    assert (release.body, release.name, release.tag) == ("new", None, "v1.0")
    assert release.published_at == published


def test_refused_update_changes_nothing(store: ReleaseStore) -> None:
    create(store)
    other = create(store, "v2.0")
    with pytest.raises(Problem) as problem:
        store.update(other, ReleaseFields(tag="v1.0", body="new"), None)
    assert codes(problem.value) == ["already_exists"]
    assert (other.tag, other.body) == ("v2.0", None)


def test_last_published_release_is_the_latest(store: ReleaseStore) -> None:
    create(store, "v3.0")
    create(store, "v1.0")
    assert latest_tag(store) == "v1.0"


def test_prerelease_and_make_latest_false_are_never_the_latest(store: ReleaseStore) -> None:
    create(store, "v1.0")
    create(store, "v2.0", make_latest="false")
    create(store, "v3.0", prerelease=True)
    assert latest_tag(store) == "v1.0"


def test_make_latest_legacy_selects_the_highest_version(store: ReleaseStore) -> None:
    create(store, "v3.0")
    create(store, "v1.0", make_latest="legacy")
    assert latest_tag(store) == "v3.0"


def test_highest_version_is_the_latest_without_a_marked_release(
    store: ReleaseStore,
) -> None:
    create(store, "v2.0")
    create(store, "v1.0")
    marked = create(store, "v3.0")
    store.delete(marked)
    assert latest_tag(store) == "v2.0"


def test_update_can_make_a_release_the_latest(store: ReleaseStore) -> None:
    release = create(store, "v1.0", make_latest="false")
    assert latest_tag(store) == ""
    store.update(release, ReleaseFields(), "true")
    assert latest_tag(store) == "v1.0"


def test_file_marks_the_latest_release(tmp_path: Path, store: ReleaseStore) -> None:
    create(store, "v1.0")
    create(store, "v2.0")
    assert [(release["tag"], release["latest"]) for release in file_content(tmp_path)] == [
        ("v2.0", True),
        ("v1.0", False),
    ]
    assert list(tmp_path.glob("*.new")) == []


def test_asset_is_stored_with_its_digest(tmp_path: Path, store: ReleaseStore) -> None:
    release = create(store)
    asset = store.attach(release, upload())
    digest = hashlib.sha256(b"bytes").hexdigest()
    assert (asset.sha256, asset.size) == (digest, 5)
    assert (asset.node_id, asset.digest) == (f"RA_{asset.id}", f"sha256:{digest}")
    assert asset.id != release.id
    assert store.path(asset).read_bytes() == b"bytes"
    assert store.asset(asset.id, drafts=False) == (release, asset)
    assert file_content(tmp_path)[0]["assets"] == [
        {
            "id": asset.id,
            "name": "a.whl",
            "label": None,
            "content_type": "application/zip",
            "size": 5,
            "sha256": digest,
            "downloads": 0,
            "created_at": asset.created_at,
            "updated_at": asset.updated_at,
        }
    ]


def test_asset_of_a_draft_is_only_for_writers(store: ReleaseStore) -> None:
    asset = store.attach(create(store, draft=True), upload())
    assert store.asset(asset.id, drafts=True)[1] is asset
    with pytest.raises(Problem) as problem:
        store.asset(asset.id, drafts=False)
    assert problem.value.status == 404


@pytest.mark.parametrize("length", [4, 6])
def test_upload_with_a_wrong_length_stores_nothing(
    tmp_path: Path, store: ReleaseStore, length: int
) -> None:
    release = create(store)
    with pytest.raises(Problem) as problem:
        store.attach(release, upload(length=length))
    assert problem.value.status == 400
    assert release.assets == []
    assert list((tmp_path / "assets").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "code"), [("...", "missing_field"), ("a b.whl", "already_exists")]
)
def test_empty_and_duplicate_names_are_refused(store: ReleaseStore, name: str, code: str) -> None:
    release = create(store)
    store.attach(release, upload("a.b.whl"))
    with pytest.raises(Problem) as problem:
        store.attach(release, upload(name))
    assert codes(problem.value) == [code]
    assert store.attach(create(store, "v2.0"), upload("a.b.whl")).name == "a.b.whl"


def test_asset_can_be_renamed_to_its_current_name(store: ReleaseStore) -> None:
    release = create(store)
    asset = store.attach(release, upload())
    assert store.check_name(release, "a.whl", keep=asset) == "a.whl"


def test_upload_is_refused_if_another_one_used_its_name_first(store: ReleaseStore) -> None:
    release = create(store)

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if not release.assets:
                store.attach(release, upload(content=b"fast"))
            return super().read(size)

    with pytest.raises(Problem) as problem:
        store.attach(release, Upload("a.whl", None, "application/zip", Slow(b"slow"), 4))
    assert codes(problem.value) == ["already_exists"]
    (asset,) = release.assets
    assert store.path(asset).read_bytes() == b"fast"
    assert list(store.path(asset).parent.iterdir()) == [store.path(asset)]


def test_detaching_an_asset_deletes_its_content(store: ReleaseStore) -> None:
    release = create(store)
    first, second = (store.attach(release, upload(name)) for name in ("a.whl", "b.whl"))
    store.detach(release, first)
    assert release.assets == [second]
    assert not store.path(first).exists()
    assert store.path(second).exists()


def test_deleting_a_release_deletes_its_assets_but_not_its_tag(
    tmp_path: Path, store: ReleaseStore, refs: Refs
) -> None:
    release = create(store, "v9")
    asset: Asset = store.attach(release, upload())
    store.delete(release)
    assert store.all(drafts=True) == []
    assert not store.path(asset).exists()
    assert file_content(tmp_path) == []
    assert refs.tags()["v9"] == MAIN


@pytest.mark.parametrize(
    ("name", "renamed"),
    [
        ("quiverdb-0.5.0+local.whl", "quiverdb-0.5.0+local.whl"),
        ("a b.whl", "a.b.whl"),
        ("a  ä.whl", "a..whl"),
        ("../../etc/passwd", "etc.passwd"),
        (".hidden.", "hidden"),
        ("...", ""),
    ],
)
def test_special_characters_are_replaced_by_full_stops(name: str, renamed: str) -> None:
    assert rename(name) == renamed


def test_time_is_in_utc_without_fractions() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", now())
