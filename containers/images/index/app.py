"""The front as a WSGI application: routes, the request log around them, faults in between."""

from __future__ import annotations

import errno
import json
import logging
import platform
import threading
from collections.abc import Iterable
from importlib.metadata import version
from typing import TYPE_CHECKING

from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Response

from .config import Settings
from .credentials import Keyring
from .faults import Fault, Faults, FaultsError, distort
from .files import FactsCache
from .oidc.mint import Mint
from .requestlog import Entry, RequestLog
from .routing import Request, Route, plain
from .simple import Simple
from .store import Store
from .upload import Uploads

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

# Where the server leaves a function that breaks the connection off.
RESET = "index.reset"

_log = logging.getLogger("index")


class Front:
    """Answers every request, and leaves a line in the log for each."""

    def __init__(self, settings: Settings) -> None:
        self.log = RequestLog(settings.log)
        self.keyring = Keyring(settings.credentials)
        self.stopping = threading.Event()
        self._hosts = settings.hosts
        self._faults = Faults(settings.faults)
        store, facts = Store(settings.store), FactsCache()
        self._map = Map(strict_slashes=True, merge_slashes=False, redirect_defaults=False)
        self._versions = {
            name: version(name)
            for name in (
                "pypiserver",
                "cheroot",
                "werkzeug",
                "packaging",
                "joserfc",
            )
        }
        self.add([Route("/_/health", self._health, role="any")])
        self.add(Simple(store, facts, settings.hosts, settings.yanked).routes())
        self.add(Uploads(store, facts, self.keyring, settings.hosts).routes())
        self.add(Mint(settings, store, self.keyring).routes())

    def add(self, routes: Iterable[Route]) -> None:
        """Let a module answer its routes."""
        for route in routes:
            self._map.add(Rule(route.path, methods=route.methods, endpoint=route))

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request as WSGI has it (PEP 3333).

        Raises:
            ConnectionError: a fault wants the connection closed here.
        """
        request = Request(environ)
        entry = self.log.begin(environ)
        fault: Fault | None = None
        try:
            fault = self._fault(request)
        except FaultsError as error:
            entry.notes["fault"] = "control-file"
            response = plain(f"the index's faults are unknown: {error}", 500)
        else:
            if fault is not None:
                entry.notes["fault"] = fault.kind
                if fault.silent:
                    self._fall_silent(fault, environ, entry)
            response = self._respond(request, fault, entry)
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

    def _respond(self, request: Request, fault: Fault | None, entry: Entry) -> Response:
        if fault is not None and fault.kind == "status":
            return plain("a fault on request", fault.status)
        host = request.host.partition(":")[0].lower()
        try:
            route, arguments = self._map.bind_to_environ(request.environ).match()
            assert isinstance(route, Route)  # noqa: S101 - werkzeug's endpoints have no type
            if self._hosts.serves(route.role, host):
                return route.handler(request, **arguments)
            if host in self._hosts.names():
                return plain("404 Not Found", 404)
            known = ", ".join(self._hosts.names())
            return plain(f"this front answers to {known}, not to {host}", 421)
        except HTTPException as error:
            response = plain(f"{error.code} {error.name}", error.code or 500)
            allowed = getattr(error, "valid_methods", None)
            if allowed:
                response.headers["Allow"] = ", ".join(sorted(allowed))
            return response
        except Exception as error:  # noqa: BLE001 - the line in the log must not be lost
            _log.exception("the index failed to answer %s", request.path)
            entry.notes["error"] = f"{type(error).__name__}: {error}"
            return plain("500 the index failed; its own log says why", 500)

    def _health(self, _request: Request) -> Response:
        failure = self.log.failure
        report = {
            "status": "ok" if failure is None else failure,
            # Without this request itself: at 0 the log holds every request answered so far.
            "in_flight": self.log.in_flight - 1,
            "versions": {"python": platform.python_version(), **self._versions},
        }
        return Response(
            json.dumps(report),
            status=200 if failure is None else 500,
            content_type="application/json",
        )


def _nothing() -> None:
    """Stand in for the server's reset where there is no connection to break."""
