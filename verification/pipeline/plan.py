"""The plan: the required properties of the release pipeline (`pipeline.toml`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

import pydantic
from pydantic import Field

from verification.models.base import Model, read_toml


class PlannedJob(Model):
    """What one job must be."""

    after: tuple[str, ...]
    """The jobs that must have passed before it."""
    independent_of: tuple[str, ...]
    """The jobs that it neither waits for nor is waited for by."""
    permissions: Mapping[str, str]
    """What its token can do, no more and no less."""
    action: str
    """The action that is its purpose; empty if its own script is."""
    actions: tuple[str, ...]
    """The other actions that it may use."""

    @property
    def all_actions(self) -> frozenset[str]:
        """Every action that the job may use."""
        return frozenset({self.action, *self.actions} - {""})


class Pin(Model):
    """A version of an action, and the commit behind it."""

    version: str
    commit: str


RunFact = Literal[
    "trigger", "jobs", "settings", "build", "version", "validation", "release", "upload"
]
"""What a run can show of a claim (`verification.pipeline.report_parts`)."""


class PlannedClaim(Model):
    """Something that must be true of the pipeline."""

    title: str = ""
    refuted_by: frozenset[str]
    """The names of the causes against it."""
    shown_by: RunFact


class Link(Model):
    """A connection that the release needs; it is judged as one of the claims is."""

    source: str
    target: str
    via: str
    claim: int = Field(ge=1)
    """The number of the claim."""


class Plan(Model):
    """What the release pipeline must be."""

    workflow: str
    """The workflow's file, by its name alone."""
    called_publisher: str = ""
    """The registered file with the publishing job, if `workflow` calls it; empty if `workflow`
    itself has the job."""
    environment: str
    package_dir: str
    """The folder of the package in the repository."""
    starting_refs: tuple[str, ...]
    """The refs that must start the workflow, apart from the tag of the present version."""
    other_refs: tuple[str, ...]
    """The refs that must not start it."""
    runners: Mapping[str, str]
    """The platforms of cibuildwheel, by the beginning of a runner's label."""
    jobs: Mapping[str, PlannedJob]
    pins: Mapping[str, Pin]
    claims: tuple[PlannedClaim, ...]
    files: Mapping[str, PlannedClaim]
    """The files of the repository that the release needs, by their paths."""
    links: tuple[Link, ...]

    @pydantic.model_validator(mode="after")
    def _check_links(self) -> Self:
        for link in self.links:
            if link.claim > len(self.claims):
                raise ValueError(f"a link names claim {link.claim} of {len(self.claims)}")
        return self

    @property
    def publisher(self) -> str:
        """The workflow file that is registered on the index, by its name alone."""
        return self.called_publisher or self.workflow

    def pin(self, action: str) -> Pin | None:
        """Return the pin of an action; one in a subfolder has that of its repository."""
        return self.pins.get("/".join(action.split("/")[:2]))


def load(path: Path) -> Plan:
    """Read a plan.

    Raises:
        DataError: the file cannot be read, is not TOML, or a key is missing, unknown or of the
            wrong type.
    """
    return read_toml(Plan, path)
