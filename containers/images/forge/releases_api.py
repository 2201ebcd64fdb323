"""The REST API of releases, as action-gh-release and gh use it."""

from __future__ import annotations

from typing import Any

from werkzeug.wrappers import Response

from .config import Repository
from .notes import generate, previous
from .paging import page
from .refs import Refs, is_well_formed
from .releases import Release, Store
from .routing import Problem, Request, Route, answer, invalid, not_found, nothing
from .shapes import Shapes

_FIELDS: dict[str, type] = {
    "tag_name": str,
    "target_commitish": str,
    "name": str,
    "body": str,
    "draft": bool,
    "prerelease": bool,
    "generate_release_notes": bool,
    "make_latest": str,
    "discussion_category_name": str,
}
_LONGEST_BODY = 125_000


class Releases:
    """Answers for releases; their assets are another module's."""

    def __init__(self, repository: Repository, store: Store, refs: Refs, shapes: Shapes) -> None:
        self._repository = repository
        self._store = store
        self._refs = refs
        self._shapes = shapes

    def routes(self) -> list[Route]:
        """List what this module answers."""
        top = "/repos/<owner>/<repo>/releases"
        return [
            Route(top, self.list, "read"),
            Route(top, self.create, "write", methods=("POST",)),
            Route(f"{top}/latest", self.latest, "read"),
            Route(f"{top}/generate-notes", self.notes, "write", methods=("POST",)),
            Route(f"{top}/tags/<path:tag>", self.by_tag, "read"),
            Route(f"{top}/<int:number>", self.get, "read"),
            Route(f"{top}/<int:number>", self.update, "write", methods=("PATCH",)),
            Route(f"{top}/<int:number>", self.delete, "write", methods=("DELETE",)),
        ]

    def list(self, request: Request) -> Response:
        """Answer with a page of the releases; with drafts for who may write."""
        found = self._store.all(drafts=request.writes)
        return page(request, [self._shapes.release(one) for one in found])

    def latest(self, _request: Request) -> Response:
        """Answer with the release that is marked as the latest."""
        return self._told(self._store.latest())

    def by_tag(self, _request: Request, tag: str) -> Response:
        """Answer with the published release of a tag; a draft has no tag yet."""
        return self._told(self._store.by_tag(tag))

    def get(self, request: Request, number: int) -> Response:
        """Answer with a release by its id."""
        return self._told(self._store.find(number, drafts=request.writes))

    def create(self, request: Request) -> Response:
        """Make a release."""
        table = self._table(request)
        if table.get("tag_name") is None:
            raise Problem(422, 'Invalid request.\n\n"tag_name" wasn\'t supplied.')
        tag = table["tag_name"]
        values = {
            "tag": tag,
            "target": table.get("target_commitish") or self._repository.default_branch,
            "name": table.get("name"),
            "body": table.get("body"),
            "draft": bool(table.get("draft")),
            "prerelease": bool(table.get("prerelease")),
        }
        if table.get("generate_release_notes"):
            values |= self._with_notes(tag, values)
        release = self._store.create(values, table.get("make_latest") or "true")
        request.notes["release"] = release.tag
        told = self._shapes.release(release)
        return answer(told, 201, {"Location": told["url"]})

    def update(self, request: Request, number: int) -> Response:
        """Change a release; `draft: false` publishes a draft."""
        release = self._found(number)
        table = self._table(request)
        names = {"tag_name": "tag", "target_commitish": "target"}
        values: dict[str, Any] = {}
        for field in ("tag_name", "target_commitish", "name", "body", "draft", "prerelease"):
            if table.get(field) is not None:
                values[names.get(field, field)] = table[field]
        if table.get("generate_release_notes"):
            now = {"name": release.name, "body": release.body, **values}
            values |= self._with_notes(values.get("tag", release.tag), now)
        self._store.update(release, values, table.get("make_latest"))
        request.notes["release"] = release.tag
        return answer(self._shapes.release(release))

    def delete(self, request: Request, number: int) -> Response:
        """Delete a release."""
        release = self._found(number)
        self._store.delete(release)
        request.notes["release"] = release.tag
        return nothing()

    def notes(self, request: Request) -> Response:
        """Answer with a name and generated notes, and keep nothing."""
        table = request.table(
            tag_name=str,
            target_commitish=str,
            previous_tag_name=str,
            configuration_file_path=str,
        )
        tag = table.get("tag_name")
        if tag is None:
            raise Problem(422, 'Invalid request.\n\n"tag_name" wasn\'t supplied.')
        if not is_well_formed(tag):
            raise invalid({"resource": "Release", "code": "invalid", "field": "tag_name"})
        target = table.get("target_commitish") or self._repository.default_branch
        if self._refs.find(f"refs/tags/{tag}") is None and self._refs.commit(target) is None:
            raise invalid({"resource": "Release", "code": "invalid", "field": "target_commitish"})
        before = table.get("previous_tag_name")
        if before and before not in self._refs.tags():
            raise invalid({"resource": "Release", "code": "invalid", "field": "previous_tag_name"})
        body = generate(self._repository, tag, before or self._previous(tag))
        return answer({"name": tag, "body": body})

    def _table(self, request: Request) -> dict[str, Any]:
        table = request.table(**_FIELDS)
        if table.get("make_latest") not in (None, "true", "false", "legacy"):
            raise Problem(
                422,
                'Invalid request.\n\nmake_latest is not a member of ["true", "false", "legacy"].',
            )
        if len(table.get("body") or "") > _LONGEST_BODY:
            message = f"body is too long (maximum is {_LONGEST_BODY} characters)"
            raise invalid(
                {"resource": "Release", "code": "custom", "field": "body", "message": message}
            )
        if table.get("discussion_category_name"):
            raise not_found()  # the repository has no discussions
        return table

    def _with_notes(self, tag: str, values: dict[str, Any]) -> dict[str, Any]:
        generated = generate(self._repository, tag, self._previous(tag))
        body = f"{values['body']}\n\n{generated}" if values["body"] else generated
        return {"name": values["name"] or tag, "body": body}

    def _previous(self, tag: str) -> str | None:
        return previous(tag, [*self._refs.tags()])

    def _found(self, number: int) -> Release:
        found = self._store.find(number, drafts=True)
        if found is None:
            raise not_found()
        return found

    def _told(self, release: Release | None) -> Response:
        if release is None:
            raise not_found()
        return answer(self._shapes.release(release))
