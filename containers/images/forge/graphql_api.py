"""The part of GitHub's GraphQL that `gh release` asks, with a real GraphQL engine behind it.

Names and types are those of GitHub's public schema; what is not here answers as an unknown field.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from graphql import GraphQLError, build_schema, graphql_sync
from werkzeug.wrappers import Response

from .config import Repository
from .refs import Refs
from .releases import Asset, Release, Store
from .routing import Problem, Request, Route, answer
from .shapes import BOT, Shapes

_LONGEST_QUERY = 20_000
_MOST = 100
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


class GraphQL:
    """Answers ``POST /graphql``."""

    def __init__(self, repository: Repository, store: Store, refs: Refs, shapes: Shapes) -> None:
        self._repository = repository
        self._store = store
        self._refs = refs
        self._shapes = shapes

    def routes(self) -> list[Route]:
        """List what this module answers."""
        return [Route("/graphql", self.ask, "token", methods=("POST",))]

    def ask(self, request: Request) -> Response:
        """Answer a query; an error in it is an answer too, with status 200."""
        table = request.table(query=str, variables=dict, operationName=str)
        query = table.get("query") or ""
        if not query:
            raise Problem(400, "A query attribute must be specified and must be a string.")
        if len(query) > _LONGEST_QUERY:
            raise Problem(400, "The query is too long.")
        try:
            result = graphql_sync(
                _SCHEMA,
                query,
                root_value={"repository": self._find(request), "viewer": _actor(BOT)},
                variable_values=table.get("variables"),
                operation_name=table.get("operationName"),
            )
        except RecursionError:
            raise Problem(400, "The query is nested too deeply.") from None
        told: dict[str, Any] = {}
        if result.data is not None or not result.errors:
            told["data"] = result.data
        if result.errors:
            told["errors"] = [
                {"message": one.message, "path": one.path} | (one.extensions or {})
                for one in result.errors
            ]
        return answer(told)

    def _find(self, request: Request) -> Any:
        def repository(_info: Any, owner: str, name: str, **_: Any) -> dict[str, Any]:
            if f"{owner}/{name}".lower() != self._repository.full_name.lower():
                raise GraphQLError(
                    f"Could not resolve to a Repository with the name '{owner}/{name}'.",
                    extensions={"type": "NOT_FOUND"},
                )
            return self._told(writes=request.writes)

        return repository

    def _told(self, *, writes: bool) -> dict[str, Any]:
        told = self._repository

        def release(_info: Any, tagName: str) -> dict[str, Any] | None:  # noqa: N803 - GitHub's name
            fit = [one for one in self._store.all(drafts=writes) if one.tag == tagName]
            published = [one for one in fit if not one.draft]
            return self._release((published or fit)[0]) if fit else None

        def releases(
            _info: Any,
            first: int | None = None,
            after: str | None = None,
            orderBy: dict[str, str] | None = None,  # noqa: N803 - GitHub's name
        ) -> dict[str, Any]:
            if first is None:
                raise GraphQLError(
                    "You must provide a `first` or `last` value to properly paginate the "
                    "`releases` connection.",
                    extensions={"type": "MISSING_PAGINATION_BOUNDARIES"},
                )
            order = orderBy or {"field": "CREATED_AT", "direction": "DESC"}
            found = self._store.all(drafts=writes)
            if order["field"] == "NAME":
                found.sort(key=lambda one: one.name or "", reverse=True)
            if order["direction"] == "ASC":
                found.reverse()
            return _connection([self._release(one) for one in found], first, after)

        latest = self._store.latest()
        return {
            "id": f"R_{told.id}",
            "databaseId": told.id,
            "name": told.name,
            "nameWithOwner": told.full_name,
            "owner": {"login": told.owner, "id": f"U_{told.owner_id}"},
            "url": self._shapes.web,
            "isPrivate": not told.public,
            "isArchived": False,
            "hasDiscussionsEnabled": False,
            "visibility": told.visibility.upper(),
            "viewerPermission": "WRITE" if writes else "READ",
            "defaultBranchRef": self._ref(f"refs/heads/{told.default_branch}"),
            "parent": None,
            "ref": lambda _info, qualifiedName: self._ref(qualifiedName),  # noqa: N803
            "release": release,
            "releases": releases,
            "latestRelease": self._release(latest) if latest else None,
        }

    def _ref(self, name: str) -> dict[str, Any] | None:
        target = self._refs.find(name)
        if target is None:
            return None
        prefix = "/".join(name.split("/")[:2]) + "/"
        return {
            "id": f"REF_{name}",
            "name": name.removeprefix(prefix),
            "prefix": prefix,
            "target": {"oid": target["sha"]},
        }

    def _release(self, release: Release) -> dict[str, Any]:
        commit = self._refs.commit(f"refs/tags/{release.tag}")

        def assets(
            _info: Any, first: int | None = None, after: str | None = None, name: str | None = None
        ) -> dict[str, Any]:
            found = [one for one in release.assets if name in (None, one.name)]
            return _connection([self._asset(release, one) for one in found], first, after)

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
            "url": self._shapes.page_of(release),
            "author": _actor(BOT),
            "tagCommit": {"oid": commit} if commit else None,
            "releaseAssets": assets,
        }

    def _asset(self, release: Release, asset: Asset) -> dict[str, Any]:
        told = self._shapes.asset(release, asset)
        return {
            "id": told["node_id"],
            "name": asset.name,
            "size": asset.size,
            "contentType": asset.content_type,
            "downloadCount": asset.downloads,
            "downloadUrl": told["browser_download_url"],
            "url": told["browser_download_url"],
            "createdAt": asset.created_at,
            "updatedAt": asset.updated_at,
            "digest": told["digest"],
        }


def _actor(user: dict[str, Any]) -> dict[str, Any]:
    return {"login": user["login"], "id": user["node_id"]}


def _connection(
    nodes: list[dict[str, Any]], first: int | None, after: str | None
) -> dict[str, Any]:
    size = _MOST if first is None else first
    if not 0 <= size <= _MOST:
        raise GraphQLError(f"`first` must be from 0 to {_MOST}.")
    begin = _position(after)
    shown = nodes[begin : begin + size]
    return {
        "nodes": shown,
        "totalCount": len(nodes),
        "pageInfo": {
            "hasNextPage": begin + size < len(nodes),
            "endCursor": _cursor(begin + len(shown)) if shown else None,
            "hasPreviousPage": begin > 0,
            "startCursor": _cursor(begin + 1) if shown else None,
        },
    }


def _cursor(position: int) -> str:
    return base64.b64encode(f"cursor:{position}".encode()).decode()


def _position(cursor: str | None) -> int:
    if not cursor:
        return 0
    try:
        told = base64.b64decode(cursor, validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        told = ""
    kind, _, text = told.partition(":")
    if kind != "cursor" or not text.isdigit() or len(text) > 9:
        raise GraphQLError(f"`{cursor}` does not appear to be a valid cursor.")
    return int(text)
