"""The part of GitHub's GraphQL API that `gh release` uses. A GraphQL library runs the queries.

The names and types are from GitHub's public schema. A query for any other field is answered with
an error.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from graphql import GraphQLError, GraphQLResolveInfo, build_schema, graphql_sync
from server.json_reader import Json, JsonObject
from werkzeug.wrappers import Response

from .config import Repository
from .refs import Refs
from .releases import Asset, Release, ReleaseStore
from .representations import BOT_LOGIN, BOT_NODE_ID, Representations
from .routing import Problem, Request, Route, json_response

Node: TypeAlias = "dict[str, Value]"
"""An object of the schema. Its fields are values, or functions that compute values on request."""
Value: TypeAlias = "Node | list[Node] | Callable[..., Node | None] | str | int | bool | None"

_MAX_QUERY_LENGTH = 20_000
_MAX_PAGE_SIZE = 100
_BOT: Node = {"login": BOT_LOGIN, "id": BOT_NODE_ID}
_SCHEMA = build_schema(
    """
    scalar DateTime
    scalar URI
    scalar GitObjectID
    enum OrderDirection { ASC DESC }
    enum ReleaseOrderField { CREATED_AT NAME }
    input ReleaseOrder { field: ReleaseOrderField!, direction: OrderDirection! }
    enum RepositoryVisibility { PUBLIC PRIVATE INTERNAL }
    enum RepositoryPermission { ADMIN MAINTAIN WRITE TRIAGE READ }
    type Query {
      repository(owner: String!, name: String!, followRenames: Boolean = true): Repository
      viewer: Actor!
    }
    type Actor { login: String!, id: ID! }
    type Repository {
      id: ID!, databaseId: Int, name: String!, nameWithOwner: String!, owner: Actor!, url: URI!,
      isPrivate: Boolean!, isArchived: Boolean!, hasDiscussionsEnabled: Boolean!,
      hasIssuesEnabled: Boolean!, hasWikiEnabled: Boolean!, description: String,
      mergeCommitAllowed: Boolean!, rebaseMergeAllowed: Boolean!, squashMergeAllowed: Boolean!,
      visibility: RepositoryVisibility!, viewerPermission: RepositoryPermission,
      defaultBranchRef: Ref, parent: Repository,
      ref(qualifiedName: String!): Ref
      release(tagName: String!): Release
      latestRelease: Release
      releases(first: Int, after: String, orderBy: ReleaseOrder): ReleaseConnection!
    }
    type Ref { id: ID!, name: String!, prefix: String!, target: GitObject }
    type GitObject { oid: GitObjectID! }
    type PageInfo {
      hasNextPage: Boolean!, endCursor: String, hasPreviousPage: Boolean!, startCursor: String
    }
    type ReleaseConnection { nodes: [Release], totalCount: Int!, pageInfo: PageInfo! }
    type Release {
      id: ID!, databaseId: Int, name: String, tagName: String!, description: String,
      isDraft: Boolean!, isLatest: Boolean!, isPrerelease: Boolean!, immutable: Boolean!,
      createdAt: DateTime!, publishedAt: DateTime, updatedAt: DateTime!, url: URI!,
      author: Actor, tagCommit: GitObject,
      releaseAssets(first: Int, after: String, name: String): ReleaseAssetConnection!
    }
    type ReleaseAssetConnection { nodes: [ReleaseAsset], totalCount: Int!, pageInfo: PageInfo! }
    type ReleaseAsset {
      id: ID!, name: String!, size: Int!, contentType: String!, downloadCount: Int!,
      downloadUrl: URI!, url: URI!, createdAt: DateTime!, updatedAt: DateTime!, digest: String
    }
    """
)


@dataclass(frozen=True, slots=True)
class GraphqlApi:
    """Answers ``POST /graphql``."""

    _repository: Repository
    _store: ReleaseStore
    _refs: Refs
    _representations: Representations

    def routes(self) -> list[Route]:
        """Return the routes of this module."""
        return [Route("/graphql", self.query, "token", methods=("POST",))]

    def query(self, request: Request) -> Response:
        """Answer a query. The answer to a query with errors lists them and has status 200."""
        body = request.body()
        query = body.get("query", str)
        variables, operation = body.get("variables", dict), body.get("operationName", str)
        if not query:
            raise Problem(400, "A query attribute must be specified and must be a string.")
        if len(query) > _MAX_QUERY_LENGTH:
            raise Problem(400, "The query is too long.")
        try:
            result = graphql_sync(
                _SCHEMA,
                query,
                root_value=self._root_node(writes=request.writes),
                variable_values=variables,
                operation_name=operation,
            )
        except RecursionError:
            raise Problem(400, "The query is nested too deeply.") from None
        answer: JsonObject = {}
        if result.data is not None or not result.errors:
            answer["data"] = result.data
        if result.errors:
            answer["errors"] = [_error(error) for error in result.errors]
        return json_response(answer)

    def _root_node(self, *, writes: bool) -> Node:
        def repository(_info: GraphQLResolveInfo, owner: str, name: str, **_: bool) -> Node:
            if f"{owner}/{name}".lower() != self._repository.full_name.lower():
                raise GraphQLError(
                    f"Could not resolve to a Repository with the name '{owner}/{name}'.",
                    extensions={"type": "NOT_FOUND"},
                )
            return self._repository_node(writes=writes)

        return {"repository": repository, "viewer": _BOT}

    def _repository_node(self, *, writes: bool) -> Node:
        repository = self._repository

        def release(_info: GraphQLResolveInfo, tagName: str) -> Node | None:  # noqa: N803
            tagged = [rel for rel in self._store.all(drafts=writes) if rel.tag == tagName]
            published = [rel for rel in tagged if not rel.draft]
            return self._release_node((published or tagged)[0]) if tagged else None

        def releases(
            _info: GraphQLResolveInfo,
            first: int | None = None,
            after: str | None = None,
            orderBy: dict[str, str] | None = None,  # noqa: N803 - GitHub's name
        ) -> Node:
            if first is None:
                raise GraphQLError(
                    "You must provide a `first` or `last` value to properly paginate the "
                    "`releases` connection.",
                    extensions={"type": "MISSING_PAGINATION_BOUNDARIES"},
                )
            order = orderBy or {"field": "CREATED_AT", "direction": "DESC"}
            sorted_releases = self._store.all(drafts=writes)
            if order["field"] == "NAME":
                sorted_releases.sort(key=lambda release: release.name or "", reverse=True)
            if order["direction"] == "ASC":
                sorted_releases.reverse()
            nodes = [self._release_node(release) for release in sorted_releases]
            return _connection(nodes, first, after)

        latest = self._store.latest()
        return {
            "id": f"R_{repository.id}",
            "databaseId": repository.id,
            "name": repository.name,
            "nameWithOwner": repository.full_name,
            "owner": {"login": repository.owner, "id": f"U_{repository.owner_id}"},
            "url": self._representations.web,
            "isPrivate": not repository.public,
            "isArchived": False,
            "hasDiscussionsEnabled": False,
            "hasIssuesEnabled": True,
            "hasWikiEnabled": False,
            "description": "",
            **dict.fromkeys(
                ("mergeCommitAllowed", "rebaseMergeAllowed", "squashMergeAllowed"), True
            ),
            "visibility": repository.visibility.upper(),
            "viewerPermission": "WRITE" if writes else "READ",
            "defaultBranchRef": self._ref_node(f"refs/heads/{repository.default_branch}"),
            "parent": None,
            "ref": lambda _info, qualifiedName: self._ref_node(qualifiedName),  # noqa: N803
            "release": release,
            "releases": releases,
            "latestRelease": self._release_node(latest) if latest else None,
        }

    def _ref_node(self, name: str) -> Node | None:
        target = self._refs.find(name)
        if target is None:
            return None
        prefix = "/".join(name.split("/")[:2]) + "/"
        return {
            "id": f"REF_{name}",
            "name": name.removeprefix(prefix),
            "prefix": prefix,
            "target": {"oid": target.sha},
        }

    def _release_node(self, release: Release) -> Node:
        commit = self._refs.commit(f"refs/tags/{release.tag}")

        def assets(
            _info: GraphQLResolveInfo,
            first: int | None = None,
            after: str | None = None,
            name: str | None = None,
        ) -> Node:
            named = [asset for asset in release.assets if name in (None, asset.name)]
            return _connection([self._asset_node(release, asset) for asset in named], first, after)

        return {
            "id": f"RE_{release.id}",
            "databaseId": release.id,
            "name": release.name,
            "tagName": release.tag,
            "description": release.body,
            "isDraft": release.draft,
            "isLatest": self._store.latest() is release,
            "isPrerelease": release.prerelease,
            "immutable": False,
            "createdAt": release.created_at,
            "publishedAt": release.published_at,
            "updatedAt": release.published_at or release.created_at,
            "url": self._representations.release_page(release),
            "author": _BOT,
            "tagCommit": {"oid": commit} if commit else None,
            "releaseAssets": assets,
        }

    def _asset_node(self, release: Release, asset: Asset) -> Node:
        url = self._representations.download_url(release, asset)
        return {
            "id": asset.node_id,
            "name": asset.name,
            "size": asset.size,
            "contentType": asset.content_type,
            "downloadCount": asset.downloads,
            "downloadUrl": url,
            "url": url,
            "createdAt": asset.created_at,
            "updatedAt": asset.updated_at,
            "digest": asset.digest,
        }


def _error(error: GraphQLError) -> Json:
    path: Json = None if error.path is None else [*error.path]
    return {"message": error.message, "path": path, **(error.extensions or {})}


def _connection(nodes: list[Node], first: int | None, after: str | None) -> Node:
    size = _MAX_PAGE_SIZE if first is None else first
    if not 0 <= size <= _MAX_PAGE_SIZE:
        raise GraphQLError(f"`first` must be from 0 to {_MAX_PAGE_SIZE}.")
    begin = _position(after)
    page = nodes[begin : begin + size]
    return {
        "nodes": page,
        "totalCount": len(nodes),
        "pageInfo": {
            "hasNextPage": begin + size < len(nodes),
            "endCursor": _cursor(begin + len(page)) if page else None,
            "hasPreviousPage": begin > 0,
            "startCursor": _cursor(begin + 1) if page else None,
        },
    }


def _cursor(position: int) -> str:
    return base64.b64encode(f"cursor:{position}".encode()).decode()


def _position(cursor: str | None) -> int:
    if not cursor:
        return 0
    try:
        text = base64.b64decode(cursor, validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        text = ""
    kind, _, number = text.partition(":")
    if kind != "cursor" or not number.isdigit() or len(number) > 9:
        raise GraphQLError(f"`{cursor}` does not appear to be a valid cursor.")
    return int(number)
