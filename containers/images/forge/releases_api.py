"""The REST API of releases, as action-gh-release and gh use it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from werkzeug.wrappers import Response

from .config import Repository
from .paging import page_response
from .refs import Refs, is_well_formed
from .release_notes import generate, previous
from .releases import Release, ReleaseFields, ReleaseStore
from .representations import Representations
from .routing import Problem, Request, Route, invalid, json_response, no_content, not_found

_MAX_BODY_LENGTH = 125_000


@dataclass(frozen=True, slots=True)
class _ReleaseRequest:
    """The body of a request that creates or changes a release."""

    fields: ReleaseFields
    generate_notes: bool
    make_latest: str | None


@dataclass(frozen=True, slots=True)
class ReleasesApi:
    """Answers requests for releases. `AssetsApi` answers requests for their assets."""

    _repository: Repository
    _store: ReleaseStore
    _refs: Refs
    _representations: Representations

    def routes(self) -> list[Route]:
        """Return the routes of this module."""
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
        """Answer with a page of the releases. Only a client that can write gets drafts."""
        releases = self._store.all(drafts=request.writes)
        return page_response(request, [self._representations.release(rel) for rel in releases])

    def latest(self, _request: Request) -> Response:
        """Answer with the release that is marked as the latest."""
        return self._release_response(self._store.latest())

    def by_tag(self, _request: Request, tag: str) -> Response:
        """Answer with the published release of a tag, never with a draft."""
        return self._release_response(self._store.by_tag(tag))

    def get(self, request: Request, number: int) -> Response:
        """Answer with a release by its id."""
        return self._release_response(self._store.find(number, drafts=request.writes))

    def create(self, request: Request) -> Response:
        """Create a release."""
        parsed = self._read(request)
        fields = parsed.fields
        if fields.tag is None:
            raise Problem(422, 'Invalid request.\n\n"tag_name" wasn\'t supplied.')
        fields = replace(fields, target=fields.target or self._repository.default_branch)
        if parsed.generate_notes:
            fields = self._with_notes(fields, fields.tag or "", fields.name, fields.body)
        release = self._store.create(fields, parsed.make_latest or "true")
        request.notes["release"] = release.tag
        location = self._representations.release_url(release)
        return json_response(self._representations.release(release), 201, {"Location": location})

    def update(self, request: Request, number: int) -> Response:
        """Change a release. `draft: false` publishes a draft."""
        release = self._store.find(number, drafts=True)
        parsed = self._read(request)
        fields = parsed.fields
        if parsed.generate_notes:
            tag = release.tag if fields.tag is None else fields.tag
            name = release.name if fields.name is None else fields.name
            body = release.body if fields.body is None else fields.body
            fields = self._with_notes(fields, tag, name, body)
        self._store.update(release, fields, parsed.make_latest)
        request.notes["release"] = release.tag
        return self._release_response(release)

    def delete(self, request: Request, number: int) -> Response:
        """Delete a release."""
        release = self._store.find(number, drafts=True)
        self._store.delete(release)
        request.notes["release"] = release.tag
        return no_content()

    def notes(self, request: Request) -> Response:
        """Answer with a name and generated notes. Nothing is stored."""
        body = request.body()
        tag = body.get("tag_name", str)
        target = body.get("target_commitish", str) or self._repository.default_branch
        before = body.get("previous_tag_name", str)
        body.get("configuration_file_path", str)
        if tag is None:
            raise Problem(422, 'Invalid request.\n\n"tag_name" wasn\'t supplied.')
        if not is_well_formed(tag):
            raise _invalid_field("tag_name")
        if self._refs.find(f"refs/tags/{tag}") is None and self._refs.commit(target) is None:
            raise _invalid_field("target_commitish")
        if before and before not in self._refs.tags():
            raise _invalid_field("previous_tag_name")
        notes = generate(self._repository, tag, before or self._previous(tag))
        return json_response({"name": tag, "body": notes})

    def _read(self, request: Request) -> _ReleaseRequest:
        body = request.body()
        parsed = _ReleaseRequest(
            ReleaseFields(
                tag=body.get("tag_name", str),
                target=body.get("target_commitish", str),
                name=body.get("name", str),
                body=body.get("body", str),
                draft=body.get("draft", bool),
                prerelease=body.get("prerelease", bool),
            ),
            generate_notes=bool(body.get("generate_release_notes", bool)),
            make_latest=body.get("make_latest", str),
        )
        category = body.get("discussion_category_name", str)
        if parsed.make_latest not in (None, "true", "false", "legacy"):
            raise Problem(
                422,
                'Invalid request.\n\nmake_latest is not a member of ["true", "false", "legacy"].',
            )
        if len(parsed.fields.body or "") > _MAX_BODY_LENGTH:
            message = f"body is too long (maximum is {_MAX_BODY_LENGTH} characters)"
            raise invalid(
                {"resource": "Release", "code": "custom", "field": "body", "message": message}
            )
        if category:
            raise not_found()  # the repository has no discussions
        return parsed

    def _with_notes(
        self, fields: ReleaseFields, tag: str, name: str | None, body: str | None
    ) -> ReleaseFields:
        notes = generate(self._repository, tag, self._previous(tag))
        return replace(fields, name=name or tag, body=f"{body}\n\n{notes}" if body else notes)

    def _previous(self, tag: str) -> str | None:
        return previous(tag, [*self._refs.tags()])

    def _release_response(self, release: Release | None) -> Response:
        if release is None:
            raise not_found()
        return json_response(self._representations.release(release))


def _invalid_field(field: str) -> Problem:
    return invalid({"resource": "Release", "code": "invalid", "field": field})
