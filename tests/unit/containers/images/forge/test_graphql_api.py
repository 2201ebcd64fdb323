"""GraphQL as `gh release` uses it, and invalid queries that the forge must refuse."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests.helpers.forge_server import BUILD, NEW, TAG_OBJECT, Forge

# The names of the fields are those of gh's own queries (gh 2.46, `GH_DEBUG=api gh release list`).
BY_TAG = """query RepositoryReleaseByTag($name:String!$owner:String!$tagName:String!){
  repository(owner: $owner, name: $name){release(tagName: $tagName){databaseId,isDraft}}}"""

LIST = """query RepositoryReleaseList(
  $direction:OrderDirection!$endCursor:String$name:String!$owner:String!$perPage:Int!
){repository(owner: $owner, name: $name){
  releases(first: $perPage, orderBy: {field: CREATED_AT, direction: $direction}, after: $endCursor){
    nodes{name,tagName,isDraft,isLatest,isPrerelease,createdAt,publishedAt},
    pageInfo{hasNextPage,endCursor}}}}"""

OURS = {"owner": "quiver-owner", "name": "quiver2"}


def ask(forge: Forge, query: Any, **variables: Any) -> requests.Response:
    asked = {"query": query, "variables": variables}
    return forge.send("POST", "https://api.github.com/graphql", json=asked)


def repository(forge: Forge, query: str, **variables: Any) -> dict[str, Any]:
    told = ask(forge, query, **OURS, **variables)
    assert told.status_code == 200
    assert "errors" not in told.json(), told.text
    return dict(told.json()["data"]["repository"])


def test_a_draft_is_found_by_its_tag_by_who_may_write(forge: Forge) -> None:
    assert repository(forge, BY_TAG, tagName="v0.5.0")["release"] is None
    draft = forge.create("v0.5.0", draft=True)
    found = repository(forge, BY_TAG, tagName="v0.5.0")["release"]
    assert found == {"databaseId": draft["id"], "isDraft": True}
    forge.register(BUILD)
    assert repository(forge, BY_TAG, tagName="v0.5.0")["release"] is None


def test_releases_are_listed_in_pages(forge: Forge) -> None:
    for number in range(5):
        forge.create(f"v1.{number}", name=f"N{number}", prerelease=number == 4)
    seen: list[dict[str, Any]] = []
    cursor = None
    for expected in (2, 2, 1):
        told = repository(forge, LIST, direction="DESC", perPage=2, endCursor=cursor)["releases"]
        assert len(told["nodes"]) == expected
        assert told["pageInfo"]["hasNextPage"] is (expected == 2)
        seen += told["nodes"]
        cursor = told["pageInfo"]["endCursor"]
    assert [one["tagName"] for one in seen] == [f"v1.{number}" for number in (4, 3, 2, 1, 0)]
    assert [one["tagName"] for one in seen if one["isLatest"]] == ["v1.3"]
    assert [one["tagName"] for one in seen if one["isPrerelease"]] == ["v1.4"]
    told = repository(forge, LIST, direction="ASC", perPage=100)["releases"]["nodes"]
    assert [one["name"] for one in told] == [f"N{number}" for number in range(5)]


def test_assets_and_tags_are_told(forge: Forge) -> None:
    release = forge.create("v0.5.0")
    asset = forge.upload(release, "a.whl", b"x").json()
    told = repository(
        forge,
        """query($owner:String!$name:String!){repository(owner:$owner,name:$name){
          latestRelease{tagName tagCommit{oid} releaseAssets(first:9){totalCount nodes{
            name size digest downloadUrl}}}
          ref(qualifiedName:"refs/tags/v0.5.0"){name prefix target{oid}}
          none: ref(qualifiedName:"refs/tags/v9"){id}
          viewerPermission visibility isPrivate nameWithOwner defaultBranchRef{name}}}""",
    )
    latest = told["latestRelease"]
    assert (latest["tagName"], latest["tagCommit"]["oid"]) == ("v0.5.0", NEW)
    assert latest["releaseAssets"]["totalCount"] == 1
    (node,) = latest["releaseAssets"]["nodes"]
    assert node["digest"] == asset["digest"]
    assert node["downloadUrl"] == asset["browser_download_url"]
    assert told["ref"]["target"]["oid"] == TAG_OBJECT
    assert (told["ref"]["name"], told["ref"]["prefix"]) == ("v0.5.0", "refs/tags/")
    assert told["none"] is None
    assert (told["viewerPermission"], told["visibility"]) == ("WRITE", "PUBLIC")
    assert told["nameWithOwner"] == "quiver-owner/quiver2"
    assert told["defaultBranchRef"]["name"] == "main"


def test_another_repository_is_not_found_in_githubs_words(forge: Forge) -> None:
    told = ask(forge, BY_TAG, owner="other", name="quiver2", tagName="v1").json()
    assert told["data"] == {"repository": None}
    (error,) = told["errors"]
    assert (error["type"], error["path"]) == ("NOT_FOUND", ["repository"])
    assert error["message"] == ("Could not resolve to a Repository with the name 'other/quiver2'.")


@pytest.mark.parametrize(
    "query",
    [
        "{",
        "{repository{id}}",
        "{viewer{nonsense}}",
        "mutation {createRelease{id}}",
        '{repository(owner:"quiver-owner",name:"quiver2"){releases{totalCount}}}',
        '{repository(owner:"quiver-owner",name:"quiver2"){releases(first:101){totalCount}}}',
        '{repository(owner:"quiver-owner",name:"quiver2")'
        '{releases(first:1,after:"x"){totalCount}}}',
        "{viewer" + "{a" * 2000 + "}" * 2001,
    ],
)
def test_a_query_that_cannot_be_answered_gets_errors(forge: Forge, query: str) -> None:
    told = ask(forge, query)
    assert told.status_code in (200, 400)
    assert told.json().get("errors") or told.json().get("message")
    assert not (told.json().get("data") or {}).get("repository")


@pytest.mark.parametrize("query", [None, "", 5, "x" * 30_000])
def test_what_is_no_query_is_refused(forge: Forge, query: object) -> None:
    assert ask(forge, query).status_code in (400, 422)


def test_graphql_needs_a_token_and_knows_who_asks(forge: Forge) -> None:
    url = "https://api.github.com/graphql"
    asked = {"query": "{viewer{login}}"}
    assert forge.send("POST", url, json=asked, token=None).status_code == 401
    assert forge.send("POST", url, json=asked, token="wrong").status_code == 401  # noqa: S106
    told = forge.send("POST", url, json=asked).json()
    assert told == {"data": {"viewer": {"login": "github-actions[bot]"}}}
