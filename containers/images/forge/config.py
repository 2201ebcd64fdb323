"""The configuration of the forge: one JSON file, read at the start.

Values that change during a run are in files of `Settings.folder`; see `jobs` and `keys`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from server import config
from server.config import Listener
from server.json_reader import ObjectReader

_REGISTRATION_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Repository:
    """The only repository of this forge, at the start of the workflow."""

    owner: str
    name: str
    id: int
    owner_id: int
    visibility: str
    default_branch: str
    branches: Mapping[str, str]
    """The commit of each branch."""
    tags: Mapping[str, str]
    """The commit of each tag."""
    annotated: Mapping[str, str]
    """The tag object of each annotated tag."""

    @property
    def full_name(self) -> str:
        """``owner/name``."""
        return f"{self.owner}/{self.name}"

    @property
    def public(self) -> bool:
        """True if a client without a token can read it."""
        return self.visibility == "public"


@dataclass(frozen=True, slots=True)
class WorkflowRun:
    """The values of a workflow run that all of its jobs share."""

    workflow: str
    path: str
    """The workflow file, relative to the repository."""
    ref: str
    sha: str
    event_name: str
    actor: str
    actor_id: int
    run_id: int
    run_number: int
    run_attempt: int
    head_ref: str
    base_ref: str
    ref_protected: bool


@dataclass(frozen=True, slots=True)
class Settings:
    """The configuration of the forge."""

    listener: Listener
    folder: Path
    token: str
    """The run's GITHUB_TOKEN."""
    request_token: str
    """The run's bearer token for requesting identity tokens."""
    repository: Repository
    run: WorkflowRun
    registration_timeout_seconds: float
    """How many seconds a request waits until the address of its client is registered."""


def load(path: Path) -> Settings:
    """Read the settings from a JSON file.

    Raises:
        ConfigError: the file cannot be read, a key is missing, unknown or wrong, or a named file
            or folder does not exist.
    """
    settings = config.load(path, _settings)
    listener = settings.listener
    config.check_paths(
        [("certificate", listener.certificate), ("key", listener.key)],
        [("folder", settings.folder)],
    )
    return settings


def _settings(reader: ObjectReader) -> Settings:
    return Settings(
        listener=config.read_listener(reader),
        folder=Path(reader.required("folder", str)),
        token=reader.required("token", str),
        request_token=reader.required("request_token", str),
        repository=_repository(reader.nested("repository")),
        run=_run(reader.nested("run")),
        registration_timeout_seconds=reader.get(
            "registration_timeout_seconds", _REGISTRATION_TIMEOUT_SECONDS
        ),
    )


def _repository(reader: ObjectReader) -> Repository:
    return Repository(
        owner=reader.required("owner", str),
        name=reader.required("name", str),
        id=reader.required("id", int),
        owner_id=reader.required("owner_id", int),
        visibility=reader.required("visibility", str),
        default_branch=reader.required("default_branch", str),
        branches=reader.strings("branches"),
        tags=reader.strings("tags"),
        annotated=reader.strings("annotated"),
    )


def _run(reader: ObjectReader) -> WorkflowRun:
    return WorkflowRun(
        workflow=reader.required("workflow", str),
        path=reader.required("path", str),
        ref=reader.required("ref", str),
        sha=reader.required("sha", str),
        event_name=reader.required("event_name", str),
        actor=reader.required("actor", str),
        actor_id=reader.required("actor_id", int),
        run_id=reader.required("run_id", int),
        run_number=reader.required("run_number", int),
        run_attempt=reader.required("run_attempt", int),
        head_ref=reader.get("head_ref", ""),
        base_ref=reader.get("base_ref", ""),
        ref_protected=reader.required("ref_protected", bool),
    )
