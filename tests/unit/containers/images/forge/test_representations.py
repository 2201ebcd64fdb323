"""Objects as JSON."""

from __future__ import annotations

import dataclasses

import pytest
from forge.config import Repository
from forge.refs import RefTarget
from forge.releases import Asset, Release
from forge.representations import BOT_LOGIN, Representations

API, WEB = "https://api.github.com/repos/o/n", "https://github.com/o/n"
REPOSITORY = Repository(
    owner="o",
    name="n",
    id=7,
    owner_id=8,
    visibility="public",
    default_branch="main",
    branches={},
    tags={},
    annotated={},
)
ASSET = Asset(
    id=3,
    name="a+b.whl",
    label="The wheel",
    content_type="application/zip",
    size=5,
    sha256="e" * 64,
    created_at="2026-01-01T00:00:00Z",
    updated_at="2026-01-02T00:00:00Z",
    downloads=4,
)
RELEASE = Release(
    id=2,
    tag="python/v1.0+x",
    target="main",
    name="One",
    body=None,
    draft=False,
    prerelease=True,
    created_at="2026-01-01T00:00:00Z",
    untagged="0123456789",
    published_at="2026-01-03T00:00:00Z",
    assets=[ASSET],
)
DRAFT = dataclasses.replace(RELEASE, draft=True, published_at=None)
REPRESENTATIONS = Representations(REPOSITORY)


@pytest.mark.parametrize("writes", [True, False])
def test_repository_has_the_permissions_of_its_client(writes: bool) -> None:
    assert REPRESENTATIONS.repository(writes=writes)["permissions"] == {
        "admin": False,
        "maintain": False,
        "pull": True,
        "push": writes,
        "triage": writes,
    }


@pytest.mark.parametrize(("visibility", "private"), [("public", False), ("private", True)])
def test_repository_is_private_or_public(visibility: str, private: bool) -> None:
    repository = dataclasses.replace(REPOSITORY, visibility=visibility)
    data = Representations(repository).repository(writes=False)
    assert (data["visibility"], data["private"]) == (visibility, private)


def test_repository_has_its_names_ids_and_urls() -> None:
    data = REPRESENTATIONS.repository(writes=False)
    assert (data["id"], data["name"], data["full_name"]) == (
        7,
        "n",
        "o/n",
    )
    assert data["owner"] == {"login": "o", "id": 8, "type": "User"}
    assert (data["url"], data["html_url"], data["clone_url"]) == (
        API,
        WEB,
        f"{WEB}.git",
    )
    assert data["default_branch"] == "main"


def test_urls_of_a_published_release_contain_its_tag() -> None:
    assert REPRESENTATIONS.release_page(RELEASE) == f"{WEB}/releases/tag/python/v1.0%2Bx"
    assert REPRESENTATIONS.download_url(RELEASE, ASSET) == (
        f"{WEB}/releases/download/python/v1.0%2Bx/a%2Bb.whl"
    )


def test_urls_of_a_draft_do_not_contain_its_tag() -> None:
    assert REPRESENTATIONS.release_page(DRAFT) == f"{WEB}/releases/tag/untagged-0123456789"
    assert REPRESENTATIONS.download_url(DRAFT, ASSET) == (
        f"{WEB}/releases/download/untagged-0123456789/a%2Bb.whl"
    )


def test_release_has_its_fields_and_its_assets() -> None:
    data = REPRESENTATIONS.release(RELEASE)
    assert data["url"] == REPRESENTATIONS.release_url(RELEASE) == f"{API}/releases/2"
    assert data["upload_url"] == (
        "https://uploads.github.com/repos/o/n/releases/2/assets{?name,label}"
    )
    assert (data["tag_name"], data["target_commitish"]) == (
        "python/v1.0+x",
        "main",
    )
    assert (data["name"], data["body"]) == ("One", None)
    assert (data["draft"], data["prerelease"], data["immutable"]) == (
        False,
        True,
        False,
    )
    assert data["assets"] == [REPRESENTATIONS.asset(RELEASE, ASSET)]
    assert data["tarball_url"] == f"{API}/tarball/python/v1.0%2Bx"
    author = data["author"]
    assert isinstance(author, dict)
    assert (author["login"], author["type"]) == (BOT_LOGIN, "Bot")


@pytest.mark.parametrize(
    ("release", "published", "updated"),
    [
        (RELEASE, "2026-01-03T00:00:00Z", "2026-01-03T00:00:00Z"),
        (DRAFT, None, "2026-01-01T00:00:00Z"),
    ],
)
def test_only_a_published_release_has_published_at(
    release: Release, published: str | None, updated: str
) -> None:
    data = REPRESENTATIONS.release(release)
    assert (data["published_at"], data["updated_at"]) == (published, updated)


def test_asset_has_its_fields_and_the_user_of_the_token() -> None:
    data = REPRESENTATIONS.asset(RELEASE, ASSET)
    assert data["url"] == REPRESENTATIONS.asset_url(ASSET) == f"{API}/releases/assets/3"
    assert (data["id"], data["node_id"], data["name"]) == (
        3,
        "RA_3",
        "a+b.whl",
    )
    assert (data["label"], data["content_type"]) == (
        "The wheel",
        "application/zip",
    )
    assert (data["size"], data["digest"]) == (5, f"sha256:{'e' * 64}")
    assert (data["download_count"], data["state"]) == (4, "uploaded")
    assert data["browser_download_url"] == REPRESENTATIONS.download_url(RELEASE, ASSET)
    uploader = data["uploader"]
    assert isinstance(uploader, dict)
    assert uploader["login"] == BOT_LOGIN


@pytest.mark.parametrize(
    ("target", "url"),
    [
        (RefTarget("tag", "d" * 40), f"{API}/git/tags/{'d' * 40}"),
        (RefTarget("commit", "c" * 40), f"{API}/git/commits/{'c' * 40}"),
    ],
)
def test_ref_has_its_git_object(target: RefTarget, url: str) -> None:
    data = REPRESENTATIONS.ref("refs/tags/v1+x", target)
    assert (data["ref"], data["url"]) == (
        "refs/tags/v1+x",
        f"{API}/git/refs/tags/v1%2Bx",
    )
    assert data["object"] == {"type": target.type, "sha": target.sha, "url": url}
