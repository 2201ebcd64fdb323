"""The exchange: an identity token comes in, an upload token for the publisher's projects goes out.

Paths, order of the checks, codes and descriptions are those of the default index as of 2026.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from typing import Any

from packaging.utils import canonicalize_name
from werkzeug.wrappers import Response

from ..config import ConfigError, Credential, KnownIssuer, Settings
from ..credentials import Keyring
from ..requestlog import NOTES
from ..routing import Request, Route
from ..store import Store
from . import token as tokens
from .issuer import Issuer, IssuerFailure
from .publishers import Identity, NoPublisher, Publishers
from .replay import Replay

LIFETIME = 900
_MAX_BODY = 256 * 1024
_PATHS = ("/_/oidc/mint-token", "/_/oidc/github/mint-token")
_SHOWN = (
    "sub",
    "repository",
    "ref",
    "sha",
    "job_workflow_ref",
    "workflow_ref",
    "environment",
    "event_name",
    "run_id",
    "run_attempt",
    "actor",
)
"""The claims by which the log names who published."""
_SHOWN_LENGTH = 300


class Denied(Exception):
    """No upload token is given; the code and the description are what the client is told."""

    def __init__(self, code: str, description: str, *, status: int = 422, why: str = "") -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.status = status
        self.why = why


class Mint:
    """Exchanges identity tokens for upload tokens.

    Raises:
        ConfigError: an issuer's authority is no certificate.
    """

    def __init__(self, settings: Settings, store: Store, keyring: Keyring) -> None:
        self._enabled = settings.trusted_publishing
        self._issuers = {known.url: _issuer(known) for known in settings.issuers}
        self._publishers = Publishers(settings.publishers, settings.pending_publishers)
        self._replay = Replay()
        self._store = store
        self._keyring = keyring
        # One exchange at a time is judged: of two for one new project, one creates it.
        self._lock = threading.Lock()

    def routes(self) -> list[Route]:
        """List what this module answers."""
        return [
            Route("/_/oidc/audience", self._audience, role="publishing"),
            *(Route(path, self._answer, role="publishing", methods=("POST",)) for path in _PATHS),
        ]

    def _audience(self, _request: Request) -> Response:
        if not self._enabled:
            return _json({"message": "Trusted publishing functionality not enabled"}, 403)
        return _json({"audience": tokens.AUDIENCE})

    def _answer(self, request: Request) -> Response:
        notes: dict[str, Any] = request.environ[NOTES].setdefault("oidc", {})
        try:
            return _json(self._exchange(request, notes))
        except Denied as denied:
            notes["code"], notes["description"] = denied.code, denied.description
            if denied.why:
                notes["why"] = denied.why
            error = {"code": denied.code, "description": denied.description}
            return _json({"message": "Token request failed", "errors": [error]}, denied.status)

    def _exchange(self, request: Request, notes: dict[str, Any]) -> dict[str, Any]:
        unverified, issuer = self._read(request)
        try:
            claims = tokens.verify(unverified, issuer)
        except tokens.Invalid as error:
            raise Denied(
                "invalid-token", "malformed or invalid token", why=str(error)[:_SHOWN_LENGTH]
            ) from error
        except IssuerFailure as error:
            # Not a word of the default index, which has none: the testbed is at fault here.
            raise Denied(
                "issuer-unreachable",
                f"the keys of the token's issuer cannot be had: {error}",
                status=503,
            ) from error
        notes["identity"] = shown = _shown(claims)
        with self._lock:
            identity, projects = self._judge(claims, issuer)
            expires = int(time.time()) + LIFETIME
            text = f"pypi-{secrets.token_urlsafe(96)}"
            shown["publisher"] = str(identity)
            self._keyring.add(
                Credential("__token__", text, projects, expires=expires, identity=shown)
            )
        notes["projects"], notes["expires"] = sorted(projects), expires
        return {"success": True, "token": text, "expires": expires}

    def _read(self, request: Request) -> tuple[tokens.Unverified, Issuer]:
        text = _token_of(request)
        try:
            unverified = tokens.read(text)
        except tokens.Malformed as error:
            raise Denied("invalid-payload", "malformed JWT", why=str(error)) from error
        named = unverified.issuer
        issuer = self._issuers.get(named) if isinstance(named, str) else None
        if issuer is None:
            raise Denied("invalid-payload", "unknown trusted publishing issuer")
        if not self._enabled:
            raise Denied("not-enabled", "github trusted publishing functionality not enabled")
        return unverified, issuer

    def _judge(self, claims: dict[str, Any], issuer: Issuer) -> tuple[Identity, frozenset[str]]:
        """Find who is asking, and note that the token is used."""
        pending = self._publishers.find_pending(claims)
        if pending is not None and pending.project in self._existing():
            self._publishers.discard(pending)
            raise Denied("invalid-pending-publisher", "valid token, but project already exists")
        jti = claims.get("jti")
        if isinstance(jti, str) and self._replay.seen(issuer.url, jti):
            raise Denied("invalid-reuse-token", "invalid token: already used")
        if pending is not None:
            self._publishers.promote(pending)
        try:
            found = self._publishers.find(claims)
        except NoPublisher as error:
            raise Denied(
                "invalid-publisher", f"valid token, but no corresponding publisher ({error})"
            ) from error
        if not self._replay.take(issuer.url, claims["jti"], claims["exp"]):
            raise Denied("invalid-reuse-token", "invalid token: already used")
        return found

    def _existing(self) -> set[str]:
        stored = {str(canonicalize_name(name)) for name in self._store.projects()}
        return stored | self._publishers.projects


def _issuer(known: KnownIssuer) -> Issuer:
    try:
        return Issuer(known.url, known.authority)
    except OSError as error:
        raise ConfigError(f"issuers: {known.authority} holds no certificate: {error}") from error


def _token_of(request: Request) -> str:
    request.max_content_length = _MAX_BODY
    try:
        payload = json.loads(request.get_data(cache=False).decode())
    except (ValueError, RecursionError) as error:
        raise Denied("invalid-payload", "the body is not JSON") from error
    if not isinstance(payload, dict):
        raise Denied("invalid-payload", "the body is not a JSON object")
    if "token" not in payload:
        raise Denied("invalid-payload", "token: field required")
    if not isinstance(payload["token"], str):
        raise Denied("invalid-payload", "token: input should be a valid string")
    return payload["token"]


def _shown(claims: dict[str, Any]) -> dict[str, str]:
    return {
        name: str(claims[name])[:_SHOWN_LENGTH]
        for name in _SHOWN
        if isinstance(claims.get(name), str | int)
    }


def _json(table: dict[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(table), status=status, content_type="application/json")
