"""An issuer of identity tokens: its keys, found by discovery, kept, and fetched anew when unknown.

Discovery is OpenID Connect Discovery 1.0, section 4; key sets are RFC 7517.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

_DISCOVERY = "/.well-known/openid-configuration"
_MAX_SIZE = 1 << 20


class IssuerFailure(Exception):
    """The issuer's keys cannot be had; the message, one line, says what was seen and where."""


class Issuer:
    """One issuer, whose keys are asked for over TLS and by nothing but its own authority.

    `cooldown` is how many seconds pass after an answer before an unknown key leads to another
    question: or every token with an invented key would be a request to the issuer. The default
    index waits a minute; a run is over by then. `seconds` bounds discovery, and the key set.

    Raises:
        OSError: the authority's file cannot be read, or holds no certificate.
    """

    def __init__(
        self, url: str, authority: Path, *, cooldown: float = 1.0, seconds: float = 5.0
    ) -> None:
        self.url = url
        self._context = ssl.create_default_context(cafile=str(authority))
        self._cooldown = cooldown
        self._seconds = seconds
        self._lock = threading.Lock()
        self._keys: dict[str, dict[str, Any]] = {}
        self._answered: float | None = None
        self._ended = 0.0
        self._failure: str | None = None

    def key(self, kid: str) -> RSAKey | None:
        """Give the key with an id, or None if the issuer has no usable one of that id.

        Raises:
            IssuerFailure: it is not among the known ones, and the issuer could not be asked.
        """
        arrived = time.monotonic()
        found = self._keys.get(kid)
        if found is None:
            # Whoever waited here while another asked takes that answer, so nobody waits for
            # more than the question under way and one of their own.
            with self._lock:
                if kid not in self._keys and self._ended < arrived and not self._cooling():
                    self._refresh()
                found = self._keys.get(kid)
                if found is None and self._failure is not None:
                    raise IssuerFailure(self._failure)
        return None if found is None else _rsa(found)

    def _cooling(self) -> bool:
        return self._answered is not None and time.monotonic() - self._answered < self._cooldown

    def _refresh(self) -> None:
        self._failure = None
        try:
            self._keys = self._ask()
            self._answered = time.monotonic()
        except IssuerFailure as failure:
            self._failure = str(failure)
        finally:
            self._ended = time.monotonic()

    def _ask(self) -> dict[str, dict[str, Any]]:
        where = f"{self.url}{_DISCOVERY}"
        place = self._fetch(where).get("jwks_uri")
        if not isinstance(place, str):
            raise IssuerFailure(f"{where} names no jwks_uri")
        keys = self._fetch(place).get("keys")
        if not isinstance(keys, list) or not keys:
            raise IssuerFailure(f"{place} holds no keys")
        return {
            key["kid"]: key
            for key in keys
            if isinstance(key, dict) and isinstance(key.get("kid"), str)
        }

    def _fetch(self, url: str) -> dict[str, Any]:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port or 443
        except ValueError as error:
            raise IssuerFailure(f"{url!r} is no address: {error}") from error
        if parts.scheme != "https" or host is None:
            raise IssuerFailure(f"{url!r} is not an https address")
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        try:
            with self._connected(host, port) as connection:
                connection.request("GET", target or "/", headers={"Accept": "application/json"})
                answer = connection.getresponse()
                body = answer.read(_MAX_SIZE + 1)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise IssuerFailure(f"{url}: {' '.join(str(error).split()) or 'no answer'}") from error
        if answer.status != 200:
            # A redirect is not followed: where keys come from is not for an answer to decide.
            raise IssuerFailure(f"{url} answers {answer.status}, not 200")
        if len(body) > _MAX_SIZE:
            raise IssuerFailure(f"{url} answers with more than {_MAX_SIZE >> 20} MB")
        try:
            table = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise IssuerFailure(f"{url} does not answer with JSON") from error
        if not isinstance(table, dict):
            raise IssuerFailure(f"{url} does not answer with a JSON object")
        return table

    @contextlib.contextmanager
    def _connected(self, host: str, port: int) -> Iterator[http.client.HTTPConnection]:
        """Connect; whatever is going on is cut off when the time is up.

        A time-out of the socket alone would not do: a byte now and then would renew it.
        """
        deadline = time.monotonic() + self._seconds
        with (
            socket.create_connection((host, port), self._seconds) as plain,
            self._context.wrap_socket(
                plain, server_hostname=host, do_handshake_on_connect=False
            ) as secure,
        ):
            cut = threading.Timer(max(0.0, deadline - time.monotonic()), _cut, (secure,))
            cut.daemon = True
            cut.start()
            try:
                secure.do_handshake()
                connection = http.client.HTTPConnection(host, port)
                connection.sock = secure
                with contextlib.closing(connection):
                    yield connection
            except (OSError, http.client.HTTPException):
                if time.monotonic() < deadline:
                    raise
            finally:
                cut.cancel()
            if time.monotonic() >= deadline:
                raise TimeoutError(f"no whole answer within {self._seconds:g} s")


def _cut(secure: ssl.SSLSocket) -> None:
    # The plain socket's way: TLS's own would wait for the other side.
    with contextlib.suppress(OSError):
        socket.socket.shutdown(secure, socket.SHUT_RDWR)


def _rsa(key: dict[str, Any]) -> RSAKey | None:
    try:
        return RSAKey.import_key(key) if key.get("kty") == "RSA" else None
    except (JoseError, ValueError, TypeError, KeyError):
        return None
