"""The forge as a WSGI application: host names, routes, access control and the request log."""

from __future__ import annotations

import logging
import re
import secrets
import threading
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING

from server.config import ConfigError
from server.request_log import RequestLog
from server.routing import Router
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from .access import AccessControl
from .actions_api import ActionsApi
from .assets_api import AssetsApi
from .config import Settings
from .git_api import GitApi
from .git_tags import GitTags
from .graphql_api import GraphqlApi
from .identity_api import IdentityApi
from .jobs import Jobs
from .keys import Keys
from .refs import Refs
from .releases import ReleaseFields, ReleaseStore
from .releases_api import ReleasesApi
from .repository_api import RepositoryApi
from .representations import Representations
from .routing import API, HOSTS, Problem, Request, Route, not_found

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_log = logging.getLogger("forge")
_SLASH = re.compile("%2f", re.IGNORECASE)


class ForgeApp:
    """Answers each request and logs it."""

    def __init__(self, settings: Settings) -> None:
        folder, repository = settings.folder, settings.repository
        (folder / "jobs").mkdir(exist_ok=True)
        self.listener = settings.listener
        self.log = RequestLog(folder / "requests.jsonl")
        self.stopping = threading.Event()
        self._jobs = Jobs(folder / "jobs", settings.registration_timeout_seconds, self.stopping)
        self._access = AccessControl(settings, self._jobs)
        self._routers: dict[str, Router[Route]] = {
            host: Router(strict_slashes=False) for host in HOSTS
        }
        keys = Keys(folder)
        keys.published()  # creates the first key now, so that no request waits for it
        refs = Refs(repository, GitTags(folder))
        representations = Representations(repository)
        store = ReleaseStore(folder, refs)
        for release in settings.releases:
            store.create(ReleaseFields(**asdict(release)), "true")
        for route in (
            *RepositoryApi(repository, refs, representations).routes(),
            *ReleasesApi(repository, store, refs, representations).routes(),
            *AssetsApi(store, representations).routes(),
            *GraphqlApi(repository, store, refs, representations).routes(),
            *ActionsApi(folder, repository, settings.workflows, refs, representations).routes(),
            *IdentityApi(settings, self._jobs, keys).routes(),
            *GitApi(folder, repository, self._access).routes(),
        ):
            self._routers[route.host].add(route)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request (PEP 3333)."""
        # The server does not decode %2F. GitHub reads it as a slash.
        environ["PATH_INFO"] = _SLASH.sub("/", environ.get("PATH_INFO", ""))
        entry = self.log.begin(environ)
        request_id = secrets.token_hex(8).upper()
        entry.notes |= {"job": None, "request_id": request_id}
        response = self._respond(Request(environ))
        response.headers["X-GitHub-Request-Id"] = request_id
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
            # GitHub answers 404 for an unknown method of a known path.
            if error.code in (404, 405):
                if _is_api(request):
                    request.notes["unsupported"] = f"{request.method} {request.path}"
                return not_found().response()
            return Problem(error.code or 500, error.name).response()
        except ConfigError as error:
            request.notes["error"] = str(error)
            return Problem(500, f"a file of the testbed is not valid: {error}").response()
        except Exception as error:  # noqa: BLE001 - the request must get a line in the log
            _log.exception("the forge cannot answer %s", request.path)
            request.notes["error"] = f"{type(error).__name__}: {error}"
            return Problem(500, "the forge failed; see the log of the forge").response()

    def _answer(self, request: Request) -> Response:
        host = request.headers.get("Host", "").partition(":")[0].lower()
        if host not in self._routers:
            raise Problem(421, f"unknown host {host[:80]}; this forge is {', '.join(HOSTS)}")
        self._note_job(request)
        route, arguments = self._routers[host].match(request)
        owner, name = arguments.pop("owner", None), arguments.pop("repo", None)
        self._access.check(request, route.access, None if owner is None else f"{owner}/{name}")
        return route.handler(request, **arguments)

    def _note_job(self, request: Request) -> None:
        try:
            job = self._jobs.find(request.remote_addr or "")
        except ConfigError:
            return  # the file may be incomplete; the access control reads it again
        request.notes["job"] = job.job if job else None


def _is_api(request: Request) -> bool:
    """Return True if a request is for the API of a repository, which has more on GitHub."""
    is_api = request.headers.get("Host", "").partition(":")[0].lower() == API
    return is_api and request.path.startswith("/repos/")
