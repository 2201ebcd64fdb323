"""Identity tokens: signed JWTs (RFC 7519) that identify a job and its workflow."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jws import JWSRegistry
from server.json_reader import Json, JsonObject

from .issuer import Issuer

AUDIENCE = "pypi"
LEEWAY = 30
_ALGORITHM = "RS256"
_CHECKED_CLAIMS = ("iss", "aud", "exp", "iat", "nbf")


class MalformedToken(Exception):
    """The text is not a JWT, or the JWT has no issuer."""


class InvalidToken(Exception):
    """The token is not valid. The message is for the log of the index."""


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """A token before the check of its signature and claims."""

    text: str
    header: JsonObject
    claims: JsonObject

    @property
    def issuer(self) -> Json:
        """The issuer in the token."""
        return self.claims["iss"]


def read(text: str) -> UnverifiedToken:
    """Decode a token without a check of its signature.

    Raises:
        MalformedToken: the token does not have three parts, a part cannot be decoded, or `iss` is
            missing.
    """
    parts = text.split(".")
    if len(parts) != 3:
        raise MalformedToken(f"{len(parts)} parts instead of three")
    header, claims = (_decode(part) for part in parts[:2])
    if "iss" not in claims:
        raise MalformedToken("no iss")
    return UnverifiedToken(text, header, claims)


def _decode(part: str) -> JsonObject:
    try:
        data = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
        value: Json = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise MalformedToken("a part is not JSON in base64") from error
    if not isinstance(value, dict):
        raise MalformedToken("a part is not a JSON object")
    return value


def verify(unverified: UnverifiedToken, issuer: Issuer, audience: str = AUDIENCE) -> JsonObject:
    """Check the signature, issuer, audience and times of a token. Return its claims.

    Raises:
        InvalidToken: a check failed.
        IssuerUnreachable: the keys of the issuer cannot be fetched.
    """
    kid = unverified.header.get("kid")
    if not isinstance(kid, str):
        raise InvalidToken("no kid in the header")
    if unverified.header.get("alg") != _ALGORITHM:
        raise InvalidToken(f"not signed with {_ALGORITHM}")
    key = issuer.key(kid)
    if key is None:
        raise InvalidToken("the issuer has no such key")
    # The header may have unknown parameters. Only critical parameters must be known (RFC 7515).
    registry = JWSRegistry(algorithms=[_ALGORITHM], strict_check_header=False)
    required = jwt.JWTClaimsRegistry(
        leeway=LEEWAY,
        iss={"essential": True, "value": issuer.url},
        aud={"essential": True, "value": audience},
        exp={"essential": True},
        iat={"essential": True},
    )
    try:
        claims: JsonObject = jwt.decode(unverified.text, key, registry=registry).claims
        required.validate({name: claims[name] for name in _CHECKED_CLAIMS if name in claims})
    except (JoseError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise InvalidToken(f"{type(error).__name__}: {error}") from error
    if not isinstance(claims["aud"], str):
        raise InvalidToken("more than one audience")
    return claims
