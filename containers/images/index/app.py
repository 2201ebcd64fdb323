"""The index as a WSGI application: routes, request log and planted faults."""

from __future__ import annotations

import errno
import logging
import platform
import threading
from collections.abc import Iterable
from importlib.metadata import version
from typing import TYPE_CHECKING

from server.config import ConfigError
from server.request_log import ActiveRequest, RequestLog
from server.routing import Router, json_response
from server.tls import RESET
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from . import attestations
from .config import Settings
from .credentials import Keyring
from .faults import Fault, Faults, distort
from .file_details import FileDetailsCache
from .oidc.mint import MintApi
from .oidc.publishers import PublisherRegistry
from .projects import Projects
from .routing import Request, Route, text_response
from .signing.api import SigningApi
from .simple import SimpleApi
from .store import PackageStore
from .upload import UploadApi

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_log = logging.getLogger("index")
_REPORTED_PACKAGES = (
    "pypiserver",
    "cheroot",
    "werkzeug",
    "packaging",
    "joserfc",
    "pypi-attestations",
)


class IndexApp:
    """Answers each request and logs it."""

    def __init__(self, settings: Settings) -> None:
        self.listener = settings.listener
        self.log = RequestLog(settings.log)
        self.stopping = threading.Event()
        self._hosts = settings.hosts
        self._faults = Faults(settings.faults)
        self._versions = {name: version(name) for name in _REPORTED_PACKAGES}
        self._router: Router[Route] = Router(strict_slashes=True)
        keyring = Keyring(settings.credentials)
        store, details = PackageStore(settings.store), FileDetailsCache()
        publishers = PublisherRegistry(settings.publishers, settings.pending_publishers)
        projects = Projects(store, publishers, settings.policy)
        signing = SigningApi(settings, host) if (host := settings.hosts.signing) else None
        trust_root = settings.trust_root.read_bytes() if settings.trust_root else None
        if root := trust_root or (signing.trust_root if signing else None):
            attestations.trust(root, settings.store.parent)
        for route in (
            Route("/_/health", self._health, role="any"),
            *SimpleApi(store, details, settings.hosts, settings.yanked).routes(),
            *attestations.IntegrityApi(store).routes(),
            *UploadApi(settings, store, details, projects, keyring).routes(),
            *MintApi(settings, publishers, projects, keyring).routes(),
            *(signing.routes() if signing else ()),
        ):
            self._router.add(route)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request (PEP 3333).

        Raises:
            ConnectionError: a planted fault closes the connection.
        """
        request = Request(environ)
        entry = self.log.begin(environ)
        fault: Fault | None = None
        try:
            fault = self._next_fault(request)
        except ConfigError as error:
            entry.notes["fault"] = "control-file"
            response = text_response(f"cannot read the planted faults: {error}", 500)
        else:
            if fault is not None:
                entry.notes["fault"] = fault.kind
                if fault.sends_nothing:
                    self._close_without_response(fault, environ, entry)
            response = self._respond(request, fault)
        body, status, headers = response.get_wsgi_response(environ)
        if fault is not None:
            length = response.content_length or 0
            body = distort(fault, body, length, environ.get(RESET, _no_reset), self.stopping)
        start_response(status, headers)
        return entry.send(response.status_code, body)

    def _next_fault(self, request: Request) -> Fault | None:
        # The health report has no faults: it shows whether the testbed works.
        if request.path == "/_/health":
            return None
        return self._faults.take(request.path, request.remote_addr or "")

    def _close_without_response(
        self, fault: Fault, environ: WSGIEnvironment, entry: ActiveRequest
    ) -> None:
        try:
            if fault.kind == "hang":
                self.stopping.wait(fault.seconds)
            environ.get(RESET, _no_reset)()
        finally:
            entry.finish(None, complete=False)
        raise ConnectionResetError(errno.ECONNRESET, f"planted fault: {fault.kind}")

    def _respond(self, request: Request, fault: Fault | None) -> Response:
        if fault is not None and fault.kind == "status":
            return text_response("planted fault: status", fault.status)
        host = request.host.partition(":")[0].lower()
        try:
            route, arguments = self._router.match(request)
            if self._hosts.serves(route.role, host):
                return route.handler(request, **arguments)
            if host in self._hosts.names():
                return text_response("404 Not Found", 404)
            names = ", ".join(self._hosts.names())
            return text_response(f"unknown host {host}; this index is {names}", 421)
        except HTTPException as error:
            response = text_response(f"{error.code} {error.name}", error.code or 500)
            allowed = getattr(error, "valid_methods", None)
            if allowed:
                response.headers["Allow"] = ", ".join(sorted(allowed))
            return response
        except Exception as error:  # noqa: BLE001 - the request must get a line in the log
            _log.exception("the index cannot answer %s", request.path)
            request.notes["error"] = f"{type(error).__name__}: {error}"
            return text_response("500 the index failed; see the log of the index", 500)

    def _health(self, _request: Request) -> Response:
        failure = self.log.failure
        return json_response(
            {
                "status": "ok" if failure is None else failure,
                # This request is not counted. At 0, the log has all requests that were answered.
                "in_flight": self.log.in_flight - 1,
                "versions": {"python": platform.python_version(), **self._versions},
            },
            200 if failure is None else 500,
        )


def _no_reset() -> None:
    """Do nothing. Replaces the reset function if there is no connection."""
