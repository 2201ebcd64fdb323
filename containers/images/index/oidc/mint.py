"""The exchange of an identity token for an upload token for the projects of its publisher.

The paths, the order of the checks, the codes and the descriptions are those of the default index,
2026.
"""

from __future__ import annotations

import json
import secrets
import threading
import time

from server.json_reader import Json, JsonObject
from server.routing import json_response
from werkzeug.wrappers import Response

from ..config import Credential, Settings
from ..credentials import Keyring
from ..projects import Projects
from ..routing import Request, Route, add_mail, text_response
from ..throttle import Throttle
from . import token as tokens
from .issuer import Issuer, IssuerUnreachable, trusted_issuers
from .publishers import NoPublisher, PublisherRegistry, WorkflowIdentity
from .used_tokens import UsedTokens

LIFETIME = 900
_MAX_BODY = 256 * 1024
_PATHS = ("/_/oidc/mint-token", "/_/oidc/github/mint-token")
_LOGGED_CLAIMS = (
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
    "check_run_id",
    "environment_node_id",
)
"""The claims that identify the publisher in the log."""
_LOGGED_LENGTH = 300


class Denied(Exception):
    """The index denies an upload token. The client gets the code and the description."""

    def __init__(self, code: str, description: str, *, status: int = 422, detail: str = "") -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.status = status
        self.detail = detail
        """The exact reason. Only the log has it."""


class MintApi:
    """Exchanges identity tokens for upload tokens.

    Raises:
        ConfigError: the CA certificate of an issuer is not usable.
    """

    def __init__(
        self,
        settings: Settings,
        publishers: PublisherRegistry,
        projects: Projects,
        keyring: Keyring,
    ) -> None:
        self._enabled = settings.trusted_publishing
        self._issuers = trusted_issuers(settings.issuers)
        self._host = settings.hosts.index
        self._publishers = publishers
        self._projects = projects
        self._used_tokens = UsedTokens()
        self._throttle = Throttle(settings.policy.exchanges_per_minute, 60)
        self._keyring = keyring
        # Exchanges run one after another, so that a project is created only once.
        self._lock = threading.Lock()

    def routes(self) -> list[Route]:
        """Return the routes of this module."""
        return [
            Route("/_/oidc/audience", self._audience, role="publishing"),
            *(Route(path, self._mint, role="publishing", methods=("POST",)) for path in _PATHS),
        ]

    def _audience(self, _request: Request) -> Response:
        if not self._enabled:
            return json_response({"message": "Trusted publishing functionality not enabled"}, 403)
        return json_response({"audience": tokens.AUDIENCE})

    def _mint(self, request: Request) -> Response:
        notes: JsonObject = {}
        request.notes["oidc"] = notes
        if not self._throttle.accepts(request.remote_addr or ""):
            notes["code"] = notes["description"] = "throttled"
            return text_response("429 Too Many Requests", 429)
        try:
            return json_response(self._exchange(request, notes))
        except Denied as denied:
            notes["code"], notes["description"] = denied.code, denied.description
            if denied.detail:
                notes["why"] = denied.detail
            error: Json = {"code": denied.code, "description": denied.description}
            return json_response(
                {"message": "Token request failed", "errors": [error]}, denied.status
            )

    def _exchange(self, request: Request, notes: JsonObject) -> JsonObject:
        unverified, issuer = self._read(request)
        try:
            claims = tokens.verify(unverified, issuer)
        except tokens.InvalidToken as error:
            raise Denied(
                "invalid-token", "malformed or invalid token", detail=str(error)[:_LOGGED_LENGTH]
            ) from error
        except IssuerUnreachable as error:
            # The suite chose this code. The default index has none for this fault of the testbed.
            raise Denied(
                "issuer-unreachable",
                f"cannot fetch the keys of the token's issuer: {error}",
                status=503,
            ) from error
        logged_claims = _logged_claims(claims)
        notes["identity"] = {**logged_claims}
        with self._lock:
            workflow, projects = self._redeem(claims, issuer, notes)
            expires = int(time.time()) + LIFETIME
            upload_token = f"pypi-{secrets.token_urlsafe(96)}"
            publisher = {**logged_claims, "publisher": str(workflow)}
            self._keyring.add(
                Credential("__token__", upload_token, projects, expires, publisher, workflow)
            )
        notes["identity"] = {**publisher}
        notes["projects"], notes["expires"] = [*sorted(projects)], expires
        return {"success": True, "token": upload_token, "expires": expires}

    def _read(self, request: Request) -> tuple[tokens.UnverifiedToken, Issuer]:
        text = _token_of(request)
        try:
            unverified = tokens.read(text)
        except tokens.MalformedToken as error:
            raise Denied("invalid-payload", "malformed JWT", detail=str(error)) from error
        url = unverified.issuer
        issuer = self._issuers.get(url) if isinstance(url, str) else None
        if issuer is None:
            raise Denied("invalid-payload", "unknown trusted publishing issuer")
        if not self._enabled:
            raise Denied("not-enabled", "github trusted publishing functionality not enabled")
        return unverified, issuer

    def _redeem(
        self, claims: JsonObject, issuer: Issuer, notes: JsonObject
    ) -> tuple[WorkflowIdentity, frozenset[str]]:
        """Mark a token as used. Return its workflow and the projects of this workflow."""
        jti, expires = claims.get("jti"), claims.get("exp")
        pending = self._publishers.find_pending(claims)
        if pending is not None and pending.project in self._projects:
            self._publishers.discard(pending)
            raise Denied("invalid-pending-publisher", "valid token, but project already exists")
        if isinstance(jti, str) and self._used_tokens.is_used(issuer.url, jti):
            raise Denied("invalid-reuse-token", "invalid token: already used")
        if pending is not None:
            if fault := self._projects.name_fault(pending.project):
                page = f"https://{self._host}/help/#project-name"
                raise Denied("invalid-payload", f"{fault} See {page} for more information.")
            self._publishers.promote(pending)
            add_mail(notes, "pending-trusted-publisher-reified")
        try:
            publisher = self._publishers.find(claims)
        except NoPublisher as error:
            raise Denied(
                "invalid-publisher", f"valid token, but no corresponding publisher ({error})"
            ) from error
        if (
            not isinstance(jti, str)
            or not isinstance(expires, int | float)
            or not self._used_tokens.mark_used(issuer.url, jti, expires)
        ):
            raise Denied("invalid-reuse-token", "invalid token: already used")
        workflow, projects = publisher
        if len(projects) == 1 and not workflow.environment and claims.get("environment"):
            add_mail(notes, "environment-ignored-in-trusted-publisher")
        return publisher


def _token_of(request: Request) -> str:
    request.max_content_length = _MAX_BODY
    try:
        payload: Json = json.loads(request.get_data(cache=False).decode())
    except (ValueError, RecursionError) as error:
        raise Denied("invalid-payload", "the body is not JSON") from error
    if not isinstance(payload, dict):
        raise Denied("invalid-payload", "the body is not a JSON object")
    if "token" not in payload:
        raise Denied("invalid-payload", "token: field required")
    token = payload["token"]
    if not isinstance(token, str):
        raise Denied("invalid-payload", "token: input should be a valid string")
    return token


def _logged_claims(claims: JsonObject) -> dict[str, str]:
    return {
        name: str(claims[name])[:_LOGGED_LENGTH]
        for name in _LOGGED_CLAIMS
        if isinstance(claims.get(name), str | int)
    }
