"""Identity tokens: signed JWTs (RFC 7519) that name the job and the workflow that ask."""

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
_CHECKED = ("iss", "aud", "exp", "iat", "nbf")


class MalformedToken(Exception):
    """This is no JWT, or one that does not name its issuer."""


class InvalidToken(Exception):
    """The token is not valid; the message says why, for the index's own log."""


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """A token whose signature and claims are not verified yet."""

    text: str
    header: JsonObject
    claims: JsonObject

    @property
    def issuer(self) -> Json:
        """The issuer that the token names."""
        return self.claims["iss"]


def read(text: str) -> UnverifiedToken:
    """Take a token apart.

    Raises:
        MalformedToken: it has not the three parts of a signed JWT, a part cannot be decoded, or it
            has no `iss`.
    """
    parts = text.split(".")
    if len(parts) != 3:
        raise MalformedToken(f"{len(parts)} parts instead of three")
    header, claims = (_table(part) for part in parts[:2])
    if "iss" not in claims:
        raise MalformedToken("no iss")
    return UnverifiedToken(text, header, claims)


def _table(part: str) -> JsonObject:
    try:
        data = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
        table: Json = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise MalformedToken("a part is not JSON in base64") from error
    if not isinstance(table, dict):
        raise MalformedToken("a part is not a JSON object")
    return table


def verify(unverified: UnverifiedToken, issuer: Issuer) -> JsonObject:
    """Check signature, issuer, audience and times; return the claims, which the issuer signed.

    Raises:
        InvalidToken: the first thing that is wrong.
        IssuerUnreachable: the issuer's keys cannot be fetched.
    """
    kid = unverified.header.get("kid")
    if not isinstance(kid, str):
        raise InvalidToken("no kid in the header")
    if unverified.header.get("alg") != _ALGORITHM:
        raise InvalidToken(f"not signed with {_ALGORITHM}")
    key = issuer.key(kid)
    if key is None:
        raise InvalidToken("the issuer has no such key")
    # The header may carry parameters that we do not know: only critical ones matter (RFC 7515).
    registry = JWSRegistry(algorithms=[_ALGORITHM], strict_check_header=False)
    required = jwt.JWTClaimsRegistry(
        leeway=LEEWAY,
        iss={"essential": True, "value": issuer.url},
        aud={"essential": True, "value": AUDIENCE},
        exp={"essential": True},
        iat={"essential": True},
    )
    try:
        claims: JsonObject = jwt.decode(unverified.text, key, registry=registry).claims
        required.validate({name: claims[name] for name in _CHECKED if name in claims})
    except (JoseError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise InvalidToken(f"{type(error).__name__}: {error}") from error
    if not isinstance(claims["aud"], str):
        raise InvalidToken("more than one audience")
    return claims
