"""The forge as a WSGI application: hosts, routes, access, and the request log around them."""

from __future__ import annotations

import logging
import re
import secrets
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

from index.requestlog import RequestLog
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Response

from .access import Access
from .assets_api import Assets
from .config import Settings
from .graphql_api import GraphQL
from .identity_api import Identity
from .jobs import Jobs, JobsError
from .keys import Keys, KeysError
from .refs import Refs
from .releases import Store
from .releases_api import Releases
from .repository_api import RepositoryFacts
from .routing import HOSTS, Problem, Request, Route, not_found
from .shapes import Shapes

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_log = logging.getLogger("forge")
_SLASH = re.compile("%2f", re.IGNORECASE)


class Forge:
    """Answers every request, and leaves a line in the log for each."""

    def __init__(self, settings: Settings) -> None:
        folder = settings.folder
        (folder / "jobs").mkdir(exist_ok=True)
        self.log = RequestLog(folder / "requests.jsonl")
        self.stopping = threading.Event()
        self._jobs = Jobs(folder / "jobs", settings.patience, self.stopping)
        self._access = Access(settings, self._jobs)
        self._maps = {
            host: Map(strict_slashes=False, merge_slashes=False, redirect_defaults=False)
            for host in HOSTS
        }
        keys = Keys(folder)
        keys.published()  # the first key takes a moment: before anyone waits for it
        repository, refs = settings.repository, Refs(settings.repository)
        store, shapes = Store(folder, refs), Shapes(repository)
        self.add(RepositoryFacts(repository, refs, shapes).routes())
        self.add(Releases(repository, store, refs, shapes).routes())
        self.add(Assets(store, shapes).routes())
        self.add(GraphQL(repository, store, refs, shapes).routes())
        self.add(Identity(settings, self._jobs, keys).routes())

    def add(self, routes: Iterable[Route]) -> None:
        """Let a module answer its routes."""
        for route in routes:
            self._maps[route.host].add(Rule(route.path, methods=route.methods, endpoint=route))

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request as WSGI has it (PEP 3333)."""
        # The server leaves %2F as it came; GitHub takes it for a slash.
        environ["PATH_INFO"] = _SLASH.sub("/", environ.get("PATH_INFO", ""))
        entry = self.log.begin(environ)
        request = Request(environ)
        request.notes = entry.notes
        entry.notes |= {"job": None, "request_id": secrets.token_hex(8).upper()}
        response = self._respond(request)
        response.headers["X-GitHub-Request-Id"] = entry.notes["request_id"]
        response.headers["X-GitHub-Media-Type"] = "github.v3; format=json"
        body, status, headers = response.get_wsgi_response(environ)
        start_response(status, headers)
        return entry.send(response.status_code, body)

    def _respond(self, request: Request) -> Response:
        try:
            return self._answer(request)
        except Problem as problem:
            request.notes.setdefault("problem", problem.message)
            return problem.response()
        except HTTPException as error:
            # GitHub answers an unknown method of a known path as an unknown path.
            told = not_found() if error.code in (404, 405) else _as_problem(error)
            return told.response()
        except (JobsError, KeysError) as error:
            request.notes["error"] = str(error)
            return Problem(500, f"the testbed told the forge wrongly: {error}").response()
        except Exception as error:  # noqa: BLE001 - the line in the log must not be lost
            _log.exception("the forge failed to answer %s", request.path)
            request.notes["error"] = f"{type(error).__name__}: {error}"
            return Problem(500, "the forge failed; its own log says why").response()

    def _answer(self, request: Request) -> Response:
        host = request.headers.get("Host", "").partition(":")[0].lower()
        if host not in self._maps:
            raise Problem(421, f"this forge answers to {', '.join(HOSTS)}, not to {host[:80]}")
        self._name_job(request)
        route, matched = self._maps[host].bind_to_environ(request.environ).match()
        assert isinstance(route, Route)  # noqa: S101 - werkzeug's endpoints have no type
        arguments = dict(matched)
        owner, name = arguments.pop("owner", None), arguments.pop("repo", None)
        self._access.admit(request, route, owner, name)
        return route.handler(request, **arguments)

    def _name_job(self, request: Request) -> None:
        try:
            job = self._jobs.find(request.remote_addr or "")
        except JobsError:
            return  # it may be half written; where it matters, it is read again
        request.notes["job"] = job.job if job else None


def _as_problem(error: HTTPException) -> Problem:
    return Problem(error.code or 500, error.name)
