"""Where engines may answer: Docker's variables and contexts, and the usual sockets."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import docker
from docker.context import ContextAPI
from docker.context.config import get_current_context_name
from docker.tls import TLSConfig
from docker.utils.config import find_config_file

from verification.models.base import Model
from verification.models.errors import WrongUse

DEFAULT_CONTEXT = "default"
"""Docker's name of the engine that answers without a context."""
CERTIFICATES = {"ca": "ca.pem", "cert": "cert.pem", "key": "key.pem"}
"""The names of the files with which a client of an engine proves its identity (Docker
documentation, "Protect the Docker daemon socket")."""


class TlsFiles(Model):
    """The certificates for a connection with TLS."""

    folder: str
    """The folder with the files of `CERTIFICATES`."""
    verify: bool = True
    """True if the certificate of the engine is verified."""

    def config(self) -> TLSConfig:
        """Return the settings for Docker's library.

        Raises:
            docker.errors.TLSParameterError: a file is missing.
        """
        ca, certificate, key = (str(Path(self.folder) / name) for name in CERTIFICATES.values())
        return TLSConfig(client_cert=(certificate, key), ca_cert=ca, verify=self.verify)


class Endpoint(Model):
    """An address at which an engine may answer, and where the address comes from."""

    url: str
    origin: str
    context: str = ""
    """The name of the Docker context that has the address, or empty."""
    named_by_user: bool = False
    """True if the user named it. Then no other endpoint is tried."""
    tls: TlsFiles | None = None
    """The certificates; None for a connection without TLS."""

    def client_options(self) -> dict[str, Any]:
        """Return the options of a client of Docker's library for this endpoint.

        Raises:
            docker.errors.TLSParameterError: a certificate is missing.
        """
        return {
            "base_url": self.url,
            "tls": self.tls.config() if self.tls else False,
            # The library has no SSH of its own.
            "use_ssh_client": self.url.startswith("ssh://"),
        }

    def environment(self) -> dict[str, str]:
        """Return the variables that make other programs use this endpoint."""
        variables = {"DOCKER_HOST": self.url}
        if self.tls:
            variables["DOCKER_CERT_PATH"] = self.tls.folder
            variables["DOCKER_TLS_VERIFY"] = "1" if self.tls.verify else ""
        return variables


DEFAULT = Endpoint(url="unix:///var/run/docker.sock", origin="the default socket")


def endpoints() -> Iterator[Endpoint]:
    """Yield the endpoints to try: the one that the user named, or the usual sockets.

    The order is that of Docker: DOCKER_HOST, then the current context (Docker CLI reference,
    "docker context"), then the default socket. The socket of podman is last.

    Raises:
        WrongUse: the named context does not exist or has no address.
    """
    if named := os.environ.get("DOCKER_HOST"):
        yield Endpoint(url=named, origin="DOCKER_HOST", named_by_user=True, tls=_tls_of_variables())
        return
    name = os.environ.get("DOCKER_CONTEXT") or get_current_context_name()
    if name and name != DEFAULT_CONTEXT:
        yield of_context(name)
        return
    yield DEFAULT
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    for folder in filter(None, (runtime, "/run")):
        socket = Path(folder) / "podman" / "podman.sock"
        if socket.exists():
            yield Endpoint(url=f"unix://{socket}", origin="podman's socket")


def of_context(name: str) -> Endpoint:
    """Return the endpoint of a context of Docker.

    Raises:
        WrongUse: the context does not exist or has no address.
    """
    context = _context(name)
    if context is None or not context.Host:
        folder = os.environ.get("DOCKER_CONFIG") or "~/.docker"
        raise WrongUse(
            f"docker context {name}: {folder} has no such context with an address. "
            "List the contexts with `docker context ls`, or set DOCKER_HOST"
        )
    tls = cast("TLSConfig | None", context.TLSConfig)
    files = TlsFiles(folder=_folder_of(tls), verify=bool(tls.verify)) if tls is not None else None
    return Endpoint(
        url=context.Host,
        origin=f"docker context {name}",
        context=name,
        named_by_user=True,
        tls=files,
    )


def _folder_of(tls: TLSConfig) -> str:
    """Return the folder in which a context stores its certificates."""
    return str(Path(tls.ca_cert or "").parent)


def _context(name: str) -> docker.context.Context | None:
    # Docker's reader searches the folder of config.json. Without that file it would search the
    # current folder.
    if find_config_file() is None:
        return None
    try:
        return ContextAPI.get_context(name)
    except Exception:  # noqa: BLE001  (a broken file can raise any error)
        return None


def _tls_of_variables() -> TlsFiles | None:
    """Return the certificates that Docker's variables name (Docker CLI reference, "Environment").

    An empty DOCKER_TLS_VERIFY means that the certificate of the engine is not verified.
    """
    verify = os.environ.get("DOCKER_TLS_VERIFY")
    folder = os.environ.get("DOCKER_CERT_PATH")
    if not verify and not folder:
        return None
    default = os.environ.get("DOCKER_CONFIG") or str(Path.home() / ".docker")
    return TlsFiles(folder=folder or default, verify=bool(verify))
