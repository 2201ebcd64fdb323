"""The API of the signing servers: certificates (Fulcio, v2), log entries (Rekor, v1), their keys.

The paths and the formats are those that sigstore's client 4.5 uses.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from server.json_reader import Json, JsonObject
from server.routing import json_response
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from ..config import Settings
from ..oidc import token as tokens
from ..oidc.issuer import IssuerUnreachable, trusted_issuers
from ..routing import Request, Route
from .authority import CertificateAuthority, MissingClaim
from .transparency_log import InvalidEntry, TransparencyLog
from .trust import client_config, trust_root

AUDIENCE = "sigstore"
_MAX_BODY = 1024 * 1024


class _Refused(Exception):
    """The CA issues no certificate. The client gets the message."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class SigningApi:
    """Issues certificates for identity tokens, and logs the statements that were signed with them.

    Raises:
        ConfigError: the CA certificate of an issuer is not usable.
    """

    def __init__(self, settings: Settings, host: str) -> None:
        self._issuers = trusted_issuers(settings.issuers)
        self._authority = CertificateAuthority()
        self._log = TransparencyLog(host)
        self._root = trust_root(self._authority, self._log)

    @property
    def trust_root(self) -> bytes:
        """The trust root of the servers, in sigstore's format."""
        return json.dumps(self._root).encode()

    def routes(self) -> list[Route]:
        """Return the routes of this module."""
        return [
            Route("/client-trust-config.json", self._config, role="signing"),
            Route("/api/v2/signingCert", self._certificate, role="signing", methods=("POST",)),
            Route("/api/v1/log/entries", self._entry, role="signing", methods=("POST",)),
        ]

    def _config(self, request: Request) -> Response:
        return json_response(client_config(self._root, request.host_url.rstrip("/")))

    def _certificate(self, request: Request) -> Response:
        try:
            certificate = self._issue(request)
        except _Refused as refused:
            body: JsonObject = {"code": 3, "message": str(refused), "details": []}
            return json_response(body, refused.status)
        chain: list[Json] = [
            item.public_bytes(serialization.Encoding.PEM).decode()
            for item in (certificate, self._authority.root)
        ]
        return json_response({"signedCertificateEmbeddedSct": {"chain": {"certificates": chain}}})

    def _issue(self, request: Request) -> x509.Certificate:
        authorization = request.authorization
        text = authorization.token if authorization and authorization.type == "bearer" else None
        try:
            unverified = tokens.read(text or "")
            issuer = self._issuers.get(str(unverified.issuer))
            if issuer is None:
                raise _Refused(f"unknown issuer {unverified.issuer}")
            claims = tokens.verify(unverified, issuer, AUDIENCE)
            return self._authority.issue(_signing_key(_body(request)), claims)
        except (tokens.MalformedToken, tokens.InvalidToken) as error:
            raise _Refused(f"there was an error processing the identity token: {error}") from error
        except MissingClaim as error:
            raise _Refused(f"the identity token has no claim {error}") from error
        except IssuerUnreachable as error:
            raise _Refused(f"cannot fetch the keys of the issuer: {error}", 503) from error

    def _entry(self, request: Request) -> Response:
        try:
            return json_response(self._log.add(_body(request)), 201)
        except InvalidEntry as error:
            return json_response({"code": 400, "message": str(error)}, 400)


def _body(request: Request) -> Json:
    request.max_content_length = _MAX_BODY
    try:
        value: Json = json.loads(request.get_data(cache=False))
    except (HTTPException, ValueError, RecursionError):
        return None
    return value


def _signing_key(body: Any) -> ec.EllipticCurvePublicKey:
    """Return the key of a request for a certificate, whose private part the client has."""
    try:
        pem = base64.b64decode(body["certificateSigningRequest"])
        signing_request = x509.load_pem_x509_csr(pem)
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise _Refused("the request has no certificateSigningRequest") from error
    key = signing_request.public_key()
    if not signing_request.is_signature_valid or not isinstance(key, ec.EllipticCurvePublicKey):
        raise _Refused("the certificateSigningRequest is not signed by an elliptic curve key")
    return key
