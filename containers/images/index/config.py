"""The front's configuration: one JSON file, read once at the start."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from .oidc.publishers import Identity, Publisher

# The container's own network is the boundary, so every interface of it is meant.
DEFAULT_ADDRESS = "0.0.0.0"  # noqa: S104
DEFAULT_PORT = 443


class ConfigError(Exception):
    """The configuration cannot be used; the message names every fault found."""


@dataclass(frozen=True, slots=True)
class Hosts:
    """The names this front answers to; a name may serve several roles."""

    index: str
    upload: str
    files: str | None = None

    def serves(self, role: str, name: str) -> bool:
        """Tell whether requests of a role (index, upload, files, publishing) belong on a host."""
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
                raise ValueError(f"no such role: {role!r}")

    def names(self) -> list[str]:
        """List the distinct names, sorted."""
        return sorted({self.index, self.upload} | ({self.files} if self.files else set()))


@dataclass(frozen=True, slots=True)
class Credential:
    """A user name and a password or token, for all projects or for some."""

    username: str
    password: str = field(repr=False)
    projects: frozenset[str] | None = None
    expires: float | None = None
    identity: dict[str, str] | None = None
    """Of whom it is, for the log, where it was minted for a trusted publisher."""


@dataclass(frozen=True, slots=True)
class KnownIssuer:
    """An issuer whose identity tokens are accepted, and the authority its server is known by."""

    url: str
    authority: Path


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the front is told."""

    certificate: Path
    key: Path
    hosts: Hosts
    store: Path
    log: Path
    address: str = DEFAULT_ADDRESS
    port: int = DEFAULT_PORT
    faults: Path | None = None
    credentials: tuple[Credential, ...] = ()
    yanked: dict[str, str] = field(default_factory=dict)
    trusted_publishing: bool = True
    issuers: tuple[KnownIssuer, ...] = ()
    publishers: tuple[Publisher, ...] = ()
    pending_publishers: tuple[Publisher, ...] = ()


def load(path: Path) -> Settings:
    """Read the settings from a JSON file.

    Raises:
        ConfigError: the file cannot be read or parsed, or a key is missing, unknown or of
            the wrong kind, or a named file or folder does not exist. All faults are named.
    """
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the configuration {path}: {error}") from error
    return parse(table)


def parse(table: object) -> Settings:
    """Make settings of a decoded JSON object.

    Raises:
        ConfigError: as for `load`.
    """
    reader = _Reader()
    top = reader.table("", table)
    hosts = reader.table("hosts.", top.pop("hosts", None))
    credentials = reader.sequence(top, "credentials")
    issuers = reader.sequence(top, "issuers")
    publishers = reader.sequence(top, "publishers")
    pending = reader.sequence(top, "pending_publishers")
    enabled = top.pop("trusted_publishing", True)
    yanked = top.pop("yanked", {})
    faults = reader.optional("", top, "faults")
    files = reader.optional("hosts.", hosts, "files")
    port = top.pop("port", DEFAULT_PORT)
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65535:
        reader.faults.append("port must be a number from 0 to 65535")
    if not isinstance(enabled, bool):
        reader.faults.append("trusted_publishing must be true or false")
    if not isinstance(yanked, dict) or not all(isinstance(why, str) for why in yanked.values()):
        reader.faults.append("yanked must map file names to reasons")
    settings = Settings(
        certificate=Path(reader.text("", top, "certificate")),
        key=Path(reader.text("", top, "key")),
        hosts=Hosts(
            index=reader.text("hosts.", hosts, "index").lower(),
            upload=reader.text("hosts.", hosts, "upload").lower(),
            files=files.lower() if files else None,
        ),
        store=Path(reader.text("", top, "store")),
        log=Path(reader.text("", top, "log")),
        address=reader.optional("", top, "address") or DEFAULT_ADDRESS,
        port=port,
        faults=Path(faults) if faults else None,
        credentials=tuple(
            reader.credential(f"credentials[{number}].", item)
            for number, item in enumerate(credentials)
        ),
        yanked=yanked,
        trusted_publishing=enabled is True,
        issuers=tuple(
            reader.issuer(f"issuers[{number}].", item) for number, item in enumerate(issuers)
        ),
        publishers=tuple(
            reader.publisher(f"publishers[{number}].", item)
            for number, item in enumerate(publishers)
        ),
        pending_publishers=tuple(
            reader.publisher(f"pending_publishers[{number}].", item)
            for number, item in enumerate(pending)
        ),
    )
    reader.unknown("", top)
    reader.unknown("hosts.", hosts)
    if not reader.faults:
        reader.missing(settings)
    if reader.faults:
        raise ConfigError("; ".join(reader.faults))
    return settings


class _Reader:
    """Takes values out of JSON objects and gathers all that is wrong with them."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    def table(self, where: str, value: object) -> dict[str, Any]:
        if isinstance(value, dict):
            return dict(value)
        self.faults.append(f"{where.rstrip('.') or 'the configuration'} must be a JSON object")
        return {}

    def sequence(self, table: dict[str, Any], key: str) -> list[Any]:
        value = table.pop(key, [])
        if isinstance(value, list):
            return value
        self.faults.append(f"{key} must be a list")
        return []

    def optional(self, where: str, table: dict[str, Any], key: str) -> str | None:
        value = table.pop(key, None)
        if value is None or (isinstance(value, str) and value):
            return value
        self.faults.append(f"{where}{key} must be a text that is not empty")
        return None

    def text(self, where: str, table: dict[str, Any], key: str) -> str:
        if table.get(key) is None:
            table.pop(key, None)
            self.faults.append(f"{where}{key} is missing")
            return ""
        return self.optional(where, table, key) or ""

    def credential(self, where: str, value: object) -> Credential:
        table = self.table(where, value)
        projects = table.pop("projects", None)
        if projects is not None and not (
            isinstance(projects, list) and all(isinstance(name, str) for name in projects)
        ):
            self.faults.append(f"{where}projects must be a list of names, or null for all")
            projects = []
        credential = Credential(
            username=self.text(where, table, "username"),
            password=self.text(where, table, "password"),
            projects=None
            if projects is None
            else frozenset(canonicalize_name(name) for name in projects),
        )
        self.unknown(where, table)
        return credential

    def issuer(self, where: str, value: object) -> KnownIssuer:
        table = self.table(where, value)
        url = self.text(where, table, "url")
        if url and (not url.startswith("https://") or url.endswith("/")):
            self.faults.append(f"{where}url must begin with https:// and not end with /")
        issuer = KnownIssuer(url, Path(self.text(where, table, "ca")))
        self.unknown(where, table)
        return issuer

    def publisher(self, where: str, value: object) -> Publisher:
        table = self.table(where, value)
        publisher = Publisher(
            project=canonicalize_name(self.text(where, table, "project")),
            identity=Identity(
                owner=self.text(where, table, "owner"),
                owner_id=self.text(where, table, "owner_id"),
                repository=self.text(where, table, "repository"),
                workflow=self.text(where, table, "workflow"),
                environment=(self.optional(where, table, "environment") or "").lower(),
            ),
        )
        self.unknown(where, table)
        return publisher

    def unknown(self, where: str, table: dict[str, Any]) -> None:
        self.faults.extend(f"{where}{key} is not a known key" for key in table)

    def missing(self, settings: Settings) -> None:
        for key in ("certificate", "key"):
            path: Path = getattr(settings, key)
            if not path.is_file():
                self.faults.append(f"{key}: no such file: {path}")
        for issuer in settings.issuers:
            if not issuer.authority.is_file():
                self.faults.append(f"issuers: no such file: {issuer.authority}")
        if not settings.store.is_dir():
            self.faults.append(f"store: no such folder: {settings.store}")
        if not settings.log.parent.is_dir():
            self.faults.append(f"log: no such folder: {settings.log.parent}")
