"""A small issuer of identity tokens, for tests: discovery, keys, and tokens for whoever asks.

It needs joserfc and the standard library, so it also runs in the index's image:
`python3 issuer.py SETTINGS.json`, with `url`, `port`, `certificate`, `claims` and `bearer`.
"""

from __future__ import annotations

import json
import secrets
import ssl
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from joserfc import jws
from joserfc.jwk import RSAKey

DISCOVERY = "/.well-known/openid-configuration"
KEYS = "/.well-known/jwks"
ID_TOKEN = "/id-token"  # noqa: S105 - a path

Answer = Callable[[BaseHTTPRequestHandler], None]


class Issuer:
    """A running issuer; a context manager that stops it at the end.

    `url` is what its tokens name; without it, the address it listens on. `published` are the keys
    of its key set, `answers` are what a test puts in the place of an answer, by path, and `asked`
    is what it was asked for so far.
    """

    def __init__(
        self,
        certificate: Path,
        *,
        url: str | None = None,
        address: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.key = new_key()
        self.published: list[dict[str, Any]] = [public(self.key)]
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        self.claims: dict[str, Any] = {}
        self.bearer = ""
        self._server = _Server((address, port), self)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        # Hands are shaken in the thread that serves: no client holds up another.
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.url = url or f"https://localhost:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop; from then on connections are refused."""
        self._server.shutdown()
        self._server.server_close()

    def serve_forever(self) -> None:
        """Serve until the process ends."""
        self._server.serve_forever()

    def rotate(self) -> None:
        """Sign with a new key from now on; the old one is withdrawn."""
        self.key = new_key()
        self.published = [public(self.key)]

    def token(self, claims: dict[str, Any], **header: Any) -> str:
        """Sign claims with the key in use; a header parameter given as None is left out."""
        return sign(
            claims, self.key, {"alg": "RS256", "typ": "JWT", "kid": kid(self.key), **header}
        )


def new_key() -> RSAKey:
    """Make a key, with an id."""
    return RSAKey.generate_key(2048, {"kid": secrets.token_hex(8), "use": "sig"})


def public(key: RSAKey) -> dict[str, Any]:
    """Give the public half of a key, as a key set holds it."""
    return dict(key.as_dict(private=False))


def kid(key: RSAKey) -> str:
    """Give a key's id."""
    return str(key.kid)


def sign(claims: dict[str, Any], key: RSAKey, header: dict[str, Any]) -> str:
    """Sign claims as the header says, by RS256 or another algorithm for such a key."""
    header = {name: value for name, value in header.items() if value is not None}
    registry = jws.JWSRegistry(
        algorithms=["RS256", "RS384", "RS512", "PS256"], strict_check_header=False
    )
    return jws.serialize_compact(header, json.dumps(claims).encode(), key, registry=registry)


def standard_claims(issuer: str, *, audience: str = "pypi", **others: Any) -> dict[str, Any]:
    """Give the claims that every token has: who, for whom, from when until when, and its id."""
    now = int(time.time())
    times = {"iat": now, "nbf": now - 5, "exp": now + 300}
    return {"iss": issuer, "aud": audience, "jti": secrets.token_hex(16), **times, **others}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], issuer: Issuer) -> None:
        self.issuer = issuer
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that break off: some tests are about them."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 60

    def do_GET(self) -> None:
        issuer = self.server.issuer
        parts = urlsplit(self.path)
        issuer.asked.append(parts.path)
        if parts.path in issuer.answers:
            issuer.answers[parts.path](self)
        elif parts.path == DISCOVERY:
            send(self, {"issuer": issuer.url, "jwks_uri": f"{issuer.url}{KEYS}"})
        elif parts.path == KEYS:
            send(self, {"keys": issuer.published})
        elif parts.path == ID_TOKEN and self._may_ask(issuer.bearer):
            audience = parse_qs(parts.query).get("audience", [""])[0]
            claims = standard_claims(issuer.url, audience=audience) | issuer.claims
            send(self, {"value": issuer.token(claims)})
        else:
            send(self, {"message": "no such thing"}, 404)

    def _may_ask(self, bearer: str) -> bool:
        # Clients differ in how they write the scheme, whose case says nothing (RFC 9110, 11.1).
        scheme, _, given = (self.headers["Authorization"] or "").partition(" ")
        return scheme.lower() == "bearer" and given == bearer

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def send(handler: BaseHTTPRequestHandler, table: Any, status: int = 200) -> None:
    """Answer with JSON."""
    body = json.dumps(table).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def main(settings: Path) -> None:
    """Serve as a file of settings says, until the process ends."""
    told = json.loads(settings.read_text("utf-8"))
    issuer = Issuer(Path(told["certificate"]), url=told["url"], address="", port=int(told["port"]))
    issuer.claims, issuer.bearer = told["claims"], told["bearer"]
    print("ready", flush=True)
    issuer.serve_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
