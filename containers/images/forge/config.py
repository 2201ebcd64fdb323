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
class WorkflowInput:
    """An input of `on.workflow_dispatch`, with the keys of the workflow file."""

    name: str
    type: str
    required: bool
    default: str
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WorkflowFile:
    """A workflow file of the repository."""

    path: str
    name: str
    dispatchable: bool
    """True if the file has `on.workflow_dispatch`."""
    inputs: tuple[WorkflowInput, ...]


@dataclass(frozen=True, slots=True)
class InitialRelease:
    """A published release that exists before the workflow starts."""

    tag: str
    target: str
    name: str | None
    body: str | None
    prerelease: bool


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
    workflows: tuple[WorkflowFile, ...]
    releases: tuple[InitialRelease, ...]
    """The releases that exist before the workflow starts."""
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
        workflows=tuple(map(_workflow, reader.nested_list("workflows"))),
        releases=tuple(map(_release, reader.nested_list("releases"))),
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


def _workflow(reader: ObjectReader) -> WorkflowFile:
    return WorkflowFile(
        path=reader.required("path", str),
        name=reader.required("name", str),
        dispatchable=reader.required("dispatchable", bool),
        inputs=_inputs(reader.nested("inputs")),
    )


def _inputs(reader: ObjectReader) -> tuple[WorkflowInput, ...]:
    return tuple(_input(name, reader.nested(name)) for name in reader.names())


def _input(name: str, reader: ObjectReader) -> WorkflowInput:
    kind = reader.required("type", str)
    default = reader.optional("default", str)
    return WorkflowInput(
        name=name,
        type=kind,
        required=reader.required("required", bool),
        default=default or ("false" if kind == "boolean" else ""),
        options=tuple(reader.optional_list("options", str) or ()),
    )


def _release(reader: ObjectReader) -> InitialRelease:
    return InitialRelease(
        tag=reader.required("tag", str),
        target=reader.required("target", str),
        name=reader.optional("name", str),
        body=reader.optional("body", str),
        prerelease=reader.get("prerelease", False),
    )
