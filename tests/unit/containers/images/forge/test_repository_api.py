"""The REST API for the repository and its refs."""

from __future__ import annotations

from tests.helpers.forge_server import (
    MAIN,
    NEW,
    OLD,
    TAG_OBJECT,
    Forge,
)


def test_token_of_a_workflow_has_no_user(forge: Forge) -> None:
    assert forge.send("GET", "https://api.github.com/user").status_code == 403
    assert forge.send("GET", "https://api.github.com/user", token=None).status_code == 401
    root = forge.send("GET", "https://api.github.com/", token=None).json()
    assert root["rate_limit_url"] == "https://api.github.com/rate_limit"
    assert forge.send("GET", root["rate_limit_url"], token=None).json()["rate"]["remaining"] > 0
    assert "installed_version" not in forge.send("GET", "https://api.github.com/meta").json()


def test_refs_have_their_git_objects(forge: Forge) -> None:
    for path in ("tags/v0.5.0", "tags%2Fv0.5.0"):
        ref = forge.api("GET", f"/git/ref/{path}").json()
        assert ref["ref"] == "refs/tags/v0.5.0"
        assert (ref["object"]["type"], ref["object"]["sha"]) == ("tag", TAG_OBJECT)
    tag = forge.api("GET", f"/git/tags/{TAG_OBJECT}").json()
    assert (tag["tag"], tag["object"]["sha"]) == ("v0.5.0", NEW)
    lightweight = forge.api("GET", "/git/ref/tags/v0.4.0").json()["object"]
    assert (lightweight["type"], lightweight["sha"]) == ("commit", OLD)
    assert forge.api("GET", "/git/ref/heads/main").json()["object"]["sha"] == MAIN
    refs = [ref["ref"] for ref in forge.api("GET", "/git/matching-refs/tags/v0.").json()]
    assert refs == [f"refs/tags/v0.{number}.0" for number in (10, 4, 5, 6)]
    assert forge.api("GET", "/commits/v0.5.0").json()["sha"] == NEW
    assert forge.api("GET", f"/commits/{NEW}").json()["sha"] == NEW
    assert [branch["name"] for branch in forge.api("GET", "/branches").json()] == ["main"]
    assert [*forge.tags()] == ["v0.10.0", "v0.6.0", "v0.5.0", "v0.4.0", "nightly"]


def test_unknown_refs_are_not_found(forge: Forge) -> None:
    assert forge.api("GET", "/git/ref/tags/v9").status_code == 404
    assert forge.api("GET", f"/git/tags/{OLD}").status_code == 404
    assert forge.api("GET", "/git/matching-refs/tags/v9").json() == []
    response = forge.api("GET", "/commits/v9")
    assert response.status_code == 422
    assert response.json()["message"] == "No commit found for SHA: v9"


def test_tags_can_be_deleted_and_branches_cannot(forge: Forge) -> None:
    forge.create("v1.0")
    assert forge.api("GET", "/git/ref/tags/v1.0").status_code == 200
    assert forge.api("DELETE", "/git/refs/tags/v1.0").status_code == 204
    assert forge.api("GET", "/git/ref/tags/v1.0").status_code == 404
    response = forge.api("DELETE", "/git/refs/tags/v1.0")
    assert (response.status_code, response.json()["message"]) == (422, "Reference does not exist")
    assert forge.api("DELETE", "/git/refs/heads/main").status_code == 422
    assert forge.api("GET", "/git/ref/heads/main").status_code == 200


def test_repository_has_its_names_and_the_permissions_of_the_job(forge: Forge) -> None:
    repository = forge.api("GET", "").json()
    assert repository["full_name"] == "quiver-owner/quiver2"
    assert (repository["id"], repository["owner"]["id"]) == (74, 65)
    assert (repository["default_branch"], repository["private"]) == ("main", False)
    assert repository["permissions"]["push"] is True
    assert forge.api("GET", "", token=None).json()["permissions"]["push"] is False
