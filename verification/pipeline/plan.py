"""Read the plan of a release workflow (`pipeline.toml`), or make the plan if there is none.

A plan names the workflow and the package. Its claims are the statements of the report about the
workflow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, Self

import pydantic
from pydantic import Field

from verification.models.base import Model, read_toml
from verification.models.workflow import Task, Workflow
from verification.pipeline.tasks import tasks_of

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
    """The release workflow, the package, and the claims of the report about the workflow."""

    workflow: str
    """The name of the workflow file, without its folder."""
    package_dir: str = "."
    """The folder of the package in the repository."""
    event: str = ""
    """The name of the event that starts the workflow; empty if `on` of the workflow decides."""
    claims: tuple[PlannedClaim, ...] = ()
    files: Mapping[str, PlannedClaim] = {}
    """The files of the repository that the release needs, by their paths."""
    links: tuple[Link, ...] = ()

    @pydantic.model_validator(mode="after")
    def _check_links(self) -> Self:
        for link in self.links:
            if link.claim > len(self.claims):
                raise ValueError(f"a link has claim {link.claim} of only {len(self.claims)}")
        return self


def load(path: Path) -> Plan:
    """Read a plan.

    Raises:
        DataError: the file cannot be read, is not TOML, or a key is missing, unknown or of the
            wrong type.
    """
    return read_toml(Plan, path)


def for_workflows(
    workflows: Sequence[Workflow], package_dir: str, *, version_from_tag: bool = False
) -> Plan:
    """Return the default plan of a release. It has a claim for each task of its workflows.

    The event starts the first workflow; jobs of the release dispatch the others.
    ``version_from_tag`` is true if the build reads the version of the package from the tag.
    """
    file = PlannedClaim(
        refuted_by=frozenset({"workflow-invalid", "workflow-not-triggered", "job-skipped"}),
        shown_by="jobs",
    )
    return Plan(
        workflow=workflows[0].path.name,
        package_dir=package_dir,
        claims=tuple(_claims(workflows, version_from_tag=version_from_tag)),
        files={f".github/workflows/{workflow.path.name}": file for workflow in workflows},
    )


def _claims(workflows: Sequence[Workflow], *, version_from_tag: bool) -> Iterator[PlannedClaim]:
    tasks = frozenset[Task]().union(
        *(tasks_of(running.job) for workflow in workflows for running in workflow.running_jobs)
    )
    yield PlannedClaim(
        title=f"The release event starts {workflows[0].path.name}",
        refuted_by=frozenset({"workflow-not-triggered", "workflow-invalid"}),
        shown_by="trigger",
    )
    if "build" in tasks:
        yield PlannedClaim(
            title="The workflow builds the files of the release from the released source",
            refuted_by=frozenset({"build-failed", "wrong-source", "incomplete-release"}),
            shown_by="build",
        )
    if "check-version" in tasks:
        yield PlannedClaim(
            title="The workflow compares the version of the package with the tag",
            refuted_by=frozenset({"version-mismatch", "validation-wrong"}),
            shown_by="version",
        )
    elif version_from_tag:
        yield PlannedClaim(
            title="The version of the package comes from the tag",
            refuted_by=frozenset({"version-mismatch"}),
            shown_by="build",
        )
    if "create-release" in tasks:
        yield PlannedClaim(
            title="The workflow creates the release page",
            refuted_by=frozenset({"release-missing", "hash-mismatch"}),
            shown_by="release",
        )
    if "publish" in tasks:
        yield PlannedClaim(
            title="The workflow publishes the files to the package index",
            refuted_by=frozenset(
                {
                    *("publisher-mismatch", "permission-missing", "upload-refused", "job-order"),
                    *("step-missing", "artifact-lost", "incomplete-release", "index-unreachable"),
                }
            ),
            shown_by="upload",
        )
