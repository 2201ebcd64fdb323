"""Read the plan: the required properties of the release workflow (`pipeline.toml`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

import pydantic
from pydantic import Field

from verification.models.base import Model, read_toml
from verification.models.workflow import Workflow


class PlannedJob(Model):
    """The required properties of one job."""

    after: tuple[str, ...]
    """The jobs that must pass before this job starts."""
    independent_of: tuple[str, ...]
    """The jobs that run independently: neither job waits for the other."""
    permissions: Mapping[str, str]
    """The exact permissions of the job's token."""
    action: str
    """The required GitHub action of the job; empty if the job must run a script."""
    actions: tuple[str, ...]
    """The other GitHub actions that the job may use."""

    @property
    def all_actions(self) -> frozenset[str]:
        """All actions that the job may use."""
        return frozenset({self.action, *self.actions} - {""})


class Pin(Model):
    """A version of a GitHub action, and the commit of this version."""

    version: str
    commit: str


RunFact = Literal[
    "trigger", "jobs", "settings", "build", "version", "validation", "release", "upload"
]
"""The part of the evidence that shows a claim (`verification.pipeline.report_parts`)."""


class PlannedClaim(Model):
    """A statement that must be true for the release workflow."""

    title: str = ""
    refuted_by: frozenset[str]
    """The names of the causes that refute the statement."""
    shown_by: RunFact


class Link(Model):
    """A connection that the release needs. It has the verdict of one of the claims."""

    source: str
    target: str
    via: str
    claim: int = Field(ge=1)
    """The number of the claim; the first is 1."""


class Plan(Model):
    """The required properties of the release workflow."""

    workflow: str
    """The name of the workflow file, without its folder."""
    called_publisher: str = ""
    """The name of the registered file with the publishing job, if `workflow` calls it. Empty if
    `workflow` contains the job."""
    environment: str
    package_dir: str
    """The folder of the package in the repository."""
    starting_refs: tuple[str, ...]
    """The refs that must start the workflow, in addition to the tag of the current version."""
    other_refs: tuple[str, ...]
    """The refs that must not start the workflow."""
    runners: Mapping[str, str]
    """The platforms of cibuildwheel by the first part of a runner's label."""
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
                raise ValueError(f"a link has claim {link.claim} of only {len(self.claims)}")
        return self

    @property
    def publisher(self) -> str:
        """The name of the workflow file that is registered on the index, without its folder."""
        return self.called_publisher or self.workflow

    def pin(self, action: str) -> Pin | None:
        """Return the pin of an action, or None. Actions of one repository have the same pin."""
        return self.pins.get("/".join(action.split("/")[:2]))


def load(path: Path) -> Plan:
    """Read a plan.

    Raises:
        DataError: the file cannot be read, is not TOML, or a key is missing, unknown or of the
            wrong type.
    """
    return read_toml(Plan, path)


def for_workflow(workflow: Workflow, package_dir: str, *, version_from_tag: bool = False) -> Plan:
    """Return the plan of a workflow without a plan.

    ``version_from_tag`` is true if the build takes the version of the package from the tag.
    """
    del version_from_tag
    return Plan(
        workflow=workflow.path.name,
        environment="",
        package_dir=package_dir,
        starting_refs=(),
        other_refs=(),
        runners={},
        jobs={},
        pins={},
        claims=(),
        files={},
        links=(),
    )
