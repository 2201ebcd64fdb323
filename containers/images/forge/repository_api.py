"""The rest of the REST API that release clients ask: the repository, its refs, the API itself."""

from __future__ import annotations

from werkzeug.wrappers import Response

from .config import Repository
from .paging import page
from .refs import Refs
from .routing import API, Problem, Request, Route, answer, not_found, nothing
from .shapes import Shapes


class RepositoryFacts:
    """Answers for the repository as a whole."""

    def __init__(self, repository: Repository, refs: Refs, shapes: Shapes) -> None:
        self._repository = repository
        self._refs = refs
        self._shapes = shapes

    def routes(self) -> list[Route]:
        """List what this module answers."""
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
        """Answer with the addresses that clients begin with."""
        return answer(
            {
                "current_user_url": f"https://{API}/user",
                "rate_limit_url": f"https://{API}/rate_limit",
                "repository_url": f"https://{API}/repos/{{owner}}/{{repo}}",
            }
        )

    def meta(self, _request: Request) -> Response:
        """Answer with what tells this service from an enterprise server: no installed version."""
        return answer({"verifiable_password_authentication": False})

    def rate(self, _request: Request) -> Response:
        """Answer that there is plenty left."""
        core = {"limit": 5000, "remaining": 5000, "used": 0, "reset": 0}
        return answer({"resources": {"core": core}, "rate": core})

    def user(self, _request: Request) -> Response:
        """Refuse: a workflow's token is no user's."""
        raise Problem(403, "Resource not accessible by integration")

    def get(self, request: Request) -> Response:
        """Answer with the repository."""
        return answer(self._shapes.repository(writes=request.writes))

    def tags(self, request: Request) -> Response:
        """Answer with a page of the tags."""
        return page(
            request,
            [
                {
                    "name": name,
                    "commit": {"sha": sha, "url": f"{self._shapes.api}/commits/{sha}"},
                    "node_id": f"REF_{name}",
                }
                for name, sha in self._refs.tags().items()
            ],
        )

    def branches(self, request: Request) -> Response:
        """Answer with a page of the branches."""
        return page(
            request,
            [
                {
                    "name": name,
                    "commit": {"sha": sha, "url": f"{self._shapes.api}/commits/{sha}"},
                    "protected": False,
                }
                for name, sha in self._refs.branches().items()
            ],
        )

    def commit(self, _request: Request, name: str) -> Response:
        """Answer with the commit of a name."""
        sha = self._refs.commit(name)
        if sha is None:
            raise Problem(422, f"No commit found for SHA: {name}")
        return answer(
            {"sha": sha, "node_id": f"C_{sha}", "url": f"{self._shapes.api}/commits/{sha}"}
        )

    def ref(self, _request: Request, name: str) -> Response:
        """Answer with what git has under one full name."""
        target = self._refs.find(f"refs/{name}")
        if target is None:
            raise not_found()
        return answer(self._shapes.ref(f"refs/{name}", target))

    def matching(self, request: Request, prefix: str) -> Response:
        """Answer with all that begin so."""
        found = ((name, self._refs.find(name)) for name in self._refs.names(prefix))
        return page(request, [self._shapes.ref(name, target) for name, target in found if target])

    def tag_object(self, _request: Request, sha: str) -> Response:
        """Answer with an annotated tag."""
        found = self._refs.tag_of(sha)
        if found is None:
            raise not_found()
        name, commit = found
        target = {
            "type": "commit",
            "sha": commit,
            "url": f"{self._shapes.api}/git/commits/{commit}",
        }
        return answer(
            {
                "node_id": f"TA_{sha}",
                "tag": name,
                "sha": sha,
                "url": f"{self._shapes.api}/git/tags/{sha}",
                "object": target,
            }
        )

    def delete(self, request: Request, name: str) -> Response:
        """Delete a tag; a branch is not for a release to delete."""
        if not self._refs.delete(f"refs/{name}"):
            raise Problem(422, "Reference does not exist")
        request.notes["deleted"] = f"refs/{name}"
        return nothing()
