"""The configuration of the index: one JSON file, read at the start."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from packaging.utils import canonicalize_name
from server import config
from server.config import Listener
from server.json_reader import ObjectReader

from .oidc.publishers import RegisteredPublisher, WorkflowIdentity
from .routing import Role


@dataclass(frozen=True, slots=True)
class Hosts:
    """The host names of the index. One name can have several roles."""

    index: str
    upload: str
    files: str | None = None
    signing: str | None = None
    """The host name of the signing servers; None if the index has none."""

    def serves(self, role: Role, name: str) -> bool:
        """Return True if a host name has a role."""
        names: dict[Role, set[str | None]] = {
            "index": {self.index},
            "upload": {self.upload},
            "files": {self.files or self.index},
            # twine and uv use the upload host. Scripts of users use the index.
            "publishing": {self.index, self.upload},
            "signing": {self.signing},
            "any": {name},
        }
        return name in names[role]

    def names(self) -> list[str]:
        """Return the host names of the index, sorted and without duplicates."""
        names = (self.index, self.upload, self.files, self.signing)
        return sorted({name for name in names if name})


@dataclass(frozen=True, slots=True)
class Credential:
    """A user name and a password or token, for all projects or for named ones."""

    username: str
    password: str = field(repr=False)
    projects: frozenset[str] | None = None
    expires: float | None = None
    publisher: dict[str, str] | None = None
    """For the log: the trusted publisher of a minted token, and its main claims."""
    workflow: WorkflowIdentity | None = None
    """The workflow of the trusted publisher of a minted token."""


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """An issuer whose identity tokens are accepted, and the file of its CA certificate."""

    url: str
    ca: Path


@dataclass(frozen=True)
class UploadPolicy:
    """What only the live index knows, and its limits.

    Without a setting, nothing is prohibited, deleted, old or throttled. The limits of sizes and of
    new projects are the defaults of the live index.
    """

    prohibited_names: frozenset[str] = frozenset()
    """The normalised names that no new project can have."""
    existing_projects: frozenset[str] = frozenset()
    """The normalised names of projects without files in the store that exist on the live index."""
    deleted_files: frozenset[str] = frozenset()
    """The names of files that were on the index and were deleted."""
    old_releases: frozenset[tuple[str, str]] = frozenset()
    """Normalised name and version of the releases that are older than 14 days."""
    file_limit: int = 100
    """The largest size of a file, in MiB."""
    project_limit: int = 10
    """The largest size of all files of a project, in GiB."""
    projects_per_hour: int = 20
    """How many projects a user can create in an hour."""
    uploads_per_minute: int = 0
    """How many uploads the index accepts from a client in a minute; 0 for any number."""
    exchanges_per_minute: int = 0
    """How many exchanges of tokens the index accepts from a client in a minute; 0 for any."""


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
    """The reason of each yanked file, by file name."""
    policy: UploadPolicy
    trust_root: Path | None
    """The trust root for attestations, in sigstore's format.

    None for that of the signing servers, or that of the live index if there are none.
    """
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
    files += [("trust_root", settings.trust_root)] if settings.trust_root else []
    config.check_paths(files, [("store", settings.store), ("log", settings.log.parent)])
    return settings


def _settings(reader: ObjectReader) -> Settings:
    hosts = reader.nested("hosts")
    files, signing = hosts.optional("files", str), hosts.optional("signing", str)
    faults = reader.optional("faults", str)
    trust_root = reader.optional("trust_root", str)
    return Settings(
        listener=config.read_listener(reader),
        hosts=Hosts(
            index=hosts.required("index", str).lower(),
            upload=hosts.required("upload", str).lower(),
            files=files.lower() if files else None,
            signing=signing.lower() if signing else None,
        ),
        store=Path(reader.required("store", str)),
        log=Path(reader.required("log", str)),
        faults=Path(faults) if faults else None,
        credentials=tuple(_credential(item) for item in reader.nested_list("credentials")),
        yanked=reader.strings("yanked"),
        policy=_policy(reader),
        trust_root=Path(trust_root) if trust_root else None,
        trusted_publishing=reader.get("trusted_publishing", True),
        issuers=tuple(_issuer(item) for item in reader.nested_list("issuers")),
        publishers=tuple(_publisher(item) for item in reader.nested_list("publishers")),
        pending_publishers=tuple(
            _publisher(item) for item in reader.nested_list("pending_publishers")
        ),
    )


def _policy(reader: ObjectReader) -> UploadPolicy:
    return UploadPolicy(
        prohibited_names=_names(reader, "prohibited_names"),
        existing_projects=_names(reader, "existing_projects"),
        deleted_files=frozenset(reader.optional_list("deleted_files", str) or ()),
        old_releases=frozenset(
            (canonicalize_name(item.required("project", str)), item.required("version", str))
            for item in reader.nested_list("old_releases")
        ),
        file_limit=reader.get("file_limit", UploadPolicy.file_limit),
        project_limit=reader.get("project_limit", UploadPolicy.project_limit),
        projects_per_hour=reader.get("projects_per_hour", UploadPolicy.projects_per_hour),
        uploads_per_minute=reader.get("uploads_per_minute", UploadPolicy.uploads_per_minute),
        exchanges_per_minute=reader.get("exchanges_per_minute", UploadPolicy.exchanges_per_minute),
    )


def _names(reader: ObjectReader, key: str) -> frozenset[str]:
    return frozenset(map(canonicalize_name, reader.optional_list(key, str) or ()))


def _credential(reader: ObjectReader) -> Credential:
    projects = reader.optional_list("projects", str)
    return Credential(
        username=reader.required("username", str),
        password=reader.required("password", str),
        projects=None
        if projects is None
        else frozenset(canonicalize_name(name) for name in projects),
    )


def _issuer(reader: ObjectReader) -> TrustedIssuer:
    url = reader.required("url", str)
    if url and (not url.startswith("https://") or url.endswith("/")):
        reader.add_fault("url", "must begin with https:// and not end with /")
    return TrustedIssuer(url, Path(reader.required("ca", str)))


def _publisher(reader: ObjectReader) -> RegisteredPublisher:
    return RegisteredPublisher(
        project=canonicalize_name(reader.required("project", str)),
        workflow=WorkflowIdentity(
            owner=reader.required("owner", str),
            owner_id=reader.required("owner_id", str),
            repository=reader.required("repository", str),
            file=reader.required("workflow", str),
            environment=reader.get("environment", "").lower(),
        ),
    )
