"""The configuration of the index: one JSON file, read once at the start."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import assert_never

from packaging.utils import canonicalize_name
from server import config
from server.config import Listener
from server.json_reader import ObjectReader

from .oidc.publishers import RegisteredPublisher, WorkflowIdentity
from .routing import Role


@dataclass(frozen=True, slots=True)
class Hosts:
    """The host names that the index answers to; a name may serve several roles."""

    index: str
    upload: str
    files: str | None = None

    def serves(self, role: Role, name: str) -> bool:
        """Return whether requests of a role belong on a host."""
        match role:
            case "index":
                return name == self.index
            case "upload":
                return name == self.upload
            case "files":
                return name == (self.files or self.index)
            case "publishing":
                # twine and uv ask the upload host, a person's own script the index.
                return name in {self.index, self.upload}
            case "any":
                return True
            case _:
                assert_never(role)

    def names(self) -> list[str]:
        """Return the distinct names, sorted."""
        return sorted({self.index, self.upload, self.files or self.index})


@dataclass(frozen=True, slots=True)
class Credential:
    """A user name and a password or token, for all projects or for some."""

    username: str
    password: str = field(repr=False)
    projects: frozenset[str] | None = None
    expires: float | None = None
    publisher: dict[str, str] | None = None
    """For the log: the trusted publisher that it was minted for, and its token's main claims."""


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """An issuer whose identity tokens are accepted, and the file of its CA certificate."""

    url: str
    ca: Path


@dataclass(frozen=True, slots=True)
class Settings:
    """The configuration of the index."""

    listener: Listener
    hosts: Hosts
    store: Path
    log: Path
    faults: Path | None
    credentials: tuple[Credential, ...]
    yanked: dict[str, str]
    """The reasons for which files are yanked, by file name."""
    trusted_publishing: bool
    issuers: tuple[TrustedIssuer, ...]
    publishers: tuple[RegisteredPublisher, ...]
    pending_publishers: tuple[RegisteredPublisher, ...]


def load(path: Path) -> Settings:
    """Read the settings from a JSON file.

    Raises:
        ConfigError: the file cannot be read, a key is missing, unknown or wrong, or a named file
            or folder does not exist.
    """
    settings = config.load(path, _settings)
    listener = settings.listener
    files = [("certificate", listener.certificate), ("key", listener.key)]
    files += [("issuers", issuer.ca) for issuer in settings.issuers]
    config.check_paths(files, [("store", settings.store), ("log", settings.log.parent)])
    return settings


def _settings(reader: ObjectReader) -> Settings:
    hosts = reader.nested("hosts")
    files = hosts.optional_text("files")
    faults = reader.optional_text("faults")
    enabled = reader.optional("trusted_publishing", bool)
    return Settings(
        listener=config.read_listener(reader),
        hosts=Hosts(
            index=hosts.text("index").lower(),
            upload=hosts.text("upload").lower(),
            files=files.lower() if files else None,
        ),
        store=Path(reader.text("store")),
        log=Path(reader.text("log")),
        faults=Path(faults) if faults else None,
        credentials=tuple(_credential(item) for item in reader.nested_list("credentials")),
        yanked=reader.strings("yanked", {}),
        trusted_publishing=enabled is not False,
        issuers=tuple(_issuer(item) for item in reader.nested_list("issuers")),
        publishers=tuple(_publisher(item) for item in reader.nested_list("publishers")),
        pending_publishers=tuple(
            _publisher(item) for item in reader.nested_list("pending_publishers")
        ),
    )


def _credential(reader: ObjectReader) -> Credential:
    projects = reader.optional_list("projects", str)
    return Credential(
        username=reader.text("username"),
        password=reader.text("password"),
        projects=None
        if projects is None
        else frozenset(canonicalize_name(name) for name in projects),
    )


def _issuer(reader: ObjectReader) -> TrustedIssuer:
    url = reader.text("url")
    if url and (not url.startswith("https://") or url.endswith("/")):
        reader.add_fault("url", "must begin with https:// and not end with /")
    return TrustedIssuer(url, Path(reader.text("ca")))


def _publisher(reader: ObjectReader) -> RegisteredPublisher:
    return RegisteredPublisher(
        project=canonicalize_name(reader.text("project")),
        workflow=WorkflowIdentity(
            owner=reader.text("owner"),
            owner_id=reader.text("owner_id"),
            repository=reader.text("repository"),
            file=reader.text("workflow"),
            environment=(reader.optional_text("environment") or "").lower(),
        ),
    )
