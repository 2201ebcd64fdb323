"""A small issuer of identity tokens for tests: discovery, keys, and an endpoint for tokens.

It requires only joserfc and the standard library, so it also runs in the image of the index:
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
    """A running issuer. As a context manager, it stops at the end of the block.

    Attributes:
        certificate: the file of its certificate and key.
        url: the name of the issuer in the tokens. The default is the URL of the server.
        published: the keys of its key set.
        answers: functions that answer a request instead of the issuer, by the path of its URL.
        requests: the paths of all requests.
    """

    def __init__(
        self,
        certificate: Path,
        *,
        url: str | None = None,
        address: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.certificate = certificate
        self.key = new_key()
        self.published: list[dict[str, Any]] = [public(self.key)]
        self.answers: dict[str, Answer] = {}
        self.requests: list[str] = []
        self.claims: dict[str, Any] = {}
        self.bearer = ""
        self._server = _Server((address, port), self)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        # The thread that serves a client does the handshake, so clients do not delay each other.
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
        """Stop the server. It then refuses connections."""
        self._server.shutdown()
        self._server.server_close()

    def serve_forever(self) -> None:
        """Serve until the process ends."""
        self._server.serve_forever()

    def rotate(self) -> None:
        """Replace the key by a new one. Only the new key is published."""
        self.key = new_key()
        self.published = [public(self.key)]

    def token(self, claims: dict[str, Any], **header: Any) -> str:
        """Sign claims with the current key. A header parameter with the value None is left out."""
        return sign(
            claims, self.key, {"alg": "RS256", "typ": "JWT", "kid": kid(self.key), **header}
        )


def new_key() -> RSAKey:
    """Return a new key with a random id."""
    return RSAKey.generate_key(2048, {"kid": secrets.token_hex(8), "use": "sig"})


def public(key: RSAKey) -> dict[str, Any]:
    """Return the public part of a key as a member of a key set."""
    return dict(key.as_dict(private=False))


def kid(key: RSAKey) -> str:
    """Return the id of a key."""
    return str(key.kid)


def sign(claims: dict[str, Any], key: RSAKey, header: dict[str, Any]) -> str:
    """Sign claims with the algorithm in the header (RS256 or another one for RSA keys)."""
    header = {name: value for name, value in header.items() if value is not None}
    registry = jws.JWSRegistry(
        algorithms=["RS256", "RS384", "RS512", "PS256"], strict_check_header=False
    )
    return jws.serialize_compact(header, json.dumps(claims).encode(), key, registry=registry)


def standard_claims(issuer: str, *, audience: str = "pypi", **claims: Any) -> dict[str, Any]:
    """Return the claims that all tokens have (issuer, audience, times, id), and more claims."""
    now = int(time.time())
    times = {"iat": now, "nbf": now - 5, "exp": now + 300}
    return {"iss": issuer, "aud": audience, "jti": secrets.token_hex(16), **times, **claims}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], issuer: Issuer) -> None:
        self.issuer = issuer
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print no traceback. Some tests close their connection early."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 60

    def do_GET(self) -> None:
        issuer = self.server.issuer
        parts = urlsplit(self.path)
        issuer.requests.append(parts.path)
        if parts.path in issuer.answers:
            issuer.answers[parts.path](self)
        elif parts.path == DISCOVERY:
            send(self, {"issuer": issuer.url, "jwks_uri": f"{issuer.url}{KEYS}"})
        elif parts.path == KEYS:
            send(self, {"keys": issuer.published})
        elif parts.path == ID_TOKEN and self._has_bearer(issuer.bearer):
            audience = parse_qs(parts.query).get("audience", [""])[0]
            claims = standard_claims(issuer.url, audience=audience) | issuer.claims
            send(self, {"value": issuer.token(claims)})
        else:
            send(self, {"message": "not found"}, 404)

    def _has_bearer(self, bearer: str) -> bool:
        # The scheme is not case-sensitive (RFC 9110, section 11.1).
        scheme, _, token = (self.headers["Authorization"] or "").partition(" ")
        return scheme.lower() == "bearer" and token == bearer

    def log_message(self, *_: object) -> None:
        """Print nothing."""


def send(handler: BaseHTTPRequestHandler, value: Any, status: int = 200) -> None:
    """Answer with JSON."""
    body = json.dumps(value).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def main(path: Path) -> None:
    """Serve with the settings in a file until the process ends."""
    settings = json.loads(path.read_text("utf-8"))
    issuer = Issuer(
        Path(settings["certificate"]),
        url=settings["url"],
        address="",
        port=int(settings["port"]),
    )
    issuer.claims, issuer.bearer = settings["claims"], settings["bearer"]
    print("ready", flush=True)
    issuer.serve_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
