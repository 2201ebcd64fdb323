"""Requests that create, read, change and delete releases."""

from __future__ import annotations

import re

import pytest

from tests.helpers.forge_server import MAIN, NEW, OLD, Forge, refused_fields

WEB = "https://github.com/quiver-owner/quiver2"

API = "https://api.github.com/repos/quiver-owner/quiver2"


def test_new_release_is_found_by_tag_id_latest_and_list(forge: Forge) -> None:
    response = forge.api("POST", "/releases", json={"tag_name": "v0.5.0", "name": "N", "body": "B"})
    release = response.json()
    assert response.status_code == 201
    assert response.headers["Location"] == release["url"] == f"{API}/releases/{release['id']}"
    assert (release["tag_name"], release["name"], release["body"]) == ("v0.5.0", "N", "B")
    assert (release["draft"], release["prerelease"], release["assets"]) == (False, False, [])
    assert release["target_commitish"] == "main"
    assert release["html_url"] == f"{WEB}/releases/tag/v0.5.0"
    assert release["upload_url"] == (
        f"https://uploads.github.com/repos/quiver-owner/quiver2/releases/{release['id']}"
        "/assets{?name,label}"
    )
    assert release["author"]["login"] == "github-actions[bot]"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", release["published_at"])
    for path in ("/tags/v0.5.0", f"/{release['id']}", "/latest"):
        assert forge.api("GET", f"/releases{path}").json() == release
    assert forge.api("GET", "/releases").json() == [release]
    (stored,) = forge.stored_releases()
    assert (stored["tag"], stored["name"], stored["latest"]) == ("v0.5.0", "N", True)


@pytest.mark.parametrize("path", ["/tags/v0.5.0", "/latest", "/77", "/assets/77", "/77/assets"])
def test_unknown_release_is_not_found(forge: Forge, path: str) -> None:
    response = forge.api("GET", f"/releases{path}")
    assert response.status_code == 404
    assert response.json()["message"] == "Not Found"
    assert response.json()["status"] == "404"


def test_second_published_release_of_a_tag_is_refused(forge: Forge) -> None:
    forge.create("v0.5.0")
    response = forge.api("POST", "/releases", json={"tag_name": "v0.5.0"})
    assert refused_fields(response) == [("Release", "tag_name", "already_exists")]
    assert len(forge.stored_releases()) == 1


def test_drafts_can_share_a_tag_until_one_is_published(forge: Forge) -> None:
    first, second = forge.create("v0.5.0", draft=True), forge.create("v0.5.0", draft=True)
    assert forge.api("GET", "/releases/tags/v0.5.0").status_code == 404
    assert "/releases/tag/untagged-" in first["html_url"]
    assert first["published_at"] is None
    published = forge.api("PATCH", f"/releases/{first['id']}", json={"draft": False})
    assert published.json()["html_url"] == f"{WEB}/releases/tag/v0.5.0"
    assert published.json()["published_at"]
    refused = forge.api("PATCH", f"/releases/{second['id']}", json={"draft": False})
    assert refused_fields(refused) == [("Release", "tag_name", "already_exists")]
    assert forge.api("GET", f"/releases/{second['id']}").json()["draft"] is True


def test_published_release_creates_its_tag_and_a_draft_does_not(forge: Forge) -> None:
    forge.create("v1.0", draft=True, target_commitish=OLD)
    assert "v1.0" not in forge.tags()
    forge.create("v1.1", target_commitish=OLD)
    forge.create("v1.2")
    tags = forge.tags()
    assert (tags["v1.1"], tags["v1.2"]) == (OLD, MAIN)
    forge.create("v0.5.0", target_commitish="main")
    assert forge.tags()["v0.5.0"] == NEW


def test_unknown_target_is_refused_unless_the_tag_exists(forge: Forge) -> None:
    body = {"tag_name": "v9", "target_commitish": "nowhere"}
    response = forge.api("POST", "/releases", json=body)
    assert refused_fields(response) == [("Release", "target_commitish", "invalid")]
    assert "v9" not in forge.tags()
    assert forge.create("v0.5.0", target_commitish="nowhere")["target_commitish"] == "nowhere"


def test_empty_tag_is_refused_with_all_errors(forge: Forge) -> None:
    response = forge.api("POST", "/releases", json={"tag_name": ""})
    assert refused_fields(response) == [
        ("Release", "tag_name", "missing_field"),
        ("Release", "tag_name", "custom"),
        ("Release", "", "custom"),
    ]
    errors = response.json()["errors"]
    assert errors[1]["message"] == "tag_name is not well-formed"
    assert errors[2]["message"] == "Published releases must have a valid tag"


@pytest.mark.parametrize("tag", ["a b", "a..b", "-v1", "v1.lock", "v1/", "a~1", "\ud800", "@"])
def test_malformed_tag_is_refused(forge: Forge, tag: str) -> None:
    for draft, errors in ((False, 2), (True, 1)):
        response = forge.api("POST", "/releases", json={"tag_name": tag, "draft": draft})
        assert len(refused_fields(response)) == errors
    assert forge.stored_releases() == []


def test_tag_with_a_slash_is_found_plain_and_quoted(forge: Forge) -> None:
    release = forge.create("python/v1.0")
    for path in ("python/v1.0", "python%2Fv1.0"):
        assert forge.api("GET", f"/releases/tags/{path}").json()["id"] == release["id"]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"{", 400, "Problems parsing JSON"),
        (b"[" * 100_000, 400, "Problems parsing JSON"),
        (b"[]", 400, "Body should be a JSON object"),
        (b"", 422, 'Invalid request.\n\n"tag_name" wasn\'t supplied.'),
        (b'{"tag_name": 5}', 422, "For 'properties/tag_name', 5 is not a string."),
        (b'{"tag_name": "v1", "draft": "yes"}', 422, '"yes" is not a boolean.'),
        (b'{"tag_name": "v1", "make_latest": "perhaps"}', 422, "make_latest is not a member"),
        (b'{"tag_name": "v1", "discussion_category_name": "General"}', 404, "Not Found"),
        (b'{"tag_name": "v1", "body": "' + b"x" * 125_001 + b'"}', 422, "Validation Failed"),
        (b'{"tag_name": "v1", "body": "' + b"x" * 2_000_000 + b'"}', 422, "is too large"),
    ],
    ids=["half", "deep", "list", "empty", "number", "text", "latest", "talk", "long", "huge"],
)
def test_invalid_body_is_refused(forge: Forge, body: bytes, status: int, message: str) -> None:
    response = forge.api("POST", "/releases", data=body)
    assert response.status_code == status
    assert message in response.json()["message"]
    assert forge.stored_releases() == []


def test_change_affects_only_the_named_fields(forge: Forge) -> None:
    release = forge.create("v0.5.0", name="N", body="B")
    changed = forge.api("PATCH", f"/releases/{release['id']}", json={"body": "other"}).json()
    differing = {key for key in release if changed[key] != release[key]}
    assert differing == {"body"}
    assert forge.stored_releases()[0]["body"] == "other"


def test_change_to_a_tag_in_use_is_refused_and_changes_nothing(forge: Forge) -> None:
    forge.create("v0.5.0")
    other = forge.create("v0.4.0", name="N")
    path = f"/releases/{other['id']}"
    refused = forge.api("PATCH", path, json={"tag_name": "v0.5.0", "name": "M"})
    assert refused_fields(refused) == [("Release", "tag_name", "already_exists")]
    assert forge.api("GET", path).json()["name"] == "N"
    assert forge.api("PATCH", path, json={"tag_name": "v0.6.0"}).json()["tag_name"] == "v0.6.0"


def test_deleting_a_release_deletes_its_files_but_not_its_tag(forge: Forge) -> None:
    release = forge.create("v1.0")
    asset = forge.upload(release, "a.whl", b"bytes").json()
    assert (forge.folder / "assets" / str(asset["id"])).read_bytes() == b"bytes"
    response = forge.api("DELETE", f"/releases/{release['id']}")
    assert (response.status_code, response.content) == (204, b"")
    assert forge.api("DELETE", f"/releases/{release['id']}").status_code == 404
    assert forge.stored_releases() == []
    assert not (forge.folder / "assets" / str(asset["id"])).exists()
    assert "v1.0" in forge.tags()


def test_latest_release_is_the_last_published_one_or_follows_make_latest(forge: Forge) -> None:
    def latest() -> str:
        return str(forge.api("GET", "/releases/latest").json().get("tag_name"))

    forge.create("v0.5.0")
    old = forge.create("v0.4.0")
    assert latest() == "v0.4.0"
    forge.create("v0.6.0", make_latest="false")
    forge.create("v0.7.0", prerelease=True)
    forge.create("v0.8.0", draft=True)
    assert latest() == "v0.4.0"
    forge.create("v0.10.0", make_latest="legacy")
    assert latest() == "v0.10.0"
    forge.api("PATCH", f"/releases/{old['id']}", json={"make_latest": "true"})
    assert latest() == "v0.4.0"
    forge.api("PATCH", f"/releases/{old['id']}", json={"make_latest": "false"})
    assert latest() == "v0.10.0"
    latest_tags = [release["tag"] for release in forge.stored_releases() if release["latest"]]
    assert latest_tags == ["v0.10.0"]
