"""The issuer of identity tokens: discovery, keys, and the endpoint for token requests."""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from joserfc import jwt
from werkzeug.wrappers import Response

from .claims import ISSUER_URL, NAMES, default_audience, job_claims
from .config import Settings
from .jobs import Jobs
from .keys import Keys
from .routing import ACTIONS, ISSUER, Problem, Request, Route, json_response


@dataclass(frozen=True, slots=True)
class IdentityApi:
    """Answers as GitHub's issuer, and as the service for token requests of a runner."""

    _settings: Settings
    _jobs: Jobs
    _keys: Keys

    def routes(self) -> list[Route]:
        """Return the routes of this module."""
        return [
            Route("/.well-known/openid-configuration", self.discovery, "open", ISSUER),
            Route("/.well-known/jwks", self.jwks, "open", ISSUER),
            Route("/idtoken/<int:run>", self.token, "open", ACTIONS),
        ]

    def discovery(self, _request: Request) -> Response:
        """Answer with the URL of the keys and the format of the tokens."""
        return json_response(
            {
                "issuer": ISSUER_URL,
                "jwks_uri": f"{ISSUER_URL}/.well-known/jwks",
                "subject_types_supported": ["public", "pairwise"],
                "response_types_supported": ["id_token"],
                "claims_supported": list(NAMES),
                "id_token_signing_alg_values_supported": ["RS256"],
                "scopes_supported": ["openid"],
            }
        )

    def jwks(self, request: Request) -> Response:
        """Answer with the published keys."""
        keys = self._keys.published()
        request.notes["kids"] = [key["kid"] for key in keys]
        return json_response({"keys": [*keys]})

    def token(self, request: Request, run: int) -> Response:
        """Answer with a token for the job whose container has the client's address.

        A runner passes the URL and the bearer token of this endpoint only to a job with
        ``id-token: write``. A job without this permission gets 403.
        """
        scheme, _, token = request.headers.get("Authorization", "").strip().partition(" ")
        matches = hmac.compare_digest(token.strip().encode(), self._settings.request_token.encode())
        if scheme.lower() != "bearer" or not matches or run != self._settings.run.run_id:
            request.notes["refused"] = "the request token is not the run's"
            raise Problem(401, "Bad credentials")
        job = self._jobs.authenticate(request)
        if not job.may("id-token", "write"):
            request.notes["refused"] = "the job has no permission id-token: write"
            raise Problem(403, "Resource not accessible by integration")
        audience = request.args.get("audience") or default_audience(self._settings.repository)
        claims = job_claims(self._settings.repository, self._settings.run, job, audience)
        key = self._keys.signing()
        header = {"typ": "JWT", "alg": "RS256", "kid": key.kid}
        value = jwt.encode(header, claims, key)
        request.notes.update({"claims": claims, "kid": key.kid})
        return json_response({"count": len(value), "value": value})
