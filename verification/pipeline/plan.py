"""The plan: what the release pipeline must be (`pipeline.toml`)."""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

_PLAN_FILE = Path(__file__).with_name("pipeline.toml")


class PlanError(ValueError):
    """The plan cannot be used."""


@dataclass(frozen=True)
class PlannedJob:
    """What one job must be."""

    id: str
    after: tuple[str, ...]
    apart: tuple[str, ...]
    permissions: dict[str, str]
    action: str
    actions: tuple[str, ...]

    @property
    def all_actions(self) -> frozenset[str]:
        """Every action that the job may use."""
        return frozenset({self.action, *self.actions} - {""})


@dataclass(frozen=True)
class Pin:
    """A version of an action, and the commit behind it."""

    version: str
    commit: str


@dataclass(frozen=True)
class Plan:
    """What the release pipeline must be."""

    workflow: str
    environment: str
    package_dir: str
    starts: tuple[str, ...]
    stays: tuple[str, ...]
    runners: dict[str, str]
    jobs: dict[str, PlannedJob]
    pins: dict[str, Pin]

    def pin(self, action: str) -> Pin | None:
        """Return the pin of an action; one in a subfolder has that of its repository."""
        return self.pins.get("/".join(action.split("/")[:2]))


def load(path: Path = _PLAN_FILE) -> Plan:
    """Read a plan.

    Raises:
        PlanError: if the file is not TOML, or a key is missing or unknown.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise PlanError(f"{path.name} is not TOML: {error}") from error
    _check_keys(path.name, data, Plan)
    jobs = {}
    for id_, table in data.pop("jobs").items():
        _check_keys(f"{path.name}: [jobs.{id_}]", table, PlannedJob, given={"id"})
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in table.items()
        }
        jobs[id_] = PlannedJob(id=id_, **values)
    pins = {}
    for action, table in data.pop("pins").items():
        _check_keys(f"{path.name}: [pins] {action}", table, Pin)
        pins[action] = Pin(**table)
    starts, stays = tuple(data.pop("starts")), tuple(data.pop("stays"))
    return Plan(jobs=jobs, pins=pins, starts=starts, stays=stays, **data)


@functools.cache
def plan() -> Plan:
    """Return the suite's own plan, read once."""
    return load()


def _check_keys(
    source: str, table: dict[str, Any], kind: type, given: frozenset[str] | set[str] = frozenset()
) -> None:
    known = {field.name for field in fields(kind)} - given
    if unknown := sorted(table.keys() - known):
        raise PlanError(f"{source} has unknown keys {unknown}; the keys are {sorted(known)}")
    if missing := sorted(known - table.keys()):
        raise PlanError(f"{source} lacks the keys {missing}")
