"""The forge's configuration: one JSON file, read once at the start.

What changes during a run is told by files in ``folder``; see `jobs` and `keys`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# The container's own network is the boundary, so every interface of it is meant.
DEFAULT_ADDRESS = "0.0.0.0"  # noqa: S104
DEFAULT_PORT = 443
DEFAULT_PATIENCE = 5.0


class ConfigError(Exception):
    """The configuration cannot be used; the message names every fault found."""


@dataclasses.dataclass(frozen=True, slots=True)
class Repository:
    """The one repository that this forge has, as it was when the workflow began."""

    owner: str
    name: str
    id: int
    owner_id: int
    visibility: str
    default_branch: str
    branches: Mapping[str, str]
    """Branch to commit."""
    tags: Mapping[str, str]
    """Tag to commit."""
    annotated: Mapping[str, str]
    """Annotated tag to its tag object."""

    @property
    def full_name(self) -> str:
        """``owner/name``."""
        return f"{self.owner}/{self.name}"

    @property
    def public(self) -> bool:
        """Whether anyone may read it."""
        return self.visibility == "public"


@dataclasses.dataclass(frozen=True, slots=True)
class WorkflowRun:
    """The facts of the run that all of its jobs share."""

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


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """Everything the forge is told at its start."""

    certificate: Path
    key: Path
    folder: Path
    token: str
    """The run's GITHUB_TOKEN."""
    request_token: str
    """The run's bearer token for asking for identity tokens."""
    repository: Repository
    run: WorkflowRun
    address: str = DEFAULT_ADDRESS
    port: int = DEFAULT_PORT
    patience: float = DEFAULT_PATIENCE
    """Seconds to wait for a client's address to be registered."""


_KINDS: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "bool": (bool,),
    "float": (int, float),
    "Path": (str,),
}


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
    faults: list[str] = []
    top = dict(table) if isinstance(table, dict) else {}
    if not isinstance(table, dict):
        faults.append("the configuration must be a JSON object")
    repository = _read(Repository, "repository.", top.pop("repository", None), faults)
    run = _read(WorkflowRun, "run.", top.pop("run", None), faults)
    values = _values(Settings, "", top, faults, given={"repository", "run"})
    if not faults:
        faults += [
            f"{key}: no such file: {values[key]}"
            for key in ("certificate", "key")
            if not values[key].is_file()
        ]
        if not values["folder"].is_dir():
            faults.append(f"folder: no such folder: {values['folder']}")
    if faults:
        raise ConfigError("; ".join(faults))
    return Settings(repository=repository, run=run, **values)


def _read(kind: type[Any], where: str, table: object, faults: list[str]) -> Any:
    if not isinstance(table, dict):
        faults.append(f"{where.rstrip('.')} must be a JSON object")
        return None
    before = len(faults)
    values = _values(kind, where, dict(table), faults)
    return kind(**values) if len(faults) == before else None


def _values(
    kind: type[Any],
    where: str,
    table: dict[str, Any],
    faults: list[str],
    given: frozenset[str] | set[str] = frozenset(),
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        if field.name in given:
            continue
        if field.name not in table:
            if field.default is dataclasses.MISSING:
                faults.append(f"{where}{field.name} is missing")
            continue
        value = table.pop(field.name)
        if fault := _fault(str(field.type), value):
            faults.append(f"{where}{field.name} must be {fault}")
        values[field.name] = Path(value) if field.type == "Path" and not fault else value
    faults.extend(f"{where}{key} is not a known key" for key in table)
    return values


def _fault(kind: str, value: object) -> str | None:
    if kind.startswith("Mapping"):
        texts = isinstance(value, dict) and all(isinstance(text, str) for text in value.values())
        return None if texts else "a JSON object of texts"
    right = isinstance(value, _KINDS[kind]) and (kind == "bool" or not isinstance(value, bool))
    return None if right else f"of type {kind if kind != 'Path' else 'str'}"
