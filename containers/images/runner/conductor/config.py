"""What the host configures the conductor with (`containers/runner/runs.py`)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class IdentityEndpoint:
    """Where a job asks for an identity token."""

    url: str
    token: str


@dataclass(frozen=True)
class Config:
    """The command of act, and what the containers of the run are given."""

    command: list[str]
    environment: dict[str, str]
    folder: str
    labels: dict[str, str]
    dns: list[str]
    prefix: str
    """The beginning of the names of containers and volumes."""
    volume: str
    """The run's own volume, which every job has."""
    known: str
    """The folder with a file for each container whose job the forge knows; it holds ``identity`` if
    the job may ask for an identity token."""
    artifacts: str
    """The folder of the artifacts."""
    attempt: int
    identity: IdentityEndpoint


def load(path: Path) -> Config:
    """Read the configuration.

    Raises:
        TypeError: a key is missing or unknown.
    """
    values = json.loads(path.read_text("utf-8"))
    return Config(**{**values, "identity": IdentityEndpoint(**values["identity"])})
