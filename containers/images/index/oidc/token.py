"""Identity tokens: signed JWTs (RFC 7519) that say which job of which workflow is asking."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jws import JWSRegistry

from .issuer import Issuer

AUDIENCE = "pypi"
LEEWAY = 30
_ALGORITHM = "RS256"
_CHECKED = ("iss", "aud", "exp", "iat", "nbf")


class Malformed(Exception):
    """This is no JWT, or one that does not name its issuer."""


class Invalid(Exception):
    """The token must not be believed; the message says why, for the index's own log."""


@dataclass(frozen=True, slots=True)
class Unverified:
    """A token as it claims to be: nothing of it may be believed yet."""

    text: str
    header: dict[str, Any]
    claims: dict[str, Any]

    @property
    def issuer(self) -> object:
        """Who is said to have issued it."""
        return self.claims["iss"]


def read(text: str) -> Unverified:
    """Take a token apart.

    Raises:
        Malformed: it has not the three parts of a signed JWT, a part cannot be decoded, or it
            has no `iss`.
    """
    parts = text.split(".")
    if len(parts) != 3:
        raise Malformed(f"{len(parts)} parts instead of three")
    header, claims = (_table(part) for part in parts[:2])
    if "iss" not in claims:
        raise Malformed("no iss")
    return Unverified(text, header, claims)


def _table(part: str) -> dict[str, Any]:
    try:
        data = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
        table = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Malformed("a part is not JSON in base64") from error
    if not isinstance(table, dict):
        raise Malformed("a part is not a JSON object")
    return table


def verify(unverified: Unverified, issuer: Issuer) -> dict[str, Any]:
    """Check signature, issuer, audience and times; give the claims, which then are the issuer's.

    Raises:
        Invalid: the first thing that is wrong.
        IssuerFailure: the issuer's keys cannot be had.
    """
    kid = unverified.header.get("kid")
    if not isinstance(kid, str):
        raise Invalid("no kid in the header")
    if unverified.header.get("alg") != _ALGORITHM:
        raise Invalid(f"not signed with {_ALGORITHM}")
    key = issuer.key(kid)
    if key is None:
        raise Invalid("the issuer has no such key")
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
        claims = jwt.decode(unverified.text, key, registry=registry).claims
        required.validate({name: claims[name] for name in _CHECKED if name in claims})
    except (JoseError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise Invalid(f"{type(error).__name__}: {error}") from error
    if not isinstance(claims["aud"], str):
        raise Invalid("more than one audience")
    return claims
