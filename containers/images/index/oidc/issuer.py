"""An issuer of identity tokens, and its keys.

The index gets the keys by discovery (OpenID Connect Discovery 1.0, section 4; key sets: RFC 7517).
It stores them, and fetches them again when a token names an unknown key.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from joserfc.errors import JoseError
from joserfc.jwk import RSAKey
from server.config import ConfigError
from server.json_reader import Json, JsonObject

from ..config import TrustedIssuer

_DISCOVERY = "/.well-known/openid-configuration"
_MAX_SIZE = 1 << 20


class IssuerUnreachable(Exception):
    """The keys of the issuer cannot be fetched. The message is one line with URL and reason."""


class Issuer:
    """One issuer. Its keys are fetched over TLS. Only the CA certificate of the issuer is trusted.

    `cooldown` is the number of seconds after a response in which an unknown key does not cause
    another request. Otherwise each token with an invented key would cause a request to the issuer.
    The default index waits a minute, which is too long for a run. `seconds` is the time limit for
    each of the two requests, discovery and key set.

    Raises:
        OSError: the file of the CA certificate cannot be read or contains no certificate.
    """

    def __init__(self, url: str, ca: Path, *, cooldown: float = 1.0, seconds: float = 5.0) -> None:
        self.url = url
        self._context = ssl.create_default_context(cafile=str(ca))
        self._cooldown = cooldown
        self._seconds = seconds
        self._lock = threading.Lock()
        self._keys: dict[str, JsonObject] = {}
        self._last_response: float | None = None
        self._last_request_end = 0.0
        self._failure: str | None = None

    def key(self, kid: str) -> RSAKey | None:
        """Return the key with an id, or None if the issuer has no usable key with it.

        Raises:
            IssuerUnreachable: the key is unknown, and the issuer cannot be reached.
        """
        started_at = time.monotonic()
        key = self._keys.get(kid)
        if key is None:
            # A thread that waits while another thread fetches the keys uses these keys. So each
            # thread waits for at most two requests: the active one and its own.
            with self._lock:
                is_current = self._last_request_end >= started_at or self._is_cooling()
                if kid not in self._keys and not is_current:
                    self._refresh()
                key = self._keys.get(kid)
                if key is None and self._failure is not None:
                    raise IssuerUnreachable(self._failure)
        return None if key is None else _rsa(key)

    def _is_cooling(self) -> bool:
        return (
            self._last_response is not None
            and time.monotonic() - self._last_response < self._cooldown
        )

    def _refresh(self) -> None:
        self._failure = None
        try:
            self._keys = self._fetch_keys()
            self._last_response = time.monotonic()
        except IssuerUnreachable as failure:
            self._failure = str(failure)
        finally:
            self._last_request_end = time.monotonic()

    def _fetch_keys(self) -> dict[str, JsonObject]:
        discovery = f"{self.url}{_DISCOVERY}"
        jwks_uri = self._fetch(discovery).get("jwks_uri")
        if not isinstance(jwks_uri, str):
            raise IssuerUnreachable(f"{discovery} has no jwks_uri")
        keys = self._fetch(jwks_uri).get("keys")
        if not isinstance(keys, list) or not keys:
            raise IssuerUnreachable(f"{jwks_uri} has no keys")
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
            raise IssuerUnreachable(f"{url!r} is not a URL: {error}") from error
        if parts.scheme != "https" or host is None:
            raise IssuerUnreachable(f"{url!r} is not an https URL")
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        try:
            with self._connected(host, port) as connection:
                connection.request("GET", target or "/", headers={"Accept": "application/json"})
                response = connection.getresponse()
                body = response.read(_MAX_SIZE + 1)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise IssuerUnreachable(
                f"{url}: {' '.join(str(error).split()) or 'no response'}"
            ) from error
        if response.status != 200:
            # Redirects are not followed: a response must not select the origin of the keys.
            raise IssuerUnreachable(f"{url} returned status {response.status} instead of 200")
        if len(body) > _MAX_SIZE:
            raise IssuerUnreachable(f"{url} returned more than {_MAX_SIZE >> 20} MB")
        try:
            document: Json = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise IssuerUnreachable(f"{url} did not return JSON") from error
        if not isinstance(document, dict):
            raise IssuerUnreachable(f"{url} did not return a JSON object")
        return document

    @contextlib.contextmanager
    def _connected(self, host: str, port: int) -> Iterator[http.client.HTTPConnection]:
        """Yield a connection that is shut down at the deadline.

        A time-out of the socket is not sufficient: each received byte restarts it.
        """
        deadline = time.monotonic() + self._seconds
        with (
            socket.create_connection((host, port), self._seconds) as plain,
            self._context.wrap_socket(
                plain, server_hostname=host, do_handshake_on_connect=False
            ) as secure,
        ):
            timer = threading.Timer(max(0.0, deadline - time.monotonic()), _shut_down, (secure,))
            timer.daemon = True
            timer.start()
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
                timer.cancel()
            if time.monotonic() >= deadline:
                raise TimeoutError(f"no complete response within {self._seconds:g} s")


def trusted_issuers(issuers: Iterable[TrustedIssuer]) -> dict[str, Issuer]:
    """Return the issuers of the configuration, by their URL.

    Raises:
        ConfigError: the CA certificate of an issuer is not usable.
    """
    by_url = {}
    for trusted in issuers:
        try:
            by_url[trusted.url] = Issuer(trusted.url, trusted.ca)
        except OSError as error:
            raise ConfigError(f"issuers: {trusted.ca} is not a CA certificate: {error}") from error
    return by_url


def _shut_down(secure: ssl.SSLSocket) -> None:
    # This is the method of the plain socket. That of the TLS socket waits for the other side.
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
