"""Releases as a workflow's clients make, find, change and delete them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.helpers.forge_server import MAIN, NEW, OLD, TAG_OBJECT, Forge, running

HOME = "https://github.com/quiver-owner/quiver2"
API = "https://api.github.com/repos/quiver-owner/quiver2"


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    with running(tmp_path_factory.mktemp("forge")) as forge:
        yield forge


@pytest.fixture
def forge(started: Forge) -> Forge:
    started.clean()
    return started


def errors(made: Any) -> list[tuple[str, str, str]]:
    body = made.json()
    assert made.status_code == 422
    assert body["message"] == "Validation Failed"
    assert body["status"] == "422"
    assert body["documentation_url"].startswith("https://docs.github.com/")
    return [(one["resource"], one.get("field", ""), one["code"]) for one in body["errors"]]


def tags(forge: Forge) -> dict[str, str]:
    return {one["name"]: one["commit"]["sha"] for one in forge.api("GET", "/tags").json()}


# Making.


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
    assert errors(again) == [("Release", "tag_name", "already_exists")]
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
    assert errors(other) == [("Release", "tag_name", "already_exists")]
    assert forge.api("GET", f"/releases/{second['id']}").json()["draft"] is True


def test_publishing_makes_a_missing_tag_at_its_target_and_a_draft_does_not(forge: Forge) -> None:
    forge.create("v1.0", draft=True, target_commitish=OLD)
    assert "v1.0" not in tags(forge)
    forge.create("v1.1", target_commitish=OLD)
    forge.create("v1.2")
    found = tags(forge)
    assert (found["v1.1"], found["v1.2"]) == (OLD, MAIN)
    forge.create("v0.5.0", target_commitish="main")
    assert tags(forge)["v0.5.0"] == NEW


def test_a_target_that_is_not_there_is_refused_unless_the_tag_exists(forge: Forge) -> None:
    made = forge.api("POST", "/releases", json={"tag_name": "v9", "target_commitish": "nowhere"})
    assert errors(made) == [("Release", "target_commitish", "invalid")]
    assert "v9" not in tags(forge)
    assert forge.create("v0.5.0", target_commitish="nowhere")["target_commitish"] == "nowhere"


def test_an_empty_tag_is_refused_with_all_that_is_wrong_with_it(forge: Forge) -> None:
    made = forge.api("POST", "/releases", json={"tag_name": ""})
    assert errors(made) == [
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
        assert len(errors(made)) == expected
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


# Changing and deleting.


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
    assert errors(refused) == [("Release", "tag_name", "already_exists")]
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
    assert "v1.0" in tags(forge)


# The latest.


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


# Notes.


@pytest.mark.parametrize(
    ("asked", "link"),
    [
        ({"tag_name": "v0.5.0"}, "compare/v0.4.0...v0.5.0"),
        ({"tag_name": "v0.10.0"}, "compare/v0.6.0...v0.10.0"),
        ({"tag_name": "v0.4.0"}, "compare/nightly...v0.4.0"),
        ({"tag_name": "v0.6.0", "previous_tag_name": "v0.4.0"}, "compare/v0.4.0...v0.6.0"),
        ({"tag_name": "v9", "target_commitish": "main"}, "compare/v0.10.0...v9"),
        ({"tag_name": "nightly"}, "commits/nightly"),
    ],
)
def test_generated_notes_link_what_changed_and_keep_nothing(
    forge: Forge, asked: dict[str, str], link: str
) -> None:
    told = forge.api("POST", "/releases/generate-notes", json=asked)
    assert told.status_code == 200
    assert told.json() == {
        "name": asked["tag_name"],
        "body": f"**Full Changelog**: {HOME}/{link}",
    }
    assert forge.kept() == []


def test_generated_notes_follow_the_body_of_a_release(forge: Forge) -> None:
    notes = f"**Full Changelog**: {HOME}/compare/v0.4.0...v0.5.0"
    release = forge.create("v0.5.0", body="Mine", generate_release_notes=True)
    assert (release["name"], release["body"]) == ("v0.5.0", f"Mine\n\n{notes}")
    plain = forge.create("v0.6.0", name="Six", draft=True)
    changed = forge.api(
        "PATCH", f"/releases/{plain['id']}", json={"generate_release_notes": True}
    ).json()
    assert changed["name"] == "Six"
    assert changed["body"] == f"**Full Changelog**: {HOME}/compare/v0.5.0...v0.6.0"


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"tag_name": "a b"}, "tag_name"),
        ({"tag_name": "v9", "target_commitish": "nowhere"}, "target_commitish"),
        ({"tag_name": "v0.5.0", "previous_tag_name": "v0.0.1"}, "previous_tag_name"),
    ],
)
def test_notes_for_what_is_not_there_are_refused(
    forge: Forge, asked: dict[str, str], field: str
) -> None:
    told = forge.api("POST", "/releases/generate-notes", json=asked)
    assert errors(told) == [("Release", field, "invalid")]
    assert forge.api("POST", "/releases/generate-notes", json={}).status_code == 422


# Pages.


def test_pages_are_linked_as_clients_follow_them(forge: Forge) -> None:
    for number in range(5):
        forge.create(f"v1.{number}")
    seen = []
    url: str | None = f"{API}/releases?per_page=2"
    first = forge.send("GET", url or "")
    assert set(first.links) == {"next", "last"}
    assert first.links["last"]["url"].endswith("per_page=2&page=3")
    while url:
        shown = forge.send("GET", url)
        seen += [one["tag_name"] for one in shown.json()]
        url = shown.links.get("next", {}).get("url")
    assert seen == [f"v1.{number}" for number in (4, 3, 2, 1, 0)]
    last = forge.send("GET", f"{API}/releases?per_page=2&page=3")
    assert set(last.links) == {"prev", "first"}
    assert "Link" not in forge.api("GET", "/releases").headers


@pytest.mark.parametrize("query", ["per_page=0", "per_page=-1", "page=x", "per_page=1e9", "page=²"])
def test_a_page_that_is_no_number_is_the_first(forge: Forge, query: str) -> None:
    forge.create("v1.0")
    shown = forge.api("GET", f"/releases?{query}")
    assert (shown.status_code, len(shown.json())) == (200, 1)


def test_a_page_beyond_the_end_is_empty(forge: Forge) -> None:
    shown = forge.api("GET", "/releases?page=999999")
    assert (shown.status_code, shown.json()) == (200, [])


# The repository and its refs.


def test_refs_are_told_as_git_has_them(forge: Forge) -> None:
    for path in ("tags/v0.5.0", "tags%2Fv0.5.0"):
        ref = forge.api("GET", f"/git/ref/{path}").json()
        assert ref["ref"] == "refs/tags/v0.5.0"
        assert (ref["object"]["type"], ref["object"]["sha"]) == ("tag", TAG_OBJECT)
    tag = forge.api("GET", f"/git/tags/{TAG_OBJECT}").json()
    assert (tag["tag"], tag["object"]["sha"]) == ("v0.5.0", NEW)
    plain = forge.api("GET", "/git/ref/tags/v0.4.0").json()["object"]
    assert (plain["type"], plain["sha"]) == ("commit", OLD)
    assert forge.api("GET", "/git/ref/heads/main").json()["object"]["sha"] == MAIN
    found = [one["ref"] for one in forge.api("GET", "/git/matching-refs/tags/v0.").json()]
    assert found == [f"refs/tags/v0.{number}.0" for number in (10, 4, 5, 6)]
    assert forge.api("GET", "/commits/v0.5.0").json()["sha"] == NEW
    assert forge.api("GET", f"/commits/{NEW}").json()["sha"] == NEW
    assert [one["name"] for one in forge.api("GET", "/branches").json()] == ["main"]
    assert [*tags(forge)] == ["v0.10.0", "v0.6.0", "v0.5.0", "v0.4.0", "nightly"]


def test_refs_that_are_not_there_are_not_found(forge: Forge) -> None:
    assert forge.api("GET", "/git/ref/tags/v9").status_code == 404
    assert forge.api("GET", f"/git/tags/{OLD}").status_code == 404
    assert forge.api("GET", "/git/matching-refs/tags/v9").json() == []
    told = forge.api("GET", "/commits/v9")
    assert (told.status_code, told.json()["message"]) == (422, "No commit found for SHA: v9")


def test_a_tag_can_be_deleted_and_a_branch_cannot(forge: Forge) -> None:
    forge.create("v1.0")
    assert forge.api("GET", "/git/ref/tags/v1.0").status_code == 200
    assert forge.api("DELETE", "/git/refs/tags/v1.0").status_code == 204
    assert forge.api("GET", "/git/ref/tags/v1.0").status_code == 404
    again = forge.api("DELETE", "/git/refs/tags/v1.0")
    assert (again.status_code, again.json()["message"]) == (422, "Reference does not exist")
    assert forge.api("DELETE", "/git/refs/heads/main").status_code == 422
    assert forge.api("GET", "/git/ref/heads/main").status_code == 200


def test_the_repository_tells_what_the_job_may_do(forge: Forge) -> None:
    told = forge.api("GET", "").json()
    assert (told["full_name"], told["id"], told["owner"]["id"]) == ("quiver-owner/quiver2", 74, 65)
    assert (told["default_branch"], told["private"]) == ("main", False)
    assert told["permissions"]["push"] is True
    assert forge.api("GET", "", token=None).json()["permissions"]["push"] is False
