"""Objects as JSON, without the server."""

from __future__ import annotations

import dataclasses

import pytest
from forge.config import Repository
from forge.refs import Target
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
MADE = Representations(REPOSITORY)


@pytest.mark.parametrize("writes", [True, False])
def test_a_repository_has_the_permissions_of_its_client(writes: bool) -> None:
    assert MADE.repository(writes=writes)["permissions"] == {
        "admin": False,
        "maintain": False,
        "pull": True,
        "push": writes,
        "triage": writes,
    }


@pytest.mark.parametrize(("visibility", "private"), [("public", False), ("private", True)])
def test_a_repository_is_private_or_public(visibility: str, private: bool) -> None:
    repository = dataclasses.replace(REPOSITORY, visibility=visibility)
    shown = Representations(repository).repository(writes=False)
    assert (shown["visibility"], shown["private"]) == (visibility, private)


def test_a_repository_has_its_names_ids_and_addresses() -> None:
    shown = MADE.repository(writes=False)
    assert (shown["id"], shown["name"], shown["full_name"]) == (7, "n", "o/n")
    assert shown["owner"] == {"login": "o", "id": 8, "type": "User"}
    assert (shown["url"], shown["html_url"], shown["clone_url"]) == (API, WEB, f"{WEB}.git")
    assert shown["default_branch"] == "main"


def test_a_published_release_has_its_tag_in_its_addresses() -> None:
    assert MADE.release_page(RELEASE) == f"{WEB}/releases/tag/python/v1.0%2Bx"
    assert MADE.download_url(RELEASE, ASSET) == (
        f"{WEB}/releases/download/python/v1.0%2Bx/a%2Bb.whl"
    )


def test_a_draft_has_no_tag_in_its_addresses() -> None:
    assert MADE.release_page(DRAFT) == f"{WEB}/releases/tag/untagged-0123456789"
    assert MADE.download_url(DRAFT, ASSET) == (
        f"{WEB}/releases/download/untagged-0123456789/a%2Bb.whl"
    )


def test_a_release_has_its_fields_and_its_assets() -> None:
    shown = MADE.release(RELEASE)
    assert shown["url"] == MADE.release_url(RELEASE) == f"{API}/releases/2"
    assert shown["upload_url"] == (
        "https://uploads.github.com/repos/o/n/releases/2/assets{?name,label}"
    )
    assert (shown["tag_name"], shown["target_commitish"]) == ("python/v1.0+x", "main")
    assert (shown["name"], shown["body"]) == ("One", None)
    assert (shown["draft"], shown["prerelease"], shown["immutable"]) == (False, True, False)
    assert shown["assets"] == [MADE.asset(RELEASE, ASSET)]
    assert shown["tarball_url"] == f"{API}/tarball/python/v1.0%2Bx"
    author = shown["author"]
    assert isinstance(author, dict)
    assert (author["login"], author["type"]) == (BOT_LOGIN, "Bot")


@pytest.mark.parametrize(
    ("release", "published", "updated"),
    [
        (RELEASE, "2026-01-03T00:00:00Z", "2026-01-03T00:00:00Z"),
        (DRAFT, None, "2026-01-01T00:00:00Z"),
    ],
)
def test_only_a_published_release_has_a_time_of_publication(
    release: Release, published: str | None, updated: str
) -> None:
    shown = MADE.release(release)
    assert (shown["published_at"], shown["updated_at"]) == (published, updated)


def test_an_asset_has_its_fields_and_the_user_of_the_token() -> None:
    shown = MADE.asset(RELEASE, ASSET)
    assert shown["url"] == MADE.asset_url(ASSET) == f"{API}/releases/assets/3"
    assert (shown["id"], shown["node_id"], shown["name"]) == (3, "RA_3", "a+b.whl")
    assert (shown["label"], shown["content_type"]) == ("The wheel", "application/zip")
    assert (shown["size"], shown["digest"]) == (5, f"sha256:{'e' * 64}")
    assert (shown["download_count"], shown["state"]) == (4, "uploaded")
    assert shown["browser_download_url"] == MADE.download_url(RELEASE, ASSET)
    uploader = shown["uploader"]
    assert isinstance(uploader, dict)
    assert uploader["login"] == BOT_LOGIN


@pytest.mark.parametrize(
    ("target", "url"),
    [
        (Target("tag", "d" * 40), f"{API}/git/tags/{'d' * 40}"),
        (Target("commit", "c" * 40), f"{API}/git/commits/{'c' * 40}"),
    ],
)
def test_a_ref_has_the_object_that_it_points_to(target: Target, url: str) -> None:
    shown = MADE.ref("refs/tags/v1+x", target)
    assert (shown["ref"], shown["url"]) == ("refs/tags/v1+x", f"{API}/git/refs/tags/v1%2Bx")
    assert shown["object"] == {"type": target.type, "sha": target.sha, "url": url}
