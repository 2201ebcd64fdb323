"""GraphQL queries of `gh release`, and invalid queries."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests.helpers.forge_server import BUILD, NEW, TAG_OBJECT, Forge

# The fields are from the queries of gh 2.46 (`GH_DEBUG=api gh release list`).
BY_TAG = """query RepositoryReleaseByTag($name:String!$owner:String!$tagName:String!){
  repository(owner: $owner, name: $name){release(tagName: $tagName){databaseId,isDraft}}}"""

LIST = """query RepositoryReleaseList(
  $direction:OrderDirection!$endCursor:String$name:String!$owner:String!$perPage:Int!
){repository(owner: $owner, name: $name){
  releases(first: $perPage, orderBy: {field: CREATED_AT, direction: $direction}, after: $endCursor){
    nodes{name,tagName,isDraft,isLatest,isPrerelease,createdAt,publishedAt},
    pageInfo{hasNextPage,endCursor}}}}"""

NAMES = {"owner": "quiver-owner", "name": "quiver2"}


def send(forge: Forge, query: Any, **variables: Any) -> requests.Response:
    body = {"query": query, "variables": variables}
    return forge.send("POST", "https://api.github.com/graphql", json=body)


def repository(forge: Forge, query: str, **variables: Any) -> dict[str, Any]:
    response = send(forge, query, **NAMES, **variables)
    assert response.status_code == 200
    assert "errors" not in response.json(), response.text
    return dict(response.json()["data"]["repository"])


def test_only_a_writer_can_query_a_draft_by_its_tag(forge: Forge) -> None:
    assert repository(forge, BY_TAG, tagName="v0.5.0")["release"] is None
    draft = forge.create("v0.5.0", draft=True)
    release = repository(forge, BY_TAG, tagName="v0.5.0")["release"]
    assert release == {"databaseId": draft["id"], "isDraft": True}
    forge.register(BUILD)
    assert repository(forge, BY_TAG, tagName="v0.5.0")["release"] is None


def test_releases_are_listed_in_pages(forge: Forge) -> None:
    for number in range(5):
        forge.create(f"v1.{number}", name=f"N{number}", prerelease=number == 4)
    nodes: list[dict[str, Any]] = []
    cursor = None
    for size in (2, 2, 1):
        page = repository(forge, LIST, direction="DESC", perPage=2, endCursor=cursor)["releases"]
        assert len(page["nodes"]) == size
        assert page["pageInfo"]["hasNextPage"] is (size == 2)
        nodes += page["nodes"]
        cursor = page["pageInfo"]["endCursor"]
    assert [node["tagName"] for node in nodes] == [f"v1.{number}" for number in (4, 3, 2, 1, 0)]
    assert [node["tagName"] for node in nodes if node["isLatest"]] == ["v1.3"]
    assert [node["tagName"] for node in nodes if node["isPrerelease"]] == ["v1.4"]
    ascending = repository(forge, LIST, direction="ASC", perPage=100)["releases"]["nodes"]
    assert [node["name"] for node in ascending] == [f"N{number}" for number in range(5)]


def test_query_returns_assets_refs_and_permissions(forge: Forge) -> None:
    release = forge.create("v0.5.0")
    asset = forge.upload(release, "a.whl", b"x").json()
    data = repository(
        forge,
        """query($owner:String!$name:String!){repository(owner:$owner,name:$name){
          latestRelease{tagName tagCommit{oid} releaseAssets(first:9){totalCount nodes{
            name size digest downloadUrl}}}
          ref(qualifiedName:"refs/tags/v0.5.0"){name prefix target{oid}}
          none: ref(qualifiedName:"refs/tags/v9"){id}
          viewerPermission visibility isPrivate nameWithOwner defaultBranchRef{name}}}""",
    )
    latest = data["latestRelease"]
    assert (latest["tagName"], latest["tagCommit"]["oid"]) == ("v0.5.0", NEW)
    assert latest["releaseAssets"]["totalCount"] == 1
    (node,) = latest["releaseAssets"]["nodes"]
    assert node["digest"] == asset["digest"]
    assert node["downloadUrl"] == asset["browser_download_url"]
    assert data["ref"]["target"]["oid"] == TAG_OBJECT
    assert (data["ref"]["name"], data["ref"]["prefix"]) == ("v0.5.0", "refs/tags/")
    assert data["none"] is None
    assert (data["viewerPermission"], data["visibility"]) == ("WRITE", "PUBLIC")
    assert data["nameWithOwner"] == "quiver-owner/quiver2"
    assert data["defaultBranchRef"]["name"] == "main"


def test_other_repository_is_not_found_with_the_words_of_github(forge: Forge) -> None:
    body = send(forge, BY_TAG, owner="other", name="quiver2", tagName="v1").json()
    assert body["data"] == {"repository": None}
    (error,) = body["errors"]
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
def test_invalid_query_gets_errors_without_data(forge: Forge, query: str) -> None:
    response = send(forge, query)
    assert response.status_code in (200, 400)
    assert response.json().get("errors") or response.json().get("message")
    assert not (response.json().get("data") or {}).get("repository")


@pytest.mark.parametrize("query", [None, "", 5, "x" * 30_000])
def test_missing_or_too_long_query_is_refused(forge: Forge, query: object) -> None:
    assert send(forge, query).status_code in (400, 422)


def test_graphql_needs_a_token_and_returns_its_user(forge: Forge) -> None:
    url = "https://api.github.com/graphql"
    query = {"query": "{viewer{login}}"}
    assert forge.send("POST", url, json=query, token=None).status_code == 401
    assert forge.send("POST", url, json=query, token="wrong").status_code == 401  # noqa: S106
    body = forge.send("POST", url, json=query).json()
    assert body == {"data": {"viewer": {"login": "github-actions[bot]"}}}
