"""Releases created, read, changed and deleted by the clients of a workflow."""

from __future__ import annotations

import re

import pytest

from tests.helpers.forge_server import MAIN, NEW, OLD, Forge, refused_fields

HOME = "https://github.com/quiver-owner/quiver2"

API = "https://api.github.com/repos/quiver-owner/quiver2"


def test_a_release_is_made_and_found_by_tag_by_id_as_the_latest_and_in_the_list(
    forge: Forge,
) -> None:
    made = forge.api("POST", "/releases", json={"tag_name": "v0.5.0", "name": "N", "body": "B"})
    release = made.json()
    assert made.status_code == 201
    assert made.headers["Location"] == release["url"] == f"{API}/releases/{release['id']}"
    assert (release["tag_name"], release["name"], release["body"]) == ("v0.5.0", "N", "B")
    assert (release["draft"], release["prerelease"], release["assets"]) == (False, False, [])
    assert release["target_commitish"] == "main"
    assert release["html_url"] == f"{HOME}/releases/tag/v0.5.0"
    assert release["upload_url"] == (
        f"https://uploads.github.com/repos/quiver-owner/quiver2/releases/{release['id']}"
        "/assets{?name,label}"
    )
    assert release["author"]["login"] == "github-actions[bot]"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", release["published_at"])
    for path in ("/tags/v0.5.0", f"/{release['id']}", "/latest"):
        assert forge.api("GET", f"/releases{path}").json() == release
    assert forge.api("GET", "/releases").json() == [release]
    (kept,) = forge.kept()
    assert (kept["tag"], kept["name"], kept["latest"]) == ("v0.5.0", "N", True)


@pytest.mark.parametrize("path", ["/tags/v0.5.0", "/latest", "/77", "/assets/77", "/77/assets"])
def test_what_is_not_there_is_not_found(forge: Forge, path: str) -> None:
    missing = forge.api("GET", f"/releases{path}")
    assert missing.status_code == 404
    assert missing.json()["message"] == "Not Found"
    assert missing.json()["status"] == "404"


def test_a_second_published_release_of_a_tag_is_refused(forge: Forge) -> None:
    forge.create("v0.5.0")
    again = forge.api("POST", "/releases", json={"tag_name": "v0.5.0"})
    assert refused_fields(again) == [("Release", "tag_name", "already_exists")]
    assert len(forge.kept()) == 1


def test_drafts_may_share_a_tag_until_one_is_published(forge: Forge) -> None:
    first, second = forge.create("v0.5.0", draft=True), forge.create("v0.5.0", draft=True)
    assert forge.api("GET", "/releases/tags/v0.5.0").status_code == 404
    assert "/releases/tag/untagged-" in first["html_url"]
    assert first["published_at"] is None
    done = forge.api("PATCH", f"/releases/{first['id']}", json={"draft": False})
    assert done.json()["html_url"] == f"{HOME}/releases/tag/v0.5.0"
    assert done.json()["published_at"]
    other = forge.api("PATCH", f"/releases/{second['id']}", json={"draft": False})
    assert refused_fields(other) == [("Release", "tag_name", "already_exists")]
    assert forge.api("GET", f"/releases/{second['id']}").json()["draft"] is True


def test_publishing_makes_a_missing_tag_at_its_target_and_a_draft_does_not(forge: Forge) -> None:
    forge.create("v1.0", draft=True, target_commitish=OLD)
    assert "v1.0" not in forge.tags()
    forge.create("v1.1", target_commitish=OLD)
    forge.create("v1.2")
    found = forge.tags()
    assert (found["v1.1"], found["v1.2"]) == (OLD, MAIN)
    forge.create("v0.5.0", target_commitish="main")
    assert forge.tags()["v0.5.0"] == NEW


def test_a_target_that_is_not_there_is_refused_unless_the_tag_exists(forge: Forge) -> None:
    made = forge.api("POST", "/releases", json={"tag_name": "v9", "target_commitish": "nowhere"})
    assert refused_fields(made) == [("Release", "target_commitish", "invalid")]
    assert "v9" not in forge.tags()
    assert forge.create("v0.5.0", target_commitish="nowhere")["target_commitish"] == "nowhere"


def test_an_empty_tag_is_refused_with_all_that_is_wrong_with_it(forge: Forge) -> None:
    made = forge.api("POST", "/releases", json={"tag_name": ""})
    assert refused_fields(made) == [
        ("Release", "tag_name", "missing_field"),
        ("Release", "tag_name", "custom"),
        ("Release", "", "custom"),
    ]
    assert made.json()["errors"][1]["message"] == "tag_name is not well-formed"
    assert made.json()["errors"][2]["message"] == "Published releases must have a valid tag"


@pytest.mark.parametrize("tag", ["a b", "a..b", "-v1", "v1.lock", "v1/", "a~1", "\ud800", "@"])
def test_a_malformed_tag_is_refused(forge: Forge, tag: str) -> None:
    for draft, expected in ((False, 2), (True, 1)):
        made = forge.api("POST", "/releases", json={"tag_name": tag, "draft": draft})
        assert len(refused_fields(made)) == expected
    assert forge.kept() == []


def test_a_tag_with_a_slash_is_found_plain_and_quoted(forge: Forge) -> None:
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
def test_a_body_that_cannot_be_taken_is_refused(
    forge: Forge, body: bytes, status: int, message: str
) -> None:
    made = forge.api("POST", "/releases", data=body)
    assert made.status_code == status
    assert message in made.json()["message"]
    assert forge.kept() == []


def test_a_change_changes_what_it_names_and_nothing_else(forge: Forge) -> None:
    release = forge.create("v0.5.0", name="N", body="B")
    changed = forge.api("PATCH", f"/releases/{release['id']}", json={"body": "other"}).json()
    differing = {key for key in release if changed[key] != release[key]}
    assert differing == {"body"}
    assert forge.kept()[0]["body"] == "other"


def test_a_change_to_a_tag_that_is_taken_is_refused_and_changes_nothing(forge: Forge) -> None:
    forge.create("v0.5.0")
    other = forge.create("v0.4.0", name="N")
    path = f"/releases/{other['id']}"
    refused = forge.api("PATCH", path, json={"tag_name": "v0.5.0", "name": "M"})
    assert refused_fields(refused) == [("Release", "tag_name", "already_exists")]
    assert forge.api("GET", path).json()["name"] == "N"
    assert forge.api("PATCH", path, json={"tag_name": "v0.6.0"}).json()["tag_name"] == "v0.6.0"


def test_deleting_a_release_keeps_its_tag_and_takes_its_bytes(forge: Forge) -> None:
    release = forge.create("v1.0")
    asset = forge.upload(release, "a.whl", b"bytes").json()
    assert (forge.folder / "assets" / str(asset["id"])).read_bytes() == b"bytes"
    gone = forge.api("DELETE", f"/releases/{release['id']}")
    assert (gone.status_code, gone.content) == (204, b"")
    assert forge.api("DELETE", f"/releases/{release['id']}").status_code == 404
    assert forge.kept() == []
    assert not (forge.folder / "assets" / str(asset["id"])).exists()
    assert "v1.0" in forge.tags()


def test_the_latest_is_the_last_one_published_unless_told_otherwise(forge: Forge) -> None:
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
    assert [one["tag"] for one in forge.kept() if one["latest"]] == ["v0.10.0"]
