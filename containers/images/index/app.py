"""The index as a WSGI application: routes, the request log around them, faults in between."""

from __future__ import annotations

import errno
import logging
import platform
import threading
from collections.abc import Iterable
from importlib.metadata import version
from typing import TYPE_CHECKING

from server.config import ConfigError
from server.request_log import Entry, RequestLog
from server.routing import Router, json_response
from server.tls import RESET
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from .config import Settings
from .credentials import Keyring
from .faults import Fault, Faults, distort
from .file_facts import FileFactsCache
from .oidc.mint import MintApi
from .routing import Request, Route, text_response
from .simple import SimpleApi
from .store import PackageStore
from .upload import UploadApi

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_log = logging.getLogger("index")
_REPORTED = ("pypiserver", "cheroot", "werkzeug", "packaging", "joserfc")


class IndexApp:
    """Answers every request, and leaves a line in the log for each."""

    def __init__(self, settings: Settings) -> None:
        self.listener = settings.listener
        self.log = RequestLog(settings.log)
        self.stopping = threading.Event()
        self._hosts = settings.hosts
        self._faults = Faults(settings.faults)
        self._versions = {name: version(name) for name in _REPORTED}
        self._router: Router[Route] = Router(strict_slashes=True)
        keyring = Keyring(settings.credentials)
        store, facts = PackageStore(settings.store), FileFactsCache()
        for route in (
            Route("/_/health", self._health, role="any"),
            *SimpleApi(store, facts, settings.hosts, settings.yanked).routes(),
            *UploadApi(store, facts, keyring, settings.hosts).routes(),
            *MintApi(settings, store, keyring).routes(),
        ):
            self._router.add(route)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request (PEP 3333).

        Raises:
            ConnectionError: a fault closes the connection here.
        """
        request = Request(environ)
        entry = self.log.begin(environ)
        fault: Fault | None = None
        try:
            fault = self._fault(request)
        except ConfigError as error:
            entry.notes["fault"] = "control-file"
            response = text_response(f"the index's faults are unknown: {error}", 500)
        else:
            if fault is not None:
                entry.notes["fault"] = fault.kind
                if fault.silent:
                    self._fall_silent(fault, environ, entry)
            response = self._respond(request, fault)
        body, status, headers = response.get_wsgi_response(environ)
        if fault is not None:
            length = response.content_length or 0
            body = distort(fault, body, length, environ.get(RESET, _nothing), self.stopping)
        start_response(status, headers)
        return entry.send(response.status_code, body)

    def _fault(self, request: Request) -> Fault | None:
        # Never for the health report: it says whether the testbed works.
        if request.path == "/_/health":
            return None
        return self._faults.take(request.path, request.remote_addr or "")

    def _fall_silent(self, fault: Fault, environ: WSGIEnvironment, entry: Entry) -> None:
        try:
            if fault.kind == "hang":
                self.stopping.wait(fault.seconds)
            environ.get(RESET, _nothing)()
        finally:
            entry.finish(None, complete=False)
        raise ConnectionResetError(errno.ECONNRESET, f"{fault.kind} on request")

    def _respond(self, request: Request, fault: Fault | None) -> Response:
        if fault is not None and fault.kind == "status":
            return text_response("a fault on request", fault.status)
        host = request.host.partition(":")[0].lower()
        try:
            route, arguments = self._router.match(request)
            if self._hosts.serves(route.role, host):
                return route.handler(request, **arguments)
            if host in self._hosts.names():
                return text_response("404 Not Found", 404)
            known = ", ".join(self._hosts.names())
            return text_response(f"this index answers to {known}, not to {host}", 421)
        except HTTPException as error:
            response = text_response(f"{error.code} {error.name}", error.code or 500)
            allowed = getattr(error, "valid_methods", None)
            if allowed:
                response.headers["Allow"] = ", ".join(sorted(allowed))
            return response
        except Exception as error:  # noqa: BLE001 - the line in the log must not be lost
            _log.exception("the index failed to answer %s", request.path)
            request.notes["error"] = f"{type(error).__name__}: {error}"
            return text_response("500 the index failed; its own log says why", 500)

    def _health(self, _request: Request) -> Response:
        failure = self.log.failure
        return json_response(
            {
                "status": "ok" if failure is None else failure,
                # Without this request itself: at 0 the log holds every request answered so far.
                "in_flight": self.log.in_flight - 1,
                "versions": {"python": platform.python_version(), **self._versions},
            },
            200 if failure is None else 500,
        )


def _nothing() -> None:
    """Stand in for the server's reset where there is no connection to break."""
