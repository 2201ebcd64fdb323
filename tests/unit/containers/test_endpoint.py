from __future__ import annotations

import contextlib
import gc
import hashlib
import http.server
import json
import os
import ssl
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from containers import endpoint
from containers import engine as engines
from containers.endpoint import Endpoint, TlsFiles
from containers.engine import Engine
from tests.helpers import engine_server
from verification.models.errors import WrongUse


def _write_context(folder: Path, name: str, content: object) -> None:
    meta = folder / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text(json.dumps(content))


def _context(url: str, *, verify: bool = False) -> dict[str, Any]:
    docker = {"Host": url, "SkipTLSVerify": not verify}
    return {"Name": "any", "Metadata": {}, "Endpoints": {"docker": docker}}


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    folder = tmp_path / "docker"
    folder.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    return folder


def test_docker_host_comes_before_the_context(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write_context(config, "mine", _context("tcp://context.example.invalid:2375"))
    monkeypatch.setenv("DOCKER_CONTEXT", "mine")
    monkeypatch.setenv("DOCKER_HOST", "tcp://host.example.invalid:2375")
    assert list(endpoint.endpoints()) == [
        Endpoint(url="tcp://host.example.invalid:2375", origin="DOCKER_HOST", named_by_user=True)
    ]


def test_current_context_comes_before_the_sockets(config: Path) -> None:
    _write_context(config, "mine", _context("tcp://context.example.invalid:2375"))
    (config / "config.json").write_text('{"currentContext": "mine"}')
    assert list(endpoint.endpoints()) == [
        Endpoint(
            url="tcp://context.example.invalid:2375",
            origin="docker context mine",
            context="mine",
            named_by_user=True,
        )
    ]


def test_docker_context_overrides_the_current_context(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("mine", "other"):
        _write_context(config, name, _context(f"tcp://{name}.example.invalid:2375"))
    (config / "config.json").write_text('{"currentContext": "mine"}')
    monkeypatch.setenv("DOCKER_CONTEXT", "other")
    (found,) = endpoint.endpoints()
    assert found.url == "tcp://other.example.invalid:2375"


def test_default_folder_of_contexts_is_in_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(os.environ["HOME"]) / ".docker"
    _write_context(folder, "mine", _context("tcp://home.example.invalid:2375"))
    (folder / "config.json").write_text("{}")
    monkeypatch.setenv("DOCKER_CONTEXT", "mine")
    (found,) = endpoint.endpoints()
    assert found.url == "tcp://home.example.invalid:2375"


@pytest.mark.parametrize(
    "text",
    [None, "{}", "not json", "[]", '{"currentContext": "default"}', '{"currentContext": ""}'],
)
def test_default_socket_is_first_without_a_context(config: Path, text: str | None) -> None:
    if text is not None:
        (config / "config.json").write_text(text)
    found = next(endpoint.endpoints())
    assert (found.url, found.named_by_user) == ("unix:///var/run/docker.sock", False)


@pytest.mark.parametrize("content", [None, {}, {"Endpoints": None}, {"Endpoints": {"docker": {}}}])
def test_invalid_named_context_is_wrong_use(
    config: Path, monkeypatch: pytest.MonkeyPatch, content: object
) -> None:
    if content is not None:
        _write_context(config, "missing", content)
    monkeypatch.setenv("DOCKER_CONTEXT", "missing")
    with pytest.raises(WrongUse, match="docker context missing"):
        list(endpoint.endpoints())


def test_podman_socket_of_the_user_comes_after_the_default_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    socket = tmp_path / "podman" / "podman.sock"
    assert f"unix://{socket}" not in [found.url for found in endpoint.endpoints()]
    socket.parent.mkdir()
    socket.touch()
    first, second, *_ = endpoint.endpoints()
    assert first.url == "unix:///var/run/docker.sock"
    assert (second.url, second.named_by_user) == (f"unix://{socket}", False)


# ---- connections to other hosts ----

RELAY = """
import os, socket, sys, threading
engine = socket.socket(socket.AF_UNIX)
engine.connect({socket!r})
def send():
    while data := os.read(0, 65536):
        engine.sendall(data)
    engine.shutdown(socket.SHUT_WR)
threading.Thread(target=send, daemon=True).start()
while data := engine.recv(65536):
    os.write(1, data)
"""


def test_engine_of_another_host_answers_over_ssh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine_socket = tmp_path / "engine.sock"
    program = tmp_path / "bin" / "ssh"
    program.parent.mkdir()
    record = f"open({str(tmp_path / 'words')!r}, 'a').write(str(sys.argv))"
    relay = RELAY.format(socket=str(engine_socket))
    program.write_text(f"#!{sys.executable}\n{relay}".replace("engine =", f"{record}\nengine =", 1))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    with engine_server.running(engine_socket):
        far = Endpoint(url="ssh://someone@build.example.invalid", origin="a test")
        answer = engines.connect(far, 60)
    with warnings.catch_warnings():
        # Docker's library ends its ssh processes, but does not wait for them.
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    assert isinstance(answer, Engine), answer
    assert (answer.version, answer.url) == ("27.1", "ssh://someone@build.example.invalid")
    words = (tmp_path / "words").read_text()
    assert "build.example.invalid" in words
    assert "dial-stdio" in words


class _Version(http.server.BaseHTTPRequestHandler):
    """Answers each request as an engine answers a request for its version."""

    def do_GET(self) -> None:
        body = json.dumps({"Version": "27.1", "ApiVersion": "1.44", "Os": "linux"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Write nothing."""


@contextlib.contextmanager
def tls_engine(authority: trustme.CA) -> Iterator[int]:
    """Run a fake engine that demands a certificate of the authority. Yield its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Version) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def write_certificates(authority: trustme.CA, folder: Path) -> None:
    """Write the files with which a client proves its identity."""
    folder.mkdir(parents=True)
    own = authority.issue_cert("client.example.invalid")
    authority.cert_pem.write_to_path(folder / endpoint.CERTIFICATES["ca"])
    own.cert_chain_pems[0].write_to_path(folder / endpoint.CERTIFICATES["cert"])
    own.private_key_pem.write_to_path(folder / endpoint.CERTIFICATES["key"])


@pytest.mark.parametrize("bundle", ["", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_context_with_certificates_reaches_an_engine_with_tls(
    config: Path, monkeypatch: pytest.MonkeyPatch, bundle: str
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    if bundle:
        trustme.CA().cert_pem.write_to_path(config / "other.pem")
        monkeypatch.setenv(bundle, str(config / "other.pem"))
    authority = trustme.CA()
    with tls_engine(authority) as port:
        context = _context(f"tcp://127.0.0.1:{port}", verify=True)
        _write_context(config, "far", context | {"Name": "far"})
        (config / "config.json").write_text("{}")
        tls = config / "contexts" / "tls" / hashlib.sha256(b"far").hexdigest() / "docker"
        without = engines.connect(endpoint.of_context("far"), 60)
        write_certificates(authority, tls)
        far = endpoint.of_context("far")
        answer = engines.connect(far, 60)
    assert isinstance(without, str)
    assert isinstance(answer, Engine), answer
    assert answer.tls == TlsFiles(folder=str(tls))
    assert answer.environment() == {
        "DOCKER_HOST": f"tcp://127.0.0.1:{port}",
        "DOCKER_CERT_PATH": str(tls),
        "DOCKER_TLS_VERIFY": "1",
    }


def test_certificate_of_another_authority_is_refused(tmp_path: Path) -> None:
    write_certificates(trustme.CA(), tmp_path / "certificates")
    with tls_engine(trustme.CA()) as port:
        answer = engines.connect(
            Endpoint(
                url=f"tcp://127.0.0.1:{port}",
                origin="a test",
                tls=TlsFiles(folder=str(tmp_path / "certificates")),
            )
        )
    assert isinstance(answer, str)
    assert "CERTIFICATE" in answer.upper()


def test_missing_certificate_is_one_line(tmp_path: Path) -> None:
    far = Endpoint(
        url="tcp://127.0.0.1:1", origin="a test", tls=TlsFiles(folder=str(tmp_path / "none"))
    )
    answer = engines.connect(far, 60)
    assert isinstance(answer, str)
    assert "\n" not in answer


@pytest.mark.parametrize(
    ("verify", "folder", "expected"),
    [
        ("", "", None),
        ("1", "/some", TlsFiles(folder="/some")),
        ("", "/some", TlsFiles(folder="/some", verify=False)),
    ],
)
def test_variables_name_the_certificates_of_docker_host(
    monkeypatch: pytest.MonkeyPatch, verify: str, folder: str, expected: TlsFiles | None
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    monkeypatch.setenv("DOCKER_TLS_VERIFY", verify)
    monkeypatch.setenv("DOCKER_CERT_PATH", folder)
    (named,) = endpoint.endpoints()
    assert named.tls == expected
