"""The configuration of the conductor. The host writes it (`containers/runner/runs.py`)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from .output import Json


@dataclass(frozen=True)
class IdentityEndpoint:
    """The endpoint for requests of identity tokens."""

    url: str
    token: str


@dataclass(frozen=True)
class Config:
    """The command of act, and the settings of the containers that act starts."""

    command: list[str]
    environment: dict[str, str]
    folder: str
    labels: dict[str, str]
    dns: list[str]
    network: str
    """The name of the closed network of the run."""
    host_config: dict[str, Json]
    """The limits of a container, as host settings of the engine's API."""
    capabilities: list[str]
    """The capabilities of a container's root."""
    prefix: str
    """The prefix of the names of containers and volumes."""
    volume: str
    """The volume of the run. All jobs mount it."""
    registered_jobs: str
    """The folder with a file for each container whose job is registered at the forge. The file
    contains ``identity`` if the job can request identity tokens."""
    artifacts: str
    """The folder of the artifacts."""
    attempt: int
    identity: IdentityEndpoint
    dockerfiles: list[str]
    """The Dockerfiles of the actions that are known before the run. A relative path is in
    ``folder``."""


def load(path: Path) -> Config:
    """Read the configuration.

    Raises:
        TypeError: a key is missing or unknown.
    """
    values = json.loads(path.read_text("utf-8"))
    return Config(**{**values, "identity": IdentityEndpoint(**values["identity"])})
