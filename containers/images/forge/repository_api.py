"""The REST API for the repository, its refs, and the API itself."""

from __future__ import annotations

from dataclasses import dataclass

from server.json_reader import Json
from werkzeug.wrappers import Response

from .config import Repository
from .paging import page_response
from .refs import Refs
from .representations import Representations
from .routing import API, Problem, Request, Route, json_response, no_content, not_found


@dataclass(frozen=True, slots=True)
class RepositoryApi:
    """Answers requests for the repository and its refs."""

    _repository: Repository
    _refs: Refs
    _representations: Representations

    def routes(self) -> list[Route]:
        """Return the routes of this module."""
        top = "/repos/<owner>/<repo>"
        return [
            Route("/", self.root, "open"),
            Route("/meta", self.meta, "open"),
            Route("/rate_limit", self.rate, "open"),
            Route("/user", self.user, "token"),
            Route(top, self.get, "read"),
            Route(f"{top}/tags", self.tags, "read"),
            Route(f"{top}/branches", self.branches, "read"),
            Route(f"{top}/commits/<path:name>", self.commit, "read"),
            Route(f"{top}/git/ref/<path:name>", self.ref, "read"),
            Route(f"{top}/git/matching-refs/<path:prefix>", self.matching, "read"),
            Route(f"{top}/git/tags/<sha>", self.tag_object, "read"),
            Route(f"{top}/git/refs/<path:name>", self.delete, "write", methods=("DELETE",)),
        ]

    def root(self, _request: Request) -> Response:
        """Answer with the URLs that clients start from."""
        return json_response(
            {
                "current_user_url": f"https://{API}/user",
                "rate_limit_url": f"https://{API}/rate_limit",
                "repository_url": f"https://{API}/repos/{{owner}}/{{repo}}",
            }
        )

    def meta(self, _request: Request) -> Response:
        """Answer without `installed_version`. Only an enterprise server has this key."""
        return json_response({"verifiable_password_authentication": False})

    def rate(self, _request: Request) -> Response:
        """Answer with a limit that is never reached."""
        core: Json = {"limit": 5000, "remaining": 5000, "used": 0, "reset": 0}
        return json_response({"resources": {"core": core}, "rate": core})

    def user(self, _request: Request) -> Response:
        """Refuse the request. The token of a workflow has no user."""
        raise Problem(403, "Resource not accessible by integration")

    def get(self, request: Request) -> Response:
        """Answer with the repository."""
        return json_response(self._representations.repository(writes=request.writes))

    def tags(self, request: Request) -> Response:
        """Answer with a page of the tags."""
        return page_response(
            request,
            [
                {
                    "name": name,
                    "commit": {"sha": sha, "url": f"{self._representations.api}/commits/{sha}"},
                    "node_id": f"REF_{name}",
                }
                for name, sha in self._refs.tags().items()
            ],
        )

    def branches(self, request: Request) -> Response:
        """Answer with a page of the branches."""
        return page_response(
            request,
            [
                {
                    "name": name,
                    "commit": {"sha": sha, "url": f"{self._representations.api}/commits/{sha}"},
                    "protected": False,
                }
                for name, sha in self._refs.branches().items()
            ],
        )

    def commit(self, _request: Request, name: str) -> Response:
        """Answer with the commit of a branch, a tag or a commit hash."""
        sha = self._refs.commit(name)
        if sha is None:
            raise Problem(422, f"No commit found for SHA: {name}")
        return json_response(
            {"sha": sha, "node_id": f"C_{sha}", "url": f"{self._representations.api}/commits/{sha}"}
        )

    def ref(self, _request: Request, name: str) -> Response:
        """Answer with the git object of a full ref name."""
        target = self._refs.find(f"refs/{name}")
        if target is None:
            raise not_found()
        return json_response(self._representations.ref(f"refs/{name}", target))

    def matching(self, request: Request, prefix: str) -> Response:
        """Answer with a page of the refs with a prefix."""
        targets = [(name, self._refs.find(name)) for name in self._refs.names(prefix)]
        refs = [self._representations.ref(name, target) for name, target in targets if target]
        return page_response(request, refs)

    def tag_object(self, _request: Request, sha: str) -> Response:
        """Answer with an annotated tag."""
        tag = self._refs.tag_of(sha)
        if tag is None:
            raise not_found()
        name, commit = tag
        target: Json = {
            "type": "commit",
            "sha": commit,
            "url": f"{self._representations.api}/git/commits/{commit}",
        }
        return json_response(
            {
                "node_id": f"TA_{sha}",
                "tag": name,
                "sha": sha,
                "url": f"{self._representations.api}/git/tags/{sha}",
                "object": target,
            }
        )

    def delete(self, request: Request, name: str) -> Response:
        """Delete a tag. Branches cannot be deleted."""
        if not self._refs.delete(f"refs/{name}"):
            raise Problem(422, "Reference does not exist")
        request.notes["deleted"] = f"refs/{name}"
        return no_content()
