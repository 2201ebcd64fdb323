"""An issuer of identity tokens: its keys, found by discovery, kept, and fetched again if unknown.

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
from urllib.parse import urlsplit

from joserfc.errors import JoseError
from joserfc.jwk import RSAKey
from server.json_reader import Json, JsonObject

_DISCOVERY = "/.well-known/openid-configuration"
_MAX_SIZE = 1 << 20


class IssuerUnreachable(Exception):
    """The issuer's keys cannot be fetched; the message is one line: the address and the reason."""


class Issuer:
    """One issuer, whose keys are fetched over TLS and with its own CA certificate alone.

    `cooldown` is how many seconds pass after an answer before an unknown key leads to another
    request: or every token with an invented key would be a request to the issuer. The default
    index waits a minute; a run is over by then. `seconds` bounds discovery, and the key set.

    Raises:
        OSError: the file of the CA certificate cannot be read, or has none.
    """

    def __init__(self, url: str, ca: Path, *, cooldown: float = 1.0, seconds: float = 5.0) -> None:
        self.url = url
        self._context = ssl.create_default_context(cafile=str(ca))
        self._cooldown = cooldown
        self._seconds = seconds
        self._lock = threading.Lock()
        self._keys: dict[str, JsonObject] = {}
        self._answered: float | None = None
        self._ended = 0.0
        self._failure: str | None = None

    def key(self, kid: str) -> RSAKey | None:
        """Return the key with an id, or None if the issuer has no usable one of that id.

        Raises:
            IssuerUnreachable: it is not among the known ones, and the issuer could not be asked.
        """
        arrived = time.monotonic()
        key = self._keys.get(kid)
        if key is None:
            # A thread that waited here while another asked takes that answer, so no thread waits
            # for more than the request under way and one of its own.
            with self._lock:
                if kid not in self._keys and self._ended < arrived and not self._cooling():
                    self._refresh()
                key = self._keys.get(kid)
                if key is None and self._failure is not None:
                    raise IssuerUnreachable(self._failure)
        return None if key is None else _rsa(key)

    def _cooling(self) -> bool:
        return self._answered is not None and time.monotonic() - self._answered < self._cooldown

    def _refresh(self) -> None:
        self._failure = None
        try:
            self._keys = self._ask()
            self._answered = time.monotonic()
        except IssuerUnreachable as failure:
            self._failure = str(failure)
        finally:
            self._ended = time.monotonic()

    def _ask(self) -> dict[str, JsonObject]:
        where = f"{self.url}{_DISCOVERY}"
        jwks_uri = self._fetch(where).get("jwks_uri")
        if not isinstance(jwks_uri, str):
            raise IssuerUnreachable(f"{where} names no jwks_uri")
        keys = self._fetch(jwks_uri).get("keys")
        if not isinstance(keys, list) or not keys:
            raise IssuerUnreachable(f"{jwks_uri} holds no keys")
        return {
            kid: key
            for key in keys
            if isinstance(key, dict) and isinstance(kid := key.get("kid"), str)
        }

    def _fetch(self, url: str) -> JsonObject:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port or 443
        except ValueError as error:
            raise IssuerUnreachable(f"{url!r} is no address: {error}") from error
        if parts.scheme != "https" or host is None:
            raise IssuerUnreachable(f"{url!r} is not an https address")
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        try:
            with self._connected(host, port) as connection:
                connection.request("GET", target or "/", headers={"Accept": "application/json"})
                answer = connection.getresponse()
                body = answer.read(_MAX_SIZE + 1)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise IssuerUnreachable(
                f"{url}: {' '.join(str(error).split()) or 'no answer'}"
            ) from error
        if answer.status != 200:
            # A redirect is not followed: where keys come from is not for an answer to decide.
            raise IssuerUnreachable(f"{url} answers {answer.status}, not 200")
        if len(body) > _MAX_SIZE:
            raise IssuerUnreachable(f"{url} answers with more than {_MAX_SIZE >> 20} MB")
        try:
            table: Json = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise IssuerUnreachable(f"{url} does not answer with JSON") from error
        if not isinstance(table, dict):
            raise IssuerUnreachable(f"{url} does not answer with a JSON object")
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


def _rsa(key: JsonObject) -> RSAKey | None:
    values: dict[str, str | list[str]] = {}
    for name, value in key.items():
        if isinstance(value, str):
            values[name] = value
        elif isinstance(value, list):
            values[name] = [str(item) for item in value]
    try:
        return RSAKey.import_key(values) if values.get("kty") == "RSA" else None
    except (JoseError, ValueError, TypeError, KeyError):
        return None
